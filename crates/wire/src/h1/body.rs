//! Takes a message body apart as its bytes arrive (RFC 9112, 6 and 7).

use std::ops::Range;

use super::lines::{is_lookalike, read_fields};
use super::{Framing, Malformed};
use crate::fields::{FIELDS_MAX, Fields, is_token_byte, is_value_byte};

/// Limits on what a body may carry beside its data.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of all chunk extensions of a body together. They are ignored, yet a sender could make
    /// them all there is (CVE-2023-39326).
    pub chunk_extension_bytes_max: usize,
    /// Bytes of the trailer section.
    pub trailer_bytes_max: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { chunk_extension_bytes_max: 4 * 1024, trailer_bytes_max: 8 * 1024 }
    }
}

/// What one piece of input held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that belong to this body; what follows is the next message's.
    pub consumed: usize,
    /// Where the body's data lies in the input now: the pieces of several chunks are moved
    /// together.
    pub data: Range<usize>,
}

/// Finds the data and the end of one body.
#[derive(Debug, Default)]
pub struct BodyDecoder {
    state: State,
    /// Bytes left of the body or of the current chunk.
    left: u64,
    limits: BodyLimits,
    extension_bytes: usize,
    size_digits: u8,
    trailer_text: Vec<u8>,
    trailers: Option<Box<Fields>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Done,
    Length,
    UntilClose,
    /// In the digits of a chunk size.
    Size,
    /// In white space behind the size or behind an extension; a `;` must follow.
    BeforeSemicolon,
    /// Behind the `;`, in white space before the name.
    BeforeName,
    Name,
    /// In white space behind the name; a `=` or a `;` must follow.
    AfterName,
    /// Behind the `=`, in white space before the value.
    BeforeValue,
    Value,
    Quoted,
    /// Behind a backslash in a quoted string.
    QuotedPair,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
}

/// 15 digits are 60 bits: no size can overflow. Leading zeros count.
const SIZE_DIGITS_MAX: u8 = 15;

impl BodyDecoder {
    /// A decoder for a body that is framed so.
    #[must_use]
    pub fn new(framing: Framing, limits: BodyLimits) -> Self {
        let (state, left) = match framing {
            Framing::None | Framing::Length(0) => (State::Done, 0),
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::Size, 0),
            Framing::UntilClose => (State::UntilClose, 0),
        };
        Self { state, left, limits, ..Self::default() }
    }

    /// Whether the body is whole.
    #[must_use]
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes may be read at most without reading past the body, if that is known.
    #[must_use]
    pub fn bytes_left(&self) -> Option<u64> {
        match self.state {
            State::Length => Some(self.left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The trailer fields, once the body is whole. Only what may stand in a trailer is kept.
    pub fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }

    /// The sender closed its side.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] unless the body was to end so, or had ended.
    pub fn close(&mut self) -> Result<(), Malformed> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Malformed::Truncated),
        }
    }

    /// Takes apart the next bytes.
    ///
    /// # Errors
    /// Chunks that are not exactly as RFC 9112, 7.1 has them, and the limits.
    #[inline]
    pub fn decode(&mut self, input: &mut [u8]) -> Result<Decoded, Malformed> {
        match self.state {
            State::Done => Ok(Decoded::default()),
            State::UntilClose => Ok(Decoded { consumed: input.len(), data: 0..input.len() }),
            State::Length => {
                let taken = clamp(self.left, input.len());
                self.left -= taken as u64;
                if self.left == 0 {
                    self.state = State::Done;
                }
                Ok(Decoded { consumed: taken, data: 0..taken })
            }
            _ => self.decode_chunked(input),
        }
    }

    fn decode_chunked(&mut self, input: &mut [u8]) -> Result<Decoded, Malformed> {
        let mut data = 0..0;
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let taken = clamp(self.left, input.len() - at);
                if data.is_empty() {
                    data = at..at + taken;
                } else {
                    input.copy_within(at..at + taken, data.end);
                    data.end += taken;
                }
                self.left -= taken as u64;
                at += taken;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else if self.state == State::Trailer {
                at += self.take_trailer_bytes(&input[at..])?;
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(Decoded { consumed: at, data })
    }

    /// One byte outside of data and trailers.
    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        match self.state {
            State::Size => self.size(byte),
            State::SizeLf => match byte {
                b'\n' => {
                    self.size_digits = 0;
                    Ok(if self.left == 0 { State::Trailer } else { State::Data })
                }
                _ => Err(Malformed::BareLineEnd),
            },
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size),
            State::DataCr | State::DataLf => Err(Malformed::ChunkEnd),
            _ => self.extension(byte),
        }
    }

    /// RFC 9112, 7.1: `chunk-size = 1*HEXDIG`.
    fn size(&mut self, byte: u8) -> Result<State, Malformed> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.size_digits == 0 => return Err(Malformed::ChunkSize),
            b'\r' => return Ok(State::SizeLf),
            b'\n' => return Err(Malformed::BareLineEnd),
            b' ' | b'\t' => return self.extend(State::BeforeSemicolon),
            b';' => return self.extend(State::BeforeName),
            _ => return Err(Malformed::ChunkSize),
        };
        if self.size_digits == SIZE_DIGITS_MAX {
            return Err(Malformed::ChunkSize);
        }
        self.size_digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    /// RFC 9112, 7.1.1: `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, where the
    /// value is a token or a quoted string.
    ///
    /// "A recipient MUST ignore unrecognized chunk extensions." Ours ignores all, but not their
    /// form: parsers that skip to the next line end differ on which byte that is.
    fn extension(&mut self, byte: u8) -> Result<State, Malformed> {
        use State::{AfterName, AfterQuoted, BeforeName, BeforeSemicolon, BeforeValue};
        use State::{Name, Quoted, QuotedPair, SizeLf, Value};
        let next = match (self.state, byte) {
            (Name | Value | AfterQuoted, b'\r') => return Ok(SizeLf),
            (BeforeSemicolon | AfterName | BeforeName | BeforeValue, b' ' | b'\t') => self.state,
            (BeforeSemicolon | Name | AfterName | Value | AfterQuoted, b';') => BeforeName,
            (Name, b' ' | b'\t') => AfterName,
            (Value | AfterQuoted, b' ' | b'\t') => BeforeSemicolon,
            (Name | AfterName, b'=') => BeforeValue,
            (BeforeName | Name, _) if is_token_byte(byte) => Name,
            (BeforeValue, b'"') => Quoted,
            (BeforeValue | Value, _) if is_token_byte(byte) => Value,
            (Quoted, b'"') => AfterQuoted,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, _) if is_value_byte(byte) => Quoted,
            // The "funky chunks" of 2025: an extension that a bare LF ends, for some.
            (_, b'\n') => return Err(Malformed::BareLineEnd),
            _ => return Err(Malformed::ChunkExtension),
        };
        self.extend(next)
    }

    fn extend(&mut self, next: State) -> Result<State, Malformed> {
        self.extension_bytes += 1;
        if self.extension_bytes > self.limits.chunk_extension_bytes_max {
            return Err(Malformed::ChunkExtension);
        }
        Ok(next)
    }

    /// Gathers the trailer section; its end is the first empty line.
    fn take_trailer_bytes(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let text = &mut self.trailer_text;
        if text.is_empty() && input.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(2);
        }
        for (at, &byte) in input.iter().enumerate() {
            text.push(byte);
            if text.len() > self.limits.trailer_bytes_max {
                return Err(Malformed::TrailerTooLarge);
            }
            if byte == b'\n' {
                if text.len() < 2 || text[text.len() - 2] != b'\r' {
                    return Err(Malformed::BareLineEnd);
                }
                if text.len() == 2 || text.ends_with(b"\r\n\r\n") {
                    self.read_trailers()?;
                    self.state = State::Done;
                    return Ok(at + 1);
                }
            }
        }
        Ok(input.len())
    }

    fn read_trailers(&mut self) -> Result<(), Malformed> {
        let text = std::mem::take(&mut self.trailer_text);
        if text.len() == 2 {
            return Ok(());
        }
        let mut trailers = Box::<Fields>::default();
        let lines =
            read_fields(&mut trailers, &text, 0, FIELDS_MAX).map_err(
                |malformed| match malformed {
                    Malformed::FieldLine => Malformed::Trailer,
                    Malformed::TooManyFields | Malformed::HeadTooLarge => {
                        Malformed::TrailerTooLarge
                    }
                    other => other,
                },
            )?;
        trailers.text = text;
        trailers.remove_if(|name, _, known| {
            known.bit() & crate::head::NEVER_IN_TRAILERS != 0
                || lines.lookalike && is_lookalike(name)
        });
        self.trailers = Some(trailers);
        Ok(())
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}
