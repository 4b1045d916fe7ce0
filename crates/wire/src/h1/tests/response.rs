//! Responses: what a service may say, and what it must not make a client read (RFC 9112, 4 and 6.3).

use super::response_to;
use crate::h1::{HeadLimits, HeadScan, Malformed, response_framing};
use crate::head::{Method, ResponseHead};

#[track_caller]
fn refused(malformed: Malformed, responses: &[&[u8]]) {
    for bytes in responses {
        let response = response_to(Method::Get, bytes);
        assert_eq!(response, Err(malformed), "{:?}", super::text(bytes));
    }
}

#[track_caller]
fn carried_to(method: Method, responses: &[(&str, &str)]) {
    for (bytes, expect) in responses {
        let response = response_to(method, bytes.as_bytes());
        assert_eq!(response.as_deref(), Ok(*expect), "{bytes:?}");
    }
}

#[track_caller]
fn carried(responses: &[(&str, &str)]) {
    carried_to(Method::Get, responses);
}

fn with_lines(lines: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", lines, b"\r\n\r\n"].concat()
}

#[track_caller]
fn lines_refused(malformed: Malformed, lines: &[&[u8]]) {
    for lines in lines {
        refused(malformed, &[&with_lines(lines)]);
    }
}

#[test]
fn a_status_line_is_version_code_and_reason() {
    let with = |line: &[u8]| [line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
    for line in [
        &b"HTTP/1.1"[..],
        b"HTTP/1.1 ",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 20x OK",
        b"HTTP/1.1 2 0 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 +200 OK",
        b"HTTP/1.1 -200 OK",
        b"HTTP/1.1 0200 OK",
        b"HTTP/1.1 0xc8 OK",
        b"HTTP/1.1 \xb2\xb0\xb0 OK",
        b"HTTP/1.1 OK 200",
        b"HTTP/1.1200 OK",
        b"HTTP/1 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/1.1x 200 OK",
        b"HTTP/11 200 OK",
        b"HTTP 200 OK",
        b"HTTPS/1.1 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"200 OK",
        b" HTTP/1.1 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b"\nHTTP/1.1 200 OK",
        b"\0HTTP/1.1 200 OK",
        b"GET / HTTP/1.1",
        b"<html>",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.1 200 \x1b[2J",
    ] {
        let response = response_to(Method::Get, &with(line));
        assert_eq!(response, Err(Malformed::StatusLine), "{:?}", super::text(line));
    }
    refused(
        Malformed::Version,
        &[
            &with(b"HTTP/2.0 200 OK"),
            &with(b"HTTP/1.2 200 OK"),
            &with(b"HTTP/0.9 200 OK"),
            &with(b"HTTP/3.0 200 OK"),
        ],
    );
    // RFC 9110, 15: "Values outside the range 100..599 are invalid."
    refused(
        Malformed::Status,
        &[
            &with(b"HTTP/1.1 000 Zero"),
            &with(b"HTTP/1.1 099 Low"),
            &with(b"HTTP/1.1 600 High"),
            &with(b"HTTP/1.1 999 Higher"),
        ],
    );
    refused(
        Malformed::BareLineEnd,
        &[
            b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            b"HTTP/1.1 200 OK\r\nX: y\rContent-Length: 0\r\n\r\n",
        ],
    );
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    carried(&[
        (ok, ok),
        // The reason says nothing, so the registered one stands in for an empty one.
        ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", ok),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", ok),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", ok),
        (
            "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 404 Nicht  da\t!\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Nicht  da\t!\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 599 HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 599 HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ]);
    let latin =
        response_to(Method::Get, b"HTTP/1.1 404 Pas trouv\xe9\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(latin.as_deref(), Ok("HTTP/1.1 404 Pas trouv\u{e9}\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn a_field_line_is_as_strict_as_in_a_request() {
    // RFC 9112, 5.1: "A proxy MUST remove any such whitespace from a response message before
    // forwarding the message downstream." Or not forward it: a service that errs here errs elsewhere.
    lines_refused(
        Malformed::FieldLine,
        &[
            b"Content-Length : 5",
            b"Transfer-Encoding\t: chunked",
            b"X: a\r\n b",
            b" X: y",
            b"X",
            b": y",
            b"X: \x00",
            b"X: \x01",
            b"X: \x7f",
            b"X y: z",
            b"HTTP/1.1 200 OK",
            b"\x00: y",
        ],
    );
    lines_refused(
        Malformed::TooManyConnectionOptions,
        &[b"Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"],
    );
    carried(&[
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX:y\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX:y\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nContent-Length: 0\r\n\r\n",
        ),
        // A response has no CGI behind it: `_` says nothing here.
        (
            "HTTP/1.1 200 OK\r\nContent_Length: 7\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent_Length: 7\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, X\r\nX: y\r\nKeep-Alive: 5\r\n\
             Upgrade: h2c\r\nProxy-Authenticate: Basic\r\nTE: x\r\nY: z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nY: z\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: content-length\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
    ]);
}

#[test]
fn framing_is_as_strict_as_in_a_request() {
    // 6.3: "If a message is received without Transfer-Encoding and with an invalid Content-Length
    // header field, then the message framing is invalid and the recipient MUST treat it as an
    // unrecoverable error [...]. If it is in a response message received by a proxy, the proxy MUST
    // close the connection to the server, discard the received response, and send a 502 (Bad Gateway)
    // response to the client."
    lines_refused(
        Malformed::ContentLength,
        &[
            b"Content-Length:",
            b"Content-Length: x",
            b"Content-Length: -1",
            b"Content-Length: +5",
            b"Content-Length: 5, 5",
            b"Content-Length: 0x5",
            b"Content-Length: 5 ;",
            b"Content-Length: 99999999999999999999",
        ],
    );
    lines_refused(
        Malformed::ContentLengthRepeated,
        &[b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"],
    );
    lines_refused(
        Malformed::TwoLengths,
        &[
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
            b"Transfer-Encoding: identity\r\nContent-Length: 5",
        ],
    );
    // Without a final `chunked` the body ends with the connection, whatever the coding. What is compressed
    // is not passed on as what it is not, and what could be `chunked` for somebody is not guessed at.
    lines_refused(
        Malformed::TransferEncoding,
        &[
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: X-Compress",
            b"Transfer-Encoding: br",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked-",
            b"Transfer-Encoding: Chunk",
            b"Transfer-Encoding: identity, gzip",
            b"Transfer-Encoding: identity,",
            b"Transfer-Encoding: identity;q=1",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding:",
            b"Transfer-Encoding: chunked, gzip",
            b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: \"chunked\"",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        ],
    );
    lines_refused(Malformed::UnknownTransferCoding, &[b"Transfer-Encoding: gzip, chunked"]);
    refused(
        Malformed::TransferEncodingIn10,
        &[b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    );
    carried(&[
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        ),
        // 6.3, rule 4: "the message body length is determined by reading the connection until it is closed
        // by the server".
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: 8bit\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        ),
        // 6.3, rule 8: "the message body length is determined by the number of octets received prior
        // to the server closing the connection".
        ("HTTP/1.1 200 OK\r\nX: y\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n"),
        ("HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    ]);
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    // 6.3, rule 1: "Any response to a HEAD request and any response with a 1xx (Informational), 204
    // (No Content), or 304 (Not Modified) status code is always terminated by the first empty line
    // after the header fields, regardless of the header fields present in the message, and thus
    // cannot contain a message body or trailer section."
    for lines in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        for code in ["100 Continue", "102 Processing", "103 Early Hints", "204 No Content"] {
            let bytes = format!("HTTP/1.1 {code}\r\n{lines}\r\nhello");
            // 6.1 and RFC 9110, 8.6: neither field may stand in these.
            carried(&[(&bytes, &format!("HTTP/1.1 {code}\r\n\r\n"))]);
        }
    }
    let length = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    let none = "HTTP/1.1 304 Not Modified\r\n\r\n";
    carried(&[
        (length, length),
        (none, none),
        ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", none),
    ]);
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let none = "HTTP/1.1 200 OK\r\n\r\n";
    carried_to(
        Method::Head,
        &[
            (length, length),
            (none, none),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", none),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
            ),
        ],
    );
    for (method, bytes) in [
        (Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Method::Get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (Method::Get, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        (Method::Post, "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let mut head = ResponseHead::default();
        let mut scan = HeadScan::of_response();
        let read = head.read(bytes.as_bytes(), &mut scan, &HeadLimits::default());
        assert_eq!(read, Ok(Some(bytes.len())));
        let framing = response_framing(&head, method).expect("valid");
        assert!(!framing.body.has_body(), "{bytes:?}");
    }
    // What is wrong stays wrong: the next reader may know the request to be another.
    for (malformed, lines) in [
        (Malformed::TwoLengths, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        (Malformed::ContentLength, "Content-Length: x"),
        (Malformed::TransferEncoding, "Transfer-Encoding: x"),
    ] {
        for code in ["100 Continue", "204 No Content", "304 Not Modified"] {
            let bytes = format!("HTTP/1.1 {code}\r\n{lines}\r\n\r\n");
            refused(malformed, &[bytes.as_bytes()]);
        }
    }
}
