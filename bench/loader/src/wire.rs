//! The bytes on the wire: the request, the response, and how both are checked.

use crate::args::{Args, Headers};
use crate::sys;

/// Header lines of a typical browser request; wrk sends the same.
const BROWSER: &str = include_str!("../../conf/browser-request.txt");
const PLAIN: &str = "Host: 127.0.0.1\n";

/// Response header lines that a proxy has to pass on as they are.
const END_TO_END: &[(&str, &str)] = &[
    ("Content-Type", "application/octet-stream"),
    ("Last-Modified", "Mon, 23 Nov 2026 19:00:00 GMT"),
    ("Cache-Control", "public, max-age=3600"),
    ("Accept-Ranges", "bytes"),
];

/// How many different bodies there are; `--verify` asks for them in turn.
pub const BODIES: usize = 4096;

/// Everything that is sent in a run, made once.
pub struct Wire {
    pub size: usize,
    pub verify: bool,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    bytes: Vec<u8>,
}

impl Wire {
    pub fn new(args: &Args) -> Self {
        let lines = match args.headers {
            Headers::Rich => BROWSER,
            Headers::Plain => PLAIN,
        };
        Self {
            size: args.size,
            verify: args.verify,
            path: args.path.clone(),
            headers: lines.lines().filter_map(|line| line.split_once(": ")).collect(),
            bytes: noise(args.size + BODIES),
        }
    }

    /// The request for body number `body`. Only `--verify` uses other numbers than 0.
    pub fn request(&self, body: usize) -> Vec<u8> {
        let path = &self.path;
        let mark = if path.contains('?') { '&' } else { '?' };
        let target = if self.verify { format!("{path}{mark}body={body}") } else { path.clone() };
        let mut request = format!("GET {target} HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        request.into_bytes()
    }

    pub fn body(&self, body: usize) -> &[u8] {
        &self.bytes[body % BODIES..][..self.size]
    }

    pub fn response(&self, body: usize) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 23 Nov 2026 20:00:00 GMT\r\n\
             Content-Length: {}\r\nConnection: keep-alive\r\n",
            self.size
        );
        for (name, value) in END_TO_END {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        [head.as_bytes(), self.body(body)].concat()
    }

    /// What a response head has to say, checked as far as the mode asks.
    pub fn check_response_head(&self, head: &[u8]) -> Result<(), String> {
        if !head.starts_with(b"HTTP/1.1 200 ") {
            return Err(format!("not a 200: {}", first_line(head)));
        }
        if !self.verify {
            return Ok(());
        }
        let fields = Fields::parse(head)?;
        fields.expect("content-length", &self.size.to_string())?;
        if fields.values("transfer-encoding").next().is_some() {
            return Err("response: transfer-encoding next to content-length".into());
        }
        END_TO_END.iter().try_for_each(|(name, value)| fields.expect(name, value))
    }

    /// What arrived at the origin has to be what the client sent. Returns the body asked for.
    pub fn check_request_head(&self, head: &[u8]) -> Result<usize, String> {
        let target = head
            .strip_prefix(b"GET ")
            .and_then(|rest| Some(&rest[..sys::find_byte(b' ', rest)?]))
            .and_then(|target| std::str::from_utf8(target).ok())
            .ok_or_else(|| format!("request line: {}", first_line(head)))?;
        let body = target
            .strip_prefix(self.path.as_str())
            .and_then(|query| query[1..].strip_prefix("body="))
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| format!("request target: {target}"))?;
        let fields = Fields::parse(head)?;
        if fields.values("host").count() != 1 {
            return Err("request: not exactly one host".into());
        }
        // Host is the proxy's to choose.
        self.headers
            .iter()
            .filter(|(name, _)| *name != "Host")
            .try_for_each(|(name, value)| fields.expect(name, value))?;
        Ok(body)
    }
}

/// Bytes without a pattern that a shifted or swapped copy could share (xorshift64, fixed seed).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

fn first_line(head: &[u8]) -> String {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or(head);
    String::from_utf8_lossy(&line[..line.len().min(120)]).trim_end().into()
}

/// The header lines of a head, for `--verify` only.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(head: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(head).map_err(|_| "head: not UTF-8")?;
        text.trim_end_matches("\r\n")
            .split("\r\n")
            .skip(1)
            .map(|line| {
                line.split_once(':')
                    .map(|(name, value)| (name, value.trim()))
                    .ok_or_else(|| format!("header line without colon: {line}"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn values(&self, wanted: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|&(_, value)| value)
    }

    /// Exactly one such line, with exactly this value.
    fn expect(&self, name: &str, value: &str) -> Result<(), String> {
        let found: Vec<_> = self.values(name).collect();
        if found == [value] {
            Ok(())
        } else {
            Err(format!("{name}: sent {value:?}, arrived {found:?}"))
        }
    }
}

/// Finds the end of a head that arrives in pieces, wherever they are cut.
#[derive(Default)]
pub struct HeadEnd {
    /// The unfinished line so far: its length and its last byte.
    length: usize,
    last: u8,
}

impl HeadEnd {
    /// How many bytes of `piece` belong to the head, once its blank line has come.
    pub fn find(&mut self, piece: &[u8]) -> Option<usize> {
        let mut start = 0;
        while let Some(offset) = sys::find_byte(b'\n', &piece[start..]) {
            let line = &piece[start..start + offset];
            let blank = match self.length {
                0 => line == b"\r",
                1 => self.last == b'\r' && line.is_empty(),
                _ => false,
            };
            start += offset + 1;
            *self = Self::default();
            if blank {
                return Some(start);
            }
        }
        self.length += piece.len() - start;
        self.last = piece[start..].last().copied().unwrap_or(self.last);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(verify: bool) -> Wire {
        let line = "--port 1 --size 1000";
        let mut args = crate::args::parse(line.split(' ').map(String::from)).unwrap();
        args.verify = verify;
        Wire::new(&args)
    }

    #[test]
    fn head_end_is_found_wherever_the_pieces_are_cut() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\nc:\r\n\r\n";
        let all = [&head[..], b"more\r\n\r\n"].concat();
        for first in 0..head.len() {
            for second in first..head.len() {
                let mut end = HeadEnd::default();
                assert_eq!(end.find(&all[..first]), None);
                assert_eq!(end.find(&all[first..second]), None);
                assert_eq!(end.find(&all[second..]), Some(head.len() - second));
            }
        }
    }

    #[test]
    fn head_end_is_not_seen_in_a_line_of_one_byte() {
        let mut end = HeadEnd::default();
        assert_eq!(end.find(b"a"), None);
        assert_eq!(end.find(b"\nb\n"), None);
        assert_eq!(end.find(b"\r"), None);
        assert_eq!(end.find(b"\n"), Some(1));
    }

    #[test]
    fn what_is_sent_passes_its_own_check() {
        let wire = wire(true);
        assert_eq!(wire.check_request_head(&wire.request(17)), Ok(17));
        let response = wire.response(17);
        let head = response.len() - 1000;
        assert_eq!(wire.check_response_head(&response[..head]), Ok(()));
        assert_eq!(&response[head..], wire.body(17));
    }

    #[test]
    fn a_changed_head_is_refused() {
        let wire = wire(true);
        let response = String::from_utf8_lossy(&wire.response(0)[..400]).into_owned();
        let head = &response[..response.find("\r\n\r\n").unwrap() + 4];
        for (from, to) in [
            ("200 OK", "502 Bad Gateway"),
            ("Content-Length: 1000", "Content-Length: 999"),
            ("Content-Length: 1000\r\n", ""),
            ("Content-Length: 1000", "Content-Length: 1000\r\nContent-Length: 1000"),
            ("Content-Length: 1000", "Content-Length: 1000\r\nTransfer-Encoding: chunked"),
            ("public, max-age=3600", "public"),
        ] {
            let changed = head.replace(from, to);
            assert_ne!(changed, head);
            assert!(wire.check_response_head(changed.as_bytes()).is_err(), "{to}");
        }
        let request = String::from_utf8(wire.request(3)).unwrap();
        for (from, to) in [
            ("gzip, deflate, br, zstd", "gzip"),
            ("Host: www.example.com\r\n", ""),
            ("GET ", "POST "),
        ] {
            let changed = request.replace(from, to);
            assert!(wire.check_request_head(changed.as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn bodies_differ() {
        let wire = wire(true);
        assert_ne!(wire.body(0), wire.body(1));
        assert_ne!(wire.request(0), wire.request(1));
    }
}
