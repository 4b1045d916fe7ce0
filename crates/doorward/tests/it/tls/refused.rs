//! Handshakes that come to nothing, and what ends a connection in the middle.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::client::{Made, Wants, tables};
use super::{route, secure_door};
use crate::door::{Door, Folder};
use crate::wire::{End, Service, Wire};

/// A door with further lines.
fn door_with(more: &str) -> (Door, Made, Service) {
    let folder = Folder::new();
    let made = Made::new(&folder, "own", &["localhost"]);
    let service = Service::saying("hello");
    let config = format!("{}{more}{}", tables(&[&made]), route(&service));
    (Door::start_in(folder, &config), made, service)
}

#[track_caller]
fn failed(door: &Door, reason: &str, words: &str) {
    // It is counted before it is said, and the client may hear of it before both.
    door.stderr.wait_for(words);
    let line = format!("doorward_tls_handshake_failures_total{{reason=\"{reason}\"}} 1\n");
    let metrics = door.admin("GET", "/metrics");
    assert!(metrics.contains(&line), "{line}{metrics}");
}

#[test]
fn who_does_not_finish_the_handshake_is_cut_off() {
    let (door, made, _service) = door_with("[limits]\nhandshake-time = \"200ms\"\n");
    let mut hello = Vec::new();
    Wants::trusting(&[&made]).session().write_tls(&mut hello).expect("memory");
    for (said, words) in [(0, "it took too long"), (10, "too long"), (hello.len(), "too long")] {
        let mut client = Wire::connect(door.https[0]);
        client.send(&hello[..said]);
        let (heard, _) = client.read_to_end();
        assert_eq!(heard.is_empty(), said < hello.len(), "{said}");
        door.stderr.wait_for(words);
    }
    let metrics = door.admin("GET", "/metrics");
    assert!(metrics.contains("handshake_failures_total{reason=\"timeout\"} 3\n"), "{metrics}");
}

#[test]
fn the_oldest_handshake_makes_room_for_one_too_many() {
    let (door, made, _service) = door_with("[limits]\nhandshakes = 16\n");
    let mut hello = Vec::new();
    Wants::trusting(&[&made]).session().write_tls(&mut hello).expect("memory");
    let mut clients: Vec<Wire> = (0..16).map(|_| Wire::connect(door.https[0])).collect();
    for client in &mut clients {
        client.send(&hello);
        // It has its place: the server has spoken.
        client.read_exact(5);
    }
    let mut client = Wants::trusting(&[&made]).connect(door.https[0]).expect("TLS");
    assert!(client.get("/").ends_with("hello"));
    clients[0].read_to_end();
    failed(&door, "crowded", "more came than `handshakes` allows");
    // The others have theirs.
    let mut other = Wants::trusting(&[&made]).connect(door.https[0]).expect("TLS");
    other.get("/");
    failed(&door, "crowded", "more came than `handshakes` allows");
}

#[test]
fn what_two_do_not_have_in_common_is_named() {
    let folder = Folder::new();
    let made = Made::new(&folder, "own", &["localhost"]);
    let service = Service::saying("hello");
    let config = format!("{}min-version = \"1.3\"\n{}", tables(&[&made]), route(&service));
    let door = Door::start_in(folder, &config);
    let refusal = Wants::old(&[&made]).refusal(door.https[0]);
    assert!(refusal.contains("ProtocolVersion"), "{refusal}");
    failed(&door, "no-common-version", "it offers no version of TLS that is allowed here");
    let refusal = Wants::trusting(&[&made]).protocols(&["smtp"]).refusal(door.https[0]);
    assert!(refusal.contains("NoApplicationProtocol"), "{refusal}");
    failed(&door, "no-common-protocol", "none is spoken here (ALPN)");
    let stranger = Made::new(&Folder::new(), "stranger", &["localhost"]);
    let refusal = Wants::trusting(&[&stranger]).refusal(door.https[0]);
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
    let words = "that wanted `localhost`: it does not take our certificate";
    failed(&door, "certificate-refused", words);
    let refusal = Wants::trusting(&[&made]).protocols(&["acme-tls/1"]).refusal(door.https[0]);
    assert!(refusal.contains("alert"), "{refusal}");
    failed(&door, "no-certificate", "there is no certificate for it");
}

#[test]
fn what_is_no_tls_ends_without_an_answer() {
    let (door, _made, _service) = secure_door();
    let mut client = Wire::connect(door.https[0]);
    client.send(b"\x80\x2e\x01\x00\x02\x00");
    assert_eq!(client.read_to_end().0, b"");
    failed(&door, "not-tls", "it does not speak TLS");
    let mut client = Wire::connect(door.https[0]);
    client.send([&b"\x16\x03\x01\x00\x05"[..], b"\x02\x00\x00\x01\x00"].concat());
    let (alert, _) = client.read_to_end();
    assert_eq!(alert[..5], *b"\x15\x03\x03\x00\x02", "{alert:?}");
    failed(&door, "malformed", "it sent what is no TLS");
    // Who opens and leaves is counted, but fills no log.
    drop(Wire::connect(door.https[0]));
    let mut client = Wire::connect(door.https[0]);
    client.end();
    client.read_to_end();
    assert!(!door.stderr.all().iter().any(|line| line.contains("it left")));
}

#[test]
fn renegotiation_is_refused() {
    // The library's client cannot ask for it; OpenSSL's can.
    let (door, made, _service) = secure_door();
    let mut asking = std::process::Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &door.https[0].to_string(),
            "-tls1_2",
            "-legacy_renegotiation",
        ])
        .args(["-CAfile", &door.folder.path().join(&made.cert).to_string_lossy()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("`apt-get install openssl`");
    // A line with an R asks for it.
    asking.stdin.take().expect("a pipe").write_all(b"R\n").expect("it takes it");
    let asked = asking.wait_with_output().expect("it ends");
    let heard = String::from_utf8_lossy(&asked.stderr);
    assert!(heard.contains("RENEGOTIATING"), "{heard}");
    assert!(heard.contains("no renegotiation"), "{heard}");
}

#[test]
fn a_body_that_ends_without_a_word_is_not_whole() {
    // To a service that would take whatever comes until the end.
    let (door, made, service) = secure_door();
    let mut client = Wants::trusting(&[&made]).connect(door.https[0]).expect("TLS");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    client.stream.sock.shutdown(std::net::Shutdown::Write).expect("a socket");
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("200"), "{rest:?}");
    door.stdout.wait_for("\"fault\":\"client-gone\"");
    assert_eq!(service.take_received(), Vec::<String>::new());
}

#[test]
fn a_response_that_breaks_off_is_no_end_in_good_order() {
    let folder = Folder::new();
    let made = Made::new(&folder, "own", &["localhost"]);
    // It closes before it has said what it announced.
    let service = Service::new(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf".to_owned()
    });
    let config = format!("{}{}", tables(&[&made]), route(&service));
    let door = Door::start_in(folder, &config);
    let mut client = Wants::trusting(&[&made]).connect(door.https[0]).expect("TLS");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_to_end().expect_err("it is not whole");
}

#[test]
fn records_may_come_in_any_pieces() {
    let (door, made, _service) = secure_door();
    for wants in [Wants::trusting(&[&made]), Wants::old(&[&made])] {
        let wants = wants.change(|config| config.max_fragment_size = Some(64));
        let mut session = wants.session();
        let mut stream = TcpStream::connect(door.https[0]).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        let mut response = Vec::new();
        session
            .writer()
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("memory");
        loop {
            let mut bytes = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut bytes).expect("memory");
            }
            // Odd sizes, so that headers of records are split, too.
            for piece in bytes.chunks(7) {
                stream.write_all(piece).expect("it listens");
            }
            match session.read_tls(&mut stream) {
                Ok(0) => break,
                read => read.expect("it answers"),
            };
            session.process_new_packets().expect("TLS");
            if session.reader().read_to_end(&mut response).is_ok() {
                break;
            }
        }
        let response = String::from_utf8_lossy(&response);
        assert!(response.ends_with("hello"), "{response}");
    }
}

#[test]
fn who_leaves_in_the_middle_of_the_handshake_is_let_go() {
    let (door, made, _service) = secure_door();
    let mut hello = Vec::new();
    let wants = Wants::trusting(&[&made]).change(|config| {
        config.resumption = rustls::client::Resumption::disabled();
    });
    wants.session().write_tls(&mut hello).expect("memory");
    let mut client = Wire::connect(door.https[0]);
    client.send(&hello);
    client.read_exact(5);
    client.reset();
    let mut client = Wire::connect(door.https[0]);
    client.send(&hello);
    client.end();
    let (_, end) = client.read_to_end();
    assert_eq!(end, End::Closed);
}
