//! Extended CONNECT (RFC 8441): `WebSocket` over HTTP/2, upgrades of HTTP/1.1 towards the service.

use bytes::Bytes;
use h2::client::Builder;
use h2::ext::Protocol;
use http::Request;

use crate::door::End;
use crate::frames::{Asked, Frames, read, request};
use crate::http::{Pass, crlf, plain};

/// A client whose settings of the server have come.
fn ready(pass: &Pass) -> Frames {
    let client = Frames::connect_as(pass.door.http[0], &Builder::new());
    // Any answer is behind the settings, which say that the door knows extended CONNECT.
    assert_eq!(client.ask(request("TRACE", "/"), b"").status, 405);
    client
}

fn ask(client: &Frames, protocol: &str) -> Asked {
    let mut request: Request<()> = request("CONNECT", "/chat");
    request.headers_mut().insert("sec-websocket-version", "13".parse().expect("a value"));
    request.extensions_mut().insert(Protocol::from(protocol));
    client.open(request, false)
}

#[test]
fn a_websocket_is_bridged() {
    let pass = Pass::new("");
    let client = ready(&pass);
    let mut asked = ask(&client, "websocket");
    let mut service = pass.upstream.accept();
    let request = service.read_request();
    let (_, key) = request.split_once("Sec-WebSocket-Key: ").expect("it has a key");
    let (key, _) = key.split_once("\r\n").expect("a line");
    assert_eq!(key.len(), 24, "sixteen bytes: {key}");
    assert_eq!(
        plain(&request).replace(key, "KEY"),
        "GET /chat HTTP/1.1\nHost: h\nsec-websocket-version: 13\nConnection: Upgrade\n\
         Upgrade: websocket\nSec-WebSocket-Key: KEY\n\n"
    );
    service.send(crlf(
        "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\
         Sec-WebSocket-Accept: x\nSec-WebSocket-Protocol: chat\n\n",
    ));
    let response = client.wait(&mut asked.response).expect("it is open");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    assert!(!response.headers().contains_key("upgrade"));
    let mut recv = response.into_body();
    for round in 0..20 {
        let (ping, pong) = (format!("ping {round}"), format!("pong {round}"));
        asked.body.send_data(Bytes::from(ping.clone()), false).expect("it is open");
        assert_eq!(service.read_exact(ping.len()), ping.as_bytes());
        service.send(&pong);
        let data = client.wait(recv.data()).expect("data").expect("it is open");
        assert_eq!(&data[..], pong.as_bytes());
    }
    asked.body.send_data(Bytes::new(), true).expect("it is open");
    assert_eq!(service.expect_end(), End::Closed);
    service.end();
    while let Some(data) = client.wait(recv.data()) {
        assert_eq!(data.expect("a good end").len(), 0);
    }
}

#[test]
fn a_service_may_refuse() {
    let pass = Pass::new("");
    let client = ready(&pass);
    for (said, status) in [
        ("HTTP/1.1 403 Forbidden\nContent-Length: 0\nConnection: close\n\n", 403),
        // A 2xx would look like an open tunnel.
        ("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nno", 502),
        ("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: other\n\n", 502),
    ] {
        let asked = ask(&client, "websocket");
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(crlf(said));
        let response = client.wait(asked.response).expect("an answer");
        let answer = client.wait(async { read(response).await });
        assert_eq!(answer.expect("it is whole").status, status, "{said}");
    }
}

#[test]
fn plain_connect_is_refused() {
    let pass = Pass::new("");
    let client = ready(&pass);
    let mut request = request("CONNECT", "/");
    *request.uri_mut() = "h:443".parse().expect("an authority");
    let asked = client.open(request, true);
    assert_eq!(client.answer(asked.response).expect("an answer").status, 501);
    pass.is_next("/probe");
}
