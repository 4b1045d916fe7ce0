//! Tables of raw bytes and what becomes of them, each read at every place where it can be split.
//!
//! Where a table refuses or carries because the RFC says so, its sentence stands beside the cases.

mod body;
mod encode;
mod exercises;
mod fields;
mod framing;
mod request_line;
mod response;
mod target;

use super::{
    HeadLimits, HeadScan, Malformed, Scanned, ToClient, ToUpstream, encode_request,
    encode_response, request_framing, response_framing,
};
use crate::head::{Method, RequestHead, ResponseHead};

/// What a reader of heads is: bytes so far in; where the head ends, if it does.
type Reader<'r> = dyn FnMut(&[u8]) -> Result<Option<usize>, Malformed> + 'r;

/// Hands `reader` first the bytes up to `split`, then all of them, as often as it wants more.
fn feed(bytes: &[u8], split: usize, reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    if let Some(end) = reader(&bytes[..split])? {
        return Ok(end);
    }
    reader(bytes)?.ok_or(Malformed::Truncated)
}

/// Runs `read` with every split of `bytes`, and byte by byte; all must give the same.
#[track_caller]
fn at_every_split<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&mut dyn FnMut(&mut Reader<'_>) -> Result<usize, Malformed>) -> T,
) -> T {
    let whole = read(&mut |reader| feed(bytes, bytes.len(), reader));
    for split in 0..bytes.len() {
        let parts = read(&mut |reader| feed(bytes, split, reader));
        assert_eq!(parts, whole, "{:?} split at {split}", text(bytes));
    }
    let drops = read(&mut |reader| {
        for end in 0..bytes.len() {
            if let Some(end) = reader(&bytes[..end])? {
                return Ok(end);
            }
        }
        reader(bytes)?.ok_or(Malformed::Truncated)
    });
    assert_eq!(drops, whole, "{:?} byte by byte", text(bytes));
    whole
}

/// Reads the request that `bytes` begin with and writes it anew.
#[track_caller]
fn request(bytes: &[u8]) -> Result<String, Malformed> {
    let limits = HeadLimits::default();
    at_every_split(bytes, |feed| {
        let mut head = RequestHead::default();
        let mut scan = HeadScan::default();
        let end = feed(&mut |bytes| head.read(bytes, &mut scan, &limits));
        let looked = looked(HeadScan::default(), feed, bytes, |whole| {
            RequestHead::default().parse(whole, &limits)
        });
        assert_eq!(looked, end, "{:?} looked at, then parsed", text(bytes));
        end?;
        let to = ToUpstream {
            authority: head.authority(),
            framing: request_framing(&head)?,
            ..ToUpstream::default()
        };
        let mut out = Vec::new();
        encode_request(&head, &to, &mut out);
        Ok(text(&out))
    })
}

/// Reads the response to a `method` that `bytes` begin with and writes it anew.
#[track_caller]
fn response_to(method: Method, bytes: &[u8]) -> Result<String, Malformed> {
    let limits = HeadLimits::default();
    at_every_split(bytes, |feed| {
        let mut head = ResponseHead::default();
        let mut scan = HeadScan::of_response();
        let end = feed(&mut |bytes| head.read(bytes, &mut scan, &limits));
        let looked = looked(HeadScan::of_response(), feed, bytes, |whole| {
            ResponseHead::default().parse(whole, &limits)
        });
        assert_eq!(looked, end, "{:?} looked at, then parsed", text(bytes));
        end?;
        let framing = response_framing(&head, method)?;
        let to = ToClient {
            framing: framing.announced,
            persist: framing.body != super::Framing::UntilClose,
            ..ToClient::default()
        };
        let mut out = Vec::new();
        encode_response(&head, &to, &mut out);
        Ok(text(&out))
    })
}

/// The other way to read a head: find its end, then parse it.
fn looked(
    mut scan: HeadScan,
    feed: &mut dyn FnMut(&mut Reader<'_>) -> Result<usize, Malformed>,
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    let (limits, mut from) = (HeadLimits::default(), 0);
    let end = feed(&mut |bytes| match scan.look(bytes, &limits)? {
        Scanned::Partial => Ok(None),
        Scanned::Whole { start, end } => {
            from = start;
            Ok(Some(end))
        }
    })?;
    parse(&bytes[from..end]).map(|()| end)
}

#[track_caller]
fn refused(malformed: Malformed, requests: &[&[u8]]) {
    for bytes in requests {
        assert_eq!(request(bytes), Err(malformed), "{:?}", text(bytes));
    }
}

/// Each request goes out as the text beside it.
#[track_caller]
fn carried(requests: &[(&[u8], &str)]) {
    for (bytes, expect) in requests {
        assert_eq!(request(bytes).as_deref(), Ok(*expect), "{:?}", text(bytes));
    }
}

/// A request with these lines behind its `Host`.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    [b"POST /p HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat()
}

#[track_caller]
fn lines_refused(malformed: Malformed, lines: &[&[u8]]) {
    for lines in lines {
        refused(malformed, &[&with_lines(lines)]);
    }
}

/// Each piece of a request's head goes out as the lines beside it.
#[track_caller]
fn lines_carried(lines: &[(&[u8], &str)]) {
    for (lines, expect) in lines {
        let expect = format!("POST /p HTTP/1.1\r\nHost: a\r\n{expect}\r\n");
        carried(&[(&with_lines(lines), &expect)]);
    }
}

/// Latin-1, so that each byte shows.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
