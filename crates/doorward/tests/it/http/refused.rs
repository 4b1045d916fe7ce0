//! Requests that are refused: each with its status, and nothing of it or behind it is carried on.

use super::Pass;
use crate::door::Wire;

/// The bytes of a request, and the status that refuses it.
type Table = &'static [(&'static str, u16)];

#[track_caller]
fn check(table: Table) {
    let pass = Pass::new("");
    for (request, status) in table {
        pass.refuses(request, *status);
    }
}

#[test]
fn request_lines() {
    check(&[
        ("GET /\r\nHost: h\r\n\r\n", 400),
        ("GET\r\nHost: h\r\n\r\n", 400),
        ("GET HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET\x0b/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("\tGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
        ("G\0T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("G:T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("G\u{e4}T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\0\r\n\r\n", 400),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ]);
}

#[test]
fn versions() {
    check(&[
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/2\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/01.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1,1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/ 1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP /1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/+1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.x\r\nHost: h\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTPS/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / ICY/1.1\r\nHost: h\r\n\r\n", 400),
    ]);
}

#[test]
fn targets() {
    check(&[
        ("GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("OPTIONS ** HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("OPTIONS *? HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET ?a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /# HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /?a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\\ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a\\..\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\"a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /<a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a> HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /`a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /{a} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\u{7f} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\u{e4} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /?\u{e4} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /?\"a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /% HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /%u0041 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a%00.jpg HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http:/h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http:h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h:x/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h:65536/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h/#a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h#a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h:81/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 421),
    ]);
}

#[test]
fn paths_that_are_read_in_two_ways() {
    check(&[
        ("GET /a//../b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET //.. HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/./b//c HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/..%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/..%2Fb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/..%5cb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/%2e%2e%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/%2e%2e%5Cb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a%2f..%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a%2f.%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/..;/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/..;x=1/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/.;/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/%2e%2e;/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a/..%3b/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h/a/..;/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ]);
}

#[test]
fn hosts() {
    check(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhos: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nhost: other\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: http://h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h:+80\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h%2e\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::x]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nHOST_: h\r\nHost : h\r\n\r\n", 400),
        ("GET http://h/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ]);
}

#[test]
fn field_lines() {
    check(&[
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA B: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA(: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA/B: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA@: c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA\0: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n\u{e4}: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\u{1}c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\u{b}c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\u{1b}c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\u{7f}c\r\n\r\n", 400),
        // Folding (RFC 9112, 5.2).
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n \r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n", 400),
        // Line ends (RFC 9112, 2.2).
        ("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA\r: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n\rA: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r \r\n\r\n", 400),
        // Names that some readers cannot tell from ones that frame or route.
        ("GET / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 1.2.3.4\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX_Request-Id: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n", 400),
    ]);
}

#[test]
fn lengths() {
    check(&[
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 \u{b}\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5.0\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5e0\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5_0\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5,6\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \"5\"\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \u{ff15}\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999999\r\n\r\nhello", 413),
    ]);
}

#[test]
fn transfer_codings() {
    // The data is a chunked body to one reader, and a request to another.
    const CHUNKS: &str = "0\r\n\r\n";
    let pass = Pass::new("");
    for (fields, status) in [
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: chunked, identity", 400),
        ("Transfer-Encoding: identity, chunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: chunkedx", 400),
        ("Transfer-Encoding: chunk", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: 'chunked'", 400),
        ("Transfer-Encoding: chunked;a=b", 400),
        ("Transfer-Encoding: chunked; q=0", 400),
        ("Transfer-Encoding: \u{b}chunked", 400),
        ("Transfer-Encoding: chunked\u{b}", 400),
        ("Transfer-Encoding: chun ked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\r\n : chunked", 400),
        ("Transfer-Encoding:\r\n chunked", 400),
        ("\u{e4}Transfer-Encoding: chunked", 400),
        ("X: y\rTransfer-Encoding: chunked", 400),
        ("X: y\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\nX: y", 400),
        ("Transfer_Encoding: chunked", 400),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        pass.refuses(head.clone() + CHUNKS, status);
        // The order of the fields decides nothing.
        pass.refuses(format!("POST / HTTP/1.1\r\n{fields}\r\nHost: h\r\n\r\n{CHUNKS}"), status);
    }
    for request in [
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "TRACE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        pass.refuses(request, 400);
    }
}

#[test]
fn expectations_and_tunnels() {
    check(&[
        ("POST / HTTP/1.1\r\nHost: h\r\nExpect: x\r\nContent-Length: 0\r\n\r\n", 417),
        ("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, x\r\nContent-Length: 0\r\n\r\n", 417),
        ("POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n", 417),
        ("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501),
        ("CONNECT h:443 HTTP/1.0\r\n\r\n", 501),
        ("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", 501),
        ("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("CONNECT http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ]);
}

#[test]
fn what_is_too_large() {
    let pass = Pass::new("");
    let long = |bytes: usize| "x".repeat(bytes);
    let many = |count: usize| "A: b\r\n".repeat(count);
    pass.refuses(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long(8192)), 414);
    pass.refuses(format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", long(40_000)), 414);
    pass.refuses(format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", long(9000)), 414);
    pass.refuses(format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", long(32_768)), 431);
    pass.refuses(format!("GET / HTTP/1.1\r\nHost: h\r\n{}: a\r\n\r\n", long(32_768)), 431);
    pass.refuses(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", many(100)), 431);
    pass.refuses(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", many(5000)), 431);
    pass.refuses("GET / HTTP/1.1\r\nHost: h\r\n".to_owned() + &many(20_000), 431);
    // Nothing of a request that has no end is waited for.
    pass.refuses(long(10_000), 414);
    pass.refuses(format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", long(70_000)), 431);
}

#[test]
fn the_limits_are_what_the_configuration_says() {
    let pass = Pass::new(
        "[limits]\nrequest-line = \"256B\"\nheader-bytes = \"1KiB\"\nheaders = 8\nbody = \"5B\"\n",
    );
    let line = |bytes: usize| {
        let path = "x".repeat(bytes - "GET / HTTP/1.1".len());
        format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n")
    };
    pass.refuses(line(257), 414);
    pass.refuses(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(8)), 431);
    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    pass.refuses(head(1025), 431);
    pass.refuses("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nhello!", 413);
    // What is just within them passes.
    for request in [line(256), head(1024)] {
        let mut client = pass.door.connect();
        client.send(&request);
        let mut service: Wire = pass.upstream.accept();
        let line = request.lines().next().expect("a line");
        assert_eq!(service.read_request().lines().next(), Some(line));
        // Else it is asked once more.
        service.send("HTTP/1.1 204 No Content\r\n\r\n");
        client.read_response();
    }
    pass.passes(
        &format!("GET / HTTP/1.1\nHost: h\n{}\n", "A: b\n".repeat(7)),
        &format!("GET / HTTP/1.1\nHost: h\n{}\n", "A: b\n".repeat(7)),
    );
    pass.passes(
        "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello",
        "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello",
    );
}
