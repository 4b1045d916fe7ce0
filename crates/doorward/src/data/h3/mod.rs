//! HTTP/3 (RFC 9114): connections of many streams, each of which is served like a connection of
//! HTTP/1 with one request.

mod control;
pub(crate) mod listen;
pub(crate) mod server;
mod stream;

pub(crate) use stream::Stream;
