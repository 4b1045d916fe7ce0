//! Heads from their parts, and back into parts.

use super::{Pseudo, request_fields, response_fields};
use crate::fields::Fields;
use crate::h1::{self, Framing, HeadLimits, Malformed, ToClient, ToUpstream};
use crate::head::{RequestHead, ResponseHead, Version};
use crate::known::Known;

type Lines<'a> = &'a [(&'a str, &'a str)];

const GET: Pseudo<'_> =
    Pseudo { method: b"GET", scheme: b"http", authority: b"h", path: b"/", protocol: None };

fn bytes(lines: Lines<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn assemble(pseudo: &Pseudo<'_>, lines: Lines<'_>) -> Result<RequestHead, Malformed> {
    let (mut head, mut text) = (RequestHead::default(), Vec::new());
    let limits = HeadLimits::default();
    head.assemble(Version::Http2, pseudo, bytes(lines), &mut text, &limits).map(|()| head)
}

/// The request as it would go to a service of HTTP/1.1.
fn lines(pseudo: &Pseudo<'_>, fields: Lines<'_>) -> String {
    let head = assemble(pseudo, fields).expect("it is sound");
    let upgrade = head.connection.upgrade_protocol(&head.fields);
    let to = ToUpstream { authority: head.authority(), upgrade, ..ToUpstream::default() };
    let mut out = Vec::new();
    h1::encode_request(&head, &to, &mut out);
    String::from_utf8(out).expect("text").replace("\r\n", "|")
}

#[test]
fn parts_make_a_request() {
    let put = Pseudo { method: b"PUT", path: b"/a?b", authority: b"example.com:81", ..GET };
    let socket = Pseudo { method: b"CONNECT", protocol: Some(b"websocket"), ..GET };
    let without_authority = Pseudo { authority: b"", ..GET };
    for (pseudo, fields, expected) in [
        (GET, &[][..], "GET / HTTP/1.1|Host: h||"),
        (put, &[("a", "1"), ("b", "")], "PUT /a?b HTTP/1.1|Host: example.com:81|a: 1|b: ||"),
        (GET, &[("host", "H"), ("x", "y")], "GET / HTTP/1.1|Host: h|x: y||"),
        (without_authority, &[("host", "b")], "GET / HTTP/1.1|Host: b||"),
        (
            GET,
            &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
            "GET / HTTP/1.1|Host: h|x: y|cookie: a=1; b=2||",
        ),
        (GET, &[("te", "trailers")], "GET / HTTP/1.1|Host: h|TE: trailers|Connection: TE||"),
        (
            socket,
            &[("x", "y")],
            "GET / HTTP/1.1|Host: h|x: y|Connection: Upgrade|Upgrade: websocket||",
        ),
    ] {
        assert_eq!(lines(&pseudo, fields), expected);
    }
    assert_eq!(assemble(&GET, &[]).expect("sound").version, Version::Http2);
    let https = Pseudo { scheme: b"https", ..GET };
    assert_eq!(assemble(&https, &[]).expect("sound").absolute_https(), Some(true));
}

#[test]
fn parts_that_make_no_request() {
    for (pseudo, malformed) in [
        (Pseudo { scheme: b"ftp", ..GET }, Malformed::Scheme),
        (Pseudo { scheme: b"", ..GET }, Malformed::Scheme),
        (Pseudo { path: b"", ..GET }, Malformed::Target),
        (Pseudo { path: b"a", ..GET }, Malformed::Target),
        (Pseudo { path: b"http://h/", ..GET }, Malformed::Target),
        (Pseudo { path: b"/a b", ..GET }, Malformed::Target),
        (Pseudo { path: b"/ HTTP/1.1\r\nX: y", ..GET }, Malformed::Target),
        (Pseudo { method: b"", ..GET }, Malformed::RequestLine),
        (Pseudo { method: b"G T", ..GET }, Malformed::RequestLine),
        (Pseudo { authority: b"a b", ..GET }, Malformed::Host),
        (Pseudo { authority: b"a\r\nX: y", ..GET }, Malformed::FieldLine),
        (Pseudo { authority: b"u@h", ..GET }, Malformed::Host),
        (Pseudo { authority: b"", ..GET }, Malformed::HostMissing),
        (Pseudo { protocol: Some(b"websocket"), ..GET }, Malformed::RequestLine),
    ] {
        assert_eq!(assemble(&pseudo, &[]).err(), Some(malformed), "{pseudo:?}");
    }
}

#[test]
fn fields_that_make_a_message_malformed() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("Accept", "a"),
        ("", "a"),
        ("a b", "c"),
        ("a:", "c"),
        (":path", "/"),
        ("a", " b"),
        ("a", "b\t"),
        ("a", "b\r\nc: d"),
        ("a", "b\0"),
        ("a", "b\nc"),
    ] {
        assert_eq!(
            assemble(&GET, &[(name, value)]).err(),
            Some(Malformed::FieldLine),
            "{name:?}: {value:?}"
        );
    }
    assert_eq!(assemble(&GET, &[("host", "other")]).err(), Some(Malformed::HostDisagrees));
    let cookies = "c".repeat(HeadLimits::default().head_bytes_max / 2 + 1);
    let twice = [("cookie", &*cookies), ("cookie", &*cookies)];
    assert_eq!(assemble(&GET, &twice).err(), Some(Malformed::HeadTooLarge));
}

/// Every value of up to five of the bytes that could break a line, between other lines: nothing in it
/// may end its line, its head, or begin a line of its own.
#[test]
fn no_value_becomes_a_line() {
    const BYTES: &[u8; 7] = b"a:\r\n \t\0";
    for length in 0..=5_u32 {
        for number in 0..BYTES.len().pow(length) {
            let bytes = (0..length).map(|at| BYTES[number / BYTES.len().pow(at) % BYTES.len()]);
            let value = String::from_utf8(bytes.collect()).expect("ASCII");
            let sound = !value.contains(['\r', '\n', '\0'])
                && !value.starts_with([' ', '\t'])
                && !value.ends_with([' ', '\t']);
            let head = assemble(&GET, &[("b", "1"), ("x", &value), ("c", "2")]);
            assert_eq!(head.is_ok(), sound, "{value:?}");
            if let Ok(head) = head {
                assert_eq!(head.fields.get_named("x"), Some(value.as_bytes()));
            }
        }
    }
}

/// What `each` of a writer of fields was called with.
fn written(write: impl FnOnce(&mut dyn FnMut(Known, &[u8], &[u8]))) -> String {
    let mut out = Vec::new();
    write(&mut |known, name, value| {
        assert_eq!(known, Known::of(name));
        out.extend_from_slice(&name.to_ascii_lowercase());
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'|');
    });
    String::from_utf8(out).expect("text")
}

#[test]
fn a_request_becomes_parts() {
    let text =
        b"POST / HTTP/1.1\r\nHost: h\r\nA: 1\r\nConnection: x, te\r\nX: hop\r\nTE: trailers\r\n\
                 Content-Length: 3\r\nVia: old\r\n\r\n";
    let mut head = RequestHead::default();
    head.parse(text, &HeadLimits::default()).expect("it is sound");
    let to = ToUpstream {
        framing: Framing::Length(3),
        but: Known::Via.bit(),
        extra: &[b"Via: new\r\nX-Id: 1\r\n", b"Last: 2\r\n"],
        ..ToUpstream::default()
    };
    assert_eq!(
        written(|each| request_fields(&head, &to, each)),
        "a=1|content-length=3|te=trailers|via=new|x-id=1|last=2|"
    );
}

#[test]
fn a_response_becomes_parts_and_parts_a_response() {
    let fields: Lines<'_> =
        &[("a", "1"), ("set-cookie", "x"), ("set-cookie", "y"), ("content-length", "5")];
    let (mut head, mut text) = (ResponseHead::default(), Vec::new());
    let read = head.assemble(Version::Http2, 201, bytes(fields), &mut text, &HeadLimits::default());
    assert_eq!((read, head.status), (Ok(()), 201));
    let to = ToClient { framing: Framing::Length(5), ..ToClient::default() };
    assert_eq!(
        written(|each| response_fields(&head, &to, each)),
        "a=1|set-cookie=x|set-cookie=y|content-length=5|"
    );
    for wrong in [("connection", "close"), ("A", "b"), ("a", " b")] {
        let read =
            head.assemble(Version::Http2, 200, bytes(&[wrong]), &mut text, &HeadLimits::default());
        assert_eq!(read, Err(Malformed::FieldLine), "{wrong:?}");
    }
}

#[test]
fn trailers_are_fields_too() {
    let trailers = Fields::of_trailers(bytes(&[("a", "1"), ("content-length", "2")]), 100);
    let trailers = trailers.expect("they are sound");
    assert_eq!(
        written(|each| trailers.each_but(0, &mut |known, name, value| each(known, name, value))),
        "a=1|"
    );
    assert_eq!(Fields::of_trailers(bytes(&[("A", "1")]), 100).err(), Some(Malformed::Trailer));
    assert_eq!(
        Fields::of_trailers(bytes(&[("a", "123456")]), 10).err(),
        Some(Malformed::TrailerTooLarge)
    );
}
