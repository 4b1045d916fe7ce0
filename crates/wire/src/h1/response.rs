//! Reads a response head (RFC 9112, 4).

use super::lines::{line_end, read_fields};
use super::{
    BodyDecoder, BodyLimits, Connection, HeadLimits, HeadScan, Malformed, response_framing,
};
use crate::Method;
use crate::head::{ResponseHead, Version};

/// Reads all that a server sent until it closed the connection: the answer to one request with
/// `method`, as its head and its body.
///
/// # Errors
/// Whatever is malformed, and [`Malformed::Truncated`] for an answer that is not whole.
pub fn read_answer(
    mut answer: Vec<u8>,
    method: Method,
) -> Result<(ResponseHead, Vec<u8>), Malformed> {
    let mut head = ResponseHead::default();
    loop {
        let mut scan = HeadScan::of_response();
        let end = head.read(&answer, &mut scan, &HeadLimits::MAX)?.ok_or(Malformed::Truncated)?;
        answer.drain(..end);
        if head.status >= 200 {
            break;
        }
    }
    let framing = response_framing(&head, method)?;
    let mut decoder = BodyDecoder::new(framing.body, BodyLimits::default());
    let decoded = decoder.decode(&mut answer)?;
    decoder.close()?;
    Ok((head, answer[decoded.data].to_vec()))
}

impl ResponseHead {
    /// Reads the head that `bytes` begin with and returns where it ends; `None` if more bytes are
    /// needed. `scan` is [`HeadScan::of_response`] at first.
    ///
    /// # Errors
    /// Whatever is not exactly as RFC 9112 and RFC 9110 have it; see [`Malformed`].
    pub fn read(
        &mut self,
        bytes: &[u8],
        scan: &mut HeadScan,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Malformed> {
        let read = scan.read(bytes, limits, |head| self.read_head(head, limits));
        if !matches!(read, Ok(Some(_))) {
            // Half a head has lines without their text.
            self.clear();
        }
        read
    }

    /// Reads the whole head `bytes`, as [`super::HeadScan`] found it, into `self`.
    ///
    /// # Errors
    /// The same as for [`ResponseHead::read`].
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
        let read = match self.read_head(bytes, limits) {
            Ok(end) if end == bytes.len() => Ok(()),
            Ok(_) => Err(Malformed::FieldLine),
            Err(malformed) => Err(malformed),
        };
        if read.is_err() {
            self.clear();
        }
        read
    }

    /// Reads a head up to its end, wherever that is; [`Malformed::Truncated`] if it has none.
    fn read_head(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<usize, Malformed> {
        self.clear();
        let line_end = line_end(bytes, 0, Malformed::StatusLine)?;
        self.read_status_line(&bytes[..line_end])?;
        let lines = read_fields(&mut self.fields, bytes, line_end + 2, limits.fields_max)?;
        self.fields.text.extend_from_slice(&bytes[..lines.end]);
        self.connection = Connection::take(&mut self.fields)?;
        Ok(lines.end)
    }

    /// RFC 9112, 4: `HTTP-version SP status-code SP [ reason-phrase ]`.
    fn read_status_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let (version, rest) = line.split_first_chunk::<9>().ok_or(Malformed::StatusLine)?;
        self.version = match version {
            b"HTTP/1.1 " => Version::Http11,
            b"HTTP/1.0 " => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ']
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Malformed::Version);
            }
            _ => return Err(Malformed::StatusLine),
        };
        let (code, reason) = match *rest {
            // "A server MUST send the space [...] even when the reason-phrase is absent", yet some
            // do not, and nothing else can be meant.
            [a, b, c] => ([a, b, c], 0..0),
            [a, b, c, b' ', ..] => ([a, b, c], 13..line.len()),
            _ => return Err(Malformed::StatusLine),
        };
        if !code.iter().all(u8::is_ascii_digit) {
            return Err(Malformed::StatusLine);
        }
        self.status = code.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        if !(100..600).contains(&self.status) {
            // RFC 9110, 15: "Values outside the range 100..599 are invalid."
            return Err(Malformed::Status);
        }
        self.reason = reason;
        Ok(())
    }
}
