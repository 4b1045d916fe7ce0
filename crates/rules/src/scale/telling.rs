//! When a hook is told how many instances there are to be: one call at a time, again after a failure,
//! and again when nothing came of it.

/// The pause behind the first failure; each further one doubles it.
const PAUSE_MS: u64 = 1_000;

/// The longest pause: whoever mends the hook need not wait longer.
const PAUSE_MAX_MS: u64 = 60_000;

/// After so long without the number that was told, it is told again: a machine may have been lost, and
/// the hook is told how many there are to be, which may be said twice.
const AGAIN_MS: u64 = 60_000;

/// What a hook knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telling {
    /// What it was told last, and took.
    told: Option<u32>,
    told_ms: u64,
    /// What it is being told.
    telling: Option<u32>,
    failures: u32,
    next_ms: u64,
}

impl Telling {
    /// The number that it is to be told now, given how many there are to be and how many there are.
    pub fn due(&mut self, wanted: u32, ready: u32, now_ms: u64) -> Option<u32> {
        if self.telling.is_some() || now_ms < self.next_ms {
            return None;
        }
        let is_known = match self.told {
            Some(told) => told == wanted,
            None => ready == wanted,
        };
        let is_forgotten = ready != wanted && now_ms - self.told_ms >= AGAIN_MS;
        if is_known && !is_forgotten {
            return None;
        }
        self.telling = Some(wanted);
        self.telling
    }

    /// The call is over.
    pub fn end(&mut self, took_it: bool, now_ms: u64) {
        let telling = self.telling.take();
        if took_it {
            (self.told, self.told_ms) = (telling, now_ms);
            (self.failures, self.next_ms) = (0, now_ms);
        } else {
            let pause_ms = PAUSE_MS << self.failures.min(6);
            self.failures += 1;
            self.next_ms = now_ms + pause_ms.min(PAUSE_MAX_MS);
        }
    }

    /// Instances that have been asked for and are not there yet.
    #[must_use]
    pub fn starting(&self, ready: u32) -> u32 {
        self.told.map_or(0, |told| told.saturating_sub(ready))
    }

    /// What it was told last.
    #[must_use]
    pub fn told(&self) -> Option<u32> {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};

    use super::*;

    /// Plays `<seconds> <wanted> <ready> <well|ill>` a line, a look each second; calls take a second.
    #[track_caller]
    fn check(story: &str, expect: Expect) {
        let (mut telling, mut now_ms, mut out) = (Telling::default(), 0, String::new());
        let mut call = None;
        for line in story.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [seconds, wanted, ready, how] = words[..] else { panic!("{line}") };
            let number = |word: &str| word.parse::<u32>().expect("a number");
            for _ in 0..number(seconds) {
                now_ms += 1_000;
                if call.take().is_some() {
                    telling.end(how == "well", now_ms);
                }
                call = telling.due(number(wanted), number(ready), now_ms);
                if let Some(told) = call {
                    let _ = writeln!(out, "{} s: {told}", now_ms / 1_000);
                }
            }
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn it_is_told_what_changes() {
        check(
            "5 2 2 well\n5 4 2 well\n5 4 4 well\n5 3 4 well",
            expect![[r#"
            6 s: 4
            16 s: 3
        "#]],
        );
    }

    #[test]
    fn it_is_told_again_after_failures_and_when_nothing_comes_of_it() {
        check(
            "100 4 2 ill\n20 4 2 well\n100 4 3 well\n100 4 4 well",
            expect![[r#"
            1 s: 4
            3 s: 4
            6 s: 4
            11 s: 4
            20 s: 4
            37 s: 4
            70 s: 4
            131 s: 4
            192 s: 4
        "#]],
        );
    }
}
