//! The bodies of the fuzz targets, here so that tests run them too and they cannot rot.

use super::{
    BodyDecoder, BodyLimits, Framing, HeadLimits, HeadScan, Scanned, ToClient, ToUpstream,
    encode_request, encode_response, request_framing, response_framing,
};
use crate::head::{HOP_BY_HOP, Method, RequestHead, ResponseHead};
use crate::known::Known;

/// Reads `bytes` as a request head; one that is accepted must read the same when written anew.
pub fn request(bytes: &[u8]) {
    let limits = HeadLimits::default();
    let Ok(Scanned::Whole { start, end }) = HeadScan::default().look(bytes, &limits) else {
        return;
    };
    let mut head = RequestHead::default();
    if head.parse(&bytes[start..end], &limits).is_err() || head.method == Method::Connect {
        return;
    }
    let Ok(framing) = request_framing(&head) else {
        return;
    };
    let mut out = Vec::new();
    let authority = if head.authority().is_empty() {
        b"a"
    } else {
        head.authority()
    };
    let to = ToUpstream {
        authority,
        framing,
        ..ToUpstream::default()
    };
    encode_request(&head, &to, &mut out);

    let mut again = RequestHead::default();
    let whole = HeadScan::default().look(&out, &HeadLimits::MAX);
    assert_eq!(
        whole,
        Ok(Scanned::Whole {
            start: 0,
            end: out.len()
        }),
        "{:?}",
        text(&out)
    );
    let parsed = again.parse(&out, &HeadLimits::MAX);
    assert_eq!(parsed, Ok(()), "{:?}", text(&out));
    assert_eq!(request_framing(&again), Ok(framing));
    assert_eq!(again.method_text(), head.method_text());
    assert_eq!((again.path(), again.query()), (head.path(), head.query()));
    assert!(again.fields.has_any(Known::Te.bit()) || !again.fields.has_any(HOP_BY_HOP));
}

/// Reads `bytes` as a response head; one that is accepted must read the same when written anew.
pub fn response(bytes: &[u8]) {
    let limits = HeadLimits::default();
    let Ok(Scanned::Whole { start, end }) = HeadScan::default().look(bytes, &limits) else {
        return;
    };
    let mut head = ResponseHead::default();
    if head.parse(&bytes[start..end], &limits).is_err() {
        return;
    }
    let Ok(framing) = response_framing(&head, Method::Get) else {
        return;
    };
    let mut out = Vec::new();
    let to = ToClient {
        framing: framing.announced,
        persist: framing.announced != Framing::UntilClose,
        ..ToClient::default()
    };
    encode_response(&head, &to, &mut out);
    let mut again = ResponseHead::default();
    assert_eq!(
        again.parse(&out, &HeadLimits::MAX),
        Ok(()),
        "{:?}",
        text(&out)
    );
    assert_eq!(response_framing(&again, Method::Get), Ok(framing));
    assert_eq!((again.status, again.reason()), (head.status, head.reason()));
}

/// Reads `bytes` as a chunked body, whole and in two pieces; both must give the same.
pub fn chunked(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len());
    // The first byte picks the split, so that the fuzzer owns it.
    let split = usize::from(bytes.first().copied().unwrap_or_default()) % (bytes.len() + 1);
    assert_eq!(decode(bytes, split), whole);
}

fn decode(bytes: &[u8], split: usize) -> Result<(Vec<u8>, usize, bool), super::Malformed> {
    let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default());
    let (mut data, mut consumed) = (Vec::new(), 0);
    let (first, second) = bytes.split_at(split);
    for piece in [first, second] {
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(&mut piece)?;
        assert!(decoded.consumed <= piece.len() && decoded.data.end <= decoded.consumed);
        assert!(decoder.is_done() || decoded.consumed == piece.len());
        data.extend_from_slice(&piece[decoded.data]);
        consumed += decoded.consumed;
    }
    Ok((data, consumed, decoder.is_done()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
