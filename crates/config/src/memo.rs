//! What was read from the items of earlier texts, so that only changed items are read again.

use std::collections::HashMap;
use std::sync::Arc;

/// Results by the text they were read from. The caller keeps it from one reading to the next.
///
/// A result may be reused at another place, in another file: places in it are relative to its item.
/// The variables must be the same whenever a memo is used.
#[derive(Debug)]
pub struct Memo<T> {
    pub(crate) texts: Texts,
    /// The result for each of `texts`.
    values: Vec<T>,
}

/// The texts of items, numbered, and which followed which in the last reading.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    known: Vec<Known>,
    numbers: HashMap<Arc<str>, u32>,
    /// The text that the last reading began with.
    first: Option<u32>,
    /// The text that probably comes next.
    guess: Option<u32>,
    /// The text that was used last.
    last: Option<u32>,
    /// Counts the readings.
    round: u32,
}

#[derive(Debug)]
struct Known {
    text: Arc<str>,
    /// The text that came next in the last reading.
    next: Option<u32>,
    /// The last reading that used it.
    round: u32,
}

impl Texts {
    /// The number and length of the text that probably begins `text`, if it does.
    ///
    /// Configurations change in few places, so what followed last time follows again; comparing it is
    /// several times faster than scanning and hashing.
    pub(crate) fn foretell(&mut self, text: &str) -> Option<(u32, usize)> {
        let number = self.guess?;
        let known = &self.known[number as usize];
        // One that does not fit was probably changed: what followed it is still a good guess.
        self.guess = known.next;
        text.starts_with(&*known.text).then_some((number, known.text.len()))
    }

    /// The number of `text`, if it is known.
    pub(crate) fn find(&mut self, text: &str) -> Option<u32> {
        let number = *self.numbers.get(text)?;
        self.guess = self.known[number as usize].next;
        Some(number)
    }

    /// Notes that the text is part of this reading, after the one that was used before.
    fn mark_used(&mut self, number: u32) {
        self.known[number as usize].round = self.round;
        match self.last.replace(number) {
            Some(last) => self.known[last as usize].next = Some(number),
            None => self.first = Some(number),
        }
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { texts: Texts::default(), values: Vec::new() }
    }
}

impl<T: Clone> Memo<T> {
    /// How many results are kept.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Begins a reading.
    pub(crate) fn begin(&mut self) {
        self.texts.round += 1;
        self.texts.guess = self.texts.first;
        self.texts.last = None;
    }

    /// The result for a text that is known by its number.
    pub(crate) fn recall(&mut self, number: u32) -> T {
        self.texts.mark_used(number);
        self.values[number as usize].clone()
    }

    /// Keeps the result for a new text.
    pub(crate) fn keep(&mut self, text: &str, value: T) {
        let Ok(number) = u32::try_from(self.values.len()) else {
            return;
        };
        let text: Arc<str> = text.into();
        // Of two equal items of one reading, both new, the second finds the first here.
        if let Some(&number) = self.texts.numbers.get(&text) {
            self.texts.mark_used(number);
            return;
        }
        self.texts.numbers.insert(Arc::clone(&text), number);
        self.texts.known.push(Known { text, next: None, round: self.texts.round });
        self.values.push(value);
        self.texts.mark_used(number);
    }

    /// Ends a reading that used `used` items, and forgets what it did not use once that is the
    /// greater part: a rebuild costs as much as several readings.
    pub(crate) fn end(&mut self, used: usize) {
        if self.values.len() <= 2 * used + 1_000 {
            return;
        }
        let round = self.texts.round;
        let known = std::mem::take(&mut self.texts.known);
        let values = std::mem::take(&mut self.values);
        self.texts = Texts { round, ..Texts::default() };
        for (known, value) in known.into_iter().zip(values) {
            if known.round == round {
                self.keep(&known.text, value);
            }
        }
    }
}
