//! Messages changed at random, from a seed: whatever comes in, what goes out is HTTP, whole or
//! visibly broken off, and nothing panics.

use std::time::Duration;

use crate::door::{Door, End, LIMIT, Upstream};
use crate::wire::text;

use super::to;

const REQUESTS: &[&str] = &[
    "GET /a?b=c HTTP/1.1\r\nHost: h\r\nAccept: text/html, */*;q=0.1\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nX-A: b\r\n\r\n",
    "PUT http://h:80/a/../b%2fc HTTP/1.1\r\nHost: h\r\nConnection: X-A, TE\r\nTE: trailers\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi",
    "GET /own HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=\"[::1]\"\r\nVia: 1.1 a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 5\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\nCookie: a=b; c=d\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "GET /files/a%20b HTTP/1.1\r\nHost: [::1]:80\r\nRange: bytes=0-1,3-\r\nIf-None-Match: \"x\"\r\n\r\n",
];

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nServer: s\r\n\r\nhello world",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nX-A: b\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 204 No Content\r\nConnection: keep-alive, X-A\r\nX-A: b\r\n\r\n",
];

/// What parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"=",
    b"\"",
    b"%",
    b"/",
    b"//",
    b"..",
    b"\x7f",
    b"\xff",
    b"0",
    b"5",
    b"f",
    b"-",
    b"_",
    b"*",
    b"?",
    b"#",
    b"@",
    b"[",
    b"]",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Host: x\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"99999999999999999999",
];

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// One of `messages`, changed in one to three places.
    fn mutated(&mut self, messages: &[&str]) -> Vec<u8> {
        let mut bytes = messages[self.below(messages.len())].as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(6) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes.truncate(at),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                3 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        bytes
    }
}

/// Why a stream of bytes is not a row of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// The last one is not whole.
    Short,
    NotHttp,
}

/// Splits `stream` into messages as the plainest reader would.
fn messages(stream: &[u8], is_response: bool) -> Result<Vec<String>, Wrong> {
    let (mut messages, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let head = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(Wrong::Short)? + 4;
        let body = &rest[head..];
        let framing = read_head(&text(&rest[..head - 4]), is_response).ok_or(Wrong::NotHttp)?;
        let end = match framing {
            Framing::None => 0,
            Framing::Length(length) => body.get(..length).ok_or(Wrong::Short)?.len(),
            Framing::Chunked => end_of_chunks(body)?,
            Framing::UntilClose => body.len(),
        };
        messages.push(text(&rest[..head + end]));
        rest = &body[end..];
    }
    Ok(messages)
}

enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// `None` if `head` is not as we write one.
fn read_head(head: &str, is_response: bool) -> Option<Framing> {
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), 0, 0);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"(),/:;<=>?@[\\]{}\"".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) || value.contains(['\r', '\n', '\0']) {
            return None;
        }
        match &*name.to_ascii_lowercase() {
            "content-length" => lengths.push(value.trim().parse::<usize>().ok()?),
            "transfer-encoding" if value.trim() == "chunked" => codings += 1,
            "transfer-encoding" => return None,
            "host" => hosts += 1,
            _ => {}
        }
    }
    let status = first.strip_prefix("HTTP/1.1 ").map(|rest| rest.get(..3).unwrap_or_default());
    let sound = match is_response {
        true => status.is_some(),
        false => first.ends_with(" HTTP/1.1") && hosts == 1,
    };
    if !sound || first.contains(['\r', '\n']) || lengths.len() + codings > 1 {
        return None;
    }
    let status = status.filter(|_| is_response).unwrap_or_default();
    Some(match (status, lengths.first(), codings) {
        ("204" | "304", ..) => Framing::None,
        _ if status.starts_with('1') => Framing::None,
        (_, Some(length), _) => Framing::Length(*length),
        (_, _, 1) => Framing::Chunked,
        _ if is_response => Framing::UntilClose,
        _ => Framing::None,
    })
}

fn end_of_chunks(body: &[u8]) -> Result<usize, Wrong> {
    let mut at = 0;
    let line_end = |at: usize| {
        let line = body[at..].windows(2).position(|bytes| bytes == b"\r\n");
        line.map(|line| at + line).ok_or(Wrong::Short)
    };
    loop {
        let line = line_end(at)?;
        let size = usize::from_str_radix(&text(&body[at..line]), 16).map_err(|_| Wrong::NotHttp)?;
        at = line + 2;
        if size == 0 {
            break;
        }
        let behind = body.get(at + size..at + size + 2).ok_or(Wrong::Short)?;
        if behind != b"\r\n" {
            return Err(Wrong::NotHttp);
        }
        at += size + 2;
    }
    loop {
        let line = line_end(at)?;
        if line == at {
            return Ok(at + 2);
        }
        at = line + 2;
    }
}

const RUNS: usize = 1_000;

fn door(upstream: &Upstream) -> Door {
    Door::start(&format!(
        "{}first-byte = \"500ms\"\nretry = {{ attempts = 1 }}\n[[route]]\npath = \"/own\"\nrespond = {{ body = \"own\" }}\n\
         [limits]\nbody-idle = \"300ms\"\nheader-time = \"300ms\"\nupgrade-idle = \"1s\"\n",
        to(upstream)
    ))
}

#[track_caller]
fn assert_sound(door: &Door) {
    let said = door.stderr.all();
    assert!(!said.iter().any(|line| line.contains("\"bug\"")), "{}", said.join("\n"));
}

#[test]
fn what_services_get_is_whole_or_broken_off() {
    let upstream = Upstream::new();
    let door = door(&upstream);
    // It answers every whole request, and keeps the bytes.
    let (keep, kept) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Some(mut wire) = upstream.try_accept(LIMIT) {
            let keep = keep.clone();
            std::thread::spawn(move || {
                let (mut all, mut answered) = (Vec::new(), 0);
                while let Some(bytes) = wire.read_some() {
                    all.extend(bytes);
                    let whole = messages(&all, false).map_or(answered, |messages| messages.len());
                    for _ in answered..whole {
                        let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
                    }
                    answered = whole;
                }
                let _ = keep.send(all);
            });
        }
    });
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for run in 0..RUNS {
        let request = dice.mutated(REQUESTS);
        let mut client = door.connect();
        let _ = client.try_send(&request);
        client.end();
        let (response, end) = client.read_to_end();
        let whole = messages(&response, true);
        assert!(
            whole.is_ok() || whole == Err(Wrong::Short) && end == End::Reset,
            "run {run}: {:?} is answered {:?}",
            text(&request),
            text(&response)
        );
        // Where the door saw a request, so did the service.
        let late = text(&response).contains("HTTP/1.1 504 ");
        assert!(!late, "run {run}: {:?} was not understood", text(&request));
    }
    assert_sound(&door);
    drop(door);
    // Its connections have ended with it.
    let streams: Vec<Vec<u8>> =
        std::iter::from_fn(|| kept.recv_timeout(Duration::from_millis(500)).ok()).collect();
    assert!(!streams.is_empty(), "nothing got through");
    for stream in streams {
        assert_ne!(messages(&stream, false), Err(Wrong::NotHttp), "{:?}", text(&stream));
    }
}

#[test]
fn what_clients_get_is_whole_or_broken_off() {
    let upstream = Upstream::new();
    let door = door(&upstream);
    let mut dice = Dice(0xfeed_5678_9abc_def1);
    let (mut whole, mut bad, mut broken) = (0, 0, 0);
    for run in 0..RUNS {
        let answer = dice.mutated(ANSWERS);
        let version = ["1.1", "1.0"][dice.below(2)];
        let mut client = door.connect();
        client.send(format!("GET /a HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n"));
        let mut service = upstream.accept();
        service.read_request();
        service.send(&answer);
        drop(service);
        let (response, end) = client.read_to_end();
        let said = text(&response);
        let story = || format!("run {run}: {:?} became {said:?}, {end:?}", text(&answer));
        match (messages(&response, true), end) {
            (Ok(messages), End::Closed) => {
                let last = messages.last().unwrap_or_else(|| panic!("{}", story()));
                assert!(
                    messages[..messages.len() - 1]
                        .iter()
                        .all(|message| message.starts_with("HTTP/1.1 1")),
                    "{}",
                    story()
                );
                if last.starts_with("HTTP/1.1 502 ") {
                    bad += 1;
                } else {
                    whole += 1;
                }
            }
            (Ok(_) | Err(Wrong::Short), End::Reset) => broken += 1,
            (Err(_), _) => panic!("{}", story()),
        }
    }
    assert!(whole > 100 && bad > 100 && broken + bad > 100, "{whole} {bad} {broken}");
    assert_sound(&door);
}
