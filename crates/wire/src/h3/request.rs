//! The stream of one request (RFC 9114, 4.1).

use super::code::Code;
use super::frames::{
    CANCEL_PUSH, DATA, Frames, GOAWAY, HEADERS, MAX_PUSH_ID, PRIORITY_UPDATE, PRIORITY_UPDATE_PUSH,
    PUSH_PROMISE, Part, SETTINGS, Treat, is_of_http2,
};

/// Reads what a client sends on the stream of a request: a head, data, trailers.
#[derive(Debug, Default)]
pub struct RequestFrames {
    frames: Frames,
    seen: Seen,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    Nothing,
    Head,
    Trailers,
}

/// What is at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// The head is there: [`RequestFrames::section`].
    Head,
    /// So many bytes of the body.
    Data(usize),
    /// The trailers are there: [`RequestFrames::section`].
    Trailers,
}

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamWrong {
    /// The connection has to end.
    Connection(Code),
    /// The field section is longer than allowed, and was not read.
    TooLarge,
}

impl RequestFrames {
    /// Reads the front of `input`: how many bytes are done with, and what comes then. Bytes of a
    /// [`RequestPart::Data`] are not among the former, and have to be taken by the caller. Without a
    /// part all of the input is done with.
    ///
    /// # Errors
    /// A frame that is malformed, stands where it may not, or is a field section of more than
    /// `section_bytes_max`.
    pub fn read(
        &mut self,
        input: &[u8],
        section_bytes_max: usize,
    ) -> Result<(usize, Option<RequestPart>), StreamWrong> {
        let seen = self.seen;
        let mut too_large = false;
        let read = self.frames.read(input, |kind, length| {
            let treat = treat(kind, seen)?;
            if matches!(treat, Treat::Keep) && length > section_bytes_max as u64 {
                too_large = true;
                return Err(Code::ExcessiveLoad);
            }
            Ok(treat)
        });
        let (done, part) = match read {
            Ok(read) => read,
            Err(_) if too_large => return Err(StreamWrong::TooLarge),
            Err(code) => return Err(StreamWrong::Connection(code)),
        };
        let part = part.map(|part| match (part, seen) {
            (Part::Data(bytes), _) => RequestPart::Data(bytes),
            (Part::Whole(_), Seen::Nothing) => {
                self.seen = Seen::Head;
                RequestPart::Head
            }
            (Part::Whole(_), _) => {
                self.seen = Seen::Trailers;
                RequestPart::Trailers
            }
        });
        Ok((done, part))
    }

    /// The field section that came last.
    #[must_use]
    pub fn section(&self) -> &[u8] {
        &self.frames.payload
    }

    /// Gives back the memory of the last field section.
    pub fn forget_section(&mut self) {
        self.frames.payload = Vec::new();
    }

    /// The client has sent everything.
    ///
    /// # Errors
    /// If a frame is not whole.
    pub fn end(&self) -> Result<(), StreamWrong> {
        match self.frames.is_between() {
            true => Ok(()),
            false => Err(StreamWrong::Connection(Code::Frame)),
        }
    }
}

/// What becomes of a frame on the stream of a request. Anything known that is out of order is an
/// error of the connection (RFC 9114, 4.1).
fn treat(kind: u64, seen: Seen) -> Result<Treat, Code> {
    match kind {
        DATA if seen == Seen::Head => Ok(Treat::Data),
        HEADERS if seen != Seen::Trailers => Ok(Treat::Keep),
        DATA | HEADERS | CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID
        | PRIORITY_UPDATE | PRIORITY_UPDATE_PUSH => Err(Code::FrameUnexpected),
        kind if is_of_http2(kind) => Err(Code::FrameUnexpected),
        _ => Ok(Treat::Skip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `input` is read as, in pieces of `size` bytes.
    fn read(input: &[u8], size: usize) -> String {
        let mut frames = RequestFrames::default();
        let mut out = String::new();
        for mut piece in input.chunks(size) {
            loop {
                let (done, part) = match frames.read(piece, 10) {
                    Ok(read) => read,
                    Err(wrong) => return out + &format!("{wrong:?}"),
                };
                piece = &piece[done..];
                match part {
                    Some(RequestPart::Data(bytes)) => {
                        out += &String::from_utf8_lossy(&piece[..bytes]);
                        piece = &piece[bytes..];
                    }
                    Some(part) => {
                        let section = String::from_utf8_lossy(frames.section());
                        out += &format!("{part:?}<{section}>");
                    }
                    None => break,
                }
            }
        }
        match frames.end() {
            Ok(()) => out + ".",
            Err(wrong) => out + &format!("{wrong:?}"),
        }
    }

    #[test]
    fn messages_read_the_same_however_they_are_split() {
        for (input, wanted) in [
            (&b"\x01\x03abc"[..], "Head<abc>."),
            (b"\x01\x03abc\x00\x05hello\x00\x01!\x01\x02xy", "Head<abc>hello!Trailers<xy>."),
            // Frames that mean nothing, with types and lengths of several bytes.
            (b"\x21\x00\x01\x01a\x40\x5f\x40\x02zz\x00\x00\x00\x02hi", "Head<a>hi."),
            (b"\x01\x00\x01\x00", "Head<>Trailers<>."),
            (b"", "."),
            (b"\x00\x01a", "Connection(FrameUnexpected)"),
            (b"\x01\x01a\x01\x01b\x00\x01c", "Head<a>Trailers<b>Connection(FrameUnexpected)"),
            (b"\x01\x01a\x01\x01b\x01\x01c", "Head<a>Trailers<b>Connection(FrameUnexpected)"),
            (b"\x04\x00", "Connection(FrameUnexpected)"),
            (b"\x06\x00", "Connection(FrameUnexpected)"),
            (b"\x80\x0f\x07\x00\x01\x00", "Connection(FrameUnexpected)"),
            (b"\x01\x0baaaaaaaaaaa", "TooLarge"),
            (b"\x01\xff\xff\xff\xff\xff\xff\xff\xff", "TooLarge"),
            (b"\x01\x03ab", "Connection(Frame)"),
            (b"\x01\x01a\x00\x03ab", "Head<a>abConnection(Frame)"),
            (b"\x01\x01a\x00", "Head<a>Connection(Frame)"),
        ] {
            for size in 1..=input.len().max(1) {
                assert_eq!(read(input, size), wanted, "{input:x?} by {size}");
            }
        }
    }

    #[test]
    fn frames_that_bring_nothing_are_counted() {
        let empty = b"\x01\x01a".iter().copied().chain([0, 0].repeat(300)).collect::<Vec<_>>();
        assert_eq!(read(&empty, 7), "Head<a>Connection(ExcessiveLoad)");
        let unknown = [0x21, 0].repeat(300);
        assert_eq!(read(&unknown, 64), "Connection(ExcessiveLoad)");
        let fruitful =
            b"\x01\x01a".iter().copied().chain([0, 1, b'b'].repeat(300)).collect::<Vec<_>>();
        assert_eq!(read(&fruitful, 64).len(), "Head<a>.".len() + 300);
    }
}
