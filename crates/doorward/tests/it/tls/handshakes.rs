//! Which certificate, version and protocol a client gets.

use rustls::{HandshakeKind, ProtocolVersion};

use super::client::{Made, Wants, tables};
use super::{route, secure_door};
use crate::door::{Door, Folder};
use crate::wire::{Service, Wire, text};

#[test]
fn a_client_gets_http_1_through_tls_of_each_version() {
    let (door, made, service) = secure_door();
    for (wants, version) in [
        (Wants::trusting(&[&made]), ProtocolVersion::TLSv1_3),
        (Wants::old(&[&made]), ProtocolVersion::TLSv1_2),
    ] {
        let mut client = wants.connect(door.https[0]).expect("TLS");
        assert_eq!(client.stream.conn.protocol_version(), Some(version));
        for _ in 0..3 {
            let response = client.get("/");
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            assert!(response.ends_with("\r\n\r\nhello"), "{response}");
        }
        let requests = service.wait_received(3);
        assert!(requests[0].contains("X-Forwarded-Proto: https\r\n"), "{requests:?}");
        let version =
            format!("\"tls\":\"{}\"", version.as_str().expect("one").replace("v1_", "v1."));
        door.stdout.wait_for(&version);
    }
}

#[test]
fn a_connection_ends_with_close_notify() {
    let (door, made, _service) = secure_door();
    let mut client = Wants::trusting(&[&made]).connect(door.https[0]).expect("TLS");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    // The library makes an error of an end that nobody announced.
    let response = client.read_to_end().expect("an end in good order");
    assert!(response.ends_with("hello"), "{response}");
}

#[test]
fn who_speaks_http_without_tls_is_told_so() {
    let (door, _made, _service) = secure_door();
    let mut client = Wire::connect(door.https[0]);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (response, _) = client.read_to_end();
    let response = text(&response);
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("This is a port for HTTPS"), "{response}");
    door.stderr.wait_for("it speaks HTTP without TLS");
}

#[test]
fn clients_get_the_certificate_for_the_name_that_they_ask_for() {
    let folder = Folder::new();
    let first = Made::new(&folder, "first", &["first.test"]);
    let wild = Made::new(&folder, "wild", &["*.wild.test"]);
    let exact = Made::new(&folder, "exact", &["exact.wild.test"]);
    let service = Service::saying("hello");
    let config = format!("{}{}", tables(&[&first, &wild, &exact]), route(&service));
    let door = Door::start_in(folder, &config);
    let all = Wants::trusting(&[&first, &wild, &exact]);
    for (name, shown) in [
        ("first.test", &first),
        ("FIRST.test", &first),
        ("any.wild.test", &wild),
        ("exact.wild.test", &exact),
    ] {
        let client = all.clone().name(name).connect(door.https[0]).expect(name);
        assert_eq!(client.shown(), &shown.der, "{name}");
    }
    // A wildcard is for one label, and not for its own parent.
    for name in ["a.b.wild.test", "wild.test", "unknown.test"] {
        let refusal = all.clone().name(name).refusal(door.https[0]);
        assert!(refusal.contains("not valid for name"), "{name}: {refusal}");
    }
    door.stderr.wait_for("`unknown.test`: it does not take our certificate");
    // Who names nobody gets the first.
    let nobody = Wants::trusting(&[&first]).change(|config| config.enable_sni = false);
    let client = nobody.name("first.test").connect(door.https[0]).expect("the first");
    assert_eq!(client.shown(), &first.der);
}

#[test]
fn sessions_are_resumed_by_clients_of_each_version() {
    let (door, made, _service) = secure_door();
    for wants in [Wants::trusting(&[&made]), Wants::old(&[&made])] {
        // The store of sessions is shared by clones.
        let mut first = wants.connect(door.https[0]).expect("TLS");
        assert_eq!(first.stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        first.get("/");
        let mut second = wants.connect(door.https[0]).expect("TLS");
        assert_eq!(second.stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        second.get("/");
    }
    let metrics = door.admin("GET", "/metrics");
    for line in [
        "doorward_tls_handshakes_total{version=\"1.3\",resumed=\"yes\"} 1\n",
        "doorward_tls_handshakes_total{version=\"1.2\",resumed=\"yes\"} 1\n",
        "doorward_tls_handshakes_total{version=\"1.2\",resumed=\"no\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
