//! The HTTP/1.1 codec (RFC 9112).
//!
//! In the order of a message: [`scan`] finds the end of a head, [`request`] and [`response`] read
//! it with the help of [`lines`], [`framing`] says how its body ends, [`body`] takes the body apart, [`encode`] writes a
//! message anew from what was understood.

pub(crate) mod block;
mod body;
pub(crate) mod encode;
mod framing;
mod lines;
mod malformed;
mod request;
mod response;
mod scan;

pub use body::{BodyDecoder, BodyLimits, Decoded};
pub use encode::{
    CHUNK_HEAD_BYTES_MAX, LAST_CHUNK, ToClient, ToUpstream, chunk_head, encode_request,
    encode_response, encode_trailers, write_decimal,
};
pub use framing::{Connection, Framing, ResponseFraming, request_framing, response_framing};
pub use malformed::Malformed;
pub use request::wants_continue;
pub use response::read_answer;
pub use scan::{HeadLimits, HeadScan, Scanned};

/// Feeds arbitrary bytes to every reader of this module; what the fuzz targets call.
pub mod exercise;

#[cfg(test)]
mod tests;
