//! Request bodies that are not what their head says: the client is told, and what the service got
//! of them is never whole.

use super::{Pass, crlf};
use crate::door::{End, Wire};
use crate::wire::text;

/// What follows a chunked request's head, and the status that refuses it.
type Table = &'static [(&'static str, u16)];

const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

impl Pass {
    /// Sends a chunked body that must be refused, and behind it another request.
    #[track_caller]
    fn refuses_body(&self, body: &str, status: u16) {
        let mut client = self.door.connect();
        client.send(format!("{HEAD}{body}{NEXT}"));
        let (response, end) = client.read_to_end();
        let response = text(&response);
        let shown = body.get(..200).unwrap_or(body);
        assert_eq!(
            response.get(..12),
            Some(&*format!("HTTP/1.1 {status}")),
            "{shown:?}: {response}"
        );
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {response}");
        assert!(response.contains("\r\nConnection: close\r\n"), "{shown:?}: {response}");
        assert_eq!(end, End::Closed, "{shown:?}: {response}");
        self.got_no_whole_request(shown);
    }

    /// The service got the start of a chunked request, and never its end.
    #[track_caller]
    fn got_no_whole_request(&self, story: &str) {
        let mut service: Wire = self.upstream.accept();
        let (received, _) = service.read_to_end();
        let received = text(&received);
        assert!(!received.contains("\r\n0\r\n"), "{story:?}: {received}");
        assert!(!received.contains("smuggled"), "{story:?}: {received}");
        self.is_next("/probe");
    }
}

#[track_caller]
fn check(table: Table) {
    let pass = Pass::new("");
    for (body, status) in table {
        pass.refuses_body(body, *status);
    }
}

#[test]
fn chunk_sizes() {
    check(&[
        ("\r\n", 400),
        ("x\r\nhello\r\n0\r\n\r\n", 400),
        ("-1\r\n", 400),
        ("+5\r\nhello\r\n0\r\n\r\n", 400),
        ("0x5\r\nhello\r\n0\r\n\r\n", 400),
        ("5h\r\nhello\r\n0\r\n\r\n", 400),
        ("5.0\r\nhello\r\n0\r\n\r\n", 400),
        ("5_0\r\nhello\r\n0\r\n\r\n", 400),
        ("5,\r\nhello\r\n0\r\n\r\n", 400),
        (" 5\r\nhello\r\n0\r\n\r\n", 400),
        ("\t5\r\nhello\r\n0\r\n\r\n", 400),
        ("5 5\r\nhello\r\n0\r\n\r\n", 400),
        ("5 \r\nhello\r\n0\r\n\r\n", 400),
        ("5\t\r\nhello\r\n0\r\n\r\n", 400),
        ("5\u{b}\r\nhello\r\n0\r\n\r\n", 400),
        ("5\0\r\nhello\r\n0\r\n\r\n", 400),
        ("\u{ff15}\r\nhello\r\n0\r\n\r\n", 400),
        (";a\r\n\r\n", 400),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("8000000000000000\r\nhello\r\n0\r\n\r\n", 400),
    ]);
}

#[test]
fn chunk_line_ends() {
    check(&[
        ("5\nhello\r\n0\r\n\r\n", 400),
        ("5\rhello\r\n0\r\n\r\n", 400),
        ("5\r\r\nhello\r\n0\r\n\r\n", 400),
        ("5\n\rhello\r\n0\r\n\r\n", 400),
        ("5\r\nhello\n0\r\n\r\n", 400),
        ("5\r\nhello\r0\r\n\r\n", 400),
        ("5\r\nhello0\r\n\r\n", 400),
        ("5\r\nhello \r\n0\r\n\r\n", 400),
        ("5\r\nhellooo\r\n0\r\n\r\n", 400),
        ("5\r\nhello\r\n\r\n0\r\n\r\n", 400),
        ("4\r\nhello\r\n0\r\n\r\n", 400),
        ("5\r\nhello\r\n0\n\r\n", 400),
        ("5\r\nhello\r\n0\r\n\n", 400),
        ("5\r\nhello\r\n0\n\n", 400),
        ("5\r\nhello\r\n0\r\r\n\r\n", 400),
        ("5\r\nhello\r\n0 \r\n\r\n", 400),
        ("5\r\nhello\r\n\r\n", 400),
    ]);
}

#[test]
fn chunk_extensions() {
    check(&[
        ("5;\r\nhello\r\n0\r\n\r\n", 400),
        ("5; \r\nhello\r\n0\r\n\r\n", 400),
        ("5;;a\r\nhello\r\n0\r\n\r\n", 400),
        ("5;=b\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=b=c\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a b\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a\n\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a\nhello\r\n0\r\n\r\n", 400),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\"b\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\"\\\r\n\"\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a\0\r\nhello\r\n0\r\n\r\n", 400),
        ("5;a=\u{1}\r\nhello\r\n0\r\n\r\n", 400),
        ("5 a\r\nhello\r\n0\r\n\r\n", 400),
        ("0;\n\r\n\r\n", 400),
    ]);
}

#[test]
fn trailers() {
    check(&[
        ("0\r\nA\r\n\r\n", 400),
        ("0\r\nA : b\r\n\r\n", 400),
        ("0\r\n A: b\r\n\r\n", 400),
        ("0\r\n: b\r\n\r\n", 400),
        ("0\r\nA: b\n\r\n", 400),
        ("0\r\nA: b\n\n", 400),
        ("0\r\nA: b\r\n\n", 400),
        ("0\r\nA: b\rC: d\r\n\r\n", 400),
        ("0\r\nA: b\r\n c\r\n\r\n", 400),
        ("0\r\nA: \0\r\n\r\n", 400),
        ("0\r\nA: \u{7f}\r\n\r\n", 400),
        ("0\r\nA(: b\r\n\r\n", 400),
        // The next request is no trailer.
        ("0\r\n", 400),
    ]);
}

#[test]
fn what_is_too_large() {
    let pass = Pass::new("");
    let extensions = |bytes: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(bytes));
    pass.refuses_body(&extensions(4 * 1024 + 1), 400);
    pass.refuses_body(&("1;a\r\nx\r\n".repeat(3000) + "0\r\n\r\n"), 400);
    let trailers = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(bytes));
    pass.refuses_body(&trailers(8 * 1024), 431);
    pass.refuses_body(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(300)), 431);
    let pass = Pass::new(
        "[limits]\nbody = \"5B\"\nchunk-extension-bytes = \"8B\"\ntrailer-bytes = \"16B\"\n",
    );
    pass.refuses_body("6\r\nhello!\r\n0\r\n\r\n", 413);
    pass.refuses_body("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 413);
    pass.refuses_body("5;abcdefgh\r\nhello\r\n0\r\n\r\n", 400);
    pass.refuses_body("0\r\nA: bbbbbbbbbb\r\n\r\n", 431);
    let head = "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n";
    pass.passes(
        &format!("{head}5;abcdefg\nhello\n0\nA: bbbbbbbbb\n\n"),
        &format!("{head}5\nhello\n0\nA: bbbbbbbbb\n\n"),
    );
}

#[test]
fn a_route_may_take_more_or_less() {
    let pass = Pass::new(
        "[[route]]\npath = \"/small/*\"\nservice = \"it\"\nbody-limit = \"2B\"\n\
         [[route]]\npath = \"/large/*\"\nservice = \"it\"\nbody-limit = \"1KiB\"\n\
         [limits]\nbody = \"5B\"\n",
    );
    let request = |path: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\nHost: h\nContent-Length: {length}\n\n{body}")
    };
    for (path, body) in [("/", "hello"), ("/small/", "hi"), ("/large/", "hello, world")] {
        pass.passes(&request(path, body), &request(path, body));
    }
    for (path, body) in [("/", "hello!"), ("/small/", "hi!"), ("/large/", &*"x".repeat(1025))] {
        pass.refuses(crlf(&request(path, body)), 413);
    }
}

#[test]
fn a_body_that_breaks_off_is_no_request() {
    let pass = Pass::new("");
    for body in [
        "",
        "5",
        "5\r",
        "5\r\n",
        "5\r\nhell",
        "5\r\nhello",
        "5\r\nhello\r",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n0\r\n\r",
        "0\r\nA: b\r\n",
    ] {
        let mut client = pass.door.connect();
        client.send(format!("{HEAD}{body}"));
        client.end();
        // Nobody is there to be told: the connection just ends.
        client.expect_end();
        pass.got_no_whole_request(body);
    }
    for (length, body) in [(5, ""), (5, "hell"), (500_000, "hell")] {
        let mut client = pass.door.connect();
        client
            .send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"));
        client.end();
        client.expect_end();
        let (received, _) = pass.upstream.accept().read_to_end();
        let received = text(&received);
        let sent = received.split_once("\r\n\r\n").expect("a head").1;
        assert_eq!(sent, body, "{received}");
        pass.is_next("/probe");
    }
}

#[test]
fn a_client_that_resets_takes_its_request_back() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send(format!("{HEAD}5\r\nhello\r\n"));
    let mut service = pass.upstream.accept();
    service.read_until("hello\r\n");
    client.reset();
    let (rest, _) = service.read_to_end();
    assert_eq!(text(&rest), "");
}
