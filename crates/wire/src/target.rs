//! Request targets and authorities: what RFC 3986 allows, and the one way in which it is read.

use std::net::Ipv6Addr;
use std::ops::Range;

use crate::h1::Malformed;

/// Where the parts of a request target lie in the text of its head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) path: Range<usize>,
    pub(crate) query: Option<Range<usize>>,
    pub(crate) authority: Range<usize>,
    pub(crate) host: Range<usize>,
    pub(crate) asterisk: bool,
    pub(crate) absolute: bool,
    pub(crate) https: bool,
    pub(crate) empty_segment: bool,
    /// Path and query as the client asked for them, once one of them is replaced.
    pub(crate) asked: Option<(Range<usize>, Option<Range<usize>>)>,
}

const PATH: u8 = 1;
const QUERY: u8 = 2;
/// `%`: a look at percent-encoding is needed.
const PERCENT: u8 = 4;
const SLASH: u8 = 8;
/// One to the left of [`SLASH`], so that a shift lays one on the other.
const DOT: u8 = 16;
/// `reg-name` of RFC 3986, but for the comma (with it a list of hosts would pass for one) and
/// percent-encoding (some readers decode it and some do not; no browser sends it).
const HOST: u8 = 32;

/// What each byte may be part of, or is.
///
/// Paths: `pchar` and `/` of RFC 3986, and `[ ] ^ |`, which browsers send as they are. Queries
/// also ``\ ` { }`` for the same reason (the query percent-encode set of the WHATWG URL standard).
/// No byte here can end a target or a line, so none can be framing.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'%' => PATH | QUERY | PERCENT,
            b'/' => PATH | QUERY | SLASH,
            b'.' => PATH | QUERY | HOST | DOT,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => PATH | QUERY | HOST,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => {
                PATH | QUERY | HOST
            }
            b',' | b':' | b'@' | b'[' | b']' | b'^' | b'|' => PATH | QUERY,
            b'?' | b'\\' | b'`' | b'{' | b'}' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    class
};

pub(crate) fn is_path_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & PATH != 0
}

pub(crate) fn is_query_byte(byte: u8) -> bool {
    CLASS[usize::from(byte)] & QUERY != 0
}

/// Reads the path and query in `text[range]`, resolving dot segments into new text at the end.
pub(crate) fn read_path(
    text: &mut Vec<u8>,
    range: Range<usize>,
    target: &mut Target,
) -> Result<(), Malformed> {
    let bytes = &text[range.clone()];
    let (mut path_bytes, mut any, mut slash_before, mut before) = (0, 0, 0, 0);
    for &byte in bytes {
        let class = CLASS[usize::from(byte)];
        if class & PATH == 0 {
            break;
        }
        path_bytes += 1;
        any |= class;
        slash_before |= class & (before | before << 1);
        before = class & SLASH;
    }
    let (path, query) = bytes.split_at(path_bytes);
    target.path = range.start..range.start + path_bytes;
    if let [first, query @ ..] = query {
        if *first != b'?' || query.iter().any(|&byte| !is_query_byte(byte)) {
            return Err(Malformed::Target);
        }
        target.query = Some(target.path.end + 1..range.end);
    }
    target.empty_segment = slash_before & SLASH != 0;
    if slash_before & DOT != 0 || any & PERCENT != 0 {
        check_percent(path)?;
        if let Some(resolved) = resolve_dots(path, target.empty_segment)? {
            let start = text.len();
            text.extend_from_slice(&resolved);
            target.path = start..text.len();
        }
    }
    Ok(())
}

fn check_percent(path: &[u8]) -> Result<(), Malformed> {
    for at in memchr::memchr_iter(b'%', path) {
        match path.get(at + 1..at + 3) {
            // To a reader who decodes it into a C string, the path ends here.
            Some(b"00") => return Err(Malformed::AmbiguousPath),
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(Malformed::PercentEncoding),
        }
    }
    Ok(())
}

/// Resolves `.` and `..` segments, plain or as `%2e` (RFC 3986, 5.2.4 and 6.2.2); `None` if there
/// are none.
///
/// Refused is what services read in two ways: dot segments beside empty ones, and dot segments
/// that appear only to a reader who decodes `%2f` and `%5c` first, or who cuts `;` parameters off
/// (`..;` walks up in some servlet engines).
fn resolve_dots(path: &[u8], empty_segment: bool) -> Result<Option<Vec<u8>>, Malformed> {
    let (mut resolved, mut any) = (Vec::with_capacity(path.len()), false);
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match dot_segment(segment)? {
            None => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
            }
            Some(up) => {
                any = true;
                if up {
                    let parent = memchr::memrchr(b'/', &resolved).unwrap_or(0);
                    resolved.truncate(parent);
                }
                if last {
                    resolved.push(b'/');
                }
            }
        }
    }
    if any && empty_segment {
        return Err(Malformed::AmbiguousPath);
    }
    Ok(any.then_some(resolved))
}

/// `Some(false)` for `.`, `Some(true)` for `..`.
fn dot_segment(segment: &[u8]) -> Result<Option<bool>, Malformed> {
    let mut plain = [0; 3];
    let (mut bytes, mut rest) = (0, segment);
    // Decodes at most three bytes: more cannot be a dot segment.
    while bytes < 3 && !rest.is_empty() {
        let width = if rest.len() >= 3 && rest[..3].eq_ignore_ascii_case(b"%2e") { 3 } else { 1 };
        plain[bytes] = if width == 3 { b'.' } else { rest[0] };
        bytes += 1;
        rest = &rest[width..];
    }
    match &plain[..bytes] {
        b"." => return Ok(Some(false)),
        b".." => return Ok(Some(true)),
        _ => {}
    }
    if hides_dots(segment) { Err(Malformed::AmbiguousPath) } else { Ok(None) }
}

/// Whether a reader who decodes `%2f`, `%5c` and `%2e`, or cuts at `;`, finds a dot segment.
fn hides_dots(segment: &[u8]) -> bool {
    if !segment.iter().any(|&byte| byte == b'%' || byte == b';') {
        return false;
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(&first) = rest.first() {
        let code = if first == b'%' && rest.len() >= 3 {
            [rest[1].to_ascii_lowercase(), rest[2].to_ascii_lowercase()]
        } else {
            [0; 2]
        };
        let (byte, width) = match &code {
            b"2e" => (b'.', 3),
            b"2f" | b"5c" => (b'/', 3),
            b"3b" => (b';', 3),
            _ => (first, 1),
        };
        decoded.push(byte);
        rest = &rest[width..];
    }
    decoded.split(|&byte| byte == b'/').any(|part| {
        let cut = part.split(|&byte| byte == b';').next().unwrap_or_default();
        cut == b".." || cut == b"."
    })
}

/// Checks `uri-host [ ":" port ]` (RFC 9110, 7.2) and returns where the host ends.
pub(crate) fn check_authority(authority: &[u8]) -> Result<usize, Malformed> {
    let host_bytes = match authority {
        [b'[', inner @ ..] => {
            let bytes = memchr::memchr(b']', inner).ok_or(Malformed::Host)?;
            let text = std::str::from_utf8(&inner[..bytes]).map_err(|_| Malformed::Host)?;
            text.parse::<Ipv6Addr>().map_err(|_| Malformed::Host)?;
            bytes + 2
        }
        name => {
            name.iter().position(|&byte| CLASS[usize::from(byte)] & HOST == 0).unwrap_or(name.len())
        }
    };
    let valid_port = match &authority[host_bytes..] {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && u16::try_from(number(digits)).is_ok()
        }
        _ => false,
    };
    if host_bytes > 0 && valid_port { Ok(host_bytes) } else { Err(Malformed::Host) }
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

fn host_bytes(authority: &[u8]) -> usize {
    if authority.first() == Some(&b'[') {
        return memchr::memchr(b']', authority).map_or(authority.len(), |at| at + 1);
    }
    memchr::memchr(b':', authority).unwrap_or(authority.len())
}

/// The host part of a checked authority.
pub(crate) fn host_of(text: &[u8], authority: &Range<usize>) -> Range<usize> {
    authority.start..authority.start + host_bytes(&text[authority.clone()])
}

/// Whether two authorities name the same host and port, given the scheme's default port.
pub(crate) fn same_authority(a: &[u8], b: &[u8], default_port: u32) -> bool {
    let parts = |authority: &'_ [u8]| {
        let host_bytes = host_bytes(authority);
        let port = authority.get(host_bytes + 1..).unwrap_or_default();
        let port = if port.is_empty() { default_port } else { number(port) };
        (host_bytes, port)
    };
    let ((a_host, a_port), (b_host, b_port)) = (parts(a), parts(b));
    a[..a_host].eq_ignore_ascii_case(&b[..b_host]) && a_port == b_port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<String, Malformed> {
        let mut target = Target::default();
        let mut bytes = text.as_bytes().to_vec();
        read_path(&mut bytes, 0..text.len(), &mut target)?;
        Ok(String::from_utf8(bytes[target.path].to_vec()).expect("ASCII"))
    }

    #[test]
    fn dot_segments_are_resolved_once_and_for_all() {
        for (given, expect) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/.b/..c/...", "/a/.b/..c/..."),
            ("/a%2Fb", "/a%2Fb"),
            ("//a", "//a"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(path(given).as_deref(), Ok(expect), "{given}");
        }
    }

    #[test]
    fn what_services_read_in_two_ways_is_refused() {
        for (given, expect) in [
            ("/a//../b", Malformed::AmbiguousPath),
            ("/a/..%2fb", Malformed::AmbiguousPath),
            ("/a/..%5cb", Malformed::AmbiguousPath),
            ("/a/x%2f..%2fb", Malformed::AmbiguousPath),
            ("/a/..;/b", Malformed::AmbiguousPath),
            ("/a/..;x=1/b", Malformed::AmbiguousPath),
            ("/a/%2e%2e%3b/b", Malformed::AmbiguousPath),
            ("/a%00", Malformed::AmbiguousPath),
            ("/a\\b", Malformed::Target),
            ("/a#b", Malformed::Target),
            ("/a\"b", Malformed::Target),
            ("/a<b", Malformed::Target),
            ("/\u{e4}", Malformed::Target),
            ("/%", Malformed::PercentEncoding),
            ("/%4", Malformed::PercentEncoding),
            ("/%zz", Malformed::PercentEncoding),
        ] {
            assert_eq!(path(given), Err(expect), "{given}");
        }
    }

    #[test]
    fn authorities_are_a_host_and_at_most_a_port() {
        for good in ["a", "a.b", "a_b", "a:80", "a:", "127.0.0.1:1", "[::1]", "[::1]:8080", "xn--a"]
        {
            assert!(check_authority(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "", ":80", "a:b", "a:80:80", "a b", "a,b", "a/b", "u@a", "[::1", "[g]", "a:65536",
            "[::1]x", "a:000080", "a?b", "a#b", "\u{e4}", "a\tb", "[]", "a%4",
        ] {
            assert_eq!(check_authority(bad.as_bytes()), Err(Malformed::Host), "{bad}");
        }
        assert!(same_authority(b"A:80", b"a", 80));
        assert!(!same_authority(b"a:81", b"a", 80));
        assert!(!same_authority(b"a", b"b", 80));
    }
}
