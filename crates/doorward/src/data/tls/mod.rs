//! TLS: sockets whose bytes are encrypted, and how clients come to have one.

mod crowd;
mod handshake;
mod socket;

pub(crate) use crowd::Crowd;
pub(crate) use handshake::{Protocol, Refused, Secured, secure};
pub(crate) use socket::Tls;
