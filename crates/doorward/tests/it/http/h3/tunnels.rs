//! Extended CONNECT (RFC 9220): `WebSocket` over HTTP/3.

use super::Secure;
use crate::door::End;
use crate::http::{crlf, plain};
use crate::quic::{Asked, DATA, Quic, frame, head, parse};

fn ask(client: &Quic) -> Asked {
    let lines = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ];
    client.open(&head(&lines), false)
}

/// Reads until `count` bytes of frames have come.
fn heard(client: &Quic, asked: &mut Asked, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.wait(asked.recv.read_exact(&mut bytes)).expect("it is open");
    bytes
}

#[test]
fn a_websocket_is_bridged() {
    let pass = Secure::new("");
    let client = pass.connect();
    let mut asked = ask(&client);
    let mut service = pass.upstream.accept();
    let request = service.read_request();
    let (_, key) = request.split_once("Sec-WebSocket-Key: ").expect("it has a key");
    let (key, _) = key.split_once("\r\n").expect("a line");
    assert_eq!(
        plain(&request).replace(key, "KEY"),
        "GET /chat HTTP/1.1\nHost: localhost\nsec-websocket-version: 13\nConnection: Upgrade\n\
         Upgrade: websocket\nSec-WebSocket-Key: KEY\n\n"
    );
    service.send(crlf(
        "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\
         Sec-WebSocket-Accept: x\nSec-WebSocket-Protocol: chat\n\n",
    ));
    let start = heard(&client, &mut asked, 2);
    let rest = heard(&client, &mut asked, usize::from(start[1]));
    let opened = parse(&[start, rest].concat());
    assert_eq!(opened.status, 200);
    assert_eq!(opened.field("sec-websocket-protocol"), Some("chat"));
    assert_eq!(opened.field("sec-websocket-accept"), None);
    assert_eq!(opened.field("upgrade"), None);
    for round in 0..20 {
        let (ping, pong) = (format!("ping {round}"), format!("pong {round}"));
        client.wait(asked.send.write_all(&frame(DATA, ping.as_bytes()))).expect("it is open");
        assert_eq!(service.read_exact(ping.len()), ping.as_bytes());
        service.send(&pong);
        let wanted = frame(DATA, pong.as_bytes());
        assert_eq!(heard(&client, &mut asked, wanted.len()), wanted);
    }
    asked.send.finish().expect("it is open");
    assert_eq!(service.expect_end(), End::Closed);
    service.end();
    assert_eq!(client.wait(asked.recv.read_to_end(100)).expect("a good end"), b"");
}

#[test]
fn a_service_may_refuse() {
    let pass = Secure::new("");
    let client = pass.connect();
    for (said, status) in [
        ("HTTP/1.1 403 Forbidden\nContent-Length: 0\nConnection: close\n\n", 403),
        // A 2xx would look like an open tunnel.
        ("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nno", 502),
    ] {
        let mut asked = ask(&client);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(crlf(said));
        assert_eq!(client.answer(&mut asked).expect("an answer").status, status, "{said}");
    }
}
