//! What the TOML parser says is wrong, in the words of a person and without its follow-ups.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::split;

/// One error of syntax.
pub(crate) struct Wrong {
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// What stands elsewhere, and where.
    pub(crate) other: Option<(Range<usize>, &'static str)>,
}

/// Whether the parser lost track of what belongs where, so that its tree is not worth reading.
pub(crate) fn is_lost(errors: &[toml::de::Error]) -> bool {
    errors.iter().any(|err| loses_track(err.message()))
}

/// Whether what follows such an error is skipped or misread.
fn loses_track(message: &str) -> bool {
    is_open_header(message) || message.starts_with(NO_VALUE)
}

fn is_open_header(message: &str) -> bool {
    message.starts_with("unclosed table") || message.starts_with("unclosed array table")
}

const NO_VALUE: &str = "key with no value";

/// Beyond these, a text is probably no TOML at all.
const ERRORS_MAX: usize = 100;

/// Explains `errors`, which the parser found in `text` beside `table`.
pub(crate) fn explain(text: &str, table: &DeTable<'_>, errors: &[toml::de::Error]) -> Vec<Wrong> {
    let mut found: Vec<(Range<usize>, &str)> =
        errors.iter().map(|err| (err.span().unwrap_or(0..0), err.message())).collect();
    found.sort_by_key(|(range, _)| range.start);
    // Each may cost a look at the whole text.
    found.truncate(10 * ERRORS_MAX);
    // All that is said about the inside of something that never ends follows from that.
    let unclosed = found
        .iter()
        .filter(|(_, message)| {
            message.starts_with("unclosed array") || message.starts_with("unclosed inline")
        })
        .find_map(|(range, _)| ending_at(table, range.start));
    let mut wrongs = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    let mut line_end = 0;
    for (range, message) in found {
        // What stands in a table that is there twice is there twice as well; once is enough to say.
        let again = |above: &String| path_of(text, &range).starts_with(above.as_str());
        if message == DUPLICATE && twice.iter().any(again) {
            continue;
        }
        let inside = unclosed.as_ref().is_some_and(|whole| whole.start < range.start);
        // A second error on a line usually follows from the first.
        if inside || (range.start < line_end && message != DUPLICATE) {
            continue;
        }
        line_end = text[range.start.min(text.len())..]
            .find('\n')
            .map_or(text.len(), |newline| range.start + newline);
        if message == DUPLICATE {
            twice.push(path_of(text, &range) + ".");
        }
        wrongs.push(one(text, range, message));
        if wrongs.len() == ERRORS_MAX || loses_track(message) {
            break;
        }
    }
    if let Some(whole) = unclosed {
        wrongs.push(Wrong {
            message: format!("this `{}` is not closed", &text[whole.start..=whole.start]),
            range: whole.start..whole.start + 1,
            help: None,
            other: None,
        });
    }
    wrongs
}

const DUPLICATE: &str = "duplicate key";

fn one(text: &str, range: Range<usize>, message: &str) -> Wrong {
    let there = text.get(range.clone()).unwrap_or_default();
    let plain = |message: &str| (message.to_owned(), None);
    let mut other = None;
    let (message, help) = match message {
        DUPLICATE => {
            other = first_of(text, &range).map(|first| (first, "the first one is at"));
            plain(&format!("`{}` is defined twice", path_of(text, &range)))
        }
        "string values must be quoted, expected literal string" if there.is_empty() => {
            plain("a value is missing")
        }
        // A word such as `info` looks like `inf` to the parser.
        unquoted if unquoted.starts_with("string values") || is_odd_word(unquoted, there) => {
            (format!("`{there}` is not a value"), Some(format!("if it is text: \"{there}\"")))
        }
        header if is_open_header(header) => plain("this header is not closed: `]` is missing"),
        no_value if no_value.starts_with(NO_VALUE) => plain("expected `=` after the key"),
        "unexpected leading zero, expected nothing" => plain("a number does not begin with 0"),
        "invalid basic string, expected `\"`" | "invalid literal string, expected `'`" => {
            plain("this string is not closed")
        }
        "invalid multi-line basic string, expected `\"`"
        | "invalid multi-line literal string, expected `'`" => plain("this string is not closed"),
        other => plain(other),
    };
    Wrong { range, message, help, other }
}

fn is_odd_word(message: &str, there: &str) -> bool {
    message.starts_with("invalid ")
        && there.starts_with(char::is_alphabetic)
        && !there.contains(['"', '\''])
}

/// The array or inline table that ends at `end` because the text does.
fn ending_at(table: &DeTable<'_>, end: usize) -> Option<Range<usize>> {
    fn inside(value: &toml::Spanned<DeValue<'_>>, end: usize) -> Option<Range<usize>> {
        let inner = match value.get_ref() {
            DeValue::Array(items) => items.iter().find_map(|item| inside(item, end)),
            DeValue::Table(table) => ending_at(table, end),
            _ => return None,
        };
        inner.or_else(|| (value.span().end == end).then(|| value.span()))
    }
    table.iter().find_map(|(_, value)| inside(value, end))
}

/// The path of the key at `range`, as a person would write it.
fn path_of(text: &str, range: &Range<usize>) -> String {
    keys_to(text, range).join(".")
}

/// Where the key at `range`, which is defined twice, was defined first.
fn first_of(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let before = &text[..line_start(text, range.start)];
    find(DeTable::parse_recoverable(before).0.get_ref(), &keys_to(text, range))
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The keys from the root to the one at `range`; that one alone if it is in an inline table, where its
/// name is clear from the line.
fn keys_to(text: &str, range: &Range<usize>) -> Vec<String> {
    let written = text[line_start(text, range.start)..range.end].trim_start_matches([' ', '\t']);
    let last = keys(written);
    if last.is_empty() {
        return vec![text[range.clone()].to_owned()];
    }
    let header = split::header_before(text, range.end).unwrap_or(0);
    let mut path = Vec::new();
    if !written.starts_with('[') && text[header..].starts_with('[') {
        let line = text[header..].split('\n').next().unwrap_or_default();
        path = keys(line.split(']').next().unwrap_or_default());
    }
    path.extend(last);
    path
}

/// The keys of a header's beginning, or of what stands before a `=`.
fn keys(written: &str) -> Vec<String> {
    let dotted = written.trim_start_matches('[');
    let assigned = format!("{dotted} = 0");
    let Ok(table) = DeTable::parse(&assigned) else {
        return Vec::new();
    };
    let table = table.into_inner();
    let mut path = Vec::new();
    let mut table = &table;
    while let Some((key, value)) = table.iter().next() {
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    path
}

/// Where `path` was written.
fn find(table: &DeTable<'_>, path: &[String]) -> Option<Range<usize>> {
    let (name, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    if rest.is_empty() {
        return Some(key.span());
    }
    match value.get_ref() {
        DeValue::Table(inner) => find(inner, rest),
        DeValue::Array(items) => match items.iter().next_back()?.get_ref() {
            DeValue::Table(inner) => find(inner, rest),
            _ => None,
        },
        _ => None,
    }
}
