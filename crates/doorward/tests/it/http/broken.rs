//! Answers that are not HTTP, or that break off: the client must not take them for whole, and the
//! connection they came on is not used again.

use super::{Pass, crlf};
use crate::door::{End, Wire};
use crate::wire::text;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

impl Pass {
    /// Answers with `answer`, which must become a 502 without a byte of it.
    #[track_caller]
    fn is_bad(&self, answer: &str) {
        let mut client = self.door.connect();
        client.send(GET);
        let mut service = self.upstream.accept();
        service.read_request();
        service.send(answer);
        let response = client.read_response();
        let shown = answer.get(..200).unwrap_or(answer);
        assert_eq!(response.get(..12), Some("HTTP/1.1 502"), "{shown:?}: {response}");
        assert!(!response.contains("poison"), "{shown:?}: {response}");
        self.goes_on(client, service, shown);
    }

    /// The client's connection goes on; the service's does not.
    #[track_caller]
    fn goes_on(&self, mut client: Wire, mut service: Wire, story: &str) {
        let (rest, _) = service.read_to_end();
        assert_eq!(text(&rest), "", "{story:?}");
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut service = self.upstream.accept();
        let request = service.read_request();
        assert!(request.starts_with("GET /next "), "{story:?}: {request}");
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_response().get(..12), Some("HTTP/1.1 204"), "{story:?}");
    }
}

#[test]
fn heads_that_are_not_http() {
    let pass = Pass::new("");
    for answer in [
        "poison\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "\0",
        "HTTP/1.1\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 \r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1  200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1\t200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 20 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 2000 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 -20 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 000 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 099 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 600 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 999 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/2.0 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.2 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "http/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "ICY 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 O\0K\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 O\u{1b}K\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\nContent-Length: 6\n\npoison",
        "HTTP/1.1 200 OK\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\rContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\n\r\npoison",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\npoison",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nA\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nSet Cookie: b\r\nContent-Length: 6\r\n\r\npoison",
    ] {
        pass.is_bad(answer);
    }
    let long = "x".repeat(62_000);
    pass.is_bad(&format!("HTTP/1.1 200 OK\r\nA: {long}\r\n\r\n"));
    pass.is_bad(&format!("HTTP/1.1 200 {long}\r\n\r\n"));
    pass.is_bad(&format!("HTTP/1.1 200 OK\r\nA: {long}"));
    pass.is_bad(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300)));
}

#[test]
fn framing_that_is_in_doubt() {
    let pass = Pass::new("");
    for fields in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: 6, 6",
        "Content-Length: 6,7",
        "Content-Length:",
        "Content-Length: x",
        "Content-Length: -6",
        "Content-Length: +6",
        "Content-Length: 0x6",
        "Content-Length: 6.0",
        "Content-Length: 99999999999999999999",
        "Content-Length : 6",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked;a",
        "Transfer-Encoding: \u{b}chunked",
    ] {
        pass.is_bad(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\npoison"));
    }
    pass.is_bad("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n");
    // Nor may it be in doubt where there is no body.
    let doubt = "Content-Length: 6\r\nContent-Length: 7\r\n\r\n";
    let mut client = pass.door.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send(format!("HTTP/1.1 200 OK\r\n{doubt}"));
    assert_eq!(client.read_head().get(..12), Some("HTTP/1.1 502"));
    pass.goes_on(client, service, doubt);
    pass.is_bad(&format!("HTTP/1.1 304 Not Modified\r\n{doubt}"));
}

#[test]
fn chunks_that_are_not_chunks() {
    let pass = Pass::new("");
    for body in [
        "poison",
        "\r\n",
        "-6\r\npoison\r\n0\r\n\r\n",
        "0x6\r\npoison\r\n0\r\n\r\n",
        " 6\r\npoison\r\n0\r\n\r\n",
        "6 \r\npoison\r\n0\r\n\r\n",
        "6\npoison\r\n0\r\n\r\n",
        "6;\r\npoison\r\n0\r\n\r\n",
        "6;a\npoison\r\n0\r\n\r\n",
        "6\r\npoison0\r\n\r\n",
        "6\r\npoison\n0\r\n\r\n",
        "5\r\npoison\r\n0\r\n\r\n",
        "6\r\npoison\r\n0\r\nA : b\r\n\r\n",
        "6\r\npoison\r\n0\r\nA: b\n\r\n",
        "6\r\npoison\r\n0\n\n",
        "ffffffffffffffff\r\npoison",
    ] {
        // Nothing was sent yet: the client can be told.
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        pass.is_bad(&format!("{head}{body}"));
        // It has the head: all that is left is to break off.
        let mut client = pass.door.connect();
        client.send(GET);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(format!("{head}5\r\nhello\r\n"));
        let start = client.read_until("5\r\nhello\r\n");
        assert!(start.starts_with("HTTP/1.1 200 OK\r\n"), "{start}");
        service.send(body);
        let (rest, end) = client.read_to_end();
        assert!(!text(&rest).contains("0\r\n"), "{body:?}: {:?}", text(&rest));
        assert_eq!(end, End::Reset, "{body:?}");
        service.read_to_end();
        pass.is_next("/probe");
    }
}

#[test]
fn answers_that_break_off_before_they_begin() {
    let pass = Pass::new("retry = { attempts = 1 }\n");
    for (request, answer, end) in [
        ("GET", "", End::Closed),
        ("GET", "", End::Reset),
        ("GET", "H", End::Closed),
        ("GET", "HTTP/1.1 200 OK\r\n", End::Closed),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", End::Closed),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r", End::Closed),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", End::Reset),
        ("POST", "", End::Closed),
        ("HEAD", "HTTP/1.1 200 OK\r\n", End::Closed),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\n", End::Closed),
    ] {
        let mut client = pass.door.connect();
        client.send(format!("{request} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(answer);
        match end {
            End::Closed => drop(service),
            End::Reset => service.reset(),
        }
        let interim = answer.starts_with("HTTP/1.1 100 ");
        if interim {
            assert_eq!(client.read_head(), answer);
        }
        let head = client.read_head();
        assert_eq!(head.get(..12), Some("HTTP/1.1 502"), "{answer:?}");
    }
}

/// What the client sends, what of the answer reaches it before it breaks off, and what does not.
const BROKEN: &[(&str, &str, &str)] = &[
    ("1.1", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell", ""),
    ("1.1", "HTTP/1.1 200 OK\nContent-Length: 500000\n\nhell", ""),
    ("1.0", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhell", ""),
    ("1.1", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", ""),
    ("1.1", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", "5"),
    ("1.1", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", "5\n"),
    ("1.1", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", "0"),
    ("1.1", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", "0\n"),
    ("1.1", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", "0\nX-A: b\n"),
    // Without a length, only a reset can say that this is not all.
    ("1.0", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", ""),
    ("1.0", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhell\n", "0\n"),
];

#[test]
fn answers_that_break_off_within() {
    let pass = Pass::new("");
    for (version, start, rest) in BROKEN {
        for end in [End::Closed, End::Reset] {
            let mut client = pass.door.connect();
            client.send(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"));
            let mut service = pass.upstream.accept();
            service.read_request();
            service.send(crlf(start));
            client.read_until("hell");
            service.send(crlf(rest));
            match end {
                End::Closed => drop(service),
                End::Reset => service.reset(),
            }
            let (rest, end) = client.read_to_end();
            assert!(!text(&rest).contains("0\r\n\r\n"), "{start:?} {:?}", text(&rest));
            assert_eq!(end, End::Reset, "HTTP/{version} {start:?} {:?}", text(&rest));
        }
    }
    // An answer that lasts until the close is whole when closed, and broken when reset.
    for version in ["1.0", "1.1"] {
        let mut client = pass.door.connect();
        client.send(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"));
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send("HTTP/1.1 200 OK\r\n\r\nhell");
        client.read_until("hell");
        service.reset();
        let (rest, end) = client.read_to_end();
        assert!(!text(&rest).contains("0\r\n\r\n"), "{:?}", text(&rest));
        assert_eq!(end, End::Reset, "HTTP/{version}");
    }
}

#[test]
fn what_stands_behind_an_answer_is_nobodys() {
    let pass = Pass::new("");
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let mut client = pass.door.connect();
        client.send(GET);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(format!("{answer}{poison}"));
        let response = client.read_response();
        assert!(!response.contains("poison"), "{response}");
        pass.goes_on(client, service, answer);
    }
}
