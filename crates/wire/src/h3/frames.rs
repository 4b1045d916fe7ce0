//! Frames on streams, taken apart as they arrive (RFC 9114, 7).
//!
//! Nothing is kept of a frame but what has a bound: data are passed on in the pieces in which they
//! came, frames without a meaning for us are skipped, and every other frame has a largest length.

use super::code::Code;
use super::varint::{read_varint, write_varint};

pub(super) const DATA: u64 = 0x0;
pub(super) const HEADERS: u64 = 0x1;
pub(super) const CANCEL_PUSH: u64 = 0x3;
pub(super) const SETTINGS: u64 = 0x4;
pub(super) const PUSH_PROMISE: u64 = 0x5;
pub(super) const GOAWAY: u64 = 0x7;
pub(super) const MAX_PUSH_ID: u64 = 0xd;
/// RFC 9218, 7.2
pub(super) const PRIORITY_UPDATE: u64 = 0xf_0700;
pub(super) const PRIORITY_UPDATE_PUSH: u64 = 0xf_0701;

/// Frames that brought nothing (of unknown kind, or empty) before the peer has to bring something. A
/// few are allowed for padding and against ossification (RFC 9114, 7.2.8).
const FRUITLESS_MAX: u32 = 256;

/// Type and length, of eight bytes at most each.
const HEAD_BYTES_MAX: usize = 16;

/// What becomes of a frame.
pub(super) enum Treat {
    Data,
    /// Kept until it is whole.
    Keep,
    Skip,
}

/// What is at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// So many bytes of data.
    Data(usize),
    /// A whole frame of this kind; its payload has been put aside.
    Whole(u64),
}

/// Takes frames apart.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    state: State,
    /// Of the frame that is being kept, or was last.
    pub(super) payload: Vec<u8>,
    pub(super) fruitless: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Data(u64),
    Keep(u64, usize),
    Skip(u64),
}

impl Frames {
    /// Reads the front of `input`: how many bytes are done with, and what comes then. Bytes of a
    /// [`Part::Data`] are not among the former, and have to be taken by the caller. Without a part
    /// all of the input is done with.
    ///
    /// `treat` says what becomes of a frame by its kind and length.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        mut treat: impl FnMut(u64, u64) -> Result<Treat, Code>,
    ) -> Result<(usize, Option<Part>), Code> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match &mut self.state {
                State::Head => {
                    let Some((kind, length)) = self.read_head(rest, &mut at) else {
                        return Ok((at, None));
                    };
                    self.begin(kind, length, treat(kind, length)?)?;
                    if let State::Keep(kind, 0) = self.state {
                        self.state = State::Head;
                        return Ok((at, Some(Part::Whole(kind))));
                    }
                }
                State::Data(0) | State::Skip(0) => self.state = State::Head,
                _ if rest.is_empty() => return Ok((at, None)),
                State::Data(left) => {
                    let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= bytes as u64;
                    self.fruitless = 0;
                    return Ok((at, Some(Part::Data(bytes))));
                }
                State::Keep(kind, left) => {
                    let bytes = rest.len().min(*left);
                    self.payload.extend_from_slice(&rest[..bytes]);
                    at += bytes;
                    *left -= bytes;
                    if *left == 0 {
                        let kind = *kind;
                        self.state = State::Head;
                        return Ok((at, Some(Part::Whole(kind))));
                    }
                }
                State::Skip(left) => {
                    let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    at += bytes;
                    *left -= bytes as u64;
                }
            }
        }
    }

    /// Reads kind and length, which may come byte by byte.
    fn read_head(&mut self, rest: &[u8], at: &mut usize) -> Option<(u64, u64)> {
        let before = self.head_bytes;
        let taken = rest.len().min(HEAD_BYTES_MAX - before);
        self.head[before..before + taken].copy_from_slice(&rest[..taken]);
        let head = &self.head[..before + taken];
        let whole = read_varint(head).and_then(|(kind, kind_bytes)| {
            let (length, length_bytes) = read_varint(&head[kind_bytes..])?;
            Some((kind, length, kind_bytes + length_bytes))
        });
        let Some((kind, length, bytes)) = whole else {
            self.head_bytes += taken;
            *at += taken;
            return None;
        };
        self.head_bytes = 0;
        *at += bytes - before;
        Some((kind, length))
    }

    fn begin(&mut self, kind: u64, length: u64, treat: Treat) -> Result<(), Code> {
        // What is kept means something; whoever keeps it counts it.
        self.fruitless += u32::from(!matches!(treat, Treat::Keep));
        self.state = match treat {
            Treat::Data => State::Data(length),
            Treat::Skip => State::Skip(length),
            Treat::Keep => {
                self.payload.clear();
                // `treat` has looked at the length.
                State::Keep(kind, usize::try_from(length).map_err(|_| Code::ExcessiveLoad)?)
            }
        };
        if self.fruitless > FRUITLESS_MAX {
            return Err(Code::ExcessiveLoad);
        }
        Ok(())
    }

    /// Whether the stream may end here. RFC 9114, 7.1: "a stream that terminates cleanly with partial
    /// frame" is an error of the connection.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Head | State::Data(0) | State::Skip(0)) && self.head_bytes == 0
    }
}

/// Whether this kind of frame belongs to HTTP/2 and "MUST be treated as a connection error" (RFC
/// 9114, 7.2.8).
pub(super) fn is_of_http2(kind: u64) -> bool {
    matches!(kind, 0x2 | 0x6 | 0x8 | 0x9)
}

/// Appends the head of a frame with `length` bytes of data.
pub fn write_data_head(length: usize, out: &mut Vec<u8>) {
    write_varint(DATA, out);
    write_varint(length as u64, out);
}

/// Appends the frame of `section`, a field section.
pub fn write_headers(section: &[u8], out: &mut Vec<u8>) {
    write_varint(HEADERS, out);
    write_varint(section.len() as u64, out);
    out.extend_from_slice(section);
}

/// Appends a frame that means nothing and lets the peer see that we are alive (RFC 9114, 7.2.8).
pub fn write_sign_of_life(out: &mut Vec<u8>) {
    write_varint(0x21, out);
    write_varint(0, out);
}

/// Appends the frame that says that requests from stream `id` on are not served.
pub fn write_goaway(id: u64, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(8);
    write_varint(id, &mut payload);
    write_varint(GOAWAY, out);
    write_varint(payload.len() as u64, out);
    out.extend_from_slice(&payload);
}
