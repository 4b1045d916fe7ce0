//! The hops that proxies before us tell of.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use wire::{Fields, Known};

/// A hop, as far as it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) address: Option<IpAddr>,
    /// Whether it came by TLS, if that is said.
    pub(super) https: Option<bool>,
}

/// The hops that are believed.
pub(super) struct Believed {
    /// The client, then the proxies behind it.
    pub(super) list: Vec<Hop>,
    /// Whether anything stands left of them.
    pub(super) cut: bool,
}

/// The client is the rightmost hop that is not a trusted proxy. Every proxy adds who spoke to it at
/// the right, so what stands left of that hop is that hop's own word. If all are trusted, the client
/// is the leftmost; if a hop cannot be read, the one right of it.
pub(super) fn believed(fields: &Fields, trusted: impl Fn(IpAddr) -> bool) -> Believed {
    // From the right, over lines and items: that takes a list.
    let mut list: Vec<Hop> = x_forwarded_for(fields).chain(forwarded(fields)).collect();
    let mut first = list.len();
    while first > 0
        && let Some(address) = list[first - 1].address
    {
        first -= 1;
        if !trusted(address) {
            break;
        }
    }
    list.drain(..first);
    Believed { list, cut: first > 0 }
}

/// The hops in `X-Forwarded-For`, the first one first.
pub(super) fn x_forwarded_for(fields: &Fields) -> impl Iterator<Item = Hop> {
    fields
        .all(Known::XForwardedFor)
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
        .map(|item| Hop { address: address(item), https: None })
}

/// The hops in `Forwarded`, the first one first (RFC 7239, 4).
pub(super) fn forwarded(fields: &Fields) -> impl Iterator<Item = Hop> {
    fields.all(Known::Forwarded).flat_map(|line| Elements { rest: line })
}

/// The elements of a line; a comma or semicolon in quotes separates nothing.
struct Elements<'l> {
    rest: &'l [u8],
}

impl Iterator for Elements<'_> {
    type Item = Hop;

    fn next(&mut self) -> Option<Hop> {
        while self.rest.first().is_some_and(|byte| b", \t".contains(byte)) {
            self.rest = &self.rest[1..];
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut hop = Hop::default();
        loop {
            let end = unquoted(self.rest, b";,").unwrap_or(self.rest.len());
            let (pair, behind) = self.rest.split_at(end);
            read_pair(pair.trim_ascii(), &mut hop);
            let goes_on = behind.first() == Some(&b';');
            self.rest = behind.get(1..).unwrap_or_default();
            if !goes_on {
                return Some(hop);
            }
        }
    }
}

/// Where the first of `stops` stands outside of quotes.
fn unquoted(text: &[u8], stops: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.iter().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => escaped = true,
            _ => {}
        }
        !quoted && stops.contains(byte)
    })
}

fn read_pair(pair: &[u8], hop: &mut Hop) {
    let Some(at) = pair.iter().position(|&byte| byte == b'=') else {
        return;
    };
    let (name, value) = (&pair[..at], &pair[at + 1..]);
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let value = inner.unwrap_or(value);
    if name.eq_ignore_ascii_case(b"for") {
        hop.address = address(value);
    } else if name.eq_ignore_ascii_case(b"proto") {
        hop.https = match value.to_ascii_lowercase().as_slice() {
            b"https" => Some(true),
            b"http" => Some(false),
            _ => None,
        };
    }
}

/// An address with or without brackets and port. `unknown` and made-up names are none.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| bracketed().map(IpAddr::V6))?;
    Some(address.to_canonical())
}
