//! What is no HTTP/3 ends a stream or a connection, with the code that says why.

use super::Secure;
use crate::quic::{Asked, DATA, GOAWAY, HEADERS, Quic, SETTINGS, frame, head, parse, request};

const CLOSED_CRITICAL: u64 = 0x104;
const FRAME_UNEXPECTED: u64 = 0x105;
const FRAME: u64 = 0x106;
const ID: u64 = 0x108;
const SETTINGS_ERROR: u64 = 0x109;
const MISSING_SETTINGS: u64 = 0x10a;
const STREAM_CREATION: u64 = 0x103;
const INCOMPLETE: u64 = 0x10d;
const MESSAGE: u64 = 0x10e;
const DECOMPRESSION: u64 = 0x200;
const ENCODER_STREAM: u64 = 0x201;
const DECODER_STREAM: u64 = 0x202;

/// A control stream with these frames.
fn control(frames: &[Vec<u8>]) -> Vec<u8> {
    [&[0], &frames.concat()[..]].concat()
}

#[test]
fn a_broken_control_stream_ends_the_connection() {
    let pass = Secure::new("");
    for (said, code) in [
        (control(&[frame(GOAWAY, b"\0")]), MISSING_SETTINGS),
        (control(&[frame(SETTINGS, b""), frame(SETTINGS, b"")]), FRAME_UNEXPECTED),
        (control(&[frame(SETTINGS, b""), frame(DATA, b"")]), FRAME_UNEXPECTED),
        (control(&[frame(SETTINGS, b"\x02\x01")]), SETTINGS_ERROR),
        (control(&[frame(SETTINGS, b"\x06")]), FRAME),
        // The priority of a stream that the client may not open yet.
        (control(&[frame(SETTINGS, b""), frame(0xf_0700, b"\x80\x10\x00\x00u=1")]), ID),
        (vec![1], STREAM_CREATION),
        (b"\x02\x3f\xe1\x1f".to_vec(), ENCODER_STREAM),
        (b"\x03\x01".to_vec(), DECODER_STREAM),
    ] {
        let client = Quic::connect_with(pass.door.https[0], &pass.made, &said);
        assert_eq!(client.ended(), code, "{said:?}");
    }
    for again in [b"\x00\x04\x00".to_vec(), b"\x02\x20".to_vec()] {
        let client = pass.connect();
        let _first = client.say(&again);
        let _second = client.say(&again);
        assert_eq!(client.ended(), STREAM_CREATION);
    }
    let client = pass.connect();
    let mut encoder = client.say(b"\x02\x20");
    encoder.finish().expect("it is open");
    assert_eq!(client.ended(), CLOSED_CRITICAL);
}

#[test]
fn frames_out_of_order_end_the_connection() {
    let pass = Secure::new("");
    for (said, code) in [
        (frame(DATA, b"a"), FRAME_UNEXPECTED),
        (frame(SETTINGS, b""), FRAME_UNEXPECTED),
        (b"\x06\x00".to_vec(), FRAME_UNEXPECTED),
        (frame(HEADERS, b"\x02\x00"), DECOMPRESSION),
        (frame(HEADERS, b"\x00\x00\x80"), DECOMPRESSION),
    ] {
        let client = pass.connect();
        let _asked = client.open(&said, true);
        assert_eq!(client.ended(), code, "{said:?}");
    }
    let client = pass.connect();
    let half = &request("POST", "/", &[])[..9];
    let _asked = client.open(half, true);
    assert_eq!(client.ended(), FRAME);
}

#[test]
fn what_means_nothing_is_tolerated() {
    let pass = Secure::new("");
    let client = pass.connect();
    let unknown = frame(0x21, b"abc");
    let stream = client.say(b"\x40\x5fwhatever");
    assert_eq!(client.wait(stream.stopped()).expect("it is there"), Some(0x103_u32.into()));
    let (head, data) = (request("POST", "/", &[]), frame(DATA, b"hi"));
    let said = [&unknown[..], &head, &unknown, &data, &unknown];
    let mut asked = client.open(&said.concat(), true);
    let mut service = pass.upstream.accept();
    service.read_head();
    assert_eq!(service.read_until("0\r\n\r\n"), "2\r\nhi\r\n0\r\n\r\n");
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer(&mut asked).expect("an answer").text(), "ok");
}

/// Reads an answer as far as it comes, and how the stream ends.
fn told(client: &Quic, asked: &mut Asked) -> (Vec<u8>, Option<u64>) {
    client.wait(async {
        let mut bytes = Vec::new();
        loop {
            match asked.recv.read_chunk(1 << 20, true).await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
                Ok(None) => return (bytes, None),
                Err(quinn::ReadError::Reset(code)) => return (bytes, Some(code.into_inner())),
                Err(other) => panic!("{other}"),
            }
        }
    })
}

#[test]
fn malformed_requests_are_answered_and_their_streams_end() {
    let pass = Secure::new("");
    let client = pass.connect();
    let get =
        [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];
    for lines in [
        vec![],
        get[1..].to_vec(),
        get[..3].to_vec(),
        [&get[..], &[(":path", "/")]].concat(),
        [&get[..], &[(":status", "200")]].concat(),
        [&get[..], &[("connection", "close")]].concat(),
        [&get[..], &[("transfer-encoding", "chunked")]].concat(),
        [&get[..], &[("te", "gzip")]].concat(),
        [&get[..], &[("host", "other")]].concat(),
        [&get[..], &[("a", " b")]].concat(),
        [&[("a", "b")], &get[..]].concat(),
        [&[(":scheme", "http")], &get[..1], &get[2..]].concat(),
    ] {
        let mut asked = client.open(&head(&lines), false);
        let (bytes, code) = told(&client, &mut asked);
        // The reset may overtake the answer.
        assert!(code.is_none_or(|code| code == MESSAGE), "{lines:?}: {code:?}");
        if code.is_none() {
            let answer = parse(&bytes);
            let elsewhere = lines.contains(&(":scheme", "http"));
            assert_eq!(answer.status, if elsewhere { 421 } else { 400 }, "{lines:?}");
            assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        }
    }
    pass.is_next(&client);
}

#[test]
fn lengths_that_are_not_true_end_the_stream() {
    let pass = Secure::new("");
    let client = pass.connect();
    for (length, data) in [("3", &b"toolong"[..]), ("9", b"short")] {
        let fields = [("content-length", length)];
        let said = [request("POST", "/", &fields), frame(DATA, data)].concat();
        let mut asked = client.open(&said, true);
        let mut service = pass.upstream.accept();
        service.read_head();
        let (_, code) = told(&client, &mut asked);
        assert_eq!(code, Some(MESSAGE), "{length}");
        // What reached the service is not whole, and it can tell.
        assert!(service.read_to_end().0.len() < 9);
    }
    pass.is_next(&client);
}

#[test]
fn a_request_without_a_head_is_incomplete() {
    let pass = Secure::new("");
    let client = pass.connect();
    for said in [Vec::new(), frame(0x21, b"")] {
        let mut asked = client.open(&said, true);
        assert_eq!(told(&client, &mut asked).1, Some(INCOMPLETE));
    }
    pass.is_next(&client);
}

#[test]
fn heads_that_are_too_large_are_refused_and_the_limit_is_announced() {
    let pass = Secure::new("[limits]\nheader-bytes = \"8KiB\"\nheader-time = \"1s\"\n");
    let client = pass.connect();
    let long = "v".repeat(20_000);
    for fields in [vec![("a", long.as_str())], vec![("b", "v"); 200]] {
        let mut asked = client.open(&request("GET", "/", &fields), true);
        assert_eq!(client.answer(&mut asked).expect("an answer").status, 431);
    }
    // A few bytes that would become a lot.
    let mut bomb = vec![0, 0];
    bomb.extend([0xff, 85 - 63].repeat(2000));
    let mut asked = client.open(&frame(HEADERS, &bomb), true);
    assert_eq!(client.answer(&mut asked).expect("an answer").status, 431);
    // And one that does not come.
    let mut asked = client.open(&request("GET", "/", &[])[..7], false);
    assert_eq!(client.answer(&mut asked).expect("an answer").status, 408);
    pass.is_next(&client);
}

#[test]
fn connect_and_trace_are_refused() {
    let pass = Secure::new("");
    let client = pass.connect();
    let connect = head(&[(":method", "CONNECT"), (":authority", "other:443")]);
    assert_eq!(client.ask(&connect, b"").status, 501);
    let answer = client.ask(&request("TRACE", "/", &[]), b"");
    assert_eq!(answer.status, 405);
    assert!(answer.field("allow").is_some());
    pass.is_next(&client);
}
