//! Connections that change their protocol (RFC 9110, 7.8).

use super::{Pass, plain};
use crate::door::{End, Wire};
use crate::wire::text;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A client and a service that have agreed on another protocol.
fn opened(pass: &Pass) -> (Wire, Wire) {
    let mut client = pass.door.connect();
    client.send(ASK);
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send(SWITCH);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    (client, service)
}

#[test]
fn both_heads_are_carried() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send(ASK);
    let mut service = pass.upstream.accept();
    assert_eq!(
        plain(&service.read_request()),
        "GET /chat HTTP/1.1\nHost: h\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\
         Sec-WebSocket-Version: 13\nConnection: Upgrade\nUpgrade: websocket\n\n"
    );
    service.send(SWITCH);
    assert_eq!(
        plain(&client.read_head()),
        "HTTP/1.1 101 Switching Protocols\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\nConnection: Upgrade\nUpgrade: websocket\n\n"
    );
}

#[test]
fn bytes_flow_both_ways() {
    let pass = Pass::new("");
    let (mut client, mut service) = opened(&pass);
    for round in 0..50 {
        let (ping, pong) = (format!("ping {round}\0\r\n\r\n"), format!("pong {round}\u{ff}"));
        client.send(&ping);
        assert_eq!(service.read_exact(ping.len()), ping.as_bytes());
        service.send(&pong);
        assert_eq!(client.read_exact(pong.len()), pong.as_bytes());
    }
    // What looks like HTTP is none any more.
    client.send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(service.read_head().starts_with("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"));
    client.end();
    assert_eq!(service.expect_end(), End::Closed);
    drop(service);
    assert_eq!(client.expect_end(), End::Closed);
}

#[test]
fn one_side_may_end_before_the_other() {
    let pass = Pass::new("");
    let (mut client, mut service) = opened(&pass);
    client.send("last words");
    client.end();
    assert_eq!(service.read_to_end(), (b"last words".to_vec(), End::Closed));
    for _ in 0..3 {
        service.send("and still");
        assert_eq!(client.read_exact(9), b"and still");
    }
    service.end();
    assert_eq!(client.expect_end(), End::Closed);

    let (mut client, mut service) = opened(&pass);
    service.send("bye");
    service.end();
    assert_eq!(client.read_to_end(), (b"bye".to_vec(), End::Closed));
    client.send("but wait");
    assert_eq!(service.read_exact(8), b"but wait");
    client.end();
    assert_eq!(service.expect_end(), End::Closed);
}

#[test]
fn a_side_that_breaks_off_breaks_the_other() {
    let pass = Pass::new("");
    let (client, mut service) = opened(&pass);
    client.reset();
    assert_eq!(service.expect_end(), End::Reset);
    let (mut client, service) = opened(&pass);
    service.reset();
    assert_eq!(client.expect_end(), End::Reset);
}

#[test]
fn nothing_said_early_is_lost() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send(format!("{ASK}early"));
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send(format!("{SWITCH}greeting"));
    client.read_head();
    assert_eq!(client.read_exact(8), b"greeting");
    assert_eq!(service.read_exact(5), b"early");
    // Large greetings too, which need more than one read.
    let mut client = pass.door.connect();
    client.send(ASK);
    let mut service = pass.upstream.accept();
    service.read_request();
    let large = "x".repeat(1_000_000);
    service.send(format!("{SWITCH}{large}"));
    client.read_head();
    assert!(client.read_exact(1_000_000) == large.as_bytes());
}

#[test]
fn what_is_said_before_the_switch_waits_for_it() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send(format!("{ASK}early"));
    let mut service = pass.upstream.accept();
    service.read_request();
    // The service refuses: what came early was a request, or nothing.
    service.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(client.read_response().starts_with("HTTP/1.1 400 "));
    assert_eq!(service.expect_end(), End::Closed);
}

#[test]
fn a_service_may_refuse() {
    let pass = Pass::new("");
    for answer in [
        "HTTP/1.1 426 Upgrade Required\nUpgrade: other\nConnection: upgrade\nContent-Length: 2\n\nno",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nno",
        "HTTP/1.1 403 Forbidden\nContent-Length: 2\n\nno",
    ] {
        let request = plain(ASK);
        let received = answer.replace("Upgrade: other\nConnection: upgrade\n", "");
        pass.answers(&request, answer, &received, super::Then::Reused);
    }
}

#[test]
fn a_switch_that_nobody_asked_for_is_an_error() {
    let pass = Pass::new("");
    let h2c = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    let silent = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let plain_get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let with_body = "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Content-Length: 5\r\n\r\nhello";
    let of_1_0 = "GET / HTTP/1.0\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let to_h2c = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                  HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    for (request, answer) in [
        (plain_get, SWITCH),
        (with_body, SWITCH),
        (of_1_0, SWITCH),
        (to_h2c, h2c),
        (ASK, h2c),
        (ASK, other),
        (ASK, silent),
    ] {
        let mut client = pass.door.connect();
        client.send(request);
        let mut service = pass.upstream.accept();
        let forwarded = service.read_request();
        assert_eq!(forwarded.contains("Upgrade:"), request == ASK, "{forwarded}");
        service.send(format!("{answer}poison"));
        let head = client.read_head();
        assert_eq!(head.get(..12), Some("HTTP/1.1 502"), "{request:?} {answer:?}: {head}");
        let (rest, _) = service.read_to_end();
        assert_eq!(text(&rest), "");
    }
}

#[test]
fn silence_ends_after_its_time() {
    let pass = Pass::new("[limits]\nupgrade-idle = \"1s\"\n");
    let (mut client, mut service) = opened(&pass);
    client.send("hello");
    assert_eq!(service.read_exact(5), b"hello");
    assert_eq!(client.expect_end(), End::Reset);
    assert_eq!(service.expect_end(), End::Reset);
}
