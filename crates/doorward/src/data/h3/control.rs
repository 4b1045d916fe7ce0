//! The streams that a connection has one of: settings, priorities, QPACK's two (RFC 9114, 6.2).

use bytes::{Buf, Bytes};
use quinn_proto::StreamId;
use std::task::Poll;
use wire::h3::{self, Code, Control, ControlFrames, Kind};

use crate::data::quic::{Link, Taken};

/// What is read at once: these streams are short.
const READ_BYTES_MAX: usize = 4 * 1024;

/// What a client's streams in one direction say.
#[derive(Default)]
pub(super) struct Controls {
    open: Vec<OneWay>,
    seen: Seen,
}

/// Which of the streams came that may come once.
#[derive(Default)]
struct Seen {
    control: bool,
    encoder: bool,
    decoder: bool,
}

struct OneWay {
    id: StreamId,
    reader: Reader,
}

enum Reader {
    /// The number that tells its kind, as far as it has come.
    Kind(Vec<u8>),
    Control(ControlFrames),
    Encoder,
    Decoder {
        /// Whether an instruction goes on.
        inside: bool,
    },
}

impl Controls {
    /// The client has opened stream `id`.
    pub(super) fn add(&mut self, id: StreamId) {
        self.open.push(OneWay { id, reader: Reader::Kind(Vec::new()) });
    }

    /// Reads what has come on stream `id`, if it is one of these, and calls `heard` with what it says.
    ///
    /// # Errors
    /// Why the connection has to end.
    pub(super) fn read(
        &mut self,
        link: &Link,
        id: StreamId,
        mut heard: impl FnMut(Control) -> Result<(), Code>,
    ) -> Result<(), Code> {
        let Some(at) = self.open.iter().position(|stream| stream.id == id) else { return Ok(()) };
        loop {
            match link.read(id, READ_BYTES_MAX) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Taken::Bytes(bytes))) => {
                    if !self.open[at].take(bytes, &mut self.seen, &mut heard)? {
                        // RFC 9114, 6.2.3: it "MUST" abort reading or discard.
                        link.stop(id, Code::StreamCreation.number());
                        self.open.swap_remove(at);
                        return Ok(());
                    }
                }
                Poll::Ready(Ok(Taken::End) | Err(_)) => {
                    let stream = self.open.swap_remove(at);
                    // One that ended before it said what it is might as well not have been.
                    return match (&stream.reader, link.is_lost()) {
                        (Reader::Kind(_), _) | (_, true) => Ok(()),
                        _ => Err(Code::ClosedCritical),
                    };
                }
            }
        }
    }
}

impl OneWay {
    /// Takes `bytes` in; false if this is a stream of an unknown kind.
    fn take(
        &mut self,
        mut bytes: Bytes,
        seen: &mut Seen,
        heard: &mut impl FnMut(Control) -> Result<(), Code>,
    ) -> Result<bool, Code> {
        if let Reader::Kind(number) = &mut self.reader {
            let before = number.len();
            // The longest number has eight bytes.
            number.extend_from_slice(&bytes[..bytes.len().min(8 - before)]);
            let Some((kind, taken)) = h3::read_varint(number) else { return Ok(true) };
            bytes.advance(taken - before);
            match begin(Kind::of(kind), seen)? {
                Some(reader) => self.reader = reader,
                None => return Ok(false),
            }
        }
        match &mut self.reader {
            Reader::Kind(_) => {}
            Reader::Encoder => h3::check_encoder(&bytes)?,
            Reader::Decoder { inside } => h3::check_decoder(&bytes, inside)?,
            Reader::Control(frames) => loop {
                let (done, control) = frames.read(&bytes)?;
                bytes.advance(done);
                for _ in 0..frames.take_skipped() {
                    heard(Control::Nothing)?;
                }
                match control {
                    Some(control) => heard(control)?,
                    None => break,
                }
            },
        }
        Ok(true)
    }
}

/// What reads a stream of this kind; nothing does if it means nothing.
fn begin(kind: Kind, seen: &mut Seen) -> Result<Option<Reader>, Code> {
    let (before, reader) = match kind {
        Kind::Control => (&mut seen.control, Reader::Control(ControlFrames::default())),
        Kind::Encoder => (&mut seen.encoder, Reader::Encoder),
        Kind::Decoder => (&mut seen.decoder, Reader::Decoder { inside: false }),
        // RFC 9114, 6.2.2: "Only servers can push".
        Kind::Push => return Err(Code::StreamCreation),
        Kind::Unknown => return Ok(None),
    };
    // RFC 9114, 6.2.1: "a second stream claiming to be a control stream" is an error.
    if std::mem::replace(before, true) {
        return Err(Code::StreamCreation);
    }
    Ok(Some(reader))
}
