//! Bodies as they arrive (RFC 9112, 6 and 7), chunked ones above all.

use crate::h1::{BodyDecoder, BodyLimits, Framing, Malformed};

/// The data, then what follows the body, then the trailers as lines.
type Body = (String, String, Vec<String>);

const LIMITS: BodyLimits = BodyLimits { chunk_extension_bytes_max: 40, trailer_bytes_max: 64 };

/// Decodes `bytes` in pieces that end at `ends`; then the sender closes.
fn decode(framing: Framing, bytes: &[u8], ends: &[usize]) -> Result<Body, Malformed> {
    let mut decoder = BodyDecoder::new(framing, LIMITS);
    let (mut data, mut at) = (Vec::new(), 0);
    for &end in ends {
        let mut piece = bytes[at..end].to_vec();
        let decoded = decoder.decode(&mut piece)?;
        data.extend_from_slice(&piece[decoded.data]);
        at += decoded.consumed;
        assert!(decoder.is_done() || at == end, "all is consumed but what follows");
    }
    decoder.close()?;
    let trailers = decoder.take_trailers().map_or_else(Vec::new, |trailers| {
        let lines = trailers.iter();
        lines
            .map(|(name, value)| format!("{}: {}", super::text(name), super::text(value)))
            .collect()
    });
    Ok((super::text(&data), super::text(&bytes[at..]), trailers))
}

/// [`decode`] with every split, and byte by byte; all must give the same.
#[track_caller]
fn at_every_split(framing: Framing, bytes: &[u8]) -> Result<Body, Malformed> {
    let all = bytes.len();
    let whole = decode(framing, bytes, &[all]);
    for split in 0..all {
        let parts = decode(framing, bytes, &[split, all]);
        assert_eq!(parts, whole, "{:?} split at {split}", super::text(bytes));
    }
    let ends: Vec<_> = (1..=all).collect();
    let drops = decode(framing, bytes, &ends);
    assert_eq!(drops, whole, "{:?} byte by byte", super::text(bytes));
    whole
}

#[track_caller]
fn refused(malformed: Malformed, bodies: &[&[u8]]) {
    for bytes in bodies {
        let decoded = at_every_split(Framing::Chunked, bytes);
        assert_eq!(decoded, Err(malformed), "{:?}", super::text(bytes));
    }
}

#[track_caller]
fn carried(bodies: &[(&[u8], &str)]) {
    for (bytes, data) in bodies {
        let (decoded, rest, _) = at_every_split(Framing::Chunked, bytes)
            .unwrap_or_else(|malformed| panic!("{malformed:?} {:?}", super::text(bytes)));
        assert_eq!((&*decoded, &*rest), (*data, ""), "{:?}", super::text(bytes));
    }
}

#[track_caller]
fn trailed(trailers: &[(&str, &[&str])]) {
    for (lines, expect) in trailers {
        let bytes = format!("1\r\nx\r\n0\r\n{lines}\r\nrest");
        let (data, rest, found) =
            at_every_split(Framing::Chunked, bytes.as_bytes()).expect("valid trailers");
        assert_eq!((&*data, &*rest), ("x", "rest"), "{lines:?}");
        assert_eq!(found, *expect, "{lines:?}");
    }
}

#[test]
fn a_body_of_a_known_length_is_that_long() {
    let decode = |length, bytes: &str| at_every_split(Framing::Length(length), bytes.as_bytes());
    let body = |data: &str, rest: &str| Ok((data.to_owned(), rest.to_owned(), Vec::new()));
    assert_eq!(decode(5, "hello"), body("hello", ""));
    assert_eq!(decode(5, "hello\r\nGET"), body("hello", "\r\nGET"));
    assert_eq!(decode(0, "GET"), body("", "GET"));
    assert_eq!(decode(1, "\r\n"), body("\r", "\n"));
    // 8: "if the size of the message body received (in octets) is less than the value given, [...]
    // the recipient MUST consider the message to be incomplete".
    assert_eq!(decode(6, "hello"), Err(Malformed::Truncated));
    assert_eq!(decode(u64::MAX, "hello"), Err(Malformed::Truncated));
    assert_eq!(at_every_split(Framing::None, b"GET"), body("", "GET"));
    assert_eq!(at_every_split(Framing::UntilClose, b"0\r\n\r\n"), body("0\r\n\r\n", ""));
    assert_eq!(at_every_split(Framing::UntilClose, b""), body("", ""));
}

#[test]
fn chunks_are_put_together() {
    carried(&[
        (b"0\r\n\r\n", ""),
        (b"00\r\n\r\n", ""),
        (b"000000000000000\r\n\r\n", ""),
        (b"1\r\nx\r\n0\r\n\r\n", "x"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        (b"00000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        (b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
        (b"3\r\n\0\xff\n\r\n0\r\n\r\n", "\0\u{ff}\n"),
    ]);
    let long: Vec<u8> = (0..=255).cycle().take(0x1234).collect();
    let bytes = [b"1234\r\n", &long[..], b"\r\n0\r\n\r\n"].concat();
    let whole = decode(Framing::Chunked, &bytes, &[bytes.len()]);
    assert_eq!(whole.map(|body| body.0), Ok(super::text(&long)));
}

#[test]
fn a_chunk_size_is_plain_hex() {
    // 7.1: `chunk-size = 1*HEXDIG`, and "recipients MUST anticipate potentially large hexadecimal
    // numerals and prevent parsing errors due to integer conversion overflows or precision loss due
    // to integer representation".
    refused(
        Malformed::ChunkSize,
        &[
            b"\r\n",
            b"\r\n5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"\t5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"-0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"0X5\r\nhello\r\n0\r\n\r\n",
            b"0x0\r\n\r\n",
            b"x5\r\nhello\r\n0\r\n\r\n",
            b"5x\r\nhello\r\n0\r\n\r\n",
            b"5h\r\nhello\r\n0\r\n\r\n",
            b"0_5\r\nhello\r\n0\r\n\r\n",
            b"5_\r\nhello\r\n0\r\n\r\n",
            b"5,\r\nhello\r\n0\r\n\r\n",
            b"5.0\r\nhello\r\n0\r\n\r\n",
            b"5\x00\r\nhello\r\n0\r\n\r\n",
            b"5\x0b\r\nhello\r\n0\r\n\r\n",
            b"5\xa0\r\nhello\r\n0\r\n\r\n",
            b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
            b"\"5\"\r\nhello\r\n0\r\n\r\n",
            b";a\r\nhello\r\n0\r\n\r\n",
            b"g\r\n",
            b"G\r\n",
            b"/\r\n",
            b":\r\n",
            b"@\r\n",
            b"`\r\n",
            b"hello",
            b"GET / HTTP/1.1\r\n\r\n",
            b"5\r\nhello\r\n\r\n0\r\n\r\n",
            b"5\r\nhello\r\n 0\r\n\r\n",
            // More than 60 bits: the first wraps to 5 for a reader of 64, the next for one of 32.
            b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            b"0000000100000005\r\nhello\r\n0\r\n\r\n",
            b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            b"8000000000000000\r\nhello\r\n0\r\n\r\n",
            b"fffffffffffffffffffffffff\r\n",
            b"0000000000000000\r\n\r\n",
            b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        ],
    );
    // Large, yet a number: no body of this size can be had, so it only breaks off.
    refused(
        Malformed::Truncated,
        &[b"fffffffffffffff\r\nhello", b"100000005\r\nhello\r\n0\r\n\r\n", b"7fffffff\r\n"],
    );
}

#[test]
fn chunks_end_where_they_say_and_in_cr_lf() {
    // "Funky chunks" (2025): the last three readers of one line end are three readers of one body.
    refused(
        Malformed::BareLineEnd,
        &[
            b"5\nhello\r\n0\r\n\r\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b"5\rX\nhello\r\n0\r\n\r\n",
            b"0\n\n",
            b"0\r\r\n\n",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;a\rhello\r\n0\r\n\r\n",
            b"5;\nhello\r\n0\r\n\r\n",
            b"5;a=\nhello\r\n0\r\n\r\n",
            b"5;a=b\nhello\r\n0\r\n\r\n",
            b"5;a=\"\nhello\"\r\n0\r\n\r\n",
            b"5;a=\"b\"\nhello\r\n0\r\n\r\n",
            b"5;a\r\r\nhello\r\n0\r\n\r\n",
            b"5 \nhello\r\n0\r\n\r\n",
            b"0;\nxx\r\n4c\r\n0\r\n\r\n",
            b"2;\nxx\r\n4c\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX: y\r\n\n",
            b"0\r\nX: y\n\n",
            b"0\r\nX: y\rZ: z\r\n\r\n",
            b"0\r\n\r\r\n\r\n",
        ],
    );
    refused(
        Malformed::ChunkEnd,
        &[
            b"5\r\nhelloX0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhello\r\r\n0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello\n\n0\r\n\r\n",
            b"5\r\nhello\n\r0\r\n\r\n",
            b"5\r\nhello;\r\n0\r\n\r\n",
            b"5\r\nhello world\r\n0\r\n\r\n",
            b"4\r\nhello\r\n0\r\n\r\n",
        ],
    );
    refused(
        Malformed::Truncated,
        &[
            b"",
            b"5",
            b"5\r",
            b"5\r\n",
            b"5\r\nhell",
            b"5\r\nhello",
            b"5\r\nhello\r",
            b"5\r\nhello\r\n",
            b"5\r\nhello\r\n0",
            b"5\r\nhello\r\n0\r\n",
            b"5\r\nhello\r\n0\r\n\r",
            b"0\r\nX: y\r\n",
            b"0\r\nX",
            b"5;a",
            b"5;a=\"",
            b"5 ",
        ],
    );
}

#[test]
fn extensions_are_read_and_forgotten() {
    // 7.1.1: "A recipient MUST ignore unrecognized chunk extensions."
    let data = |extension: &str| format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n");
    for extension in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        ";a;b",
        ";a=b;c=d",
        ";a=\"\"",
        ";a=\";\"",
        ";a=\"=\\\"\"",
        ";a=\"\\\\\"",
        " ;a",
        "\t;a",
        "; a",
        ";\ta",
        ";a =b",
        ";a= b",
        ";a = b",
        ";a=\"b\" ;c",
        ";a ;b",
        ";a=\"\t \u{e4}\"",
        ";!#$%&'*+-.^_`|~=1",
    ] {
        carried(&[(data(extension).as_bytes(), "hello")]);
    }
    for extension in [
        ";",
        "; ",
        ";;",
        ";;a",
        ";a;",
        ";a; ",
        ";=",
        ";=b",
        ";a=",
        ";a= ",
        ";a=;b",
        ";a==b",
        ";a b",
        ";a=b c",
        ";a=\"b\"c",
        ";a=b\"c\"",
        ";\"a\"",
        ";a=\"b",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        " ",
        "  ",
        " a",
        " 5",
        "\t",
        ";a=\"b\\",
        ";a,b",
        ";a/b",
        ";a:b",
        ";(a)",
        ";\u{e4}",
        ";a=\u{e4}",
        ";a\u{0}",
        ";a=\"\u{0}\"",
        ";a=\"\\\u{1}\"",
        ";a=\"\u{7f}\"",
        ";a\u{b}",
    ] {
        refused(Malformed::ChunkExtension, &[data(extension).as_bytes()]);
    }
    // All extensions of a body together have one limit (CVE-2023-39326).
    let many = |chunks: usize| format!("{}0\r\n\r\n", "1;a=b\r\nx\r\n".repeat(chunks));
    carried(&[(many(10).as_bytes(), "xxxxxxxxxx")]);
    refused(Malformed::ChunkExtension, &[many(11).as_bytes()]);
    refused(
        Malformed::ChunkExtension,
        &[
            format!("1{}", ";aaaaaaa".repeat(6)).as_bytes(),
            format!("1{}", " ".repeat(41)).as_bytes(),
        ],
    );
}

#[test]
fn trailers_never_frame_or_route() {
    // RFC 9110, 6.5.1: "Trailer fields ought to be processed and stored separately from the fields
    // in the header section [...]. Many fields cannot be processed outside the header section because
    // their evaluation is necessary prior to receiving the content, such as those that describe
    // message framing, routing, authentication, request modifiers, response controls, or content
    // format."
    trailed(&[
        ("", &[]),
        ("X: y\r\n", &["X: y"]),
        ("X:y\r\nZ: \t\r\n", &["X: y", "Z: "]),
        ("Grpc-Status: 0\r\nETag: \"a\"\r\n", &["Grpc-Status: 0", "ETag: \"a\""]),
        ("Content-Length: 5\r\n", &[]),
        ("Transfer-Encoding: chunked\r\nX: y\r\n", &["X: y"]),
        ("transfer-encoding: identity\r\ncontent-length: 0\r\n", &[]),
        ("Host: evil\r\nConnection: close\r\nTE: x\r\nUpgrade: x\r\n", &[]),
        ("Authorization: x\r\nCookie: x\r\nSet-Cookie: x\r\n", &[]),
        ("Content-Type: x\r\nContent-Encoding: x\r\nContent-Range: x\r\n", &[]),
        ("X-Forwarded-For: 127.0.0.1\r\nForwarded: for=x\r\nVia: x\r\n", &[]),
        ("Cache-Control: x\r\nExpires: x\r\nAge: 1\r\nVary: *\r\nDate: x\r\n", &[]),
        ("Location: x\r\nExpect: 100-continue\r\nRange: x\r\nTrailer: x\r\n", &[]),
        ("Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Y: z\r\n", &["X_Y: z"]),
    ]);
    refused(
        Malformed::Trailer,
        &[
            b"0\r\nX\r\n\r\n",
            b"0\r\nX : y\r\n\r\n",
            b"0\r\n X: y\r\n\r\n",
            b"0\r\nX: y\r\n z\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
            b"0\r\nX\x00: y\r\n\r\n",
            b"0\r\nX: \x00\r\n\r\n",
            b"0\r\nX: \x7f\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
            b"0\r\n0\r\n\r\n",
            b"0\r\n5\r\nhello\r\n\r\n",
        ],
    );
    let long = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(bytes - 7));
    carried(&[(long(64).as_bytes(), "")]);
    refused(
        Malformed::TrailerTooLarge,
        &[long(65).as_bytes(), &b"0\r\n".iter().copied().chain([b'x'; 65]).collect::<Vec<_>>()],
    );
}

#[test]
fn how_much_may_be_read_is_known() {
    let decoder = |framing| BodyDecoder::new(framing, LIMITS);
    assert_eq!(decoder(Framing::None).bytes_left(), Some(0));
    assert_eq!(decoder(Framing::Length(5)).bytes_left(), Some(5));
    assert_eq!(decoder(Framing::Chunked).bytes_left(), None);
    assert_eq!(decoder(Framing::UntilClose).bytes_left(), None);
    let mut body = decoder(Framing::Length(5));
    assert!(body.decode(&mut b"he".to_owned()).is_ok());
    assert_eq!(body.bytes_left(), Some(3));
    assert!(body.decode(&mut b"llo".to_owned()).is_ok() && body.is_done());
}
