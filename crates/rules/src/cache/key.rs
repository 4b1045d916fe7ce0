//! The primary key: which answers are for the same question.
//!
//! It begins with the URL, by which people purge; behind a NUL follows what else tells answers apart.
//! Scheme and host are always in it: a key of the path alone let one site's pages out on another's
//! (RUSTSEC-2026-0035).

use wire::RequestHead;

use super::config::{Cache, QueryRule};
use super::cookies;
use crate::Cx;
use crate::percent::{self, is_unreserved};

/// What is behind one another in a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyParts {
    /// How long the URL is.
    pub url_bytes: usize,
    /// How long the part is that clients share. Behind it stands who the client is.
    pub shared_bytes: usize,
}

impl Cache {
    /// Writes the key of a request to `service` into `out`.
    pub fn write_key(
        &self,
        head: &RequestHead,
        cx: &Cx,
        service: &str,
        out: &mut Vec<u8>,
    ) -> KeyParts {
        out.clear();
        write_origin(head, cx, out);
        write_normal(head.asked_path(), out);
        self.write_query(head.asked_query(), out);
        let url_bytes = out.len();
        out.push(0);
        out.extend_from_slice(service.as_bytes());
        out.push(0);
        out.extend_from_slice(&self.route.to_le_bytes());
        if head.asked_path() != head.path() || head.asked_query() != head.query() {
            // What the service sees may depend on more than the URL.
            out.push(0);
            head.write_target(out);
        }
        for name in &self.headers {
            out.push(0);
            out.extend_from_slice(name.as_bytes());
            for value in head.fields.all_named(name) {
                out.push(b'=');
                super::vary::normalise(name, std::iter::once(value), &mut |part| {
                    out.extend_from_slice(part);
                });
            }
        }
        for name in &self.cookie_names {
            out.push(0);
            out.push(b';');
            out.extend_from_slice(name.as_bytes());
            for (_, value) in cookies::all(&head.fields).filter(|(n, _)| *n == name.as_bytes()) {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        let shared_bytes = out.len();
        if let Some(identity) = cx.identity() {
            // The service is told who asks: each client has answers of its own, but for what is public.
            out.extend_from_slice(b"\0@");
            out.extend_from_slice(&super::hash(identity.lines()).to_le_bytes());
        }
        KeyParts { url_bytes, shared_bytes }
    }

    /// The URL of what answers a request for `url`, which is normal, as this cache has it.
    pub(crate) fn stored_url(&self, url: &[u8]) -> Vec<u8> {
        let end = url.iter().position(|&byte| byte == b'?').unwrap_or(url.len());
        let mut stored = url[..end].to_vec();
        self.write_query(url.get(end + 1..), &mut stored);
        stored
    }

    /// Takes out of the request what does not tell answers apart, so that it cannot change them.
    pub fn strip(&self, head: &mut RequestHead) {
        if !matches!(self.query, QueryRule::AsSent) && head.query().is_some() {
            let mut query = Vec::new();
            self.write_query(head.query(), &mut query);
            let rest = query.strip_prefix(b"?").map(<[u8]>::to_vec);
            if rest.as_deref() != head.query() {
                head.set_query(rest.as_deref());
            }
        }
        if !self.cookie_names.is_empty() || self.cookies == super::Cookies::Ignore {
            cookies::keep(&mut head.fields, &self.cookie_names);
        }
    }

    /// The query with its `?`, as far as it counts; nothing if nothing does.
    fn write_query(&self, query: Option<&[u8]>, out: &mut Vec<u8>) {
        let Some(query) = query else { return };
        let counts = |pair: &&[u8]| {
            let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let name: Vec<u8> = percent::QueryPart(&pair[..end]).collect();
            match &self.query {
                QueryRule::AsSent => true,
                QueryRule::Only(names) => names.iter().any(|names| names.cover(&name)),
                QueryRule::Except(names) => !names.iter().any(|names| names.cover(&name)),
            }
        };
        if matches!(self.query, QueryRule::AsSent) {
            out.push(b'?');
            return write_normal(query, out);
        }
        let pairs = query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
        let mut pairs: Vec<Vec<u8>> = pairs
            .filter(counts)
            .map(|pair| {
                let mut normal = Vec::with_capacity(pair.len());
                write_normal(pair, &mut normal);
                normal
            })
            .collect();
        // By name alone: the order of several values of one name means something.
        let name = |pair: &Vec<u8>| {
            let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            pair[..end].to_vec()
        };
        pairs.sort_by_key(name);
        for (at, pair) in pairs.iter().enumerate() {
            out.push(if at == 0 { b'?' } else { b'&' });
            out.extend_from_slice(pair);
        }
    }
}

/// The URL of a request, all of its query included.
pub(super) fn url(head: &RequestHead, cx: &Cx) -> Vec<u8> {
    let mut url = Vec::new();
    write_origin(head, cx, &mut url);
    write_normal(head.asked_path(), &mut url);
    if let Some(query) = head.asked_query() {
        url.push(b'?');
        write_normal(query, &mut url);
    }
    url
}

/// The URL that `reference`, a value of `Location` or `Content-Location`, stands for in the answer to
/// a request, if it is of the same origin.
///
/// RFC 9111, 4.4: "A cache MUST NOT trigger an invalidation under these conditions if the origin
/// (Section 4.3.1 of \[HTTP\]) of the URI to be invalidated differs from that of the target URI."
pub(super) fn resolve(reference: &[u8], head: &RequestHead, cx: &Cx) -> Option<Vec<u8>> {
    let mut base = Vec::new();
    write_origin(head, cx, &mut base);
    let reference = reference.trim_ascii();
    let reference = reference.split(|&byte| byte == b'#').next().unwrap_or_default();
    let has_scheme = reference.windows(3).position(|three| three == b"://");
    let relative = match has_scheme {
        Some(at) if reference[..at].iter().all(u8::is_ascii_alphanumeric) => {
            let rest = &reference[at + 3..];
            let path = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            let mut origin = reference[..at + 3].to_ascii_lowercase();
            write_authority(&rest[..path], origin.starts_with(b"https:"), &mut origin);
            if origin != base {
                return None;
            }
            &rest[path..]
        }
        _ => match reference.strip_prefix(b"//") {
            Some(rest) => {
                let path = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
                let scheme = base.iter().position(|&byte| byte == b'/')? + 2;
                let mut origin = base[..scheme].to_vec();
                write_authority(&rest[..path], cx.https, &mut origin);
                if origin != base {
                    return None;
                }
                &rest[path..]
            }
            None => reference,
        },
    };
    let split = relative.iter().position(|&byte| byte == b'?').unwrap_or(relative.len());
    let (path, query) = relative.split_at(split);
    let mut whole = Vec::new();
    if path.is_empty() && has_scheme.is_none() {
        whole.extend_from_slice(head.asked_path());
    } else if !path.starts_with(b"/") {
        // RFC 3986, 5.2.3: what stands behind the last slash is replaced.
        let asked = head.asked_path();
        let directory = asked.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        whole.extend_from_slice(&asked[..directory]);
        whole.extend_from_slice(path);
    } else {
        whole.extend_from_slice(path);
    }
    write_normal(&without_dots(&whole), &mut base);
    write_normal(query, &mut base);
    Some(base)
}

/// What follows scheme and authority of a URL that somebody wrote, in its one form. A whole one has no
/// dots to follow any more; what is only the beginning of some is left as it is.
pub(crate) fn normal_url(origin: &[u8], rest: &[u8], whole: bool) -> Vec<u8> {
    let end = rest.iter().position(|&byte| byte == b'?').unwrap_or(rest.len());
    let (path, query) = rest.split_at(end);
    let mut normal = Vec::new();
    // First, since an escaped dot is one, too.
    write_normal(path, &mut normal);
    let path = if whole { without_dots(&normal) } else { normal };
    let mut url = [origin, &path].concat();
    write_normal(query, &mut url);
    url
}

/// `http://example.com:8080`, the default port left out and the host in lower case.
fn write_origin(head: &RequestHead, cx: &Cx, out: &mut Vec<u8>) {
    out.extend_from_slice(if cx.https { b"https://" } else { b"http://" });
    write_authority(head.authority(), cx.https, out);
}

fn write_authority(authority: &[u8], https: bool, out: &mut Vec<u8>) {
    let port: &[u8] = if https { b":443" } else { b":80" };
    let authority = authority.strip_suffix(port).unwrap_or(authority);
    let authority = authority.strip_suffix(b":").unwrap_or(authority);
    let start = out.len();
    out.extend_from_slice(authority);
    out[start..].make_ascii_lowercase();
}

/// Writes a path or a query in the one form that all its equivalents have (RFC 3986, 6.2.2): escapes
/// in capitals, and none of what needs none.
fn write_normal(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.get(1..3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            out.push(b'%');
            rest = &rest[1..];
            continue;
        };
        let byte = percent::decoded(&rest[..3]).next().unwrap_or_default();
        if is_unreserved(byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend(digits.iter().map(u8::to_ascii_uppercase));
        }
        rest = &rest[3..];
    }
    out.extend_from_slice(rest);
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|&byte| byte == b'/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            b".." => {
                kept.pop();
                if last {
                    kept.push(b"");
                }
            }
            b"." if last => kept.push(b""),
            b"." => {}
            segment => kept.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}
