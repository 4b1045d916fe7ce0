//! Listeners behind a proxy that speaks the PROXY protocol, version 1 or 2.

use super::to;
use crate::door::{Door, End, Upstream, Wire};
use crate::wire::field;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A door whose listener takes the PROXY protocol from one peer.
fn proxied() -> (Door, Upstream) {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "{}[listen]\nhttp = {{ address = \"127.0.0.1:0\", proxy-protocol = [\"127.0.0.1\"] }}\n\
         [limits]\nheader-time = \"300ms\"\n",
        to(&upstream)
    ));
    (door, upstream)
}

/// A header of version 2.
fn v2(command: u8, family: u8, tail: &[u8]) -> Vec<u8> {
    let length = u16::try_from(tail.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, tail].concat()
}

/// Addresses and ports of version 2: the client is 192.0.2.1.
const V4: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x1f, 0x90, 0, 80];

fn v6() -> Vec<u8> {
    let mut tail = vec![0; 36];
    (tail[0], tail[1], tail[2], tail[3], tail[15]) = (0x20, 0x01, 0x0d, 0xb8, 1);
    tail
}

#[test]
fn the_client_is_whom_the_header_names() {
    let (door, upstream) = proxied();
    let extended = [&V4[..], &[4, 0, 3, 1, 2, 3]].concat();
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 8080 80\r\n".to_vec(), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"PROXY UNKNOWN whatever it is\r\n".to_vec(), "127.0.0.1"),
        (v2(1, 0x11, &V4), "192.0.2.1"),
        (v2(1, 0x11, &extended), "192.0.2.1"),
        (v2(1, 0x21, &v6()), "2001:db8::1"),
        (v2(0, 0, &[]), "127.0.0.1"),
        (v2(0, 0x11, &V4), "127.0.0.1"),
        (v2(1, 0, &[]), "127.0.0.1"),
    ] {
        let whole = [&header[..], GET.as_bytes(), GET.as_bytes()].concat();
        for split in [0, 1, header.len() - 1, header.len(), header.len() + 1] {
            let mut client_wire = door.connect();
            client_wire.send(&whole[..split]);
            client_wire.send(&whole[split..]);
            let mut service = upstream.accept();
            for connection in ["keep-alive", "close"] {
                let request = service.read_request();
                assert_eq!(field(&request, "x-forwarded-for"), Some(client), "{header:?}");
                service.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n"
                ));
                client_wire.read_response();
            }
        }
    }
}

#[test]
fn nothing_else_is_listened_to() {
    let (door, upstream) = proxied();
    for garbage in [
        GET.as_bytes().to_vec(),
        b"PROXY TCP4 192.0.2.1 127.0.0.1 8080\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 127.0.0.1 8080 80\n".to_vec(),
        b"PROXY TCP4 2001:db8::1 ::1 8080 80\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 127.0.0.1 808080 80\r\n".to_vec(),
        b"PROXY TCP5 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(),
        b"PROXY  TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(),
        b"proxy TCP4 192.0.2.1 127.0.0.1 8080 80\r\n".to_vec(),
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
        v2(2, 0x11, &V4),
        v2(1, 0x11, &V4[..11]),
        v2(1, 0x12, &V4),
        v2(1, 0x41, &V4),
        [SIGNATURE, &[0x11, 0x11, 0, 12], &V4].concat(),
        v2(1, 0x11, &[0; 5000]),
        b"\0".to_vec(),
    ] {
        let mut client = door.connect();
        let _ = client.try_send([&garbage[..], GET.as_bytes()].concat());
        let (response, _) = client.read_to_end();
        assert!(response.is_empty(), "{garbage:?}");
    }
    // Nor is anything waited for.
    for start in [&b""[..], b"PROXY", b"PROXY TCP4 192.0.2.1", &SIGNATURE[..5], SIGNATURE] {
        let mut client = door.connect();
        client.send(start);
        client.expect_end();
    }
    // Nor anyone else, whatever they say.
    let mut client = Wire::connect_from("127.0.0.2", door.http[0]);
    let _ = client.try_send([&v2(1, 0x11, &V4)[..], GET.as_bytes()].concat());
    assert!(client.read_to_end().0.is_empty());
    // And none of it reached the service.
    let mut client = door.connect();
    client.send(
        [b"PROXY UNKNOWN\r\n", &GET.replace("GET /", "GET /probe").into_bytes()[..]].concat(),
    );
    assert!(upstream.is_asked().starts_with("GET /probe "));
}

#[test]
fn a_refused_peer_is_closed_at_once() {
    let (door, _upstream) = proxied();
    let mut client = Wire::connect_from("127.0.0.2", door.http[0]);
    assert_eq!(client.expect_end(), End::Closed);
}

#[test]
fn the_named_client_is_trusted_or_not_by_its_own_address() {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "{}[listen]\nhttp = {{ address = \"127.0.0.1:0\", proxy-protocol = [\"127.0.0.1\"] }}\n\
         [forwarding]\ntrust = [\"192.0.2.1\"]\n",
        to(&upstream)
    ));
    for (named, told) in [("192.0.2.1", "1.2.3.4, 192.0.2.1"), ("192.0.2.2", "192.0.2.2")] {
        let mut client = door.connect();
        client.send(format!(
            "PROXY TCP4 {named} 127.0.0.1 8080 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\
             X-Forwarded-For: 1.2.3.4\r\n\r\n"
        ));
        let request = upstream.is_asked();
        assert_eq!(field(&request, "x-forwarded-for"), Some(told));
    }
}
