//! Finds the end of a head in bytes that arrive piece by piece.

use super::Malformed;
use crate::fields::{FIELDS_MAX, HEAD_BYTES_MAX, is_token_byte};

/// Limits on a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head, line ends included.
    pub head_bytes_max: usize,
    /// Field lines.
    pub fields_max: usize,
    /// Bytes of the request line, its line end not counted.
    pub request_line_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 32 * 1024, fields_max: 100, request_line_bytes_max: 8 * 1024 }
    }
}

impl HeadLimits {
    /// The largest limits that any configuration allows.
    pub const MAX: Self = Self {
        head_bytes_max: HEAD_BYTES_MAX,
        fields_max: FIELDS_MAX,
        request_line_bytes_max: HEAD_BYTES_MAX,
    };
}

/// How far a head has been looked at. Each byte is looked at once (but for two at each seam),
/// however it is split: a client that sends a head byte by byte costs no more than one that sends
/// it whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    of_response: bool,
    /// No head ends before this place.
    scanned: usize,
    /// Where the head starts, behind an empty line.
    start: usize,
}

/// What a look at the bytes so far says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// More bytes are needed.
    Partial,
    /// The head is `start..end`.
    Whole {
        /// Behind an empty line that stood before the head.
        start: usize,
        /// Behind the empty line that ends the head.
        end: usize,
    },
}

impl HeadScan {
    /// A scan for the head of a response; [`HeadScan::default`] is one for that of a request.
    #[must_use]
    pub fn of_response() -> Self {
        Self { of_response: true, ..Self::default() }
    }

    /// Looks at `bytes`, which begin with those of the last call.
    ///
    /// The head ends where the most lenient reader would see it end, at a bare LF too; the parser
    /// then refuses what this reader would have taken.
    ///
    /// # Errors
    /// A first byte that no head begins with, or a limit: as soon as it can be known.
    pub fn look(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Scanned, Malformed> {
        if self.scanned == 0 && !self.begins(bytes)? {
            return Ok(Scanned::Partial);
        }
        let Some(end) = end_of_head(bytes, self.scanned.max(self.start)) else {
            self.scanned = bytes.len().saturating_sub(2).max(self.start);
            self.check_size(bytes, limits)?;
            return Ok(Scanned::Partial);
        };
        self.check_size(&bytes[..end], limits)?;
        Ok(Scanned::Whole { start: self.start, end })
    }

    /// Lets `read_head` read the head that `bytes` begin with, which is at least tried at once: most
    /// heads arrive whole.
    #[inline]
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        mut read_head: impl FnMut(&[u8]) -> Result<usize, Malformed>,
    ) -> Result<Option<usize>, Malformed> {
        if self.scanned == 0 {
            if !self.begins(bytes)? {
                return Ok(None);
            }
            let head_bytes_max = limits.head_bytes_max.min(HEAD_BYTES_MAX);
            let most = bytes.len().min(self.start + head_bytes_max);
            match read_head(&bytes[self.start..most]) {
                Err(Malformed::Truncated) => {}
                read => return read.map(|end| Some(self.start + end)),
            }
        }
        match self.look(bytes, limits)? {
            Scanned::Partial => Ok(None),
            Scanned::Whole { start, end } => read_head(&bytes[start..end]).map(|_| Some(end)),
        }
    }

    /// Whether a head begins, behind an empty line perhaps.
    fn begins(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        let line = if self.of_response { Malformed::StatusLine } else { Malformed::RequestLine };
        match bytes {
            [] => return Ok(false),
            // RFC 9112, 2.2: "A server that is expecting to receive and parse a request-line
            // SHOULD ignore at least one empty line (CRLF) received prior to the request-line."
            // Before a status line there is no such grace: it would be the rest of a body.
            [b'\r'] if !self.of_response => return Ok(false),
            [b'\r', b'\n', ..] if !self.of_response => self.start = 2,
            [b'\r' | b'\n', ..] if !self.of_response => return Err(Malformed::BareLineEnd),
            _ => {}
        }
        let fits = |byte| {
            if self.of_response { byte == b'H' } else { is_token_byte(byte) }
        };
        match bytes.get(self.start) {
            None => Ok(false),
            Some(&byte) if fits(byte) => Ok(true),
            // Not even a method: a TLS handshake on a plain port, say.
            Some(_) => Err(line),
        }
    }

    fn check_size(&self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
        let head = &bytes[self.start..];
        let line_max = limits.request_line_bytes_max;
        if !self.of_response && head.len() > line_max + 1 {
            // One byte more than the line for its CR.
            if memchr::memchr(b'\n', &head[..line_max + 2]).is_none() {
                return Err(Malformed::RequestLineTooLong);
            }
        }
        if head.len() > limits.head_bytes_max {
            return Err(Malformed::HeadTooLarge);
        }
        Ok(())
    }
}

/// Finds an empty line at or behind `from`, whether its line ends are CR LF or bare LF; returns the
/// place behind it.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).find_map(|line_end| {
        let behind = from + line_end + 1;
        match bytes[behind..] {
            [b'\n', ..] => Some(behind + 1),
            [b'\r', b'\n', ..] => Some(behind + 2),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_split(bytes: &[u8], split: usize) -> Result<Scanned, Malformed> {
        let mut scan = HeadScan::default();
        let limits = HeadLimits::default();
        match scan.look(&bytes[..split], &limits)? {
            Scanned::Partial => scan.look(bytes, &limits),
            whole => Ok(whole),
        }
    }

    #[test]
    fn every_split_gives_the_same_answer() {
        for (text, expect) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", Ok(Scanned::Whole { start: 0, end: 27 })),
            ("\r\nGET / HTTP/1.1\r\n\r\n", Ok(Scanned::Whole { start: 2, end: 20 })),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Ok(Scanned::Partial)),
            ("GET / HTTP/1.1\nHost: a\n\nrest", Ok(Scanned::Whole { start: 0, end: 24 })),
            ("GET / HTTP/1.1\r\nHost: a\n\r\nrest", Ok(Scanned::Whole { start: 0, end: 26 })),
            ("GET / HTTP/1.1\r\nHost: a\r\n\nrest", Ok(Scanned::Whole { start: 0, end: 26 })),
            ("\nGET / HTTP/1.1\r\n\r\n", Err(Malformed::BareLineEnd)),
            ("\rGET / HTTP/1.1\r\n\r\n", Err(Malformed::BareLineEnd)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Err(Malformed::RequestLine)),
            ("\x16\x03\x01", Err(Malformed::RequestLine)),
            (" GET / HTTP/1.1\r\n\r\n", Err(Malformed::RequestLine)),
        ] {
            for split in 0..text.len() {
                assert_eq!(look_split(text.as_bytes(), split), expect, "{text:?} at {split}");
            }
        }
    }

    #[test]
    fn limits_bite_before_the_head_is_whole() {
        let limits = HeadLimits { head_bytes_max: 64, fields_max: 2, request_line_bytes_max: 20 };
        let look = |text: &str| HeadScan::default().look(text.as_bytes(), &limits);
        assert_eq!(look("GET /12345678 HTTP/1.1"), Err(Malformed::RequestLineTooLong));
        assert_eq!(look("GET /1234567 HTTP/1.1\r\n"), Err(Malformed::RequestLineTooLong));
        assert_eq!(look("GET /123456 HTTP/1.1\r\n"), Ok(Scanned::Partial));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(64));
        assert_eq!(look(&long), Err(Malformed::HeadTooLarge));
    }
}
