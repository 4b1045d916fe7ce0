//! Cutting a text where tables begin, without parsing it, so that what did not change need not be
//! parsed again.
//!
//! The cut is only ever an optimisation: whatever this scanner does not understand at once is left
//! to the parser, uncut.

use std::ops::Range;

use crate::memo::Texts;

/// A text whose items, `[[list]]` with their `[list.x]` tables, each can be parsed on its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// One range for each item, in order, with the number of its text if that is known.
    pub(crate) items: Vec<(Range<usize>, Option<u32>)>,
    /// All else; put together, it is a text of its own.
    pub(crate) rest: Vec<Range<usize>>,
}

/// Cuts `text` at its `[[list]]` headers, or returns `None` if it must be parsed in one piece.
///
/// Where `known` foretells the text of an item, comparing takes the place of scanning.
pub(crate) fn split(text: &str, list: &str, known: &mut Texts) -> Option<Split> {
    let mut split = Split::default();
    let mut scanner = Scanner { text: text.as_bytes(), at: 0 };
    // Where the part that is being scanned begins, and whether it is an item.
    let (mut start, mut in_item) = (0, false);
    while let Some(at) = scanner.next_header() {
        let header = header(&text[at..])?;
        let is_item = header.name == list;
        match (is_item, header.kind) {
            // Part of the item before it. After another table it would still belong to the last
            // item, which is rare enough to leave to the parser.
            (true, Kind::Below) if in_item => continue,
            (true, Kind::Item) => {}
            (true, _) => return None,
            (false, _) if !in_item => continue,
            (false, _) => {}
        }
        split.finish(text, start..at, in_item, known);
        (start, in_item) = (at, is_item);
        if is_item
            && let Some((number, length)) = known.foretell(&text[at..])
            && ends_item(text, at + length, list)
        {
            split.items.push((at..at + length, Some(number)));
            scanner.at = at + length;
            // The next header, if any, begins just here, and ends an empty part.
            start = at + length;
        }
    }
    split.finish(text, start..text.len(), in_item, known);
    Some(split)
}

impl Split {
    fn finish(&mut self, text: &str, range: Range<usize>, is_item: bool, known: &mut Texts) {
        if range.is_empty() {
            return;
        }
        if is_item {
            let number = known.find(&text[range.clone()]);
            self.items.push((range, number));
        } else {
            self.rest.push(range);
        }
    }
}

/// Whether an item that was read before may end at `at`: at the end, or on a line of its own that is a
/// header and no part of the item.
fn ends_item(text: &str, at: usize, list: &str) -> bool {
    if at == text.len() {
        return true;
    }
    let line = text[..at].trim_end_matches([' ', '\t']);
    line.ends_with('\n')
        && header(&text[at..]).is_some_and(|next| next.name != list || next.kind == Kind::Item)
}

/// The first key of a header, and what kind of header it is.
struct Header<'t> {
    name: &'t str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `[[name]]`
    Item,
    /// `[name.x]` or `[[name.x]]`
    Below,
    /// `[name]`
    Table,
}

/// The header that `text` begins with; `None` if it is odd in any way.
fn header(text: &str) -> Option<Header<'_>> {
    let rest = text.strip_prefix('[')?;
    let (double, rest) = match rest.strip_prefix('[') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let blank = [' ', '\t'];
    let rest = rest.trim_start_matches(blank);
    let (name, rest) = match rest.bytes().next()? {
        quote @ (b'"' | b'\'') => {
            let (name, rest) = rest[1..].split_once(char::from(quote))?;
            // An escape could spell any name, and the quote of an escape could end here.
            if name.contains(['\\', '\n']) {
                return None;
            }
            (name, rest)
        }
        _ => {
            let bare = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
            rest.split_at(rest.find(bare)?)
        }
    };
    let rest = rest.trim_start_matches(blank);
    let kind = if rest.starts_with('.') {
        Kind::Below
    } else if double && rest.starts_with("]]") {
        Kind::Item
    } else if !double && rest.starts_with(']') {
        Kind::Table
    } else {
        return None;
    };
    Some(Header { name, kind })
}

/// Finds the lines that are headers: not those inside strings, arrays and inline tables.
struct Scanner<'t> {
    text: &'t [u8],
    /// The beginning of a line, or the end.
    at: usize,
}

impl Scanner<'_> {
    /// The offset of the next `[` that begins a header.
    fn next_header(&mut self) -> Option<usize> {
        while self.at < self.text.len() {
            let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
            let first = self.at + self.text[self.at..].iter().take_while(blank).count();
            if self.text.get(first) == Some(&b'[') {
                // A header is one line, even if it is malformed.
                self.at = self.line_end(first) + 1;
                return Some(first);
            }
            self.at = self.statement_end(first);
        }
        None
    }

    /// The offset of the line break at or after `at`, or of the end.
    fn line_end(&self, at: usize) -> usize {
        self.find(at, |byte| byte == b'\n').unwrap_or(self.text.len())
    }

    /// The offset behind the line on which the value ends that begins at or after `at`.
    fn statement_end(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        let special =
            |byte| matches!(byte, b'\n' | b'"' | b'\'' | b'#' | b'[' | b'{' | b']' | b'}');
        while let Some(found) = self.find(at, special) {
            at = match self.text[found] {
                b'\n' if depth == 0 => return found + 1,
                b'#' => self.line_end(found),
                quote @ (b'"' | b'\'') => self.string_end(found, quote),
                b'[' | b'{' => {
                    depth += 1;
                    found + 1
                }
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    found + 1
                }
                _ => found + 1,
            };
        }
        self.text.len()
    }

    /// The offset behind the string that begins at `start`; a string of one line ends with the line.
    fn string_end(&self, start: usize, quote: u8) -> usize {
        let escapes = quote == b'"';
        let triple = self.text[start..].starts_with(&[quote; 3]);
        let mut at = start + if triple { 3 } else { 1 };
        while let Some(&byte) = self.text.get(at) {
            if byte == b'\\' && escapes {
                // An escaped line break still ends a string of one line.
                let breaks = !triple && self.text.get(at + 1) == Some(&b'\n');
                at += if breaks { 1 } else { 2 };
            } else if byte == b'\n' && !triple {
                return at;
            } else if byte == quote && !triple {
                return at + 1;
            } else if byte == quote && self.text[at..].starts_with(&[quote; 3]) {
                // Up to two quotes may stand before the three that end it.
                let quotes = self.text[at..].iter().take(5).take_while(|byte| **byte == quote);
                return at + quotes.count();
            } else {
                at += 1;
            }
        }
        self.text.len()
    }

    fn find(&self, from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
        let rest = self.text.get(from..)?;
        rest.iter().position(|byte| wanted(*byte)).map(|found| from + found)
    }
}

/// The offset of the last header that begins before `end`.
pub(crate) fn header_before(text: &str, end: usize) -> Option<usize> {
    let mut scanner = Scanner { text: text.as_bytes(), at: 0 };
    std::iter::from_fn(|| scanner.next_header()).take_while(|at| *at < end).last()
}
