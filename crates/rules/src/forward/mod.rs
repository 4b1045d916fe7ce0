//! What the service is told about the client: `Via`, `Forwarded` and its elder siblings, the request
//! id and the trace.
//!
//! A service believes these fields, so a client must not be able to write them. What comes from a
//! peer that is not trusted is dropped before any rule sees it, together with all names that some
//! service reads as one of them; then they are written anew.

mod hops;
#[cfg(test)]
mod tests;
mod trace;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wire::fields::initial;
use wire::{Known, RequestHead, Version};

use crate::{Cx, Identity, RequestId, identity};

/// What the connection says about who is there.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end of the connection; `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether the configuration trusts what this peer says about others, whatever its address.
    pub trusted: bool,
    /// Whether the connection itself is by TLS.
    pub https: bool,
}

impl Peer {
    /// The address without port; IPv4 is IPv4, also on a socket for both.
    fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

/// The fields by which proxies tell about clients.
const FORWARDING: u64 = Known::Forwarded.bit()
    | Known::XForwardedFor.bit()
    | Known::XForwardedHost.bit()
    | Known::XForwardedPort.bit()
    | Known::XForwardedProto.bit();

/// The names that [`append`] writes anew: to be left out when the head is copied.
pub const REWRITTEN: u64 = Known::Forwarded.bit()
    | Known::XForwardedFor.bit()
    | Known::XForwardedHost.bit()
    | Known::XForwardedProto.bit()
    | Known::XRequestId.bit();

/// Finds the client, drops what cannot be believed, and sets `cx.client`, `cx.https` and
/// `cx.request_id`. Before the rules.
pub fn receive(head: &mut RequestHead, peer: Peer, cx: &mut Cx, trusted: impl Fn(IpAddr) -> bool) {
    cx.https = peer.https;
    cx.client = peer.ip().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let believed = peer.trusted || peer.ip().is_some_and(&trusted);
    if believed && let Some(https) = head.absolute_https() {
        // A proxy that ends TLS may keep the scheme of its client (RFC 9113, 8.3.1).
        cx.https = https;
    }
    drop_look_alikes(head, believed);
    drop_mirrored(head);
    if head.fields.has_any(FORWARDING) {
        if believed {
            believe(head, cx, trusted);
        } else {
            cx.note("from", cx.client);
            cx.record("client", "drop", "forwarding fields of a peer that is not trusted");
            head.fields.remove_if(|_, _, known| known.bit() & FORWARDING != 0);
        }
    }
    trace::receive(head);
    let given = head.fields.get(Known::XRequestId).and_then(RequestId::given);
    match given {
        Some(given) => cx.request_id = given,
        None => cx.request_id.make(cx.random),
    }
}

/// Takes over what a trusted proxy says.
fn believe(head: &mut RequestHead, cx: &mut Cx, trusted: impl Fn(IpAddr) -> bool) {
    // Most proxies write `X-Forwarded-For` and pass a client's `Forwarded` on untouched, so beside
    // the former the latter is the client's own word.
    if head.fields.has(Known::XForwardedFor) {
        head.fields.remove(Known::Forwarded);
    }
    let mut proto = None;
    let hops = hops::believed(&head.fields, trusted);
    if let Some(client) = hops.list.first() {
        cx.client = client.address.unwrap_or(cx.client);
        proto = client.https;
    }
    if hops.cut {
        keep_only(&hops.list, head);
    }
    let last = head.fields.all(Known::XForwardedProto).last();
    let last = last.and_then(|value| value.rsplit(|&byte| byte == b',').next());
    match last.map(<[u8]>::trim_ascii) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => proto = Some(true),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => proto = Some(false),
        Some(_) | None => {}
    }
    cx.https = proto.unwrap_or(cx.https);
    cx.note("client", cx.client);
    cx.record("client", "believe", "the peer is a trusted proxy");
}

/// Writes the hops that are believed in place of all that were told of: services like to take the
/// leftmost for the client.
fn keep_only(list: &[hops::Hop], head: &mut RequestHead) {
    if list.is_empty() {
        head.fields
            .remove_if(|_, _, known| matches!(known, Known::Forwarded | Known::XForwardedFor));
        return;
    }
    let mut text = Vec::new();
    let name = if head.fields.has(Known::Forwarded) {
        for hop in list {
            separate(&mut text, 0);
            append_node(hop.address.map(IpText::of).as_ref(), &mut text);
            match hop.https {
                Some(true) => text.extend_from_slice(b";proto=https"),
                Some(false) => text.extend_from_slice(b";proto=http"),
                None => {}
            }
        }
        Known::Forwarded.name()
    } else {
        for hop in list {
            separate(&mut text, 0);
            append_address(hop.address, &mut text);
        }
        Known::XForwardedFor.name()
    };
    head.fields.set(name, &text);
}

/// Appends a comma unless nothing stands behind `start` yet.
fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.extend_from_slice(b", ");
    }
}

/// Drops fields that a service may take for ones that it believes: with `_` for `-`, as CGI and WSGI
/// cannot tell them apart; who a client is, which nobody tells but we; and from peers that are not
/// trusted, the names that other proxies use.
fn drop_look_alikes(head: &mut RequestHead, believed: bool) {
    const INITIALS: u32 = initial(b'x') | initial(b'f') | initial(b't') | initial(b'c');
    if !head.fields.may_have_unknown(INITIALS) {
        return;
    }
    let is_look_alike = |name: &[u8]| {
        let spelt_so = |known: &str| is_spelt(name, known);
        let written_anew = |name: &[u8]| Known::of(name).bit() & (FORWARDING | REWRITTEN) != 0;
        BELIEVED.iter().any(|known| spelt_so(known)) && !written_anew(name)
            || identity::FIELDS.iter().any(|known| spelt_so(known))
            || !believed && OTHERS.iter().any(|known| spelt_so(known))
    };
    if head.fields.iter().any(|(name, _)| is_look_alike(name)) {
        head.fields.remove_if(|name, _, _| is_look_alike(name));
    }
}

/// Whether a service may take `name` for `known`.
fn is_spelt(name: &[u8], known: &str) -> bool {
    name.len() == known.len()
        && name.iter().zip(known.bytes()).all(|(byte, known)| {
            byte.to_ascii_lowercase() == known || *byte == b'_' && known == b'-'
        })
}

/// The field by which a service can tell a copy of a request from a request.
pub const MIRRORED: &str = "doorward-mirrored";

/// Nobody but Doorward says what is a copy: it is dropped, spelt as CGI would read it or not.
fn drop_mirrored(head: &mut RequestHead) {
    if head.fields.may_have_unknown(initial(b'd')) {
        head.fields.remove_if(|name, _, _| is_spelt(name, MIRRORED));
    }
}

/// The names that are written here, or taken over from trusted proxies.
const BELIEVED: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// The names that other proxies write and services behind them believe. The last two replace the
/// path in some frameworks, and so walk past every rule about paths.
const OTHERS: [&str; 14] = [
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-client-cert",
    "x-forwarded",
    "front-end-https",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-rewrite-url",
];

/// Appends whole field lines for the service. After the rules.
pub fn append(head: &RequestHead, peer: Peer, cx: &Cx, out: &mut Vec<u8>) {
    // RFC 9110, 7.6.3: the version in which we received it.
    out.extend_from_slice(match head.version {
        Version::Http10 => b"Via: 1.0 doorward\r\n",
        Version::Http11 => b"Via: 1.1 doorward\r\n",
        Version::Http2 => b"Via: 2 doorward\r\n",
        Version::Http3 => b"Via: 3 doorward\r\n",
    });
    let client = peer.ip().map(IpText::of);
    append_x_forwarded(head, client.as_ref(), cx, out);
    append_forwarded(head, client.as_ref(), peer.https, out);
    out.extend_from_slice(cx.identity().map_or(&[], Identity::lines));
    out.extend_from_slice(b"X-Request-Id: ");
    out.extend_from_slice(cx.request_id.as_bytes());
    out.extend_from_slice(b"\r\n");
    trace::append(head, cx, out);
}

fn append_x_forwarded(head: &RequestHead, client: Option<&IpText>, cx: &Cx, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"X-Forwarded-For: ");
    let empty = out.len();
    if head.fields.has_any(FORWARDING) {
        for line in head.fields.all(Known::XForwardedFor) {
            separate(out, empty);
            out.extend_from_slice(line);
        }
        for hop in hops::forwarded(&head.fields) {
            separate(out, empty);
            append_address(hop.address, out);
        }
    }
    if let Some(client) = client {
        separate(out, empty);
        out.extend_from_slice(client.as_bytes());
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        out.extend_from_slice(b"\r\n");
    }
    let proto: &[u8] =
        if cx.https { b"X-Forwarded-Proto: https\r\n" } else { b"X-Forwarded-Proto: http\r\n" };
    out.extend_from_slice(proto);
    let host = head.fields.get(Known::XForwardedHost).unwrap_or(head.authority());
    if !host.is_empty() {
        out.extend_from_slice(b"X-Forwarded-Host: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 7239. Hops that only `X-Forwarded-For` tells of are taken over (7.4).
fn append_forwarded(head: &RequestHead, client: Option<&IpText>, https: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Forwarded: ");
    if head.fields.has_any(FORWARDING) {
        for line in head.fields.all(Known::Forwarded) {
            out.extend_from_slice(line);
            out.extend_from_slice(b", ");
        }
        for hop in hops::x_forwarded_for(&head.fields) {
            append_node(hop.address.map(IpText::of).as_ref(), out);
            out.extend_from_slice(b", ");
        }
    }
    append_node(client, out);
    if !head.authority().is_empty() {
        // A checked authority has neither quotes nor backslashes in it.
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(head.authority());
        out.push(b'"');
    }
    out.extend_from_slice(if https { b";proto=https\r\n" } else { b";proto=http\r\n" });
}

fn append_address(address: Option<IpAddr>, out: &mut Vec<u8>) {
    match address {
        Some(address) => out.extend_from_slice(IpText::of(address).as_bytes()),
        None => out.extend_from_slice(b"unknown"),
    }
}

/// RFC 7239, 6: an IPv6 address stands in brackets, and these in quotes.
fn append_node(address: Option<&IpText>, out: &mut Vec<u8>) {
    match address {
        Some(v4) if !v4.is_v6 => {
            out.extend_from_slice(b"for=");
            out.extend_from_slice(v4.as_bytes());
        }
        Some(v6) => {
            out.extend_from_slice(b"for=\"[");
            out.extend_from_slice(v6.as_bytes());
            out.extend_from_slice(b"]\"");
        }
        None => out.extend_from_slice(b"for=unknown"),
    }
}

/// An address as text. Each request has its client's written twice, and the formatter of the standard
/// library takes ten times as long for it.
struct IpText {
    text: [u8; IP_BYTES_MAX],
    bytes: usize,
    is_v6: bool,
}

/// Eight groups of four digits, and colons between them. What has an IPv4 address in it is shorter.
const IP_BYTES_MAX: usize = 39;

impl IpText {
    fn of(address: IpAddr) -> Self {
        let mut text = [0; IP_BYTES_MAX];
        let bytes = match address {
            IpAddr::V4(address) => {
                let mut end = 0;
                for octet in address.octets() {
                    let (digits, count) = OCTETS[usize::from(octet)];
                    text[end..end + 4].copy_from_slice(&digits);
                    end += usize::from(count) + 1;
                }
                // Behind the last one no dot follows.
                end - 1
            }
            IpAddr::V6(address) => {
                let mut room = &mut text[..];
                write!(room, "{address}").expect("there is room for the longest");
                IP_BYTES_MAX - room.len()
            }
        };
        Self { text, bytes, is_v6: address.is_ipv6() }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.bytes]
    }
}

/// Each octet in decimal, with a dot behind it; and how many digits it has.
const OCTETS: [([u8; 4], u8); 256] = {
    let (mut all, mut octet) = ([([b'.'; 4], 1); 256], 0);
    while octet < all.len() {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let zeros = if octet >= 100 {
            0
        } else if octet >= 10 {
            1
        } else {
            2
        };
        let mut at = zeros;
        while at < digits.len() {
            all[octet].0[at - zeros] = b'0' + digits[at] as u8;
            at += 1;
        }
        all[octet].1 = (digits.len() - zeros) as u8;
        octet += 1;
    }
    all
};
