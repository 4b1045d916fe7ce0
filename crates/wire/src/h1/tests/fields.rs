//! Field lines (RFC 9112, 5), hop-by-hop fields and connection options (RFC 9110, 7.6.1).

use super::{lines_carried, lines_refused, refused, with_lines};
use crate::h1::{HeadLimits, Malformed};
use crate::{Known, RequestHead};

#[test]
fn a_field_line_is_a_token_a_colon_and_a_value() {
    // 5.1: "No whitespace is allowed between the field name and colon. In the past, differences in
    // the handling of such whitespace have led to security vulnerabilities [...]. A server MUST
    // reject, with a response status code of 400 (Bad Request), any received request message that
    // contains whitespace between a header field name and colon."
    lines_refused(
        Malformed::FieldLine,
        &[
            b"Content-Length : 5",
            b"Content-Length\t: 5",
            b"Content-Length\x0b: 5",
            b"Content-Length\x00: 5",
            b"Content-Length\xa0: 5",
            b"Content-Length\xad: 5",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding\t:chunked",
            b"Transfer-Encoding \r\n : chunked",
            b"Transfer-Encoding\r\n : chunked",
            b"Transfer Encoding: chunked",
            b"Transfer-Encoding",
            b"Transfer-Encoding chunked",
            b"Transfer-Encoding=chunked",
            b"\"Transfer-Encoding\": chunked",
            b"Transfer-Encoding\\: chunked",
            b"Transfer/Encoding: chunked",
            b"(Transfer-Encoding): chunked",
            b"Transf\x00er-Encoding: chunked",
            b"Transf\xebr-Encoding: chunked",
            b"\x00Transfer-Encoding: chunked",
            b"\x0bTransfer-Encoding: chunked",
            b"\x7fTransfer-Encoding: chunked",
            b"{x}: y",
            b"x@y: z",
            b"x,y: z",
            b"x;y: z",
            b"x<y>: z",
            b"[x]: y",
            b"x?: y",
            b"x",
            b": x",
            b":",
            b" : x",
            b"a-name-that-is-longer-than-a-block : x",
            b"a-name-that-is-longer-than-a-block",
        ],
    );
}

#[test]
fn lines_are_never_folded() {
    // 5.2: "A server that receives an obs-fold in a request message that is not within a
    // "message/http" container MUST either reject the message by sending a 400 (Bad Request) [...]
    // or replace each received obs-fold with one or more SP octets". Replaced, it hid `chunked`.
    lines_refused(
        Malformed::FieldLine,
        &[
            b"X: a\r\n b",
            b"X: a\r\n\tb",
            b"X:\r\n b",
            b"Transfer-Encoding:\r\n chunked",
            b"Transfer-Encoding:\r\n\tchunked",
            b"Transfer-Encoding: chunked\r\n , identity",
            b"Content-Length: 5\r\n 5",
            b"X: a\r\n ",
            b"X: a\r\n \r\n b",
        ],
    );
    // 2.2: "A recipient that receives whitespace between the start-line and the first header field
    // MUST either reject the message as invalid or consume each whitespace-preceded line without
    // further processing".
    refused(
        Malformed::FieldLine,
        &[
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn no_control_stands_in_a_value() {
    // RFC 9110, 5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous,
    // due to the varying ways that implementations might parse and interpret those characters".
    // The others have no place in the grammar: `field-vchar = VCHAR / obs-text`.
    for byte in (0..=0x1f).chain([0x7f]) {
        let malformed = match byte {
            b'\t' => continue,
            b'\r' | b'\n' => Malformed::BareLineEnd,
            _ => Malformed::FieldLine,
        };
        for at in [0, 1, 7, 8, 15, 16, 17, 31, 40] {
            let mut value = [b'v'; 41];
            value[at] = byte;
            lines_refused(malformed, &[&[b"X: ", &value[..]].concat()]);
        }
        lines_refused(
            malformed,
            &[
                &[b"X:", &[byte][..]].concat(),
                &[b"X:", &[byte][..], b"v"].concat(),
                &[b"Transfer-Encoding:", &[byte][..], b"chunked"].concat(),
                &[b"Transfer-Encoding: chunked", &[byte][..]].concat(),
                &[b"Content-Length: ", &[byte][..], b"5"].concat(),
            ],
        );
    }
    lines_refused(
        Malformed::BareLineEnd,
        &[
            b"X: y\rTransfer-Encoding: chunked",
            b"X: y\nTransfer-Encoding: chunked",
            b"X: y\r\r\nTransfer-Encoding: chunked",
            b"X: y\n\r\nTransfer-Encoding: chunked",
            b"X\rTransfer-Encoding: chunked",
            b"X\nTransfer-Encoding: chunked",
            b"X:\nTransfer-Encoding: chunked",
            b"X:\rTransfer-Encoding: chunked",
            b"X: \xe4\nY: z",
            b"X: \t\nY: z",
            b"X: \t\rY: z",
        ],
    );
}

#[test]
fn all_else_passes_as_it_came() {
    // 5: `field-line = field-name ":" OWS field-value OWS`. The white space around a value is not
    // part of it for any reader, so a copied line may keep it.
    lines_carried(&[
        (b"X:y", "X:y\r\n"),
        (b"X:", "X:\r\n"),
        (b"X: ", "X: \r\n"),
        (b"X: \t \t", "X: \t \t\r\n"),
        (b"X:\ty\t", "X:\ty\t\r\n"),
        (b"X:   y  z   ", "X:   y  z   \r\n"),
        (b"X: y: z", "X: y: z\r\n"),
        (b"X: :", "X: :\r\n"),
        (b"X: \"a\\\"b\", 'c'", "X: \"a\\\"b\", 'c'\r\n"),
        (b"X: y\tz", "X: y\tz\r\n"),
        (b"X: caf\xe9 \x80\xff", "X: caf\u{e9} \u{80}\u{ff}\r\n"),
        (b"X: GET / HTTP/1.1", "X: GET / HTTP/1.1\r\n"),
        (b"X: %0d%0aY: z", "X: %0d%0aY: z\r\n"),
        (b"!#$%&'*+-.^_`|~09azAZ: y", "!#$%&'*+-.^_`|~09azAZ: y\r\n"),
        (b"api_key: y", "api_key: y\r\n"),
        (b"x: 1\r\nX: 2\r\nx: 1", "x: 1\r\nX: 2\r\nx: 1\r\n"),
        (b"Accept: a\r\naccept: b", "Accept: a\r\naccept: b\r\n"),
        (b"Via: 1.1 b\r\nX-Y: z", "Via: 1.1 b\r\nX-Y: z\r\n"),
        (b"Transfer-Encodings: chunked", "Transfer-Encodings: chunked\r\n"),
        (b"Content-Lengt: 5", "Content-Lengt: 5\r\n"),
        (b"X-Content-Length: 5", "X-Content-Length: 5\r\n"),
    ]);
    for bytes in 1..80 {
        let line = format!("{}: {}", "n".repeat(bytes), "v".repeat(80 - bytes));
        lines_carried(&[(line.as_bytes(), &format!("{line}\r\n"))]);
    }
}

#[test]
fn values_are_known_without_their_white_space() {
    let read = |line: &str| {
        let mut head = RequestHead::default();
        head.parse(&with_lines(line.as_bytes()), &HeadLimits::default()).expect("valid");
        head.fields.get_named("x").map(|value| String::from_utf8_lossy(value).into_owned())
    };
    for (line, value) in [
        ("X:", ""),
        ("X: ", ""),
        ("X:\t \t", ""),
        ("X:y", "y"),
        ("X: \t y z \t ", "y z"),
        ("x:,", ","),
    ] {
        assert_eq!(read(line).as_deref(), Some(value), "{line:?}");
    }
}

#[test]
fn an_underscore_is_not_a_dash() {
    // CGI and its descendants turn both into `_`: a service of theirs would find the framing, the
    // address or the identity that we did not.
    lines_refused(
        Malformed::LookalikeName,
        &[
            b"Content_Length: 5",
            b"CONTENT_LENGTH: 5",
            b"Transfer_Encoding: chunked",
            b"transfer_encoding: chunked",
            b"X_Forwarded_For: 127.0.0.1",
            b"X-Forwarded_For: 127.0.0.1",
            b"X_Forwarded-Proto: https",
            b"Proxy_Authorization: x",
            b"If_None-Match: x",
        ],
    );
}

#[test]
fn what_concerns_one_hop_stays_there() {
    // RFC 9110, 7.6.1: "Intermediaries MUST parse a received Connection header field before a
    // message is forwarded and, for each connection-option in this field, remove any header or
    // trailer field(s) from the message with the same name as the connection-option, and then
    // remove the Connection header field itself".
    lines_carried(&[
        (b"Connection: close", ""),
        (b"Connection: keep-alive\r\nKeep-Alive: timeout=5", ""),
        (b"Connection: x\r\nX: 1\r\nY: 2\r\nx: 3", "Y: 2\r\n"),
        (b"X: 1\r\nConnection: X", ""),
        (b"Connection: a, b\r\nA: 1\r\nB: 2\r\nC: 3", "C: 3\r\n"),
        (b"Connection: a\r\nConnection: b\r\nA: 1\r\nB: 2", ""),
        (b"Connection: ,, a ,\t,\r\nA: 1\r\nB: 2", "B: 2\r\n"),
        (b"Connection:\r\nA: 1", "A: 1\r\n"),
        (b"Connection: \"a\"\r\nA: 1", "A: 1\r\n"),
        (b"Keep-Alive: 1\r\nA: 1", "A: 1\r\n"),
        (b"Proxy-Connection: keep-alive\r\nA: 1", "A: 1\r\n"),
        (b"Proxy-Authorization: b\r\nProxy-Authenticate: c", ""),
        (b"Proxy: http://evil\r\nA: 1", "A: 1\r\n"),
        // An upgrade goes through only where the engine asks for it.
        (b"Connection: Upgrade\r\nUpgrade: websocket", ""),
        (b"Upgrade: websocket\r\nA: 1", "A: 1\r\n"),
        (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA", ""),
        // 10.1.4: `TE` is for one hop. Ours takes trailers for a client that does.
        (b"TE: trailers", "TE: trailers\r\nConnection: TE\r\n"),
        (b"TE: trailers\r\nConnection: TE", "TE: trailers\r\nConnection: TE\r\n"),
        (b"TE: gzip;q=1, Trailers", "TE: trailers\r\nConnection: TE\r\n"),
        (b"TE: gzip", ""),
        (b"TE: chunked", ""),
        (b"TE:", ""),
    ]);
}

#[test]
fn connection_options_cannot_undo_the_message() {
    // "A sender MUST NOT send a connection option corresponding to a field that is intended for all
    // recipients". A client that could drop these would decide how the next reader frames, or where
    // it goes. ("Abusing HTTP hop-by-hop request headers", 2019.)
    lines_carried(&[
        (b"Connection: host", ""),
        (b"Connection: content-length\r\nContent-Length: 5", "Content-Length: 5\r\n"),
        (
            b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\n",
        ),
        (b"Connection: connection, close", ""),
    ]);
    let options = |options: usize| format!("Connection: {}", vec!["x"; options].join(","));
    lines_carried(&[(options(16).as_bytes(), "")]);
    lines_refused(
        Malformed::TooManyConnectionOptions,
        &[options(17).as_bytes(), b"Connection: a,b,c,d,e,f,g,h,i\r\nConnection: a,b,c,d,e,f,g,h"],
    );
}

#[test]
fn what_connection_says_is_understood() {
    let read = |line: &[u8]| {
        let mut head = RequestHead::default();
        head.parse(&with_lines(line), &HeadLimits::default()).expect("valid");
        let connection = head.connection;
        (connection.persists(head.version), connection.upgrade_protocol(&head.fields).is_some())
    };
    for (line, persists, upgrades) in [
        (&b"X: y"[..], true, false),
        (b"Connection: close", false, false),
        (b"Connection: CLOSE", false, false),
        (b"Connection: keep-alive, close", false, false),
        (b"Connection: keep-alive\r\nConnection: close", false, false),
        (b"Connection: closed", true, false),
        (b"Connection: Upgrade\r\nUpgrade: websocket", true, true),
        (b"Connection: Upgrade", true, false),
        (b"Connection: Upgrade\r\nUpgrade:", true, false),
        (b"Upgrade: websocket", true, false),
        (b"Connection: upgrade\r\nUpgrade: h2c", true, false),
        (b"Connection: upgrade\r\nUpgrade: websocket, H2C", true, false),
        (b"Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", true, false),
        (b"Connection: upgrade\r\nUpgrade: h2c-17", true, false),
    ] {
        assert_eq!(read(line), (persists, upgrades), "{:?}", super::text(line));
    }
}

#[test]
fn names_are_known_in_any_case() {
    for &known in Known::ALL {
        for name in [known.name().to_owned(), known.name().to_ascii_uppercase()] {
            let mut head = RequestHead::default();
            let line = format!("{name}: a");
            let head = match known {
                Known::Host => continue,
                _ => {
                    head.parse(&with_lines(line.as_bytes()), &HeadLimits::default()).map(|()| head)
                }
            };
            assert!(head.is_ok_and(|head| head.fields.has(known)), "{name}");
        }
    }
}

#[test]
fn a_refused_head_has_nothing_in_it() {
    // Rules and logs look at a request whether it was understood or not.
    let bytes = b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: x\r\nA : b\r\n\r\n";
    let mut head = RequestHead::default();
    let limits = HeadLimits::default();
    let read = head.read(bytes, &mut crate::h1::HeadScan::default(), &limits);
    assert_eq!(read, Err(Malformed::FieldLine));
    assert_eq!(head.parse(bytes, &limits), Err(Malformed::FieldLine));
    assert!(head.fields.is_empty() && head.fields.iter().next().is_none());
    assert!(!head.fields.has(Known::Expect));
    assert_eq!((head.method_text(), head.path()), ("", &b""[..]));
}
