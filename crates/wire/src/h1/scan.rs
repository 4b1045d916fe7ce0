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
        Self {
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            request_line_bytes_max: 8 * 1024,
        }
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

/// How far a head has been looked at. Each byte is looked at once, however it is split: a client
/// that sends a head byte by byte costs no more than one that sends it whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Bytes already looked at.
    scanned: usize,
    /// Where the current line starts.
    line: usize,
    /// Where the head starts, behind an empty line.
    start: usize,
    first_line_done: bool,
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
    /// Looks at `bytes`, which begin with those of the last call.
    ///
    /// # Errors
    /// A line that does not end in CR LF, a first byte that no head begins with, or a limit: as
    /// soon as it can be known.
    pub fn look(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Scanned, Malformed> {
        // RFC 9112, 2.2: one empty line before the request line is to be ignored.
        if self.scanned == 0 {
            match bytes {
                [b'\r', b'\n', ..] => {
                    (self.start, self.line, self.scanned) = (2, 2, 2);
                }
                [b'\r'] | [] => return Ok(Scanned::Partial),
                [b'\r' | b'\n', ..] => return Err(Malformed::BareLineEnd),
                _ => {}
            }
        }
        if !self.first_line_done
            && bytes
                .get(self.start)
                .is_some_and(|&byte| !is_token_byte(byte))
        {
            // Not even a method: a TLS handshake on a plain port, say.
            return Err(Malformed::RequestLine);
        }
        for at in memchr::memchr_iter(b'\n', &bytes[self.scanned..]) {
            let at = self.scanned + at;
            if at == 0 || bytes[at - 1] != b'\r' {
                return Err(Malformed::BareLineEnd);
            }
            let line_bytes = at - 1 - self.line;
            if !self.first_line_done {
                self.first_line_done = true;
                if line_bytes > limits.request_line_bytes_max {
                    return Err(Malformed::RequestLineTooLong);
                }
                if line_bytes == 0 {
                    return Err(Malformed::RequestLine);
                }
            }
            self.line = at + 1;
            if line_bytes == 0 {
                return self.whole(at + 1, limits);
            }
        }
        self.scanned = bytes.len();
        let head_bytes = bytes.len() - self.start;
        if !self.first_line_done && head_bytes > limits.request_line_bytes_max + 1 {
            return Err(Malformed::RequestLineTooLong);
        }
        if head_bytes > limits.head_bytes_max {
            return Err(Malformed::HeadTooLarge);
        }
        Ok(Scanned::Partial)
    }

    fn whole(&self, end: usize, limits: &HeadLimits) -> Result<Scanned, Malformed> {
        if end - self.start > limits.head_bytes_max {
            return Err(Malformed::HeadTooLarge);
        }
        Ok(Scanned::Whole {
            start: self.start,
            end,
        })
    }
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
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest",
                Ok(Scanned::Whole { start: 0, end: 27 }),
            ),
            (
                "\r\nGET / HTTP/1.1\r\n\r\n",
                Ok(Scanned::Whole { start: 2, end: 20 }),
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Ok(Scanned::Partial)),
            (
                "GET / HTTP/1.1\nHost: a\r\n\r\n",
                Err(Malformed::BareLineEnd),
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\n\r\n",
                Err(Malformed::BareLineEnd),
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\n",
                Err(Malformed::BareLineEnd),
            ),
            ("\nGET / HTTP/1.1\r\n\r\n", Err(Malformed::BareLineEnd)),
            (
                "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                Err(Malformed::RequestLine),
            ),
            ("\x16\x03\x01", Err(Malformed::RequestLine)),
            (" GET / HTTP/1.1\r\n\r\n", Err(Malformed::RequestLine)),
        ] {
            for split in 0..text.len() {
                assert_eq!(
                    look_split(text.as_bytes(), split),
                    expect,
                    "{text:?} at {split}"
                );
            }
        }
    }

    #[test]
    fn limits_bite_before_the_head_is_whole() {
        let limits = HeadLimits {
            head_bytes_max: 64,
            fields_max: 2,
            request_line_bytes_max: 20,
        };
        let look = |text: &str| HeadScan::default().look(text.as_bytes(), &limits);
        assert_eq!(
            look("GET /12345678 HTTP/1.1"),
            Err(Malformed::RequestLineTooLong)
        );
        assert_eq!(
            look("GET /1234567 HTTP/1.1\r\n"),
            Err(Malformed::RequestLineTooLong)
        );
        assert_eq!(look("GET /123456 HTTP/1.1\r\n"), Ok(Scanned::Partial));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(64));
        assert_eq!(look(&long), Err(Malformed::HeadTooLarge));
    }
}
