//! What the engine does for calls of gRPC, and what bodies become on their way.
//!
//! All of it begins with [`Cx::grpc`](rules::Cx::grpc), so other requests pay for one look at it.

use std::time::Duration;

use bytes::Bytes;
use rules::Fault;
use rules::grpc::{self, Base64Decoder, Call, Kind, Status};
use wire::Fields;
use wire::h1::{Framing, Malformed};

use super::connection::Connection;
use super::encode::Encoder;
use super::end::End;
use super::pace::Pace;
use super::piece::Piece;
use super::scratch::Scratch;
use super::transfer::Broken;
use crate::control::snapshot::{Limits, Times};

/// Notes how `service` broke the call off, if it is its doing.
pub(super) fn note_reset(scratch: &mut Scratch, service: &mut End, fault: Fault) {
    let by_service = matches!(fault, Fault::UpstreamClosed | Fault::UpstreamTruncated);
    if let (Some(call), End::Stream(stream), true) = (&mut scratch.cx.grpc, service, by_service) {
        call.broken = stream.reset_code().map(Status::of_reset);
    }
}

/// Tells the service how long the client still waits.
///
/// # Errors
/// The time is over.
pub(super) fn pass_deadline_on(
    connection: &Connection,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let Some(call) = &scratch.cx.grpc else { return Ok(()) };
    let spent_ns = connection.worker.now_ns().saturating_sub(scratch.cx.now_ns);
    grpc::pass_deadline_on(call, Duration::from_nanos(spent_ns), &mut scratch.request)
}

/// How long the client may take within its body, or the service within its answer.
///
/// A call is a conversation in which nobody may have anything to say for long, so it may be silent
/// like an upgraded connection. How long the answer may take to begin is the service's limit, unless
/// the client has set its own. In HTTP/1 nobody converses like this.
pub(super) fn patience(
    connection: &Connection,
    scratch: &Scratch,
    limits: &Limits,
    times: Times,
) -> (Pace, Times) {
    match &scratch.cx.grpc {
        Some(call) if connection.client.is_framed() => {
            let idle_ms = limits.upgrade_idle_ms;
            let first_byte_ms = match call.timeout {
                Some(_) => u64::MAX,
                None => times.first_byte_ms,
            };
            (Pace::new(idle_ms, 0), Times { first_byte_ms, between_bytes_ms: idle_ms, ..times })
        }
        _ => (Pace::new(limits.body_idle_ms, limits.body_rate), times),
    }
}

/// Ends an answer that has begun and cannot go on, in the way that clients of gRPC understand; false
/// if this client does not.
pub(super) fn end_by_trailers(
    connection: &mut Connection,
    scratch: &Scratch,
    fault: Fault,
) -> bool {
    let (Some(call), End::Stream(client)) = (&scratch.cx.grpc, &mut connection.client) else {
        return false;
    };
    if matches!(fault, Fault::ClientGone | Fault::ClientStalled) || client.is_done() {
        return false;
    }
    let trailers = call.trailers(fault, scratch.cx.request_id.as_str());
    let ended = match Recoding::of_answer(call) {
        None if call.kind == Kind::Native => client.send_trailers(&trailers),
        Some(mut recoding) => {
            let last = recoding.end(Some(&trailers)).unwrap_or_default();
            client.send_data(Piece::Owned(last), true)
        }
        // What the service itself speaks to browsers is its own.
        None => return false,
    };
    ended.is_ok()
}

/// Notes how the service says that a call ended: in the head of its answer, or `behind` it.
pub(super) fn note_status(scratch: &mut Scratch, behind: Option<Status>) {
    let Some(call) = &mut scratch.cx.grpc else { return };
    match behind {
        Some(_) => call.status = behind,
        None => call.note_status(&scratch.response.fields),
    }
}

/// What becomes of the answer's body, if it has one and becomes another.
///
/// # Errors
/// If there is no memory for an encoder.
pub(super) fn recoding_of_answer(
    scratch: &Scratch,
    framing: Framing,
) -> std::io::Result<Option<Recoding>> {
    if !framing.has_body() {
        return Ok(None);
    }
    if let Some(encode) = scratch.cx.encode {
        let encoder = Some(Box::new(Encoder::new(encode)?));
        return Ok(Some(Recoding::Encode { encoder, live: encode.live, held: false }));
    }
    Ok(scratch.cx.grpc.as_deref().and_then(Recoding::of_answer))
}

/// What becomes of a body on its way: between gRPC-Web and gRPC, or in another coding.
pub(crate) enum Recoding {
    /// An answer becomes smaller.
    Encode {
        /// Gone at the end.
        encoder: Option<Box<Encoder>>,
        /// What is there goes out before more is waited for.
        live: bool,
        /// Whether it may hold something back.
        held: bool,
    },
    /// A request in base64 becomes plain.
    FromBase64(Base64Decoder),
    /// The trailers of an answer become its last message.
    ToWeb,
    /// That, and all of it becomes base64.
    ToBase64,
}

impl Recoding {
    /// For the request of `call`.
    pub(super) fn of_request(call: Option<&Call>) -> Option<Self> {
        let call = call.filter(|call| call.translated)?;
        (call.kind == Kind::WebText).then(|| Self::FromBase64(Base64Decoder::default()))
    }

    /// For the answer to `call`.
    fn of_answer(call: &Call) -> Option<Self> {
        match call.kind {
            Kind::Web if call.translated => Some(Self::ToWeb),
            Kind::WebText if call.translated => Some(Self::ToBase64),
            _ => None,
        }
    }

    /// What `data` becomes.
    pub(super) fn data(&mut self, data: Piece) -> Result<Piece, Broken> {
        let mut out = Vec::new();
        match self {
            Self::Encode { encoder, held, .. } => {
                let encoder = encoder.as_mut().expect("no data comes behind the end");
                out = encoder.data(&data).map_err(|_| Broken::Read)?;
                *held = true;
            }
            Self::ToWeb => return Ok(data),
            Self::ToBase64 => grpc::encode_base64(&data, &mut out),
            Self::FromBase64(decoder) => {
                let decoded = decoder.decode(&data, &mut out);
                decoded.map_err(|_| Broken::Malformed(Malformed::Base64))?;
            }
        }
        Ok(Piece::Owned(out.into()))
    }

    /// What is held back and should not be while more is waited for.
    pub(super) fn flush(&mut self) -> Result<Option<Bytes>, Broken> {
        let Self::Encode { encoder: Some(encoder), live: true, held: held @ true } = self else {
            return Ok(None);
        };
        *held = false;
        let flushed = encoder.flush().map_err(|_| Broken::Read)?;
        Ok(Some(flushed.into()).filter(|flushed: &Bytes| !flushed.is_empty()))
    }

    /// Whether trailers are still trailers behind it.
    pub(super) fn keeps_trailers(&self) -> bool {
        matches!(self, Self::Encode { .. })
    }

    /// What comes behind all data, in place of `trailers` unless it keeps them.
    pub(super) fn end(&mut self, trailers: Option<&Fields>) -> Result<Bytes, Broken> {
        let none = Fields::default();
        let frame = || grpc::trailers_frame(trailers.unwrap_or(&none));
        let mut out = Vec::new();
        match self {
            Self::Encode { encoder, .. } => {
                let encoder = encoder.take().expect("it ends once");
                out = encoder.end().map_err(|_| Broken::Read)?;
            }
            Self::ToWeb => out = frame(),
            Self::ToBase64 => grpc::encode_base64(&frame(), &mut out),
            Self::FromBase64(decoder) => {
                decoder.end().map_err(|_| Broken::Malformed(Malformed::Base64))?;
            }
        }
        Ok(out.into())
    }
}
