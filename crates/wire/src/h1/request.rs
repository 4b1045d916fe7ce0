//! Reads a request head (RFC 9112, 2 and 3).

use std::mem::MaybeUninit;

use super::{Connection, HeadLimits, Malformed};
use crate::fields::FIELDS_MAX;
use crate::head::{Method, RequestHead, Version};
use crate::known::Known;
use crate::target::{check_authority, host_of, read_path, same_authority};

impl RequestHead {
    /// Reads the whole head `bytes`, as [`super::HeadScan`] found it, into `self`.
    ///
    /// # Errors
    /// Whatever is not exactly as RFC 9112 and RFC 9110 have it; see [`Malformed`].
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
        self.clear();
        let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            // The scan saw the end of the head where the parser did not: they disagree on a line.
            Ok(_) => return Err(Malformed::FieldLine),
            Err(error) => return Err(refuse(error, bytes)),
        }
        if request.headers.len() > limits.fields_max {
            return Err(Malformed::TooManyFields);
        }
        let method = request.method.ok_or(Malformed::RequestLine)?;
        let target = request.path.ok_or(Malformed::RequestLine)?;
        self.version = if request.version == Some(0) {
            Version::Http10
        } else {
            Version::Http11
        };
        self.method = Method::of(method.as_bytes());
        self.method_bytes = u16::try_from(method.len()).map_err(|_| Malformed::RequestLine)?;
        self.fields.text.extend_from_slice(bytes);
        self.fields.adopt(0, bytes, request.headers);
        let target_start = target.as_ptr() as usize - bytes.as_ptr() as usize;
        self.read_target(target_start, target.as_bytes())?;
        self.connection = Connection::take(&mut self.fields)?;
        Ok(())
    }

    fn read_target(&mut self, start: usize, target: &[u8]) -> Result<(), Malformed> {
        self.read_host()?;
        let end = start + target.len();
        match (target, self.method) {
            // The engine refuses CONNECT whole; its authority form is nobody's path.
            (_, Method::Connect) => Ok(()),
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
        let (rest, port): (_, &[u8]) = if starts_with_ignoring_case(target, b"http://") {
            (7, b"80")
        } else if starts_with_ignoring_case(target, b"https://") {
            self.target.https = true;
            (8, b"443")
        } else {
            return Err(Malformed::Target);
        };
        self.target.absolute = true;
        let tail = &target[rest..];
        let authority_bytes = tail
            .iter()
            .position(|byte| b"/?#".contains(byte))
            .unwrap_or(tail.len());
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
        let mut hosts = self
            .fields
            .list
            .iter()
            .filter(|field| field.known == Known::Host && !field.dropped);
        let Some(&host) = hosts.next() else {
            return match self.version {
                Version::Http11 => Err(Malformed::HostMissing),
                Version::Http10 => Ok(()),
            };
        };
        if hosts.next().is_some() {
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
    Ok(head.version == Version::Http11)
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// What `httparse` minded, in our words. Its `Version` covers both another version and no version.
fn refuse(error: httparse::Error, bytes: &[u8]) -> Malformed {
    match error {
        httparse::Error::TooManyHeaders => Malformed::TooManyFields,
        httparse::Error::Version => {
            let line = bytes
                .split(|&byte| byte == b'\r')
                .next()
                .unwrap_or_default();
            let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
            match version {
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    Malformed::Version
                }
                _ => Malformed::RequestLine,
            }
        }
        httparse::Error::Token => Malformed::RequestLine,
        _ => {
            let first_line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
            // `httparse` says `NewLine` for what stands behind the version.
            match httparse::Request::new(&mut []).parse(&bytes[..=first_line.min(bytes.len() - 1)])
            {
                Ok(_) | Err(httparse::Error::TooManyHeaders) => Malformed::FieldLine,
                Err(_) => Malformed::RequestLine,
            }
        }
    }
}
