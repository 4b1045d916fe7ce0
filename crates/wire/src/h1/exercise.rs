//! The bodies of the fuzz targets, here so that tests run them too and they cannot rot.
//!
//! Each is an oracle: it holds what the reader said against something simpler that must agree.

use super::lines::is_lookalike;
use super::{
    BodyDecoder, BodyLimits, Framing, HeadLimits, HeadScan, Malformed, Scanned, ToClient,
    ToUpstream, encode_request, encode_response, request_framing, response_framing,
};
use crate::fields::{FIELDS_MAX, Fields, is_token_byte, is_value_byte};
use crate::head::{HOP_BY_HOP, Method, NEVER_IN_TRAILERS, RequestHead, ResponseHead};
use crate::known::Known;

/// Reads `bytes` as a request head, whole and in pieces; one that is accepted must be one for the
/// plainest reader too, and read the same when written anew.
pub fn request(bytes: &[u8]) {
    let limits = HeadLimits::default();
    let mut head = RequestHead::default();
    let read = head.read(bytes, &mut HeadScan::default(), &limits);

    let (mut pieced, mut scan) = (RequestHead::default(), HeadScan::default());
    let first = pieced.read(&bytes[..split_of(bytes)], &mut scan, &limits);
    let in_pieces = match first {
        Ok(None) => pieced.read(bytes, &mut scan, &limits),
        other => other,
    };
    let Some(end) = agreed(read, in_pieces, bytes) else {
        return;
    };
    if let Ok(Scanned::Whole { start, end: looked }) = HeadScan::default().look(bytes, &limits) {
        assert_eq!(looked, end);
        assert_plain(&bytes[start..end]);
    } else {
        panic!("a whole head without an end: {:?}", text(bytes));
    }
    assert!(!head.fields.iter().any(|(name, _)| is_lookalike(name)));
    let Ok(framing) = request_framing(&head) else {
        return;
    };
    if head.method == Method::Connect {
        return;
    }
    let to = ToUpstream {
        authority: match head.authority() {
            b"" => b"a",
            authority => authority,
        },
        framing,
        ..ToUpstream::default()
    };
    let mut out = Vec::new();
    encode_request(&head, &to, &mut out);
    assert_plain(&out);
    assert_framed(&out, framing);

    let mut again = RequestHead::default();
    let whole = again.read(&out, &mut HeadScan::default(), &HeadLimits::MAX);
    assert_eq!(whole, Ok(Some(out.len())), "{:?}", text(&out));
    assert_eq!(request_framing(&again), Ok(framing));
    assert_eq!(again.method_text(), head.method_text());
    assert_eq!((again.path(), again.query()), (head.path(), head.query()));
    assert_eq!(again.authority(), to.authority);
    assert!(again.connection == super::Connection::default());
    let but = HOP_BY_HOP | Known::Host.bit() | Known::ContentLength.bit();
    assert_eq!(lines(&again.fields, but), lines(&head.fields, but));
}

/// Reads `bytes` as a response head; one that is accepted must be one for the plainest reader too,
/// and read the same when written anew.
pub fn response(bytes: &[u8]) {
    let limits = HeadLimits::default();
    let mut head = ResponseHead::default();
    let read = head.read(bytes, &mut HeadScan::of_response(), &limits);

    let (mut pieced, mut scan) = (ResponseHead::default(), HeadScan::of_response());
    let first = pieced.read(&bytes[..split_of(bytes)], &mut scan, &limits);
    let in_pieces = match first {
        Ok(None) => pieced.read(bytes, &mut scan, &limits),
        other => other,
    };
    let Some(end) = agreed(read, in_pieces, bytes) else {
        return;
    };
    assert_plain(&bytes[..end]);
    for method in [Method::Get, Method::Head] {
        let Ok(framing) = response_framing(&head, method) else {
            return;
        };
        let to = ToClient {
            framing: framing.announced,
            persist: framing.body != Framing::UntilClose,
            ..ToClient::default()
        };
        let mut out = Vec::new();
        encode_response(&head, &to, &mut out);
        assert_plain(&out);
        assert_framed(&out, framing.announced);

        let mut again = ResponseHead::default();
        let whole = again.read(&out, &mut HeadScan::of_response(), &HeadLimits::MAX);
        assert_eq!(whole, Ok(Some(out.len())), "{:?}", text(&out));
        assert_eq!(response_framing(&again, method), Ok(framing));
        assert_eq!((again.status, again.reason()), (head.status, head.reason()));
        let but = HOP_BY_HOP | Known::ContentLength.bit();
        assert_eq!(lines(&again.fields, but), lines(&head.fields, but));
    }
}

/// Reads `bytes` as a chunked body, whole and in two pieces; both must give the same, which must be
/// what the plainest decoder finds. What is written anew must decode to the same.
pub fn chunked(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len());
    assert_eq!(decode(bytes, split_of(bytes)), whole, "{:?}", text(bytes));
    let done = whole.ok().filter(|decoded| decoded.done);
    let plain = plainly_chunked(bytes);
    let found = done.as_ref().map(|done| (&done.data[..], done.consumed));
    assert_eq!(
        found,
        plain.as_ref().map(|(data, consumed)| (&data[..], *consumed)),
        "{:?}",
        text(bytes)
    );
    let Some(done) = done else { return };
    let mut out = Vec::new();
    for chunk in done.data.chunks(7) {
        let (head, head_bytes) = super::chunk_head(chunk.len());
        out.extend_from_slice(&head[..head_bytes]);
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    super::encode_trailers(done.trailers.as_ref(), &mut out);
    let again = decode(&out, out.len()).expect("what we write is right");
    assert!(again.done && again.consumed == out.len());
    assert_eq!(again.data, done.data);
    let trailers = |decoded: &Decoding| decoded.trailers.as_ref().map(|it| lines(it, 0));
    assert_eq!(trailers(&again).unwrap_or_default(), trailers(&done).unwrap_or_default());
}

/// Where the head ends if it is accepted, which must not depend on how it arrived. One that is
/// refused may be refused later if it arrives in pieces: at its end.
#[track_caller]
fn agreed(
    whole: Result<Option<usize>, Malformed>,
    in_pieces: Result<Option<usize>, Malformed>,
    bytes: &[u8],
) -> Option<usize> {
    match (whole, in_pieces) {
        (Err(_), Err(_) | Ok(None)) => None,
        (whole, in_pieces) => {
            assert_eq!(in_pieces, whole, "{:?}", text(bytes));
            whole.ok().flatten()
        }
    }
}

/// Where to split: the last byte picks, so that a fuzzer owns it.
fn split_of(bytes: &[u8]) -> usize {
    let pick = bytes.last().copied().unwrap_or_default();
    bytes.len() * usize::from(pick) / 256
}

#[derive(Debug, Default)]
struct Decoding {
    data: Vec<u8>,
    consumed: usize,
    done: bool,
    trailers: Option<Fields>,
}

impl PartialEq for Decoding {
    fn eq(&self, other: &Self) -> bool {
        let trailers = |it: &Self| it.trailers.as_ref().map(|it| lines(it, 0));
        (&self.data, self.consumed, self.done) == (&other.data, other.consumed, other.done)
            && trailers(self) == trailers(other)
    }
}

fn decode(bytes: &[u8], split: usize) -> Result<Decoding, Malformed> {
    let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default());
    let mut decoding = Decoding::default();
    let (first, second) = bytes.split_at(split);
    for piece in [first, second] {
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(&mut piece)?;
        assert!(decoded.consumed <= piece.len() && decoded.data.end <= decoded.consumed);
        assert!(decoder.is_done() || decoded.consumed == piece.len());
        decoding.data.extend_from_slice(&piece[decoded.data]);
        decoding.consumed += decoded.consumed;
    }
    decoding.done = decoder.is_done();
    decoding.trailers = decoder.take_trailers().map(|trailers| *trailers);
    if let Some(trailers) = &decoding.trailers {
        assert!(!trailers.has_any(NEVER_IN_TRAILERS));
    }
    Ok(decoding)
}

/// A chunked body as RFC 9112, 7.1 has it, line by line: its data and its length, if it is whole.
fn plainly_chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let limits = BodyLimits::default();
    let (mut data, mut at, mut extension_bytes) = (Vec::new(), 0, 0);
    loop {
        let line = plain_line(&bytes[at..])?;
        at += line.len() + 2;
        let size_bytes = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extensions) = line.split_at(size_bytes);
        extension_bytes += extensions.len();
        let in_limits = size_bytes <= 15 && extension_bytes <= limits.chunk_extension_bytes_max;
        if !in_limits || !plain_extensions(extensions) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let chunk = bytes.get(at..)?.get(..size)?;
        data.extend_from_slice(chunk);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    let (trailers_at, mut trailers) = (at, 0);
    loop {
        let line = plain_line(&bytes[at..])?;
        at += line.len() + 2;
        if at - trailers_at > limits.trailer_bytes_max || trailers > FIELDS_MAX {
            return None;
        }
        if line.is_empty() {
            return Some((data, at));
        }
        trailers += 1;
        if trailers > FIELDS_MAX || !is_plain_field(line) {
            return None;
        }
    }
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`
fn plain_extensions(extensions: &[u8]) -> bool {
    let mut rest = extensions;
    while !rest.is_empty() {
        let Some(name) = blank(rest).strip_prefix(b";").map(blank) else {
            return false;
        };
        rest = token(name);
        let mut empty = rest.len() == name.len();
        if let Some(value) = blank(rest).strip_prefix(b"=").map(blank) {
            rest = match value {
                [b'"', inner @ ..] => unquoted(inner).unwrap_or(value),
                value => token(value),
            };
            empty |= rest.len() == value.len();
        }
        if empty {
            return false;
        }
    }
    true
}

fn blank(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| b" \t".contains(byte));
    &text[blanks.count()..]
}

fn token(text: &[u8]) -> &[u8] {
    let token = text.iter().take_while(|&&byte| is_token_byte(byte));
    &text[token.count()..]
}

/// What stands behind the closing quote.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += match text[at..] {
            [b'"', ..] => return Some(&text[at + 1..]),
            [b'\\', byte, ..] if is_value_byte(byte) => 2,
            [b'\\', ..] => return None,
            [byte, ..] if is_value_byte(byte) => 1,
            _ => return None,
        }
    }
}

/// A line that CR LF ends, with neither in it.
fn plain_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[..end];
    (!line.contains(&b'\n') && !line.contains(&b'\r')).then_some(line)
}

fn is_plain_field(line: &[u8]) -> bool {
    line.iter().position(|&byte| byte == b':').is_some_and(|colon| {
        colon > 0
            && line[..colon].iter().all(|&byte| is_token_byte(byte))
            && line[colon..].iter().all(|&byte| is_value_byte(byte))
    })
}

/// A head is a start line of visible text, field lines, and an empty line at its very end.
#[track_caller]
fn assert_plain(head: &[u8]) {
    let mut rest = head;
    let mut count = 0;
    loop {
        let line = plain_line(rest).unwrap_or_else(|| panic!("no line end: {:?}", text(head)));
        rest = &rest[line.len() + 2..];
        match count {
            _ if line.is_empty() => break,
            0 => assert!(line.iter().all(|&byte| is_value_byte(byte))),
            _ => assert!(is_plain_field(line), "{:?}", text(line)),
        }
        count += 1;
    }
    assert!(rest.is_empty() && count > 0, "{:?}", text(head));
}

/// The framing fields of a written head are ours and no others.
#[track_caller]
fn assert_framed(head: &[u8], framing: Framing) {
    let text = text(head).to_ascii_lowercase();
    let named = |name: &str| {
        let lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
        lines
            .filter(|(given, _)| *given == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let (length, coding) = match framing {
        Framing::None | Framing::UntilClose => (None, None),
        Framing::Length(length) => (Some(length.to_string()), None),
        Framing::Chunked => (None, Some("chunked".to_owned())),
    };
    assert_eq!(named("content-length"), Vec::from_iter(length), "{text:?}");
    assert_eq!(named("transfer-encoding"), Vec::from_iter(coding), "{text:?}");
    for name in ["keep-alive", "upgrade", "proxy-connection", "http2-settings", "proxy"] {
        assert!(named(name).is_empty(), "{text:?}");
    }
}

/// The lines but for those in the set, as text.
fn lines(fields: &Fields, but: u64) -> Vec<(String, String)> {
    let fields = fields.iter().filter(|(name, _)| Known::of(name).bit() & but == 0);
    fields.map(|(name, value)| (text(name), text(value))).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
