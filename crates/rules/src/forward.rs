//! What the service is told about the client: `Via`, `Forwarded` and its elder siblings, request id
//! and trace.

use std::net::{IpAddr, SocketAddr};

use wire::RequestHead;

use crate::Cx;

/// What the connection says about who is there.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end of the connection; `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether the configuration trusts what this peer says about others.
    pub trusted: bool,
    /// Whether the connection itself is by TLS.
    pub https: bool,
}

/// Finds the client, drops what cannot be believed, and sets `cx.client`, `cx.https` and
/// `cx.request_id`. Before the rules.
pub fn receive(
    _head: &mut RequestHead,
    peer: Peer,
    cx: &mut Cx,
    _trusted: impl Fn(IpAddr) -> bool,
) {
    cx.https = peer.https;
}

/// The names that [`append`] writes anew: to be left out when the head is copied.
pub const REWRITTEN: u64 = 0;

/// Appends whole field lines for the service. After the rules.
pub fn append(_head: &RequestHead, _peer: Peer, _cx: &Cx, _out: &mut Vec<u8>) {}
