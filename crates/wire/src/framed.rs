//! Heads of HTTP/2 and HTTP/3, whose parts arrive one by one (RFC 9113, 8.3; RFC 9114, 4.3).
//!
//! They are put together as the text that HTTP/1.1 would have sent and read by its reader, so that
//! one reader decides what is sound, whatever brought it: what is refused in one version cannot
//! come in by another.

use std::borrow::Cow;

use crate::fields::{Fields, is_token_byte, is_value_byte};
use crate::h1::block::{is_any, not_small};
use crate::h1::encode::{NEVER, decimal, takes_trailers, write_decimal};
use crate::h1::{Framing, HeadLimits, Malformed, ToClient, ToUpstream};
use crate::head::{NEVER_IN_TRAILERS, RequestHead, ResponseHead, Version};
use crate::known::Known;

#[cfg(test)]
mod tests;

/// What stands in the pseudo-header fields of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pseudo<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:scheme`
    pub scheme: &'a [u8],
    /// `:authority`; empty if there is none.
    pub authority: &'a [u8],
    /// `:path`
    pub path: &'a [u8],
    /// `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'a [u8]>,
}

/// Fields that concern one connection of HTTP/1. "An endpoint MUST NOT generate an HTTP/2 message
/// containing connection-specific header fields"; a message that has one is malformed (RFC 9113,
/// 8.2.2).
const CONNECTION_SPECIFIC: u64 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::TransferEncoding.bit()
    | Known::Upgrade.bit();

impl RequestHead {
    /// Becomes the request that `pseudo` and `fields` (names and values, in order) make. `text` is
    /// memory to work in.
    ///
    /// An extended CONNECT becomes the `GET` with `Upgrade` that it stands for (RFC 8441, 5), so
    /// that routes and services see one kind of WebSocket.
    ///
    /// # Errors
    /// What the reader of HTTP/1.1 would say, and what RFC 9113, 8 forbids besides.
    pub fn assemble<'f>(
        &mut self,
        version: Version,
        pseudo: &Pseudo<'_>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        text: &mut Vec<u8>,
        limits: &HeadLimits,
    ) -> Result<(), Malformed> {
        self.clear();
        text.clear();
        let https = match pseudo.scheme {
            b"http" => false,
            b"https" => true,
            _ => return Err(Malformed::Scheme),
        };
        write_request_line(pseudo, text)?;
        let lines = write_fields(pseudo, fields, text, limits)?;
        self.parse(text, limits).map_err(in_no_lines)?;
        if !self.fields.has_lines(lines) {
            self.clear();
            return Err(Malformed::FieldLine);
        }
        self.version = version;
        // As if it had come in absolute form: the scheme is to be this connection's.
        (self.target.absolute, self.target.https) = (true, https);
        Ok(())
    }
}

fn write_request_line(pseudo: &Pseudo<'_>, text: &mut Vec<u8>) -> Result<(), Malformed> {
    let method = match pseudo.protocol {
        Some(_) if pseudo.method != b"CONNECT" => return Err(Malformed::RequestLine),
        Some(_) => &b"GET"[..],
        None => pseudo.method,
    };
    // What CONNECT names is no path; it is refused behind this.
    let target = if method == b"CONNECT" { pseudo.authority } else { pseudo.path };
    if method != b"CONNECT" && !target.starts_with(b"/") && target != b"*" {
        return Err(Malformed::Target);
    }
    // Nothing in a part may end it: the rest would be a line of its own.
    if !method.iter().all(|&byte| is_token_byte(byte)) {
        return Err(Malformed::RequestLine);
    }
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(Malformed::Target);
    }
    text.extend_from_slice(method);
    text.push(b' ');
    text.extend_from_slice(target);
    text.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Writes the field lines and what ends them, and returns how many lines there are.
fn write_fields<'f>(
    pseudo: &Pseudo<'_>,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    text: &mut Vec<u8>,
    limits: &HeadLimits,
) -> Result<usize, Malformed> {
    let mut lines = 0;
    let mut write_line = |name, value, text: &mut Vec<u8>| {
        lines += 1;
        write_line(name, value, text)
    };
    if !pseudo.authority.is_empty() {
        write_line(b"host", pseudo.authority, text)?;
    }
    if let Some(protocol) = pseudo.protocol {
        write_line(b"connection", b"upgrade", text)?;
        write_line(b"upgrade", protocol, text)?;
    }
    let mut cookies = Cow::Borrowed(&b""[..]);
    for (name, value) in fields {
        match Known::of(name) {
            known if known.bit() & CONNECTION_SPECIFIC != 0 => return Err(Malformed::FieldLine),
            // RFC 9113, 8.2.2: `TE` "MUST NOT contain any value other than 'trailers'".
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(Malformed::FieldLine);
            }
            // RFC 9113, 8.3.1: it "MUST NOT" differ from `:authority`.
            Known::Host if !pseudo.authority.is_empty() => {
                if !value.eq_ignore_ascii_case(pseudo.authority) {
                    return Err(Malformed::HostDisagrees);
                }
            }
            // RFC 9113, 8.2.3: crumbs "MUST be concatenated into a single octet string".
            Known::Cookie if cookies.is_empty() => cookies = Cow::Borrowed(value),
            Known::Cookie => {
                let cookies = cookies.to_mut();
                cookies.extend_from_slice(b"; ");
                cookies.extend_from_slice(value);
            }
            _ => write_line(name, value, text)?,
        }
        if text.len() + cookies.len() > limits.head_bytes_max {
            return Err(Malformed::HeadTooLarge);
        }
    }
    if !cookies.is_empty() {
        write_line(b"cookie", &cookies, text)?;
    }
    text.extend_from_slice(b"\r\n");
    Ok(lines)
}

/// Writes a line of what may be no value: the reader then finds a control where none may stand, or
/// another number of lines than were written ([`Fields::has_lines`]).
fn write_line(name: &[u8], value: &[u8], text: &mut Vec<u8>) -> Result<(), Malformed> {
    if !is_lower_name(name) || is_blank_around(value) {
        return Err(Malformed::FieldLine);
    }
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
    Ok(())
}

/// There are no lines in frames: what breaks one is a bad value.
fn in_no_lines(malformed: Malformed) -> Malformed {
    match malformed {
        Malformed::BareLineEnd | Malformed::Truncated => Malformed::FieldLine,
        other => other,
    }
}

/// RFC 9113, 8.2.1: a value "MUST NOT start or end with an ASCII whitespace character".
#[inline]
fn is_blank_around(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.first()) || blank(value.last())
}

/// Whether `name` is a token in lower case, as RFC 9113, 8.2.1 wants it.
#[inline]
fn is_lower_name(name: &[u8]) -> bool {
    let lower = |&byte: &u8| is_token_byte(byte) && !byte.is_ascii_uppercase();
    // Nearly all names are made of these.
    !name.is_empty() && (!is_any(name, not_small) || name.iter().all(lower))
}

impl ResponseHead {
    /// Becomes the response that `status` and `fields` make. `text` is memory to work in.
    ///
    /// # Errors
    /// What the reader of HTTP/1.1 would say, and what RFC 9113, 8 forbids besides.
    pub fn assemble<'f>(
        &mut self,
        version: Version,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        text: &mut Vec<u8>,
        limits: &HeadLimits,
    ) -> Result<(), Malformed> {
        write_status_line(status, text);
        self.assemble_behind(version, 0, fields, text, limits)
    }

    /// As [`Self::assemble`], for the 2xx that answers an extended CONNECT: it becomes the `101` to
    /// `protocol` that it stands for (RFC 8441, 5).
    ///
    /// # Errors
    /// The same.
    pub fn assemble_switch<'f>(
        &mut self,
        version: Version,
        protocol: &[u8],
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        text: &mut Vec<u8>,
        limits: &HeadLimits,
    ) -> Result<(), Malformed> {
        write_status_line(101, text);
        write_line(b"connection", b"upgrade", text)?;
        write_line(b"upgrade", protocol, text)?;
        self.assemble_behind(version, 2, fields, text, limits)
    }

    /// Reads `fields` behind the `lines` that stand in `text` already.
    fn assemble_behind<'f>(
        &mut self,
        version: Version,
        mut lines: usize,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        text: &mut Vec<u8>,
        limits: &HeadLimits,
    ) -> Result<(), Malformed> {
        for (name, value) in fields {
            if Known::of(name).bit() & CONNECTION_SPECIFIC != 0 {
                return Err(Malformed::FieldLine);
            }
            write_line(name, value, text)?;
            lines += 1;
        }
        text.extend_from_slice(b"\r\n");
        self.parse(text, limits).map_err(in_no_lines)?;
        if !self.fields.has_lines(lines) {
            self.clear();
            return Err(Malformed::FieldLine);
        }
        self.version = version;
        Ok(())
    }
}

fn write_status_line(status: u16, text: &mut Vec<u8>) {
    text.clear();
    text.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(u64::from(status), text);
    text.extend_from_slice(b" \r\n");
}

/// Calls `each` with the fields of the request as it goes to a service by frames, pseudo-header
/// fields left out. Names are as they were sent: they have to become lower case.
pub fn request_fields(
    head: &RequestHead,
    to: &ToUpstream<'_>,
    mut each: impl FnMut(Known, &[u8], &[u8]),
) {
    head.fields.each_but(to.but | NEVER | Known::Host.bit(), &mut each);
    length(to.framing, &mut each);
    if takes_trailers(&head.fields) {
        each(Known::Te, b"te", b"trailers");
    }
    extra(to.extra, &mut each);
}

/// Calls `each` with the fields of the response as it goes to a client by frames.
pub fn response_fields(
    head: &ResponseHead,
    to: &ToClient<'_>,
    mut each: impl FnMut(Known, &[u8], &[u8]),
) {
    head.fields.each_but(NEVER, &mut each);
    length(to.framing, &mut each);
    extra(to.extra, &mut each);
}

fn length(framing: Framing, each: &mut impl FnMut(Known, &[u8], &[u8])) {
    if let Framing::Length(bytes) = framing {
        each(Known::ContentLength, b"content-length", decimal(bytes, &mut [0; 20]));
    }
}

/// Whole lines, as our own rules write them.
fn extra(extra: &[&[u8]], each: &mut impl FnMut(Known, &[u8], &[u8])) {
    for lines in extra {
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(colon) = line.iter().position(|&byte| byte == b':') {
                let name = &line[..colon];
                each(Known::of(name), name, line[colon + 1..].trim_ascii());
            }
        }
    }
}

impl Fields {
    /// Whether `lines` lines were read. A line that was written is one CR LF, and any in its value
    /// would be one more: so no value has become lines of its own.
    fn has_lines(&self, lines: usize) -> bool {
        self.list.len() == lines
    }

    /// Calls `each` with the name, known or other, and the value of every line, but for the known
    /// names in `but`.
    pub fn each_but(&self, but: u64, each: &mut impl FnMut(Known, &[u8], &[u8])) {
        let kept = self.list.iter().filter(|field| !field.dropped && field.known.bit() & but == 0);
        for field in kept {
            each(field.known, self.name_of(field), self.value_of(field));
        }
    }

    /// The trailers in `fields`: those that may stand there.
    ///
    /// # Errors
    /// A name or value that is none, or more bytes than `bytes_max`.
    pub fn of_trailers<'f>(
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        bytes_max: usize,
    ) -> Result<Box<Self>, Malformed> {
        let mut trailers = Box::<Self>::default();
        let mut bytes = 0;
        for (name, value) in fields {
            let is_value = value.iter().all(|&byte| is_value_byte(byte));
            if !is_lower_name(name) || !is_value || is_blank_around(value) {
                return Err(Malformed::Trailer);
            }
            bytes += name.len() + value.len() + b": \r\n".len();
            if bytes > bytes_max {
                return Err(Malformed::TrailerTooLarge);
            }
            if Known::of(name).bit() & NEVER_IN_TRAILERS == 0 {
                let name = std::str::from_utf8(name).map_err(|_| Malformed::Trailer)?;
                trailers.push(name, value);
            }
        }
        Ok(trailers)
    }
}
