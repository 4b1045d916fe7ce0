//! TLS: sockets whose bytes are encrypted, and how clients come to have one.

mod client;
mod crowd;
mod handshake;
mod proven;
mod socket;

pub(crate) use client::{no_tls, refuses_certificate, secure as secure_service};
pub(crate) use crowd::Crowd;
pub(crate) use handshake::{Protocol, Refused, Secured, secure};
pub(crate) use proven::Proven;
pub(crate) use socket::Tls;
