//! The streams that a connection has one of: control, and QPACK's two (RFC 9114, 6.2; RFC 9204,
//! 4.2).

use super::code::Code;
use super::frames::{
    CANCEL_PUSH, DATA, Frames, GOAWAY, HEADERS, MAX_PUSH_ID, PRIORITY_UPDATE, PRIORITY_UPDATE_PUSH,
    PUSH_PROMISE, Part, SETTINGS, Treat, is_of_http2,
};
use super::varint::{read_varint, write_varint};
use crate::priority::Priority;

/// What the first number on a stream in one direction says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Settings and what concerns the connection.
    Control,
    /// Instructions of the peer's QPACK encoder.
    Encoder,
    /// Instructions of the peer's QPACK decoder.
    Decoder,
    /// A pushed response, which a client may not send.
    Push,
    /// Something else, which is to be ignored (RFC 9114, 6.2.3).
    Unknown,
}

impl Kind {
    /// The kind that `number` stands for.
    #[must_use]
    pub fn of(number: u64) -> Self {
        match number {
            0x0 => Self::Control,
            0x1 => Self::Push,
            0x2 => Self::Encoder,
            0x3 => Self::Decoder,
            _ => Self::Unknown,
        }
    }
}

/// The longest frame on a control stream: the settings of known clients take 20 to 60 bytes.
const PAYLOAD_BYTES_MAX: u64 = 4096;

const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
const H3_DATAGRAM: u64 = 0x33;

/// What a peer said about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest field section that it takes (RFC 9114, 4.2.2).
    pub section_bytes_max: u64,
}

/// What a frame on the control stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The peer's settings.
    Settings(Settings),
    /// How the response on this stream is to be scheduled (RFC 9218, 7.2).
    Priority(u64, Priority),
    /// Nothing that we would have to do something about.
    Nothing,
}

/// Reads a client's control stream, behind its first number.
#[derive(Debug, Default)]
pub struct ControlFrames {
    frames: Frames,
    settled: bool,
    max_push_id: Option<u64>,
    goaway_id: Option<u64>,
}

impl ControlFrames {
    /// Reads the front of `input`: how many bytes are done with, and what they said. Without a frame
    /// all of the input is done with.
    ///
    /// # Errors
    /// Why the connection has to end.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Control>), Code> {
        let settled = self.settled;
        let (done, part) = self.frames.read(input, |kind, length| treat(kind, length, settled))?;
        let control = match part {
            Some(Part::Whole(kind)) => Some(self.frame(kind)?),
            Some(Part::Data(_)) | None => None,
        };
        Ok((done, control))
    }

    /// How many frames that mean nothing came since this was asked last; so many at once that this
    /// should have been asked before are an error.
    pub fn take_skipped(&mut self) -> u32 {
        std::mem::take(&mut self.frames.fruitless)
    }

    fn frame(&mut self, kind: u64) -> Result<Control, Code> {
        let payload = &self.frames.payload[..];
        let id = || match read_varint(payload) {
            Some((id, bytes)) if bytes == payload.len() => Ok(id),
            _ => Err(Code::Frame),
        };
        match kind {
            SETTINGS => {
                self.settled = true;
                return read_settings(payload).map(Control::Settings);
            }
            GOAWAY => {
                let id = id()?;
                // RFC 9114, 5.2: it "MUST NOT increase".
                if self.goaway_id.replace(id).is_some_and(|before| before < id) {
                    return Err(Code::Id);
                }
            }
            MAX_PUSH_ID => {
                let id = id()?;
                // RFC 9114, 7.2.7: it "cannot reduce the maximum push ID".
                if self.max_push_id.replace(id).is_some_and(|before| before > id) {
                    return Err(Code::Id);
                }
            }
            // We never promise a push (RFC 9114, 7.2.3).
            CANCEL_PUSH => {
                id()?;
                return Err(Code::Id);
            }
            PRIORITY_UPDATE => {
                let (id, bytes) = read_varint(payload).ok_or(Code::Frame)?;
                // RFC 9218, 7.2: of a request stream.
                if id % 4 != 0 {
                    return Err(Code::Id);
                }
                return Ok(Control::Priority(id, Priority::read(&payload[bytes..])));
            }
            // A push that cannot be.
            PRIORITY_UPDATE_PUSH => return Err(Code::Id),
            _ => {}
        }
        Ok(Control::Nothing)
    }
}

fn treat(kind: u64, length: u64, settled: bool) -> Result<Treat, Code> {
    match kind {
        // RFC 9114, 7.2.4: it "MUST be sent as the first frame" and only once.
        SETTINGS if settled => return Err(Code::FrameUnexpected),
        SETTINGS => {}
        _ if !settled => return Err(Code::MissingSettings),
        DATA | HEADERS | PUSH_PROMISE => return Err(Code::FrameUnexpected),
        kind if is_of_http2(kind) => return Err(Code::FrameUnexpected),
        CANCEL_PUSH | GOAWAY | MAX_PUSH_ID | PRIORITY_UPDATE | PRIORITY_UPDATE_PUSH => {}
        _ => return Ok(Treat::Skip),
    }
    if length > PAYLOAD_BYTES_MAX {
        return Err(Code::ExcessiveLoad);
    }
    Ok(Treat::Keep)
}

fn read_settings(mut payload: &[u8]) -> Result<Settings, Code> {
    let mut settings = Settings { section_bytes_max: u64::MAX };
    let mut seen = Vec::new();
    while !payload.is_empty() {
        let (id, bytes) = read_varint(payload).ok_or(Code::Frame)?;
        payload = &payload[bytes..];
        let (value, bytes) = read_varint(payload).ok_or(Code::Frame)?;
        payload = &payload[bytes..];
        // RFC 9114, 7.2.4: none "more than once".
        if seen.contains(&id) {
            return Err(Code::Settings);
        }
        seen.push(id);
        match id {
            MAX_FIELD_SECTION_SIZE => settings.section_bytes_max = value,
            // Those of HTTP/2 that HTTP/3 has not (RFC 9114, 7.2.4.1).
            0x2..=0x5 => return Err(Code::Settings),
            ENABLE_CONNECT_PROTOCOL | H3_DATAGRAM if value > 1 => return Err(Code::Settings),
            _ => {}
        }
        // Real settings are ten at most; comparing each with all others must stay cheap.
        if seen.len() > 64 {
            return Err(Code::ExcessiveLoad);
        }
    }
    Ok(settings)
}

/// Appends what a server's control stream begins with: its kind, and the settings. No dynamic table
/// (RFC 9204, 3.2): one request then never waits for another, and a client cannot make us keep
/// anything.
pub fn write_control_start(section_bytes_max: u64, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(16);
    write_varint(MAX_FIELD_SECTION_SIZE, &mut payload);
    write_varint(section_bytes_max, &mut payload);
    write_varint(ENABLE_CONNECT_PROTOCOL, &mut payload);
    write_varint(1, &mut payload);
    write_varint(0x0, out);
    write_varint(SETTINGS, out);
    write_varint(payload.len() as u64, out);
    out.extend_from_slice(&payload);
}

/// Looks at bytes on the stream of the peer's QPACK encoder. Without a dynamic table it can say
/// nothing but that its capacity is zero.
///
/// # Errors
/// Any other instruction (RFC 9204, 4.3).
pub fn check_encoder(input: &[u8]) -> Result<(), Code> {
    // `001` and the capacity in five bits.
    input.iter().all(|&byte| byte == 0x20).then_some(()).ok_or(Code::EncoderStream)
}

/// Looks at bytes on the stream of the peer's QPACK decoder. Of what we send it has nothing to
/// acknowledge; it may cancel a stream that it read nothing of.
///
/// # Errors
/// Any other instruction (RFC 9204, 4.4).
pub fn check_decoder(input: &[u8], inside: &mut bool) -> Result<(), Code> {
    for &byte in input {
        if *inside {
            *inside = byte & 0x80 != 0;
        } else if byte & 0xc0 == 0x40 {
            // `01` and the stream's number, in six bits or more bytes.
            *inside = byte & 0x3f == 0x3f;
        } else {
            return Err(Code::DecoderStream);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `input` says, in pieces of `size` bytes.
    fn read(input: &[u8], size: usize) -> String {
        let mut frames = ControlFrames::default();
        let mut out = String::new();
        for mut piece in input.chunks(size) {
            loop {
                match frames.read(piece) {
                    Ok((done, control)) => {
                        piece = &piece[done..];
                        let Some(control) = control else { break };
                        out += match control {
                            Control::Settings(_) => "settings ",
                            Control::Priority(..) => "priority ",
                            Control::Nothing => "- ",
                        };
                    }
                    Err(code) => return out + &format!("{code:?}"),
                }
            }
        }
        out
    }

    #[test]
    fn every_rule_of_the_control_stream_is_kept() {
        for (input, wanted) in [
            (&b"\x04\x00"[..], "settings "),
            (b"\x04\x02\x06\x10\x07\x01\x00\x07\x01\x00", "settings - - "),
            (b"\x04\x00\x07\x01\x00\x07\x01\x01", "settings - Id"),
            (b"\x04\x00\x0d\x01\x05\x0d\x01\x06", "settings - - "),
            (b"\x04\x00\x0d\x01\x05\x0d\x01\x04", "settings - Id"),
            (b"\x04\x00\x03\x01\x00", "settings Id"),
            (b"\x04\x00\x80\x0f\x07\x00\x04\x04u=1", "settings priority "),
            (b"\x04\x00\x80\x0f\x07\x00\x04\x05u=1", "settings Id"),
            (b"\x04\x00\x80\x0f\x07\x01\x04\x04u=1", "settings Id"),
            // Unknown ones are skipped, however long.
            (b"\x04\x00\x21\x03abc\x07\x01\x00", "settings - "),
            (b"\x07\x01\x00", "MissingSettings"),
            (b"\x21\x00", "MissingSettings"),
            (b"\x04\x00\x04\x00", "settings FrameUnexpected"),
            (b"\x04\x00\x00\x00", "settings FrameUnexpected"),
            (b"\x04\x00\x01\x00", "settings FrameUnexpected"),
            (b"\x04\x00\x05\x00", "settings FrameUnexpected"),
            (b"\x04\x00\x02\x00", "settings FrameUnexpected"),
            (b"\x04\x02\x02\x01", "Settings"),
            (b"\x04\x04\x06\x10\x06\x10", "Settings"),
            (b"\x04\x02\x08\x02", "Settings"),
            (b"\x04\x01\x06", "Frame"),
            (b"\x04\x00\x07\x02\x00\x00", "settings Frame"),
            (b"\x04\x7f\xff", "ExcessiveLoad"),
        ] {
            for size in 1..=input.len() {
                assert_eq!(read(input, size), wanted, "{input:x?} by {size}");
            }
        }
    }

    #[test]
    fn frames_that_mean_nothing_are_counted() {
        let mut frames = ControlFrames::default();
        frames.read(b"\x04\x00").expect("settings");
        assert_eq!(frames.read(&[0x21, 0].repeat(200)), Ok((400, None)));
        assert_eq!(frames.take_skipped(), 200);
        for _ in 0..1000 {
            frames.read(b"\x07\x01\x00").expect("a goodbye");
        }
        assert_eq!(frames.take_skipped(), 0, "these mean something");
        assert_eq!(frames.read(&[0x21, 0].repeat(300)), Err(Code::ExcessiveLoad));
    }

    #[test]
    fn our_own_settings_read_back() {
        let mut out = Vec::new();
        write_control_start(61_440, &mut out);
        assert_eq!(Kind::of(read_varint(&out).expect("a number").0), Kind::Control);
        let (done, control) = ControlFrames::default().read(&out[1..]).expect("settings");
        assert_eq!(done, out.len() - 1);
        assert_eq!(control, Some(Control::Settings(Settings { section_bytes_max: 61_440 })));
    }

    #[test]
    fn qpack_has_next_to_nothing_to_say() {
        assert_eq!(check_encoder(b"\x20\x20"), Ok(()));
        assert_eq!(check_encoder(b"\x3f\xe1\x1f"), Err(Code::EncoderStream));
        assert_eq!(check_encoder(b"\xc0\x01a"), Err(Code::EncoderStream));
        let inside = &mut false;
        assert_eq!(check_decoder(b"\x44\x7f\x81", inside), Ok(()));
        assert_eq!(check_decoder(b"\x01\x40", inside), Ok(()));
        assert_eq!(check_decoder(b"\x84", inside), Err(Code::DecoderStream));
        assert_eq!(check_decoder(b"\x01", inside), Err(Code::DecoderStream));
    }
}
