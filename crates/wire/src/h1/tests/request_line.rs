//! The request line (RFC 9112, 3), and what stands before it.

use super::{carried, refused, request};
use crate::fields::HEAD_BYTES_MAX;
use crate::h1::{HeadLimits, HeadScan, Malformed, Scanned};

/// A request with this first line.
fn with(line: &[u8]) -> Vec<u8> {
    [line, b"\r\nHost: a\r\n\r\n"].concat()
}

#[track_caller]
fn lines_refused(malformed: Malformed, lines: &[&[u8]]) {
    for line in lines {
        refused(malformed, &[&with(line)]);
    }
}

#[test]
fn a_request_line_is_three_words_with_one_space_between() {
    // 3: "Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request)
    // error". And "a recipient SHOULD NOT attempt to autocorrect".
    lines_refused(
        Malformed::RequestLine,
        &[
            b"GET",
            b"GET ",
            b"GET /",
            b"GET / ",
            b"GET /HTTP/1.1",
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET / HTTP/1.1\t",
            b"GET\t/ HTTP/1.1",
            b"GET /\tHTTP/1.1",
            b"GET\x0b/ HTTP/1.1",
            b"GET /\x0cHTTP/1.1",
            b"GET / a HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"GET / HTTP/1.1 HTTP/1.1",
            b"GET  HTTP/1.1",
            b"GET HTTP/1.1",
            b"GET / HTTP/1.1 x",
            b"/ HTTP/1.1",
            b"HTTP/1.1",
            b"HTTP/1.1 200 OK",
            b"Host: a",
        ],
    );
}

#[test]
fn a_method_is_a_token() {
    lines_refused(
        Malformed::RequestLine,
        &[
            b"G@T / HTTP/1.1",
            b"GET: / HTTP/1.1",
            b"GET, / HTTP/1.1",
            b"(GET) / HTTP/1.1",
            b"GET/ / HTTP/1.1",
            b"G\x00T / HTTP/1.1",
            b"GE\x7fT / HTTP/1.1",
            b"G\xc9T / HTTP/1.1",
            b"\"GET\" / HTTP/1.1",
            b"{GET} / HTTP/1.1",
            b" GET / HTTP/1.1",
            b"\tGET / HTTP/1.1",
            b"\x00GET / HTTP/1.1",
            b"\x0bGET / HTTP/1.1",
            b"\x85GET / HTTP/1.1",
            b"\xa0GET / HTTP/1.1",
            b"\xef\xbb\xbfGET / HTTP/1.1",
        ],
    );
    // RFC 9110, 9.1: "The method token is case-sensitive", and unknown ones are the service's.
    for method in ["get", "Get", "PROPFIND", "M-SEARCH", "X", "!#$%&'*+-.^_`|~0", "QUERY", "PURGE"]
    {
        let line = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(request(line.as_bytes()).as_deref(), Ok(&*line));
    }
}

#[test]
fn the_version_is_1_0_or_1_1() {
    // RFC 9112, 2.3: "HTTP-version is case-sensitive." RFC 9110, 2.5 would let a minor version
    // that nobody has defined pass for 1.1; nobody sends one but to find who differs.
    lines_refused(
        Malformed::Version,
        &[
            b"GET / HTTP/0.9",
            b"GET / HTTP/1.2",
            b"GET / HTTP/1.9",
            b"GET / HTTP/2.0",
            b"GET / HTTP/3.0",
            b"GET / HTTP/9.9",
            b"GET / HTTP/0.0",
        ],
    );
    lines_refused(
        Malformed::RequestLine,
        &[
            b"GET / HTTP/1",
            b"GET / HTTP/2",
            b"GET / HTTP/1.",
            b"GET / HTTP/.1",
            b"GET / HTTP/1.10",
            b"GET / HTTP/1.1.1",
            b"GET / HTTP/01.1",
            b"GET / HTTP/1.01",
            b"GET / HTTP/11",
            b"GET / HTTP/1,1",
            b"GET / HTTP/1 .1",
            b"GET / HTTP/ 1.1",
            b"GET / HTTP /1.1",
            b"GET / HTTP/-1.1",
            b"GET / HTTP/+1.1",
            b"GET / HTTP/1.x",
            b"GET / HTTP/x.1",
            b"GET / http/1.1",
            b"GET / Http/1.1",
            b"GET / HTTPS/1.1",
            b"GET / HTTP\\1.1",
            b"GET / HTTP//1.1",
            b"GET / ICY/1.1",
            b"GET / HTP/1.1",
            b"GET / HTTP/1.1\x00",
            b"GET / HTTP/1.\xb9",
            b"GET / HTTP/\xd9\xa1.1",
        ],
    );
    // 9.3: the old version is carried as the new one.
    carried(&[(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]);
}

#[test]
fn other_protocols_are_not_requests() {
    // RFC 9113, 3.4: the preface was chosen so that HTTP/1.1 servers refuse it.
    refused(Malformed::Version, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]);
    refused(
        Malformed::RequestLine,
        &[
            // TLS 1.2 and 1.3, SSL 2, SSH, RDP, a PROXY header of version 2, nothing at all.
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x80\x2e\x01\x03\x01",
            b"\x03\x00\x00\x13\x0e\xe0",
            b"\x00\x00\x00\x00",
            b"{\"jsonrpc\": 2}\r\n\r\n",
            b"\"a\"",
        ],
    );
    refused(
        Malformed::RequestLine,
        &[
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"EHLO example.com\r\n\r\n",
            b"*1\r\n$4\r\nPING\r\n\r\n",
        ],
    );
}

#[test]
fn a_line_ends_in_cr_lf() {
    // 2.2: "a recipient MAY recognize a single LF as a line terminator and ignore any preceding
    // CR". It is not done: where one reader sees a line end and the next does not, a field or a
    // whole request hides. "A recipient of such a bare CR MUST consider that element to be invalid".
    refused(
        Malformed::BareLineEnd,
        &[
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\rHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\n\n",
            b"GET /\n HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET\r / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\rHost: a\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn one_empty_line_may_stand_before_a_request() {
    // 2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least
    // one empty line (CRLF) received prior to the request-line." At least one is one.
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    carried(&[(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", plain)]);
    refused(
        Malformed::RequestLine,
        &[
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn what_follows_a_head_is_not_its_own() {
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for rest in
        ["x", "\r\n", "\n", "\r", "\0", "\r\n\r\n", "\n\n", "GET /b HTTP/1.1\r\nHost: b\r\n\r\n"]
    {
        let bytes = format!("{plain}{rest}");
        assert_eq!(request(bytes.as_bytes()).as_deref(), Ok(plain));
    }
}

#[test]
fn a_head_that_breaks_off_is_none() {
    let whole = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX: \xe4 \t\r\n\r\n";
    for end in 0..whole.len() {
        refused(Malformed::Truncated, &[&whole[..end]]);
    }
}

#[test]
fn limits_bite_as_soon_as_they_can() {
    let limits = HeadLimits { head_bytes_max: 64, fields_max: 3, request_line_bytes_max: 20 };
    let read = |bytes: &[u8]| {
        super::at_every_split(bytes, |feed| {
            let mut head = crate::RequestHead::default();
            let mut scan = HeadScan::default();
            feed(&mut |bytes| head.read(bytes, &mut scan, &limits))
        })
    };
    let line = |bytes: usize| format!("GET /{} HTTP/1.1", "x".repeat(bytes - 14));
    assert_eq!(read(line(20).as_bytes()), Err(Malformed::Truncated));
    assert_eq!(read(format!("{}\r\nHost: a\r\n\r\n", line(20)).as_bytes()), Ok(33));
    let long = Err(Malformed::RequestLineTooLong);
    assert_eq!(read(format!("{}\r", line(21)).as_bytes()), long);
    assert_eq!(read(format!("{}\r\nHost: a\r\n\r\n", line(21)).as_bytes()), long);
    assert_eq!(read(line(99).as_bytes()), long);
    // The empty line before it counts neither way.
    assert_eq!(read(format!("\r\n{}\r\nHost: a\r\n\r\n", line(20)).as_bytes()), Ok(35));

    let head = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(bytes - 26));
    assert_eq!(read(head(64).as_bytes()), Ok(64));
    let large = Err(Malformed::HeadTooLarge);
    assert_eq!(read(head(65).as_bytes()), large);
    assert_eq!(read(&head(99).as_bytes()[..65]), large);
    assert_eq!(read(&head(99).as_bytes()[..64]), Err(Malformed::Truncated));

    let lines =
        |lines: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x:\r\n".repeat(lines - 1));
    assert_eq!(read(lines(3).as_bytes()), Ok(35));
    assert_eq!(read(lines(4).as_bytes()), Err(Malformed::TooManyFields));
}

#[test]
fn a_scan_finds_the_end_wherever_it_lies() {
    // Every length around the steps in which the scan goes.
    for bytes in 27..200 {
        let mut head = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(bytes - 26));
        let looked = HeadScan::default().look(head.as_bytes(), &HeadLimits::MAX);
        assert_eq!(looked, Ok(Scanned::Whole { start: 0, end: bytes }));
        head.push_str("\n\n\r\n\r\nrest and more of it, so that a step fits");
        let looked = HeadScan::default().look(head.as_bytes(), &HeadLimits::MAX);
        assert_eq!(looked, Ok(Scanned::Whole { start: 0, end: bytes }));
    }
}

#[test]
fn places_fit_the_largest_head() {
    // What no configuration allows is refused even so, whatever else the buffer holds.
    let limits = HeadLimits { head_bytes_max: usize::MAX / 2, ..HeadLimits::MAX };
    for (bytes, fits) in [(HEAD_BYTES_MAX, true), (HEAD_BYTES_MAX + 1, false)] {
        let name = "n".repeat(bytes - 31);
        let head_text = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}:v\r\n\r\n{name}");
        let mut head = crate::RequestHead::default();
        let read = head.read(head_text.as_bytes(), &mut HeadScan::default(), &limits);
        if fits {
            assert_eq!(read, Ok(Some(bytes)));
            assert_eq!(head.fields.get_named(&name), Some(&b"v"[..]));
        } else {
            assert_eq!(read, Err(Malformed::HeadTooLarge));
        }
    }
}
