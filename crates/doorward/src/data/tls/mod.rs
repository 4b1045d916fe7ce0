//! TLS: sockets whose bytes are encrypted, and how clients come to have one.

mod handshake;
mod socket;

pub(crate) use handshake::{Protocol, Refused, Secured, secure};
pub(crate) use socket::Tls;
