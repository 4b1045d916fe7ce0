//! Reads and writes one head many times, for an instruction counter to watch.
//!
//! `perf stat -e instructions:u target/release/examples/heads request 100000`

use std::hint::black_box;

use wire::h1::{
    Framing, HeadLimits, HeadScan, ToClient, ToUpstream, encode_request, encode_response,
    request_framing, response_framing,
};
use wire::{Method, RequestHead, ResponseHead};

/// What a browser sends to a page it has been on before.
const REQUEST: &[u8] = b"GET /some/path?page=2 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/some/page/index.html\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark; _ga=GA1.2.1234567890.1234567890\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\r\n";

/// What a service behind a framework answers.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Tue, 01 Jul 2025 12:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\nConnection: keep-alive\r\nCache-Control: public, max-age=60\r\nETag: \"0123456789abcdef\"\r\nVary: Accept-Encoding\r\nX-Request-Id: 0123456789abcdef\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n";

fn main() {
    let mut args = std::env::args().skip(1);
    let side = args.next().unwrap_or_default();
    let times: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut out = Vec::with_capacity(4096);
    let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
    for _ in 0..times {
        out.clear();
        if side == "request" {
            once_request(black_box(REQUEST), &mut request, &mut out);
        } else {
            once_response(black_box(RESPONSE), &mut response, &mut out);
        }
        black_box(&out);
    }
}

#[inline(never)]
fn once_request(bytes: &[u8], head: &mut RequestHead, out: &mut Vec<u8>) {
    let limits = HeadLimits::default();
    let end = head.read(bytes, &mut HeadScan::default(), &limits);
    assert_eq!(end, Ok(Some(bytes.len())));
    let framing = request_framing(head).expect("the framing is valid");
    let to = ToUpstream { authority: head.authority(), framing, ..ToUpstream::default() };
    encode_request(head, &to, out);
}

#[inline(never)]
fn once_response(bytes: &[u8], head: &mut ResponseHead, out: &mut Vec<u8>) {
    let limits = HeadLimits::default();
    let end = head.read(bytes, &mut HeadScan::of_response(), &limits);
    assert_eq!(end, Ok(Some(bytes.len())));
    let framing: Framing =
        response_framing(head, Method::Get).expect("the framing is valid").announced;
    let to = ToClient { framing, persist: true, ..ToClient::default() };
    encode_response(head, &to, out);
}
