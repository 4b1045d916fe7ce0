//! Writes a message anew from what was understood of it.
//!
//! Nothing that frames a message or concerns one hop is ever copied: it is left out of the copied
//! lines and written here, so the next reader can only understand what we did.

use super::{Connection, Framing};
use crate::fields::Fields;
use crate::head::{HOP_BY_HOP, RequestHead, ResponseHead, Version};
use crate::known::Known;

/// What is never copied in either direction.
pub(crate) const NEVER: u64 = HOP_BY_HOP | Known::ContentLength.bit();

/// What stands in a request beside its own lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToUpstream<'a> {
    /// The value of `Host`.
    pub authority: &'a [u8],
    /// How the body that follows is delimited.
    pub framing: Framing,
    /// The protocol to ask for, if any.
    pub upgrade: Option<&'a [u8]>,
    /// The bits of known names whose lines are left out.
    pub but: u64,
    /// Whole field lines, each with its CR LF.
    pub extra: &'a [&'a [u8]],
}

/// Appends the request as it goes to a service, always as HTTP/1.1.
pub fn encode_request(head: &RequestHead, to: &ToUpstream<'_>, out: &mut Vec<u8>) {
    debug_assert!(to.framing != Framing::UntilClose, "a request cannot end with its connection");
    head.write_method_and_target(out);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(to.authority);
    out.extend_from_slice(b"\r\n");
    head.fields.write_but(to.but | NEVER | Known::Host.bit(), out);
    write_framing(to.framing, out);
    match to.upgrade {
        Some(protocol) => write_upgrade(protocol, out),
        // RFC 9110, 10.1.4: `TE` is for one hop; ours can take trailers if the client can.
        None if takes_trailers(&head.fields) => {
            out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
        }
        None => {}
    }
    write_extra(to.extra, out);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn takes_trailers(fields: &Fields) -> bool {
    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
    fields.has(Known::Te) && fields.all(Known::Te).flat_map(super::framing::list).any(is_trailers)
}

/// What stands in a response beside its own lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToClient<'a> {
    /// The version that the client speaks.
    pub version: Version,
    /// How the body that follows is delimited, or would be (`HEAD`, 304).
    pub framing: Framing,
    /// Whether the connection stays open behind the response.
    pub persist: bool,
    /// The protocol that a 101 switches to.
    pub upgrade: Option<&'a [u8]>,
    /// Whole field lines, each with its CR LF.
    pub extra: &'a [&'a [u8]],
}

/// Appends the response as it goes to a client.
pub fn encode_response(head: &ResponseHead, to: &ToClient<'_>, out: &mut Vec<u8>) {
    debug_assert!(
        to.framing != Framing::Chunked || to.version != Version::Http10,
        "HTTP/1.0 knows no chunks"
    );
    debug_assert!(to.framing != Framing::UntilClose || !to.persist, "the close is the end");
    // RFC 9110, 2.5: the version in a response is the highest that the server conforms to.
    out.extend_from_slice(b"HTTP/1.1 ");
    let status = head.status;
    out.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
    head.fields.write_but(NEVER, out);
    write_framing(to.framing, out);
    if let Some(protocol) = to.upgrade {
        write_upgrade(protocol, out);
    } else if status >= 200 {
        match (to.version, to.persist) {
            (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (_, true) => {}
            (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        }
    }
    write_extra(to.extra, out);
    out.extend_from_slice(b"\r\n");
}

fn write_extra(extra: &[&[u8]], out: &mut Vec<u8>) {
    for lines in extra {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\r\n"), "whole lines");
        out.extend_from_slice(lines);
    }
}

fn write_upgrade(protocol: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
    out.extend_from_slice(protocol);
    out.extend_from_slice(b"\r\n");
}

fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends `number` in decimal.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal(number, &mut [0; 20]));
}

/// `number` in decimal, which needs at most all of `digits`.
pub(crate) fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    &digits[at..]
}

/// 16 hex digits and CR LF.
pub const CHUNK_HEAD_BYTES_MAX: usize = 18;

/// What ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line before a chunk of `bytes` data bytes, and how long it is. `bytes` must not be zero:
/// that would end the body.
#[must_use]
pub fn chunk_head(bytes: usize) -> ([u8; CHUNK_HEAD_BYTES_MAX], usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    debug_assert!(bytes > 0, "an empty chunk ends the body");
    let mut line = [0; CHUNK_HEAD_BYTES_MAX];
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4) as usize;
    for (at, digit) in line[..digits].iter_mut().enumerate() {
        *digit = HEX[bytes >> (4 * (digits - 1 - at)) & 15];
    }
    line[digits..digits + 2].copy_from_slice(b"\r\n");
    (line, digits + 2)
}

/// Appends the last chunk with its trailers.
pub fn encode_trailers(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_but(crate::head::NEVER_IN_TRAILERS, out);
    }
    out.extend_from_slice(b"\r\n");
}

impl Connection {
    /// The protocol that an upgrade asks for or switches to, if both fields say so.
    ///
    /// `h2c` is left out: it would carry requests past every rule.
    #[must_use]
    pub fn upgrade_protocol(self, fields: &Fields) -> Option<&[u8]> {
        let protocol = fields.get(Known::Upgrade).filter(|_| self.upgrade)?;
        let h2c = fields
            .all(Known::Upgrade)
            .flat_map(super::framing::list)
            .any(|name| name.len() >= 3 && name[..3].eq_ignore_ascii_case(b"h2c"));
        (!h2c && !protocol.is_empty()).then_some(protocol)
    }
}
