//! What is written, whatever was edited before.

use crate::h1::{
    BodyLimits, Framing, HeadLimits, LAST_CHUNK, ToClient, ToUpstream, chunk_head, encode_request,
    encode_response, encode_trailers, wants_continue,
};
use crate::head::{RequestHead, ResponseHead, Version};
use crate::{Fields, Known};

fn head(text: &str) -> RequestHead {
    let mut head = RequestHead::default();
    head.parse(text.as_bytes(), &HeadLimits::default()).expect("valid");
    head
}

fn written(head: &RequestHead, to: &ToUpstream<'_>) -> String {
    let mut out = Vec::new();
    encode_request(head, to, &mut out);
    super::text(&out)
}

fn answered(head: &ResponseHead, to: &ToClient<'_>) -> String {
    let mut out = Vec::new();
    encode_response(head, to, &mut out);
    super::text(&out)
}

#[test]
fn edits_go_out_and_nothing_else_changes() {
    let plain = head("GET /a?b HTTP/1.1\r\nHost: h\r\nX: 1\r\nY: 2\r\nZ: 3\r\n\r\n");
    let to = ToUpstream { authority: b"up:1", ..ToUpstream::default() };
    let edited = |edit: &dyn Fn(&mut RequestHead)| {
        let mut head = plain.clone();
        edit(&mut head);
        written(&head, &to)
    };
    let expect =
        |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: up:1\r\n{lines}\r\n");
    let lines = "X: 1\r\nY: 2\r\nZ: 3\r\n";
    assert_eq!(edited(&|_| ()), expect("/a?b", lines));
    assert_eq!(edited(&|head| head.set_path(b"/")), expect("/?b", lines));
    assert_eq!(
        edited(&|head| head.set_path(b"/longer/than/it")),
        expect("/longer/than/it?b", lines)
    );
    assert_eq!(edited(&|head| head.set_query(None)), expect("/a", lines));
    assert_eq!(edited(&|head| head.set_query(Some(b""))), expect("/a?", lines));
    assert_eq!(edited(&|head| head.set_query(Some(b"c=d"))), expect("/a?c=d", lines));
    assert_eq!(
        edited(&|head| {
            head.set_path(b"/p");
            head.set_query(Some(b"q"));
        }),
        expect("/p?q", lines)
    );
    assert_eq!(
        edited(&|head| {
            head.set_query(Some(b"q"));
            head.set_path(b"/p");
            head.set_query(None);
        }),
        expect("/p", lines)
    );
    for (name, left) in
        [("x", "Y: 2\r\nZ: 3\r\n"), ("Y", "X: 1\r\nZ: 3\r\n"), ("z", "X: 1\r\nY: 2\r\n")]
    {
        assert_eq!(edited(&|head| head.fields.remove_named(name)), expect("/a?b", left));
        let set = format!("{left}{name}: 9\r\n");
        assert_eq!(edited(&|head| head.fields.set(name, b"9")), expect("/a?b", &set));
    }
    assert_eq!(edited(&|head| head.fields.remove_if(|_, _, _| true)), expect("/a?b", ""));
}

#[test]
fn an_edit_cannot_break_a_line() {
    let mut head = head("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    head.set_path(b"/a b\r\nX: y?#\x00\xe4%20\"");
    head.set_query(Some(b"c d\r\nX: y#\x7f"));
    head.set_authority("e vil\r\nX: y");
    head.fields.push("X", b"1\r\nY: 2\r\n\r\nGET / HTTP/1.1\x00\x7f\t3");
    let to = ToUpstream { authority: head.authority(), ..ToUpstream::default() };
    assert_eq!(
        written(&head, &to),
        "GET /a%20b%0D%0AX:%20y%3F%23%00%E4%20%22?c%20d%0D%0AX:%20y%23%7F HTTP/1.1\r\n\
         Host: evilX:y\r\nX: 1Y: 2GET / HTTP/1.1\t3\r\n\r\n"
    );
}

#[test]
#[should_panic = "a name is a token"]
fn a_name_cannot_break_its_line() {
    Fields::default().push("X: y\r\nZ", b"");
}

#[test]
fn heads_made_from_parts_are_as_strict() {
    for (method, authority, target) in [
        ("GET /x HTTP/1.1\r\nX:", "a", "/"),
        ("GET", "a\r\nX: y", "/"),
        ("GET", "a\r\n\r\nGET", "/"),
        ("GET", "a ", "/"),
        ("GET", "a b", "/"),
        ("GET", "u@a", "/"),
        ("GET", "a", "/ HTTP/1.1\r\nX: y\r\nZ:"),
        ("GET", "a", "/\n"),
        ("GET", "a", "/ "),
        ("GET", "a", ""),
        ("GET", "a", "*"),
        ("", "a", "/"),
        ("G T", "a", "/"),
        ("\r\nGET", "a", "/"),
        ("GET", "a", "/\0"),
    ] {
        let head = RequestHead::new(method, authority, target);
        assert!(head.is_err(), "{method:?} {authority:?} {target:?}");
    }
    let head = RequestHead::new("GET", "a:1", "/b/../c?d").expect("valid");
    assert_eq!((head.path(), head.query()), (&b"/c"[..], Some(&b"d"[..])));
    assert_eq!((head.host(), head.authority()), (&b"a"[..], &b"a:1"[..]));
}

#[test]
fn what_stands_beside_a_request_is_written_in_order() {
    let head = head(
        "POST / HTTP/1.1\r\nHost: h\r\nVia: 1.1 x\r\nExpect: 100-continue\r\nTE: trailers\r\nContent-Length: 3\r\n\r\n",
    );
    let to = ToUpstream {
        authority: b"h",
        framing: Framing::Chunked,
        upgrade: None,
        but: Known::Expect.bit(),
        extra: &[b"A: 1\r\nB: 2\r\n", b"", b"C: 3\r\n"],
    };
    assert_eq!(
        written(&head, &to),
        "POST / HTTP/1.1\r\nHost: h\r\nVia: 1.1 x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
         Connection: TE\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"
    );
    let to = ToUpstream {
        authority: b"h",
        upgrade: Some(b"websocket"),
        but: Known::Expect.bit() | Known::Via.bit(),
        ..ToUpstream::default()
    };
    assert_eq!(
        written(&head, &to),
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
}

#[test]
fn a_response_says_whether_the_connection_stays() {
    let head = ResponseHead::new(200);
    for (version, persist, line) in [
        (Version::Http11, true, ""),
        (Version::Http11, false, "Connection: close\r\n"),
        (Version::Http10, true, "Connection: keep-alive\r\n"),
        (Version::Http10, false, "Connection: close\r\n"),
    ] {
        let to = ToClient { version, persist, framing: Framing::Length(0), ..ToClient::default() };
        let expect = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{line}\r\n");
        assert_eq!(answered(&head, &to), expect);
    }
    // An interim response ends nothing, so it says nothing.
    assert_eq!(
        answered(&ResponseHead::new(103), &ToClient::default()),
        "HTTP/1.1 103 Early Hints\r\n\r\n"
    );
    let switch =
        ToClient { upgrade: Some(b"websocket"), extra: &[b"A: 1\r\n"], ..ToClient::default() };
    assert_eq!(
        answered(&ResponseHead::new(101), &switch),
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nA: 1\r\n\r\n"
    );
}

#[test]
fn numbers_are_written_whole() {
    for length in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
        let to =
            ToClient { framing: Framing::Length(length), persist: true, ..ToClient::default() };
        let expect = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(answered(&ResponseHead::new(200), &to), expect);
    }
    for bytes in [1, 9, 10, 15, 16, 17, 255, 256, 65_535, 65_536, usize::MAX] {
        let (line, line_bytes) = chunk_head(bytes);
        assert_eq!(super::text(&line[..line_bytes]), format!("{bytes:x}\r\n"));
    }
}

#[test]
fn trailers_are_written_behind_the_last_chunk() {
    let written = |trailers: Option<&Fields>| {
        let mut out = Vec::new();
        encode_trailers(trailers, &mut out);
        super::text(&out)
    };
    assert_eq!(written(None).as_bytes(), LAST_CHUNK);
    let mut trailers = Fields::default();
    assert_eq!(written(Some(&trailers)).as_bytes(), LAST_CHUNK);
    trailers.push("X", b"y");
    trailers.push("Content-Length", b"5");
    trailers.push("transfer-encoding", b"chunked");
    assert_eq!(written(Some(&trailers)), "0\r\nX: y\r\n\r\n");
    assert_eq!(BodyLimits::default().trailer_bytes_max, 8 * 1024);
}

#[test]
fn a_client_may_wait_for_100_continue() {
    // RFC 9110, 10.1.1: "The Expect field value is case-insensitive. The only expectation defined by
    // this specification is "100-continue" (with no defined parameters). A server that receives an
    // Expect field value containing a member other than 100-continue MAY respond with a 417".
    let wants = |version: &str, lines: &str| {
        wants_continue(&head(&format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"))).ok()
    };
    assert_eq!(wants("1.1", ""), Some(false));
    assert_eq!(wants("1.1", "Expect: 100-continue\r\n"), Some(true));
    assert_eq!(wants("1.1", "expect:100-Continue\r\n"), Some(true));
    assert_eq!(wants("1.1", "Expect: 100-continue\r\nExpect: 100-continue\r\n"), Some(true));
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that
    // expectation."
    assert_eq!(wants("1.0", "Expect: 100-continue\r\n"), Some(false));
    for lines in [
        "Expect:\r\n",
        "Expect: x\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: 100-continue;a\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
        "Expect: 200-ok\r\n",
        "Expect: y 100-continue\r\n",
    ] {
        assert_eq!(wants("1.1", lines), None, "{lines:?}");
    }
}
