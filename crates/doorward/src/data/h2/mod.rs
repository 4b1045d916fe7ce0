//! HTTP/2 (RFC 9113): connections of many streams, each of which is served like a connection of
//! HTTP/1 with one request.

pub(crate) mod client;
mod heads;
mod io;
pub(crate) mod server;
mod stream;
mod turns;

pub(crate) use stream::Stream;
