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
    let mut found: Vec<(Range<usize>, &str)> = errors
        .iter()
        .map(|err| (err.span().unwrap_or(0..0), err.message()))
        .collect();
    found.sort_by_key(|(range, _)| range.start);
    // All that is said about the inside of something that never ends follows from that.
    let unclosed = found
        .iter()
        .filter(|(_, message)| {
            message.starts_with("unclosed array") || message.starts_with("unclosed inline")
        })
        .find_map(|(range, _)| ending_at(table, range.start));
    let mut wrongs = Vec::new();
    let mut line_end = 0;
    for (range, message) in found {
        let inside = unclosed
            .as_ref()
            .is_some_and(|whole| whole.start < range.start);
        // A second error on a line usually follows from the first.
        if inside || (range.start < line_end && message != DUPLICATE) {
            continue;
        }
        line_end = text[range.start.min(text.len())..]
            .find('\n')
            .map_or(text.len(), |newline| range.start + newline);
        wrongs.push(one(text, range, message));
        if wrongs.len() == ERRORS_MAX || loses_track(message) {
            break;
        }
    }
    if let Some(whole) = unclosed {
        wrongs.push(Wrong {
            message: format!(
                "this `{}` is not closed",
                &text[whole.start..whole.start + 1]
            ),
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
            let (path, first) = first_of(text, &range);
            other = first.map(|first| (first, "the first one is at"));
            (
                format!("`{}` is defined twice", path.unwrap_or(there.to_owned())),
                None,
            )
        }
        "string values must be quoted, expected literal string" if there.is_empty() => {
            plain("a value is missing")
        }
        "string values must be quoted, expected literal string" => (
            format!("`{there}` is not a value"),
            Some(format!("if it is text: \"{there}\"")),
        ),
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
    Wrong {
        range,
        message,
        help,
        other,
    }
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

/// The full path of the key at `range`, which is defined twice, and where it was defined first.
fn first_of(text: &str, range: &Range<usize>) -> (Option<String>, Option<Range<usize>>) {
    let line = text[..range.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let written = text[line..range.end].trim_start_matches([' ', '\t']);
    let header = split::header_before(text, range.end).unwrap_or(0);
    let mut path = Vec::new();
    if !written.starts_with('[') && text[header..].starts_with('[') {
        let end = text[header..]
            .find('\n')
            .map_or(text.len(), |newline| header + newline);
        path = keys(text[header..end].split(']').next().unwrap_or_default());
    }
    let last = keys(written);
    if last.is_empty() {
        // Inside an inline table: its name is clear from the line.
        return (None, None);
    }
    path.extend(last);
    let before = DeTable::parse_recoverable(&text[..line]).0;
    let first = find(before.get_ref(), &path);
    (Some(path.join(".")), first)
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
