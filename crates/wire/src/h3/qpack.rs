//! Field sections without a dynamic table (RFC 9204).
//!
//! We offer none and use none: one request never waits for another then, a client cannot make us
//! keep anything for it, and no secret can be guessed from what compresses well (RFC 9204, 7.1).

use std::ops::Range;

use super::huffman;
use super::statics::{self, Found};

/// A field section as names and values. Keeps its memory for the next one.
#[derive(Debug, Default)]
pub struct Section {
    text: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    name: (u32, u32),
    value: (u32, u32),
}

/// Why a field section cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionWrong {
    /// It cannot be read; the connection has to end (RFC 9204, 2.2).
    Malformed,
    /// There is more in it than is allowed.
    TooLarge,
}

/// What RFC 9114, 4.2.2 adds for each line.
const LINE_OVERHEAD_BYTES: usize = 32;

/// Memory that is kept from one section to the next.
const KEPT_BYTES_MAX: usize = 16 * 1024;

impl Section {
    /// Reads `block`, which may hold `bytes_max` bytes, counted as RFC 9114, 4.2.2 does.
    ///
    /// # Errors
    /// If it cannot be read, or holds more.
    pub fn read(&mut self, block: &[u8], bytes_max: usize) -> Result<(), SectionWrong> {
        self.clear();
        let mut input = block;
        // Required Insert Count and Base: both must be zero where nothing is ever inserted.
        let required = read_integer(&mut input, 8).ok_or(SectionWrong::Malformed)?;
        let _base = read_integer(&mut input, 7).ok_or(SectionWrong::Malformed)?;
        if required != 0 {
            return Err(SectionWrong::Malformed);
        }
        while !input.is_empty() {
            let line = self.read_line(&mut input).ok_or(SectionWrong::Malformed)?;
            self.lines.push(line);
            // A reference of one byte can stand for a long line.
            if self.text.len() + self.lines.len() * LINE_OVERHEAD_BYTES > bytes_max {
                return Err(SectionWrong::TooLarge);
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES_MAX);
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES_MAX / size_of::<Line>());
    }

    /// RFC 9204, 4.5.2 to 4.5.6; what names the dynamic table is malformed.
    fn read_line(&mut self, input: &mut &[u8]) -> Option<Line> {
        let first = *input.first()?;
        if first & 0b1100_0000 == 0b1100_0000 {
            let (name, value) = statics::TABLE.get(read_integer(input, 6)?)?;
            Some(Line { name: self.add(name.as_bytes()), value: self.add(value.as_bytes()) })
        } else if first & 0b1101_0000 == 0b0101_0000 {
            let (name, _) = statics::TABLE.get(read_integer(input, 4)?)?;
            Some(Line { name: self.add(name.as_bytes()), value: self.read_string(input, 7)? })
        } else if first & 0b1110_0000 == 0b0010_0000 {
            Some(Line { name: self.read_string(input, 3)?, value: self.read_string(input, 7)? })
        } else {
            None
        }
    }

    /// A string whose length is in the low `bits` bits and which is Huffman-coded if the bit above
    /// them is set.
    fn read_string(&mut self, input: &mut &[u8], bits: u32) -> Option<(u32, u32)> {
        let coded = *input.first()? >> bits & 1 == 1;
        let length = read_integer(input, bits)?;
        let (string, rest) = input.split_at_checked(length)?;
        *input = rest;
        if !coded {
            return Some(self.add(string));
        }
        let start = self.text.len();
        match huffman::decode(string, &mut self.text) {
            true => Some((start as u32, self.text.len() as u32)),
            false => None,
        }
    }

    fn add(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        (start as u32, self.text.len() as u32)
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let range = |(start, end): (u32, u32)| -> Range<usize> { start as usize..end as usize };
        self.lines
            .iter()
            .map(move |line| (&self.text[range(line.name)], &self.text[range(line.value)]))
    }
}

/// An integer in the low `bits` bits of the first byte and, if it does not fit, in those behind (RFC
/// 9204, 4.1.1). None that matters here has more than 30 bits.
fn read_integer(input: &mut &[u8], bits: u32) -> Option<usize> {
    let (&first, mut rest) = input.split_first()?;
    let mask = (1_u32 << bits) - 1;
    let mut number = u32::from(first) & mask;
    if number == mask {
        let mut shift = 0;
        loop {
            let (&byte, behind) = rest.split_first()?;
            rest = behind;
            if shift > 21 {
                return None;
            }
            number += u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *input = rest;
    Some(number as usize)
}

fn write_integer(number: usize, bits: u32, flags: u8, out: &mut Vec<u8>) {
    let mask = (1_usize << bits) - 1;
    if number < mask {
        out.push(flags | number as u8);
        return;
    }
    out.push(flags | mask as u8);
    let mut rest = number - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Begins a field section in `out`.
pub fn begin_section(out: &mut Vec<u8>) {
    // Required Insert Count and Base.
    out.extend_from_slice(&[0, 0]);
}

/// Appends a line. The name becomes lower case (RFC 9114, 4.2).
pub fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let mut small = [0; 32];
    let found = match small.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            statics::find(lower, value)
        }
        // The table has none that long.
        None => Found::Nothing,
    };
    match found {
        Found::Line(place) => write_integer(place.into(), 6, 0b1100_0000, out),
        Found::Name(place) => {
            write_integer(place.into(), 4, 0b0101_0000, out);
            write_string(value, out);
        }
        Found::Nothing => {
            write_integer(name.len(), 3, 0b0010_0000, out);
            let start = out.len();
            out.extend_from_slice(name);
            out[start..].make_ascii_lowercase();
            write_string(value, out);
        }
    }
}

fn write_string(value: &[u8], out: &mut Vec<u8>) {
    write_integer(value.len(), 7, 0, out);
    out.extend_from_slice(value);
}

/// Appends the pseudo-header field of a response.
pub fn write_status(status: u16, out: &mut Vec<u8>) {
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
    write_line(b":status", &digits, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &[u8]) -> Result<String, SectionWrong> {
        let mut section = Section::default();
        section.read(block, 1000)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines: Vec<_> =
            section.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
        Ok(lines.join(" "))
    }

    #[test]
    fn sections_read_as_they_were_written() {
        let mut out = Vec::new();
        begin_section(&mut out);
        write_status(200, &mut out);
        write_status(418, &mut out);
        write_line(b"Content-Type", b"text/plain", &mut out);
        write_line(b"Content-Type", b"text/x", &mut out);
        write_line(b"X-Own", &[b'v'; 300], &mut out);
        write_line(&[b'N'; 40], b"", &mut out);
        let wanted = format!(
            ":status=200 :status=418 content-type=text/plain content-type=text/x x-own={} {}=",
            "v".repeat(300),
            "n".repeat(40)
        );
        assert_eq!(read(&out), Ok(wanted));
        assert_eq!(out[2], 0xc0 + 25, "a usual line is one byte");
    }

    #[test]
    fn the_example_of_the_rfc_reads() {
        // RFC 9204, appendix B.1.
        assert_eq!(read(b"\0\0\x51\x0b/index.html"), Ok(":path=/index.html".to_owned()));
        // A name and a value in Huffman's code: "a", "no-cache".
        let coded = b"\0\0\x29\x1f\x86\xa8\xeb\x10\x64\x9c\xbf";
        assert_eq!(read(coded), Ok("a=no-cache".to_owned()));
    }

    #[test]
    fn what_is_malformed_or_names_the_dynamic_table_is_refused() {
        for block in [
            &b""[..],
            b"\0",
            b"\x02\0",                                   // inserts are required
            b"\0\0\x80",                                 // an indexed line of the dynamic table
            b"\0\0\x10",                                 // an indexed line behind the base
            b"\0\0\x40\x01a",                            // a name of the dynamic table
            b"\0\0\x00\x01a",                            // a name behind the base
            b"\0\0\xff\x24",                             // place 99
            b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01", // a place beyond all numbers
            b"\0\0\x51\x05abc",                          // shorter than it says
            b"\0\0\x51\x81\xff",                         // padding of eight bits
            b"\0\0\x51",
            b"\0\0\x23ab",
        ] {
            assert_eq!(read(block), Err(SectionWrong::Malformed), "{block:x?}");
        }
    }

    #[test]
    fn short_references_to_long_lines_are_counted_as_what_they_are() {
        let mut block = vec![0, 0];
        block.extend([0xff, 85 - 63].repeat(20));
        assert_eq!(read(&block), Err(SectionWrong::TooLarge));
    }
}
