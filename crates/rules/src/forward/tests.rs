//! What goes to the service, for what came from whom.

use expect_test::{Expect, expect};
use std::fmt::Write;
use std::net::IpAddr;
use std::rc::Rc;

use super::{Peer, REWRITTEN, append, receive};
use crate::Cx;
use crate::harness::{cx, head};
use crate::identity::{Certificate, Identity, Shown, Told};
use wire::RequestHead;

/// Receives `line` from `peer`; everything in 10.0.0.0/8 is a trusted proxy.
#[track_caller]
fn check(peer: &str, line: &str, expect: Expect) {
    let mut request = head(line);
    let peer = Peer { address: peer.parse().ok(), trusted: false, https: false };
    let mut cx = cx();
    receive(&mut request, peer, &mut cx, |address| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(_) => false,
    });
    let mut out = Vec::new();
    request.fields.remove(wire::Known::Host);
    request.fields.write_but(REWRITTEN, &mut out);
    append(&request, peer, &cx, &mut out);
    let mut text = String::from_utf8(out).expect("text").replace('\r', "");
    let _ = writeln!(text, "=> {} https: {}", cx.client, cx.https);
    expect.assert_eq(&text);
}

#[test]
fn a_client_cannot_speak_for_others() {
    check(
        "192.0.2.1:99",
        "GET a / X-Forwarded-For: 1.1.1.1; Forwarded: for=1.1.1.1; X-Forwarded-Proto: https; \
         X-Forwarded-Host: evil; X-Forwarded-Port: 1; X_Forwarded_For: 1.1.1.1; \
         x-forwarded_host: evil; X-Real-IP: 1.1.1.1; X-Original-URL: /admin; X_Request_Id: 7; Y: z",
        expect![[r#"
            Y: z
            Via: 1.1 doorward
            X-Forwarded-For: 192.0.2.1
            X-Forwarded-Proto: http
            X-Forwarded-Host: a
            Forwarded: for=192.0.2.1;host="a";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 192.0.2.1 https: false
        "#]],
    );
}

#[test]
fn a_trusted_proxy_is_believed_up_to_the_first_hop_that_is_not() {
    check(
        "10.0.0.1:99",
        "GET a:8080 / X-Forwarded-For: 6.6.6.6, 192.0.2.7; X-Forwarded-For: 10.0.0.2; \
         Forwarded: for=7.7.7.7; X-Forwarded-Proto: https; X-Forwarded-Host: shop.example; \
         X_Forwarded_For: 6.6.6.6; X-Real-IP: 192.0.2.7",
        expect![[r#"
            X-Real-IP: 192.0.2.7
            Via: 1.1 doorward
            X-Forwarded-For: 192.0.2.7, 10.0.0.2, 10.0.0.1
            X-Forwarded-Proto: https
            X-Forwarded-Host: shop.example
            Forwarded: for=192.0.2.7, for=10.0.0.2, for=10.0.0.1;host="a:8080";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 192.0.2.7 https: true
        "#]],
    );
}

#[test]
fn forwarded_is_read_with_quotes_and_brackets() {
    check(
        "10.0.0.1:99",
        "GET a / Forwarded: for=\"_a,b;c\", for=\"[2001:db8::1]:47\";proto=https;host=\"x,y\", For=10.1.1.1",
        expect![[r#"
            Via: 1.1 doorward
            X-Forwarded-For: 2001:db8::1, 10.1.1.1, 10.0.0.1
            X-Forwarded-Proto: https
            X-Forwarded-Host: a
            Forwarded: for="[2001:db8::1]";proto=https, for=10.1.1.1, for=10.0.0.1;host="a";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 2001:db8::1 https: true
        "#]],
    );
}

#[test]
fn what_stands_left_of_the_client_is_its_own_word() {
    check(
        "10.0.0.1:99",
        "GET a / Forwarded: for=6.6.6.6;host=evil, for=192.0.2.7;proto=https, for=10.1.1.1",
        expect![[r#"
            Via: 1.1 doorward
            X-Forwarded-For: 192.0.2.7, 10.1.1.1, 10.0.0.1
            X-Forwarded-Proto: https
            X-Forwarded-Host: a
            Forwarded: for=192.0.2.7;proto=https, for=10.1.1.1, for=10.0.0.1;host="a";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 192.0.2.7 https: true
        "#]],
    );
    check(
        "10.0.0.1:99",
        "GET a / X-Forwarded-For: 10.0.0.3, 10.0.0.2",
        expect![[r#"
            Via: 1.1 doorward
            X-Forwarded-For: 10.0.0.3, 10.0.0.2, 10.0.0.1
            X-Forwarded-Proto: http
            X-Forwarded-Host: a
            Forwarded: for=10.0.0.3, for=10.0.0.2, for=10.0.0.1;host="a";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 10.0.0.3 https: false
        "#]],
    );
}

#[test]
fn a_hop_that_cannot_be_read_ends_the_search() {
    check(
        "10.0.0.1:99",
        "GET a / X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.2:80",
        expect![[r#"
            Via: 1.1 doorward
            X-Forwarded-For: 10.0.0.2, 10.0.0.1
            X-Forwarded-Proto: http
            X-Forwarded-Host: a
            Forwarded: for=10.0.0.2, for=10.0.0.1;host="a";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 10.0.0.2 https: false
        "#]],
    );
}

#[test]
fn a_unix_socket_has_no_address() {
    check(
        "unix",
        "GET - /",
        expect![[r#"
        Via: 1.0 doorward
        X-Forwarded-Proto: http
        Forwarded: for=unknown;proto=http
        X-Request-Id: 80000000000000000000000000000000
        traceparent: 00-80000000000000000000000000000000-8000000000000000-01
        => 0.0.0.0 https: false
    "#]],
    );
}

#[test]
fn addresses_of_version_6() {
    check(
        "[2001:db8::7]:99",
        "GET [::1]:80 /",
        expect![[r#"
        Via: 1.1 doorward
        X-Forwarded-For: 2001:db8::7
        X-Forwarded-Proto: http
        X-Forwarded-Host: [::1]:80
        Forwarded: for="[2001:db8::7]";host="[::1]:80";proto=http
        X-Request-Id: 80000000000000000000000000000000
        traceparent: 00-80000000000000000000000000000000-8000000000000000-01
        => 2001:db8::7 https: false
    "#]],
    );
    check(
        "[::ffff:192.0.2.1]:99",
        "GET a /",
        expect![[r#"
        Via: 1.1 doorward
        X-Forwarded-For: 192.0.2.1
        X-Forwarded-Proto: http
        X-Forwarded-Host: a
        Forwarded: for=192.0.2.1;host="a";proto=http
        X-Request-Id: 80000000000000000000000000000000
        traceparent: 00-80000000000000000000000000000000-8000000000000000-01
        => 192.0.2.1 https: false
    "#]],
    );
}

#[test]
fn ids_and_traces_go_on_if_valid() {
    check(
        "192.0.2.1:99",
        "GET a / X-Request-Id: abc; \
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00; tracestate: a=1",
        expect![[r#"
            traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00
            tracestate: a=1
            Via: 1.1 doorward
            X-Forwarded-For: 192.0.2.1
            X-Forwarded-Proto: http
            X-Forwarded-Host: a
            Forwarded: for=192.0.2.1;host="a";proto=http
            X-Request-Id: abc
            => 192.0.2.1 https: false
        "#]],
    );
    check(
        "192.0.2.1:99",
        "GET a / X-Request-Id: a b; traceparent: 00-nonsense; tracestate: a=1",
        expect![[r#"
            Via: 1.1 doorward
            X-Forwarded-For: 192.0.2.1
            X-Forwarded-Proto: http
            X-Forwarded-Host: a
            Forwarded: for=192.0.2.1;host="a";proto=http
            X-Request-Id: 80000000000000000000000000000000
            traceparent: 00-80000000000000000000000000000000-8000000000000000-01
            => 192.0.2.1 https: false
        "#]],
    );
}

#[test]
fn nobody_but_the_handshake_says_who_a_client_is() {
    let line = "GET a / Client-Cert: :b3du:; client_cert: x; Client-Cert-Chain: :b3du:; \
                X-Client-Identity: cn:root; x_client_identity: cn:root; X-Client: y";
    // Not even a trusted proxy: most of them pass on what they do not know.
    for peer in ["192.0.2.1:99", "10.0.0.1:99"] {
        let mut request = head(line);
        let peer = Peer { address: peer.parse().ok(), trusted: true, https: true };
        let mut cx = cx();
        receive(&mut request, peer, &mut cx, |_| true);
        let certificate =
            Certificate { common_name: Some("web".to_owned()), ..Certificate::default() };
        let identity = Identity::new(&certificate, &[b"own"], Told::Certificate);
        for (identity, told) in [
            (None, "Host: a\nX-Client: y\n"),
            (
                Some(identity),
                "Host: a\nX-Client: y\nX-Client-Identity: cn:web\nClient-Cert: :b3du:\n",
            ),
        ] {
            cx.shown = Some(Rc::new(Shown { server_name: None, identity }));
            let mut out = Vec::new();
            request.fields.write_but(REWRITTEN, &mut out);
            append(&request, peer, &cx, &mut out);
            let text = String::from_utf8(out).expect("text").replace('\r', "");
            let kept = text.lines().filter(|line| {
                ["host", "client", "x-client"]
                    .iter()
                    .any(|start| line.to_ascii_lowercase().replace('_', "-").starts_with(start))
            });
            assert_eq!(kept.map(|line| format!("{line}\n")).collect::<String>(), told);
        }
    }
}

#[test]
fn nobody_says_what_is_a_copy() {
    for name in ["Doorward-Mirrored", "doorward_mirrored", "DOORWARD-mirrored"] {
        let mut head = RequestHead::new("GET", "h", "/").expect("valid");
        head.fields.push(name, b"?1");
        head.fields.push("Downlink", b"1");
        let trusted = Peer { address: None, trusted: true, https: false };
        receive(&mut head, trusted, &mut Cx::new([127, 0, 0, 1].into(), false), |_| true);
        let left: Vec<_> = head.fields.iter().map(|(name, _)| name.to_vec()).collect();
        assert!(left.contains(&b"Downlink".to_vec()) && left.len() <= 2, "{name}: {left:?}");
        assert_eq!(head.fields.get_named(name), None);
    }
}
