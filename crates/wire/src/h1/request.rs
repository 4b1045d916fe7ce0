//! Reads a request head (RFC 9112, 2 and 3).

use std::ops::Range;

use super::lines::{line_end, read_fields};
use super::{Connection, HeadLimits, HeadScan, Malformed};
use crate::fields::{Field, is_token_byte};
use crate::head::{Method, RequestHead, Version};
use crate::known::Known;
use crate::target::{check_authority, host_of, read_path, same_authority};

impl RequestHead {
    /// Reads the head that `bytes` begin with and returns where it ends; `None` if more bytes are
    /// needed. `scan` remembers how far it got: what arrives whole is looked at once.
    ///
    /// # Errors
    /// Whatever is not exactly as RFC 9112 and RFC 9110 have it; see [`Malformed`].
    pub fn read(
        &mut self,
        bytes: &[u8],
        scan: &mut HeadScan,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Malformed> {
        let read = scan.read(bytes, limits, |head| self.read_head(head, limits));
        if !matches!(read, Ok(Some(_))) {
            // Half a head has lines without their text.
            self.clear();
        }
        read
    }

    /// Reads the whole head `bytes`, as [`super::HeadScan`] found it, into `self`.
    ///
    /// # Errors
    /// The same as for [`RequestHead::read`].
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
        let read = match self.read_head(bytes, limits) {
            Ok(end) if end == bytes.len() => Ok(()),
            Ok(_) => Err(Malformed::FieldLine),
            Err(malformed) => Err(malformed),
        };
        if read.is_err() {
            self.clear();
        }
        read
    }

    /// Reads a head up to its end, wherever that is; [`Malformed::Truncated`] if it has none.
    fn read_head(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<usize, Malformed> {
        self.clear();
        let line_end = line_end(bytes, 0, Malformed::RequestLine)?;
        if line_end > limits.request_line_bytes_max {
            return Err(Malformed::RequestLineTooLong);
        }
        let target = self.read_request_line(&bytes[..line_end])?;
        let lines = read_fields(&mut self.fields, bytes, line_end + 2, limits.fields_max)?;
        if lines.lookalike {
            return Err(Malformed::LookalikeName);
        }
        self.fields.text.extend_from_slice(&bytes[..lines.end]);
        self.read_target(target.start, &bytes[target.clone()]).map_err(|malformed| match bytes
            [target]
            .contains(&b' ')
        {
            true => Malformed::RequestLine,
            false => malformed,
        })?;
        self.connection = Connection::take(&mut self.fields)?;
        Ok(lines.end)
    }

    /// RFC 9112, 3: `method SP request-target SP HTTP-version`; returns where the target lies.
    ///
    /// A recipient "MAY instead parse on whitespace-delimited word boundaries". It is not done:
    /// each reader would find another target in the same line.
    fn read_request_line(&mut self, line: &[u8]) -> Result<Range<usize>, Malformed> {
        let whole = line;
        let (line, version) = line.split_last_chunk::<9>().ok_or(Malformed::RequestLine)?;
        self.version = match version {
            b" HTTP/1.1" => Version::Http11,
            b" HTTP/1.0" => Version::Http10,
            [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Malformed::Version);
            }
            _ if is_foreign(whole) => return Err(Malformed::NotHttp),
            _ => return Err(Malformed::RequestLine),
        };
        let method = line.iter().position(|&byte| byte == b' ');
        let method = method.ok_or(Malformed::RequestLine)?;
        let target = method + 1..line.len();
        self.method = Method::of(&line[..method]);
        // Those that are known are tokens.
        let is_token = || method > 0 && line[..method].iter().all(|&byte| is_token_byte(byte));
        if target.is_empty() || self.method == Method::Other && !is_token() {
            return Err(Malformed::RequestLine);
        }
        self.method_bytes = u16::try_from(method).map_err(|_| Malformed::RequestLine)?;
        Ok(target)
    }

    fn read_target(&mut self, start: usize, target: &[u8]) -> Result<(), Malformed> {
        self.read_host()?;
        let end = start + target.len();
        match (target, self.method) {
            // The engine refuses CONNECT whole; its authority form is nobody's path.
            (_, Method::Connect) => check_authority(target).map(|_| ()),
            ([b'/', ..], _) => {
                if self.fields.has(Known::Host) && self.target.authority.is_empty() {
                    // RFC 9110, 4.2.1: an `http` URI with an empty host is invalid.
                    return Err(Malformed::Host);
                }
                read_path(&mut self.fields.text, start..end, &mut self.target)
            }
            (b"*", Method::Options) => {
                self.target.asterisk = true;
                self.target.path = start..end;
                Ok(())
            }
            _ => self.read_absolute(start, target),
        }
    }

    /// RFC 9112, 3.2.2. The authority of the target is the request's; `Host` must agree.
    fn read_absolute(&mut self, start: usize, target: &[u8]) -> Result<(), Malformed> {
        let (rest, port) = if starts_with_ignoring_case(target, b"http://") {
            (7, 80)
        } else if starts_with_ignoring_case(target, b"https://") {
            self.target.https = true;
            (8, 443)
        } else {
            return Err(Malformed::Target);
        };
        self.target.absolute = true;
        let tail = &target[rest..];
        let authority_bytes =
            tail.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(tail.len());
        let authority = &tail[..authority_bytes];
        check_authority(authority)?;
        let host_field = &self.fields.text[self.target.authority.clone()];
        if self.fields.has(Known::Host) && !same_authority(host_field, authority, port) {
            return Err(Malformed::HostDisagrees);
        }
        let authority_start = start + rest;
        self.target.authority = authority_start..authority_start + authority_bytes;
        self.target.host = host_of(&self.fields.text, &self.target.authority);
        let path_start = self.target.authority.end;
        let path = path_start..start + target.len();
        if self.fields.text[path.clone()].first() == Some(&b'/') {
            return read_path(&mut self.fields.text, path, &mut self.target);
        }
        if path.is_empty() && self.method == Method::Options {
            // RFC 9112, 3.2.4: the last proxy turns this into the asterisk form.
            self.target.asterisk = true;
            let text = &mut self.fields.text;
            self.target.path = text.len()..text.len() + 1;
            text.push(b'*');
            return Ok(());
        }
        // An empty path is `/` (RFC 9110, 4.2.3).
        let text = &mut self.fields.text;
        let whole = text.len()..text.len() + 1 + path.len();
        text.push(b'/');
        text.extend_from_within(path);
        read_path(text, whole, &mut self.target)
    }

    /// RFC 9112, 3.2: 400 for a request of HTTP/1.1 that lacks `Host`, and for any request with
    /// more than one or an invalid one.
    fn read_host(&mut self) -> Result<(), Malformed> {
        let is_host = |field: &&Field| field.known == Known::Host && !field.dropped;
        let Some(&host) = self.fields.list.iter().find(is_host) else {
            return match self.version {
                Version::Http10 => Ok(()),
                _ => Err(Malformed::HostMissing),
            };
        };
        if self.fields.is_repeated(Known::Host) {
            return Err(Malformed::HostRepeated);
        }
        let range = host.value_start as usize..host.value_end as usize;
        if range.is_empty() {
            return Ok(());
        }
        let host_bytes = check_authority(&self.fields.text[range.clone()])?;
        self.target.host = range.start..range.start + host_bytes;
        self.target.authority = range;
        Ok(())
    }
}

/// Whether the client waits for `100 Continue` before it sends its body (RFC 9110, 10.1.1).
///
/// # Errors
/// An expectation other than `100-continue`.
pub fn wants_continue(head: &RequestHead) -> Result<bool, Malformed> {
    if !head.fields.has(Known::Expect) {
        return Ok(false);
    }
    let mut expectations = head.fields.all(Known::Expect);
    if expectations.any(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Malformed::Expectation);
    }
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore" it.
    Ok(head.version != Version::Http10)
}

/// Whether a request line has three words and neither a target nor a version of HTTP among them.
/// To answer another protocol in text of ours could be turned against its client (ALPACA).
fn is_foreign(line: &[u8]) -> bool {
    line.split(|&byte| byte == b' ').count() == 3 && !line.contains(&b'/')
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
