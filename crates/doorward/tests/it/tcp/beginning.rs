//! Which service a connection is for: by its listener, or by the server name that a client asks for.

use std::time::Instant;

use super::tls::{TLS_REQUEST, TlsService, hello, refusal};
use super::{entry, listener, refused};
use crate::door::{Door, End, LIMIT, Upstream, Wire};
use crate::ops::{metrics_with, operate};

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("smtp", upstream.address(), ""));
    let mut client = Wire::connect(listener(&door));
    let mut service = upstream.accept();
    service.send("220 ready\r\n");
    assert_eq!(client.read_until("\r\n"), "220 ready\r\n");
    client.send("QUIT\r\n");
    assert_eq!(service.read_until("\r\n"), "QUIT\r\n");
}

#[test]
fn the_name_decides_and_the_service_ends_tls() {
    let [exact, below, other] =
        ["db.example.com", "a.pool.example.com", "elsewhere.test"].map(TlsService::new);
    let config = [
        entry("exact", exact.address, "sni = \"DB.example.com\""),
        entry("below", below.address, "sni = \"*.example.com\""),
        entry("other", other.address, ""),
    ];
    let door = Door::start(&config.concat());
    assert_eq!(door.tcp.len(), 1, "they share a listener");
    for (service, name) in
        [(&exact, "db.example.com"), (&below, "a.pool.example.com"), (&other, "elsewhere.test")]
    {
        let heard = service.ask(listener(&door), name).expect("TLS is content");
        assert_eq!(heard, format!("this is {name}\nhello\n"));
    }
    // The certificate of another service does not fit: nothing was ended on the way.
    assert!(other.ask(listener(&door), "db.example.com").is_err());
    metrics_with(
        &door,
        "doorward_tcp_connections_total{listen=\"127.0.0.1:0\",sni=\"*.example.com\"}",
        1.0,
    );
}

#[test]
fn clients_of_postgresql_ask_first() {
    let [one, two] = ["one.example.com", "two.example.com"].map(TlsService::of_postgres);
    let config = [
        entry("one", one.address, "sni = \"one.example.com\""),
        entry("two", two.address, "sni = \"two.example.com\""),
    ];
    let door = Door::start(&config.concat());
    for (service, name) in [(&one, "one.example.com"), (&two, "two.example.com")] {
        let heard = service.ask_as_postgres(listener(&door), name).expect("TLS is content");
        assert_eq!(heard, format!("this is {name}\nhello\n"));
    }
    // What comes before the answer could be taken for encrypted.
    let mut client = Wire::connect(listener(&door));
    client.send([&TLS_REQUEST[..], &hello("one.example.com")].concat());
    assert_eq!(client.expect_end(), End::Reset);
    // Byte by byte, and for a server that is not there.
    let mut client = Wire::connect(listener(&door));
    for byte in TLS_REQUEST {
        client.send([byte]);
        std::thread::yield_now();
    }
    assert_eq!(client.read_exact(1), b"S");
    client.send(hello("three.example.com"));
    assert_eq!(client.read_exact(7), [21, 3, 3, 0, 2, 2, 112]);
}

#[test]
fn a_service_of_postgresql_may_say_no_to_tls() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("db", upstream.address(), "sni = \"db.example.com\""));
    for answer in [&b"N"[..], b"Sx", b""] {
        let mut client = Wire::connect(listener(&door));
        client.send(TLS_REQUEST);
        assert_eq!(client.read_exact(1), b"S");
        client.send(hello("db.example.com"));
        let mut service = upstream.accept();
        assert_eq!(service.read_exact(8), TLS_REQUEST);
        service.send(answer);
        service.end();
        assert_eq!(client.read_exact(7), [21, 3, 3, 0, 2, 2, 80], "{answer:?}");
    }
}

#[test]
fn a_client_of_another_server_is_told_so() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("db", upstream.address(), "sni = \"db.example.com\""));
    let said = refusal(listener(&door), "other.example.com");
    assert!(said.contains("UnrecognisedName"), "{said}");
    // One that names nobody at all is an address.
    let said = refusal(listener(&door), "127.0.0.1");
    assert!(said.contains("UnrecognisedName"), "{said}");
    metrics_with(&door, "doorward_faults_total{fault=\"unrecognized-name\"}", 2.0);
}

#[test]
fn a_service_that_is_not_there_is_an_alert_to_a_client_of_tls() {
    let refusing = crate::wire::Refusing::new();
    let door = Door::start(&entry("db", refusing.address(), "sni = \"db.example.com\""));
    let said = refusal(listener(&door), "db.example.com");
    assert!(said.contains("InternalError"), "{said}");
    let door = Door::start(&entry("db", refusing.address(), ""));
    assert_eq!(refused(listener(&door)), End::Reset);
}

#[test]
fn the_first_message_may_come_in_any_pieces_and_arrives_as_it_was_sent() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("db", upstream.address(), "sni = \"db.example.com\""));
    let hello = hello("db.example.com");
    let mut bytes = hello.clone();
    bytes.extend(b"early data");
    // With a pause behind each: as many reads.
    let mut client = Wire::connect(listener(&door));
    for byte in &bytes {
        client.send([*byte]);
        std::thread::yield_now();
    }
    let mut service = upstream.accept();
    assert_eq!(service.read_exact(bytes.len()), bytes);
    for split in [1, 4, 5, 6, 9, 43, hello.len() / 2, hello.len() - 1] {
        let mut client = Wire::connect(listener(&door));
        client.send(&hello[..split]);
        // The door has read it when it answers somebody who came later.
        operate(&door, "GET", "/api/status", "");
        client.send(&hello[split..]);
        let mut service = upstream.accept();
        assert_eq!(service.read_exact(hello.len()), hello, "split at {split}");
    }
}

#[test]
fn what_is_not_tls_ends_where_a_name_is_needed() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("db", upstream.address(), "sni = \"db.example.com\""));
    let mut client = Wire::connect(listener(&door));
    client.send("GET / HTTP/1.1\r\nHost: db.example.com\r\n\r\n");
    assert_eq!(client.expect_end(), End::Reset);
    // A message of TLS, but of another kind.
    let mut client = Wire::connect(listener(&door));
    client.send([22, 3, 1, 0, 4, 2, 0, 0, 0]);
    assert_eq!(client.read_exact(7), [21, 3, 3, 0, 2, 2, 10]);
    assert_eq!(client.expect_end(), End::Closed);
    // One that goes on for ever.
    let mut client = Wire::connect(listener(&door));
    let record = [&[22, 3, 1, 0x40, 0][..], &[1, 0, 0x7f, 0xff], &[0; 0x4000 - 4]].concat();
    let _ = client.try_send(record.repeat(4));
    assert_eq!(client.read_exact(7), [21, 3, 3, 0, 2, 2, 50]);
    metrics_with(&door, "doorward_faults_total{fault=\"hello-malformed\"}", 3.0);
}

#[test]
fn who_does_not_finish_its_first_message_is_not_waited_for() {
    let upstream = Upstream::new();
    let config = entry("db", upstream.address(), "sni = \"db.example.com\"");
    let mut door = Door::start(&format!("{config}[limits]\nheader-time = \"200ms\"\n"));
    let began = Instant::now();
    let mut silent = Wire::connect(listener(&door));
    let mut slow = Wire::connect(listener(&door));
    slow.send(&hello("db.example.com")[..20]);
    silent.expect_end();
    slow.expect_end();
    assert!(began.elapsed() < LIMIT / 2);
    // Nothing is wrong with somebody who only looks whether the port is open.
    let metrics = metrics_with(&door, "doorward_faults_total{fault=\"head-timeout\"}", 1.0);
    assert!(!metrics.contains("client-gone"), "{metrics}");
    door.signal(rustix::process::Signal::TERM);
    assert_eq!(door.wait().code(), Some(0));
}
