//! Reads the lines of a head or of a trailer section (RFC 9112, 2.2 and 5).

use super::Malformed;
use super::block::{self, BLOCK};
use crate::fields::{Field, Fields, HEAD_BYTES_MAX, initial, is_token_byte};
use crate::known::Known;

/// Where the line that starts at `from` ends: at its CR LF. `junk` is said of a control in it.
#[inline(always)]
pub(super) fn line_end(text: &[u8], from: usize, junk: Malformed) -> Result<usize, Malformed> {
    let mut at = from;
    loop {
        at += block::first_control(&text[at..]).ok_or(Malformed::Truncated)?;
        if let [b'\r', b'\n', ..] = text[at..] {
            return Ok(at);
        }
        at = behind_tab(text, at, junk)?;
    }
}

/// The place behind a tab.
#[cold]
fn behind_tab(text: &[u8], at: usize, junk: Malformed) -> Result<usize, Malformed> {
    match text[at..] {
        [b'\t', ..] => Ok(at + 1),
        [b'\r'] => Err(Malformed::Truncated),
        // RFC 9112, 2.2: "A sender MUST NOT generate a bare CR"; and a recipient that takes a bare
        // LF for a line end reads another message than one that does not.
        [b'\r' | b'\n', ..] => Err(Malformed::BareLineEnd),
        // RFC 9110, 5.5: "Field values containing CR, LF, or NUL characters are invalid and
        // dangerous". No other control may stand there either.
        _ => Err(junk),
    }
}

/// The field lines that were found, without their text.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Behind the empty line that ends them.
    pub(super) end: usize,
    /// Whether a name differs from a [`Known`] one only in `_` for `-`.
    pub(super) lookalike: bool,
}

/// Reads the field lines in `text[from..]` up to the empty line that ends them.
///
/// # Errors
/// [`Malformed::Truncated`] if there is no end.
pub(super) fn read_fields(
    fields: &mut Fields,
    text: &[u8],
    from: usize,
    fields_max: usize,
) -> Result<Lines, Malformed> {
    // All places fit the small integers of a `Field`.
    if text.len() > HEAD_BYTES_MAX {
        return Err(Malformed::HeadTooLarge);
    }
    let (mut known, mut initials, mut lookalike) = (0, 0, false);
    let mut at = from;
    loop {
        let line = &text[at..];
        let Some(name) = read_name(line) else {
            if let [b'\r', b'\n', ..] = line {
                (fields.known, fields.initials) = (known, initials);
                let end = at + 2;
                return Ok(Lines { end, lookalike });
            }
            return Err(not_a_name(line));
        };
        let colon = at + name.bytes;
        let end = line_end(text, colon + 1, Malformed::FieldLine)?;
        if fields.list.len() == fields_max {
            return Err(Malformed::TooManyFields);
        }
        // No control is left in the value but tab, so what is not above a space is white space.
        let (mut value, mut value_end) = (&text[colon + 1..end], end);
        while let [..=b' ', rest @ ..] = value {
            value = rest;
        }
        let value_start = end - value.len();
        while let [rest @ .., ..=b' '] = value {
            value = rest;
            value_end -= 1;
        }
        fields.repeated |= known & name.known.bit();
        known |= name.known.bit();
        initials |= if name.known == Known::Other { initial(line[0]) } else { 0 };
        lookalike |= name.lookalike;
        fields.list.push(Field {
            start: at as u32,
            end: (end + 2) as u32,
            value_start: value_start as u32,
            value_end: value_end as u32,
            name_bytes: name.bytes as u16,
            known: name.known,
            dropped: false,
        });
        at = end + 2;
    }
}

struct Name {
    bytes: usize,
    known: Known,
    lookalike: bool,
}

/// The name that `line` starts with; `None` unless a colon ends it.
///
/// RFC 9112, 5.1: "No whitespace is allowed between the field name and colon."
#[inline(always)]
fn read_name(line: &[u8]) -> Option<Name> {
    if let Some(block) = line.first_chunk::<BLOCK>()
        && let Some(bytes) = block::first_in(block, block::colons)
    {
        let known = Known::of_start(block, bytes);
        if known != Known::Other
            || block::first_in(block, block::not_plain) == Some(bytes) && bytes > 0
        {
            let lookalike = false;
            return Some(Name { bytes, known, lookalike });
        }
    }
    read_unusual_name(line)
}

/// The same for names that are long, have unusual bytes, or stand at the very end of the head.
#[inline(never)]
fn read_unusual_name(line: &[u8]) -> Option<Name> {
    let (mut bytes, mut underscore) = (0, false);
    loop {
        bytes += block::position(&line[bytes..], block::not_plain)?;
        match line[bytes] {
            b':' if bytes > 0 => break,
            byte if is_token_byte(byte) => underscore |= byte == b'_',
            _ => return None,
        }
        bytes += 1;
    }
    let name = &line[..bytes];
    Some(Name { bytes, known: Known::of(name), lookalike: underscore && is_lookalike(name) })
}

/// Whether a reader that takes `_` for `-`, as CGI and its descendants do, finds a known name.
#[cold]
pub(super) fn is_lookalike(name: &[u8]) -> bool {
    let dashed: Vec<u8> = name.iter().map(|&byte| if byte == b'_' { b'-' } else { byte }).collect();
    dashed != name && Known::of(&dashed) != Known::Other
}

#[cold]
fn not_a_name(line: &[u8]) -> Malformed {
    let name = line.iter().take_while(|&&byte| is_token_byte(byte)).count();
    match line[name..] {
        [] | [b'\r'] => Malformed::Truncated,
        [b'\r', b'\n', ..] => Malformed::FieldLine,
        [b'\r' | b'\n', ..] => Malformed::BareLineEnd,
        _ => Malformed::FieldLine,
    }
}
