//! The four forms of a request target (RFC 9112, 3.2), and `Host` (RFC 9110, 7.2).

use super::{carried, refused, request};
use crate::h1::Malformed;

/// A request for this target, with `Host: a`.
fn of(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()
}

/// A request with these lines and no others.
fn with(lines: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\n", lines, b"\r\n"].concat()
}

#[track_caller]
fn targets_refused(malformed: Malformed, targets: &[&[u8]]) {
    for target in targets {
        refused(malformed, &[&of(target)]);
    }
}

#[track_caller]
fn targets_carried(targets: &[(&[u8], &str)]) {
    for (target, expect) in targets {
        let expect = format!("GET {expect} HTTP/1.1\r\nHost: a\r\n\r\n");
        carried(&[(&of(target), &expect)]);
    }
}

#[test]
fn a_path_holds_what_a_path_may_hold() {
    // 3.2: "No whitespace is allowed in the request-target." RFC 3986, 3.3 and 3.4 have the rest.
    targets_refused(
        Malformed::Target,
        &[
            b"a",
            b"?a",
            b"#",
            b"/#a",
            b"/a#b",
            b"/a?b#c",
            b"/\\",
            b"\\",
            b"/a\\..\\b",
            b"/\"",
            b"/<",
            b"/>",
            b"/`",
            b"/{a}",
            b"/\xe4",
            b"/\xc3\xa4",
            b"/?\xe4",
            b"/?\"",
            b"/?<",
            b"/?>",
            b"*",
            b"/*?#",
            b"**",
            b"%2f",
            b".",
            b"..",
            b"a:80",
            b"a/b",
            b":80",
            b"mailto:a",
            b"ftp://a/",
            b"ws://a/",
            b"http:/a/",
            b"http:a",
            b"//a\xff",
        ],
    );
    // A control in the line, so it is no line.
    targets_refused(
        Malformed::RequestLine,
        &[b"/\x00", b"/a\x00b", b"/\x7f", b"/\x0b", b"/\x1b[2J", b"/?\x01"],
    );
    targets_carried(&[
        (b"/", "/"),
        (b"/a", "/a"),
        (b"//", "//"),
        (b"//a", "//a"),
        (b"/a//b/", "/a//b/"),
        (b"/?", "/?"),
        (b"/??", "/??"),
        (b"/?a?b=/c", "/?a?b=/c"),
        (b"/a;b=c", "/a;b=c"),
        (b"/a:b@c", "/a:b@c"),
        (b"/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
        (b"/[a]^b|c", "/[a]^b|c"),
        (b"/?`{}\\|^[]", "/?`{}\\|^[]"),
        (b"/%20", "/%20"),
        (b"/%C3%A4%c3%a4", "/%C3%A4%c3%a4"),
        (b"/%2fa%5Cb", "/%2fa%5Cb"),
        (b"/%25%32%65", "/%25%32%65"),
        (b"/%0d%0aX:%20y", "/%0d%0aX:%20y"),
        (b"/?%", "/?%"),
        (b"/?%zz%00", "/?%zz%00"),
        (b"/?../..", "/?../.."),
        (b"/http://b/", "/http://b/"),
    ]);
    targets_refused(
        Malformed::PercentEncoding,
        &[b"/%", b"/%2", b"/%g0", b"/%0g", b"/%%", b"/%-1", b"/%2?a", b"/%u0041", b"/a%"],
    );
}

#[test]
fn dot_segments_are_resolved_or_refused() {
    // RFC 3986, 6.2.2.3: "normalizers should remove dot-segments". Rules match what the service
    // will see; what it could see in another way is refused.
    targets_carried(&[
        (b"/.", "/"),
        (b"/..", "/"),
        (b"/a/./b", "/a/b"),
        (b"/a/../b", "/b"),
        (b"/a/b/../../..", "/"),
        (b"/a/%2e/b", "/a/b"),
        (b"/a/%2E%2e/b?../x", "/b?../x"),
        (b"/a/.%2e?x", "/?x"),
        (b"/...", "/..."),
        (b"/a..", "/a.."),
        (b"/..a", "/..a"),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/a.b/.c", "/a.b/.c"),
        (b"/%252e%252e/a", "/%252e%252e/a"),
    ]);
    targets_refused(
        Malformed::AmbiguousPath,
        &[
            b"//..",
            b"/a//../b",
            b"/..//a",
            b"/.//",
            b"/a/..;/b",
            b"/..;",
            b"/.;x",
            b"/..;a=b/c",
            b"/%2e%2e;/a",
            b"/..%3b/a",
            b"/..%2f",
            b"/..%2fetc",
            b"/..%5cetc",
            b"/%2e%2e%2fetc",
            b"/a%2f..%2fb",
            b"/a%2f../b%2f..",
            b"/a%5c..",
            b"/a/x%2F%2e%2E",
            b"/%00",
            b"/a%00.jpg",
        ],
    );
}

#[test]
fn a_request_has_one_host() {
    // 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
    // message that lacks a Host header field and to any request message that contains more than one
    // Host header field line or a Host header field with an invalid field value."
    refused(
        Malformed::HostMissing,
        &[
            &with(b""),
            &with(b"X: y\r\n"),
            &with(b"X-Host: a\r\n"),
            b"OPTIONS * HTTP/1.1\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n",
        ],
    );
    refused(
        Malformed::HostRepeated,
        &[
            &with(b"Host: a\r\nHost: a\r\n"),
            &with(b"Host: a\r\nHost: b\r\n"),
            &with(b"Host: a\r\nX: y\r\nhOST:\r\n"),
            &with(b"Host:\r\nHost: a\r\n"),
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ],
    );
    for value in [
        "",
        " ",
        "a b",
        "a, b",
        "a,b",
        "a/b",
        "/",
        "a/",
        "http://a",
        "u@a",
        "@a",
        "u:p@a",
        "a@",
        "a?b",
        "a#b",
        "a\\b",
        "a\"",
        "<a>",
        "a:b",
        "a:80:80",
        "a:-1",
        "a:+1",
        "a:0x50",
        "a:65536",
        "a:000080",
        "a:99999999999",
        ":80",
        ":",
        "[::1",
        "::1",
        "[]",
        "[]:80",
        "[::1]x",
        "[::1]a:1",
        "[::1%25eth0]",
        "[v1.a]",
        "[127.0.0.1]",
        "[[::1]]",
        "a[::1]",
        "[::1]:x",
        "a%00b",
        "a%",
        "a%zz",
        "a%2eb",
        "%61",
        "a;b\u{e4}",
        "a\tb",
        "\u{fc}",
        "a|b",
        "a^b",
        "a`b",
        "{a}",
    ] {
        let lines: Vec<u8> = format!("Host: {value}\r\n").chars().map(|c| c as u8).collect();
        assert_eq!(request(&with(&lines)), Err(Malformed::Host), "{value:?}");
    }
    for value in [
        "a",
        "A",
        "a.b",
        "a.",
        "a-b",
        "a_b",
        "-",
        "~",
        "a:80",
        "a:",
        "a:0",
        "a:65535",
        "a:00080",
        "127.0.0.1",
        "127.1:8080",
        "[::1]",
        "[::1]:",
        "[::1]:443",
        "[::ffff:192.0.2.1]",
        "xn--4ca",
        "a!b",
        "a$&'()*+;=b",
        "0",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        carried(&[(head.as_bytes(), &head)]);
    }
    carried(&[
        (&with(b"hOsT:\t a \r\n"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            &with(b"X: y\r\nHost: a\r\nY: z\r\n"),
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nY: z\r\n\r\n",
        ),
        // HTTP/1.0 knows no Host. Ours writes one, for it speaks 1.1: the engine says which.
        (b"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    ]);
}

#[test]
fn an_absolute_target_and_its_host_agree() {
    // 3.2.2: "When an origin server receives a request with an absolute-form of request-target, the
    // origin server MUST ignore the received Host header field (if any) and instead use the host
    // information of the request-target." Two hosts in one message are refused.
    let with = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (target, host, path, authority) in [
        ("http://a", "a", "/", "a"),
        ("http://a/", "a", "/", "a"),
        ("HTTP://a/b?c", "a", "/b?c", "a"),
        ("http://a?c", "a", "/?c", "a"),
        ("http://a/../b", "a", "/b", "a"),
        ("http://A/", "a", "/", "A"),
        ("http://a/", "a:80", "/", "a"),
        ("http://a:80/", "a", "/", "a:80"),
        ("http://a:080/", "a:80", "/", "a:080"),
        ("https://a/", "a:443", "/", "a"),
        ("http://a:8080/b", "a:8080", "/b", "a:8080"),
        ("http://[::1]:1/b", "[::1]:1", "/b", "[::1]:1"),
        ("http://a//b", "a", "//b", "a"),
    ] {
        let expect = with(path, authority);
        carried(&[(with(target, host).as_bytes(), &expect)]);
    }
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a/", "a:81"),
        ("http://a:81/", "a"),
        ("http://a/", ""),
        ("https://a/", "a:80"),
        ("http://a./", "a"),
        ("http://a.b/", "a"),
        ("http://[::1]/", "[::2]"),
    ] {
        refused(Malformed::HostDisagrees, &[with(target, host).as_bytes()]);
    }
    // RFC 9110, 4.2.1: "A recipient that processes such a URI reference MUST reject it as invalid"
    // (an empty host). 4.2.4: "a recipient SHOULD parse for userinfo and treat its presence as an
    // error; it is likely being used to obscure the authority for the sake of phishing attacks".
    for target in [
        "http://",
        "http:///",
        "http://?",
        "http://:80/",
        "http://u@a/",
        "http://u:p@a/",
        "http://@a/",
        "http://a@b/",
        "http://a:x/",
        "http://a:65536/",
        "http://[::1/",
        "http://a,b/",
        "http://a%2f/",
        "http://a\\b/",
    ] {
        refused(Malformed::Host, &[with(target, "a").as_bytes()]);
    }
    for target in ["http://a#b", "http://a/#b", "http://a/\\", "http://a/\""] {
        refused(Malformed::Target, &[with(target, "a").as_bytes()]);
    }
    carried(&[(b"GET http://a/b HTTP/1.0\r\n\r\n", "GET /b HTTP/1.1\r\nHost: a\r\n\r\n")]);
}

#[test]
fn the_asterisk_is_for_options_alone() {
    // 3.2.4: "The asterisk-form of request-target is only used for a server-wide OPTIONS request".
    for method in ["GET", "HEAD", "POST", "options", "X"] {
        let head = format!("{method} * HTTP/1.1\r\nHost: a\r\n\r\n");
        refused(Malformed::Target, &[head.as_bytes()]);
    }
    refused(
        Malformed::Target,
        &[
            b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n",
            b"OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"OPTIONS */ HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
    carried(&[
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"OPTIONS /* HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS /* HTTP/1.1\r\nHost: a\r\n\r\n"),
        // "If a proxy receives an OPTIONS request with an absolute-form of request-target in which
        // the URI has an empty path and no query component, then the last proxy on the request chain
        // MUST send a request-target of "*"".
        (b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            b"OPTIONS http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS /?b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
    ]);
}

#[test]
fn a_tunnel_is_asked_for_by_authority() {
    // 3.2.3. The engine refuses the method; its target is still read.
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    for target in ["/", "http://a/", "a/b", "u@a:1", "a b"] {
        let malformed = request(connect(target).as_bytes());
        assert!(
            matches!(malformed, Err(Malformed::Host | Malformed::RequestLine)),
            "{target}: {malformed:?}"
        );
    }
    assert!(request(connect("a:443").as_bytes()).is_ok());
}
