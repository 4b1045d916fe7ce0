//! Requests that are carried: what the client sends, and what the service gets.

use super::Pass;
use crate::wire::field;

/// A request, and the same as the service gets it.
type Table = &'static [(&'static str, &'static str)];

#[track_caller]
fn check(table: Table) {
    let pass = Pass::new("");
    for (request, forwarded) in table {
        pass.passes(request, forwarded);
    }
}

/// Field lines that the client sends beside `Host`, and those that the service gets.
#[track_caller]
fn check_fields(table: Table) {
    let pass = Pass::new("");
    for (sent, forwarded) in table {
        pass.passes(
            &format!("GET / HTTP/1.1\nHost: h\n{sent}\n"),
            &format!("GET / HTTP/1.1\nHost: h\n{forwarded}\n"),
        );
    }
}

/// Request targets, and those that the service gets.
#[track_caller]
fn check_targets(table: Table) {
    let pass = Pass::new("");
    for (sent, forwarded) in table {
        pass.passes(
            &format!("GET {sent} HTTP/1.1\nHost: h\n\n"),
            &format!("GET {forwarded} HTTP/1.1\nHost: h\n\n"),
        );
    }
}

#[test]
fn forms_of_the_target() {
    check(&[
        ("GET /a/b?c=d HTTP/1.1\nHost: h\n\n", "GET /a/b?c=d HTTP/1.1\nHost: h\n\n"),
        ("BREW /pot HTTP/1.1\nHost: h\n\n", "BREW /pot HTTP/1.1\nHost: h\n\n"),
        ("get / HTTP/1.1\nHost: h\n\n", "get / HTTP/1.1\nHost: h\n\n"),
        (
            "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\nHost: h\n\n",
            "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\nHost: h\n\n",
        ),
        // RFC 9112, 2.2: an empty line before it is ignored.
        ("\nGET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\nHost: h\n\n"),
        // RFC 9112, 3.2.2: the absolute form, to anyone.
        ("GET http://h/a?b HTTP/1.1\nHost: h\n\n", "GET /a?b HTTP/1.1\nHost: h\n\n"),
        ("GET HTTP://H/a HTTP/1.1\nHost: h\n\n", "GET /a HTTP/1.1\nHost: H\n\n"),
        ("GET http://h:80/ HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\nHost: h:80\n\n"),
        ("GET http://h/ HTTP/1.1\nHost: h:80\n\n", "GET / HTTP/1.1\nHost: h\n\n"),
        ("GET http://h HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\nHost: h\n\n"),
        ("GET http://h?b HTTP/1.1\nHost: h\n\n", "GET /?b HTTP/1.1\nHost: h\n\n"),
        ("GET http://h/a/../b HTTP/1.1\nHost: h\n\n", "GET /b HTTP/1.1\nHost: h\n\n"),
        ("GET http://[::1]:80/ HTTP/1.1\nHost: [::1]\n\n", "GET / HTTP/1.1\nHost: [::1]:80\n\n"),
        ("GET http://h/ HTTP/1.0\n\n", "GET / HTTP/1.1\nHost: h\n\n"),
        // RFC 9112, 3.2.4: the asterisk form, and what becomes of it.
        ("OPTIONS * HTTP/1.1\nHost: h\n\n", "OPTIONS * HTTP/1.1\nHost: h\n\n"),
        ("OPTIONS http://h HTTP/1.1\nHost: h\n\n", "OPTIONS * HTTP/1.1\nHost: h\n\n"),
        ("OPTIONS http://h/ HTTP/1.1\nHost: h\n\n", "OPTIONS / HTTP/1.1\nHost: h\n\n"),
        ("OPTIONS /* HTTP/1.1\nHost: h\n\n", "OPTIONS /* HTTP/1.1\nHost: h\n\n"),
    ]);
}

#[test]
fn hosts() {
    let pass = Pass::new("");
    for host in
        ["h", "H", "h:80", "h:", "a.b.c", "a_b", "127.0.0.1:1", "[::1]", "[::1]:80", "xn--a", "h."]
    {
        let request = format!("GET / HTTP/1.1\nHost: {host}\n\n");
        pass.passes(&request, &request);
    }
    for host in ["Host:h", "HOST: h", "hOsT: \t h \t"] {
        pass.passes(&format!("GET / HTTP/1.1\n{host}\n\n"), "GET / HTTP/1.1\nHost: h\n\n");
    }
    pass.passes("GET / HTTP/1.0\nHost: h\n\n", "GET / HTTP/1.1\nHost: h\n\n");
}

#[test]
fn a_host_is_found_for_a_request_that_has_none() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let request = pass.upstream.is_asked();
    assert_eq!(field(&request, "host"), Some(&*pass.upstream.address().to_string()));
}

#[test]
fn paths_are_carried_as_they_are_but_for_dot_segments() {
    check_targets(&[
        ("/", "/"),
        ("/?", "/?"),
        ("/??", "/??"),
        ("/a?b?c", "/a?b?c"),
        ("//", "//"),
        ("//a//b//", "//a//b//"),
        ("/a%20b", "/a%20b"),
        ("/a%2fb", "/a%2fb"),
        ("/%41", "/%41"),
        ("/a;b=c/d", "/a;b=c/d"),
        ("/a:b@c!$&'()*+,;=-._~", "/a:b@c!$&'()*+,;=-._~"),
        ("/[a]^|", "/[a]^|"),
        ("/?a=\\`{}[]^|", "/?a=\\`{}[]^|"),
        ("/?a=%zz%", "/?a=%zz%"),
        ("/?a=../../b", "/?a=../../b"),
        ("/?http://other/", "/?http://other/"),
        ("/http://other/", "/http://other/"),
        ("/.a/..b/...", "/.a/..b/..."),
        ("/.well-known/a", "/.well-known/a"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a/b/..?c", "/a/?c"),
        ("/..", "/"),
        ("/../../../etc/passwd", "/etc/passwd"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e/b", "/a/b"),
    ]);
}

#[test]
fn fields_are_carried_as_they_are() {
    check_fields(&[
        ("Accept: a\n", "Accept: a\n"),
        ("A: b\nC: d\nA: e\n", "A: b\nC: d\nA: e\n"),
        ("a-B_c.d: e\n", "a-B_c.d: e\n"),
        ("!#$%&'*+-.^`|~: a\n", "!#$%&'*+-.^`|~: a\n"),
        ("A:\n", "A:\n"),
        ("A: b\tc\n", "A: b\tc\n"),
        ("A: \"b, c\"\n", "A: \"b, c\"\n"),
        ("A: \u{e4}\n", "A: \u{e4}\n"),
        ("Cookie: a=b; c=d\nCookie: e=f\n", "Cookie: a=b; c=d\nCookie: e=f\n"),
        ("Authorization: Basic x\n", "Authorization: Basic x\n"),
        ("Range: bytes=0-1\nIf-Range: \"a\"\n", "Range: bytes=0-1\nIf-Range: \"a\"\n"),
        ("Accept-Encoding: gzip\n", "Accept-Encoding: gzip\n"),
        (
            "Cache-Control: no-cache\nPragma: no-cache\n",
            "Cache-Control: no-cache\nPragma: no-cache\n",
        ),
    ]);
}

#[test]
fn hop_by_hop_fields_stay_here() {
    // RFC 9110, 7.6.1.
    check_fields(&[
        ("Connection: keep-alive\nKeep-Alive: timeout=5\n", ""),
        ("Connection: close\n", ""),
        ("Proxy-Connection: keep-alive\n", ""),
        ("Proxy-Authorization: Basic x\n", ""),
        ("Proxy-Authenticate: Basic\n", ""),
        ("Proxy: http://evil/\n", ""),
        ("Upgrade: h2c\nConnection: Upgrade, HTTP2-Settings\nHTTP2-Settings: a\n", ""),
        ("Upgrade: H2C\nConnection: upgrade\n", ""),
        ("Upgrade: h2c, websocket\nConnection: upgrade\n", ""),
        ("Upgrade: websocket\n", ""),
        ("HTTP2-Settings: a\n", ""),
        ("Connection: X-A\nX-A: b\nX-B: c\n", "X-B: c\n"),
        ("X-A: b\nConnection: x-a , , X-C\nx-c: d\nX-a: e\n", ""),
        ("Connection: X-A\nConnection: X-B\nX-A: b\nX-B: c\n", ""),
        ("Connection: close, Cookie\nCookie: a\n", ""),
        ("Connection: Host\n", ""),
        ("Connection: Authorization\nAuthorization: a\n", ""),
        ("Connection: X-Forwarded-For\n", ""),
        ("TE: trailers\nConnection: TE\n", "TE: trailers\nConnection: TE\n"),
        ("TE: gzip, trailers;q=0.5\nConnection: TE\n", ""),
        ("TE: gzip, trailers\nConnection: TE\n", "TE: trailers\nConnection: TE\n"),
        ("TE: gzip\nConnection: TE\n", ""),
    ]);
}

#[test]
fn bodies_are_carried_whole_and_framed_anew() {
    const TO: &str = "POST / HTTP/1.1\nHost: h\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\n\n";
    let pass = Pass::new("");
    for (sent, forwarded) in [
        ("Content-Length: 0\n\n", "Content-Length: 0\n\n"),
        ("Content-Length: 5\n\nhello", "Content-Length: 5\n\nhello"),
        ("content-length:005\n\nhello", "Content-Length: 5\n\nhello"),
        ("Connection: Content-Length\nContent-Length: 5\n\nhello", "Content-Length: 5\n\nhello"),
        ("\n", "\n"),
    ] {
        pass.passes(&format!("{TO}{sent}"), &format!("{TO}{forwarded}"));
    }
    for (sent, forwarded) in [
        ("0\n\n", "0\n\n"),
        ("5\nhello\n0\n\n", "5\nhello\n0\n\n"),
        ("1\nh\n4\nello\n0\n\n", "5\nhello\n0\n\n"),
        ("5;a\nhello\n0\n\n", "5\nhello\n0\n\n"),
        ("5;a=b;c=\"d;e\"\nhello\n0;f\n\n", "5\nhello\n0\n\n"),
        ("5 ; a = b\nhello\n0\n\n", "5\nhello\n0\n\n"),
        ("5;a=\"\\\"\"\nhello\n0\n\n", "5\nhello\n0\n\n"),
        ("0005\nhello\n000\n\n", "5\nhello\n0\n\n"),
        ("B\nhello world\n0\n\n", "b\nhello world\n0\n\n"),
        ("b\nhello world\n0\n\n", "b\nhello world\n0\n\n"),
        // A chunk may look like anything.
        ("6\n0\n\nx\n0\n\n", "6\n0\n\nx\n0\n\n"),
        // RFC 9110, 6.5: what may stand in trailers is carried.
        ("5\nhello\n0\nX-Sum: 1\n\n", "5\nhello\n0\nX-Sum: 1\n\n"),
        ("0\nX-A: b\nX-C: d\n\n", "0\nX-A: b\nX-C: d\n\n"),
        // And what must not is dropped.
        ("0\nHost: evil\nX-A: b\n\n", "0\nX-A: b\n\n"),
        ("0\nContent-Length: 5\n\n", "0\n\n"),
        ("0\nTransfer-Encoding: chunked\n\n", "0\n\n"),
        ("0\nAuthorization: a\nCookie: b\nX-Forwarded-For: 1.2.3.4\n\n", "0\n\n"),
        ("0\nConnection: close\nTE: trailers\nTrailer: a\n\n", "0\n\n"),
        ("0\nX_Forwarded_For: 1.2.3.4\nContent_Length: 5\n\n", "0\n\n"),
    ] {
        pass.passes(&format!("{TO}{CHUNKED}{sent}"), &format!("{TO}{CHUNKED}{forwarded}"));
    }
    let spelt = "POST / HTTP/1.1\nHost: h\nTRANSFER-ENCODING: Chunked\n\n5\nhello\n0\n\n";
    pass.passes(spelt, &format!("{TO}{CHUNKED}5\nhello\n0\n\n"));
    // Any method may have a body, and none must.
    for method in ["GET", "DELETE", "OPTIONS", "PUT", "PATCH", "REPORT"] {
        let request = format!("{method} / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello");
        pass.passes(&request, &request);
        let request = format!("{method} / HTTP/1.1\nHost: h\n\n");
        pass.passes(&request, &request);
    }
    pass.passes(
        "POST / HTTP/1.0\nHost: h\nContent-Length: 5\n\nhello",
        &format!("{TO}Content-Length: 5\n\nhello"),
    );
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let pass = Pass::new("");
    let request = "\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;x=\"y\"\r\nhello\r\n3\r\n, y\r\n0\r\nX-A: b\r\n\r\n";
    let forwarded =
        "POST /a?b HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n8\nhello, y\n0\nX-A: b\n\n";
    for split in 1..request.len() {
        let mut client = pass.door.connect();
        let (start, rest) = request.split_at(split);
        client.send(start);
        client.send(rest);
        let mut service = pass.upstream.accept();
        assert_eq!(super::plain(&service.read_request()), forwarded, "split at {split}");
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        client.read_response();
    }
    let mut client = pass.door.connect();
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(super::plain(&pass.upstream.is_asked()), forwarded);
}
