//! TLS towards services.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::{HeaderName, HeaderValue};
use rcgen::date_time_ymd;

use super::authority::Authority;
use super::front::{Front, config};
use crate::door::{Door, Folder, LIMIT};
use crate::frames::FrameService;
use crate::http::plain;
use crate::ops::until;
use crate::wire::{Service, Upstream};

/// A door before the service at `address` that is called by TLS as `tls` says.
fn door(folder: Folder, endpoint: &str, tls: &str) -> Door {
    Door::start_in(folder, &doors(endpoint, tls))
}

fn doors(endpoint: &str, tls: &str) -> String {
    format!(
        "[log]\naccess = \"json\"\n[[route]]\npath = \"/*\"\nservice = \"it\"\n\
         [service.it]\nendpoints = [\"{endpoint}\"]\n{tls}\n\
         {}",
        if tls.contains("connect") { "" } else { "connect = \"20s\"\n" }
    )
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_service_whose_authority_is_known_is_called() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let service = Service::saying("hello");
    let front = Front::new(
        config(&authority.sign(&["127.0.0.1"]), None, &["h2", "http/1.1"]),
        service.address(),
    );
    let door = door(folder, &format!("https://{}", front.address), "tls = { roots = \"ca.pem\" }");
    let mut client = door.connect();
    for _ in 0..3 {
        client.send(GET);
        assert!(client.read_response().ends_with("hello"));
    }
    let seen = front.seen().expect("a handshake");
    // An address is not asked for by name (RFC 6066, 3).
    assert_eq!(seen.server_name, None);
    assert_eq!(seen.protocol.as_deref(), Some("http/1.1"));
    assert!(!seen.certificate);
    assert!(front.saw_nobody(), "the connection is kept");
    let metrics = door.admin("GET", "/metrics");
    let full = "doorward_upstream_tls_handshakes_total{service=\"it\",resumed=\"no\"} 1\n";
    assert!(metrics.contains(full), "{metrics}");
}

#[test]
fn a_service_is_asked_for_by_the_name_of_its_endpoint_or_another() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let service = Service::saying("hello");
    let signed = authority.sign(&["localhost", "other.test"]);
    let front = Front::new(config(&signed, None, &[]), service.address());
    let port = front.address.port();
    let by_name = door(folder, &format!("localhost:{port}"), "tls = { roots = \"ca.pem\" }");
    // A name is looked up while the door starts.
    let answer = loop {
        let answer = by_name.ask(GET);
        if !answer.contains("no-endpoint") {
            break answer;
        }
    };
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(front.seen().expect("a handshake").server_name.as_deref(), Some("localhost"));
    let folder = Folder::new();
    authority.write(&folder, "ca.pem");
    let tls = "tls = { roots = \"ca.pem\", server-name = \"other.test\" }";
    let by_other = door(folder, &front.address.to_string(), tls);
    assert!(by_other.ask(GET).ends_with("hello"));
    assert_eq!(front.seen().expect("a handshake").server_name.as_deref(), Some("other.test"));
}

#[test]
fn who_is_not_the_service_is_not_called() {
    let ours = Authority::new("ours");
    let others = Authority::new("others");
    let service = Service::saying("hello");
    let good = ours.sign(&["127.0.0.1"]);
    let old = ours.sign_with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = ours.sign_with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    });
    let client_only = ours.sign_with(&["127.0.0.1"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for (signed, more, slug, error) in [
        (
            &others.sign(&["127.0.0.1"]),
            "",
            "certificate-unknown-authority",
            "tls_certificate_error",
        ),
        (&old, "", "certificate-expired", "tls_certificate_error"),
        (&early, "", "certificate-not-yet-valid", "tls_certificate_error"),
        (&ours.sign(&["127.0.0.2"]), "", "certificate-wrong-name", "tls_certificate_error"),
        (&client_only, "", "certificate-invalid", "tls_certificate_error"),
        (&good, &format!(", pins = [\"{}\"]", old.pin), "certificate-pin", "tls_certificate_error"),
    ] {
        let folder = Folder::new();
        ours.write(&folder, "ca.pem");
        let front = Front::new(config(signed, None, &[]), service.address());
        let tls = format!("tls = {{ roots = \"ca.pem\"{more} }}");
        let door = door(folder, &front.address.to_string(), &tls);
        let answer = door.ask(GET);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{slug}: {answer}");
        assert!(answer.contains(&format!("urn:doorward:fault:{slug}\"")), "{slug}: {answer}");
        assert!(answer.contains(&format!("proxy-status: doorward; error={error}")), "{answer}");
        front.seen().expect_err("no handshake");
        door.stdout.wait_for(&format!("\"fault\":\"{slug}\""));
        let metrics = door.admin("GET", "/metrics");
        let failures = "doorward_upstream_tls_handshake_failures_total{service=\"it\"} ";
        assert!(metrics.contains(failures), "{metrics}");
        assert!(!metrics.contains(&format!("{failures}0\n")), "{metrics}");
    }
    assert!(service.take_received().is_empty());
}

#[test]
fn a_key_may_be_pinned_with_and_without_an_authority() {
    let authority = Authority::new("ours");
    let service = Service::saying("hello");
    let signed = authority.sign(&["127.0.0.1", "a.test"]);
    let front = Front::new(config(&signed, None, &[]), service.address());
    let pin = &signed.pin;
    let other = authority.sign(&["x"]).pin;
    for tls in [
        format!("tls = {{ roots = \"ca.pem\", pins = [\"{other}\", \"{pin}\"] }}"),
        format!("tls = {{ verify = false, pins = [\"{pin}\"] }}"),
        "tls = { verify = false }".to_owned(),
    ] {
        let folder = Folder::new();
        authority.write(&folder, "ca.pem");
        let door = door(folder, &front.address.to_string(), &tls);
        assert!(door.ask(GET).ends_with("hello"), "{tls}");
        front.seen().expect("a handshake");
    }
    let folder = Folder::new();
    let tls = format!("tls = {{ verify = false, pins = [\"{other}\"] }}");
    let door = door(folder, &front.address.to_string(), &tls);
    assert!(door.ask(GET).contains("certificate-pin"));
}

#[test]
fn a_service_that_wants_a_certificate_gets_it() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let service = Service::saying("hello");
    let signed = ours.sign(&["127.0.0.1"]);
    for protocol in ["http1", "h2"] {
        let alpn = if protocol == "h2" { "h2" } else { "http/1.1" };
        let frames = FrameService::new();
        let behind = if protocol == "h2" { frames.address } else { service.address() };
        let front = Front::new(config(&signed, Some(&theirs), &[alpn]), behind);
        let start = |pair: Option<&Authority>| {
            let folder = Folder::new();
            ours.write(&folder, "ca.pem");
            let certificate = pair.map(|authority| {
                let pair = authority.sign(&["door.test"]).write(&folder, "door");
                format!(", certificate = {pair}")
            });
            let certificate = certificate.unwrap_or_default();
            let tls =
                format!("tls = {{ roots = \"ca.pem\"{certificate} }}\nprotocol = \"{protocol}\"");
            door(folder, &front.address.to_string(), &tls)
        };
        let right = start(Some(&theirs));
        let mut client = right.connect();
        client.send(GET);
        if protocol == "h2" {
            let mut served = frames.accept();
            frames.answer(&mut served, 200, b"hello");
        }
        assert!(client.read_response().contains("hello"));
        assert!(front.seen().expect("a handshake").certificate);
        for wrong in [None, Some(&ours)] {
            let door = start(wrong);
            let answer = door.ask(GET);
            assert!(answer.contains("tls-client-certificate"), "{protocol}: {answer}");
            assert!(answer.contains("error=tls_alert_received"), "{protocol}: {answer}");
            front.seen().expect_err("no handshake");
        }
    }
}

#[test]
fn http_2_goes_by_tls_and_by_nothing_less_than_alpn() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let frames = FrameService::new();
    let signed = authority.sign(&["127.0.0.1"]);
    let front = Front::new(config(&signed, None, &["h2"]), frames.address);
    let tls = "tls = { roots = \"ca.pem\" }\nprotocol = \"h2\"";
    let door = door(folder, &front.address.to_string(), tls);
    for _ in 0..3 {
        let mut client = door.connect();
        client.send(GET);
        let mut served = frames.accept();
        assert_eq!(served.head.uri().scheme_str(), Some("https"));
        frames.answer(&mut served, 200, b"hello");
        assert_eq!(
            plain(&client.read_response()),
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n"
        );
    }
    assert_eq!(front.seen().expect("a handshake").protocol.as_deref(), Some("h2"));
    assert!(front.saw_nobody(), "the connection is shared");
    for protocols in [&[][..], &["http/1.1"]] {
        let folder = Folder::new();
        authority.write(&folder, "ca.pem");
        let front = Front::new(config(&signed, None, protocols), frames.address);
        let door = self::door(folder, &front.address.to_string(), tls);
        let answer = door.ask(GET);
        assert!(answer.contains("urn:doorward:fault:tls-protocol\""), "{answer}");
    }
}

#[test]
fn what_is_no_tls_is_told_from_what_refuses() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    // It takes the handshake for a request, and says so without TLS.
    let plain = Upstream::new();
    let tls = "tls = { roots = \"ca.pem\" }\nconnect = \"20s\"";
    let no_tls = door(folder, &plain.address().to_string(), tls);
    thread::spawn(move || {
        while let Some(mut service) = plain.try_accept(LIMIT) {
            if service.read_some().is_some() {
                let _ = service.try_send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let answer = no_tls.ask(GET);
    assert!(answer.contains("urn:doorward:fault:tls-failed\""), "{answer}");
    let silent = Upstream::new();
    let folder = Folder::new();
    authority.write(&folder, "ca.pem");
    let tls = "tls = { roots = \"ca.pem\" }\nconnect = \"200ms\"";
    let door = door(folder, &silent.address().to_string(), tls);
    let answer = door.ask(GET);
    assert!(answer.contains("urn:doorward:fault:connect-timeout\""), "{answer}");
}

#[test]
fn a_session_goes_on_with_the_next_connection() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let service = Service::new(move |_| answer.to_owned());
    let front = Front::new(config(&authority.sign(&["127.0.0.1"]), None, &[]), service.address());
    let door = door(folder, &front.address.to_string(), "tls = { roots = \"ca.pem\" }");
    for resumed in [false, true, true] {
        assert!(door.ask(GET).contains("hello"));
        assert_eq!(front.seen().expect("a handshake").resumed, resumed);
    }
    let metrics = door.admin("GET", "/metrics");
    let resumed = "doorward_upstream_tls_handshakes_total{service=\"it\",resumed=\"yes\"} 2\n";
    assert!(metrics.contains(resumed), "{metrics}");
}

#[test]
fn websockets_go_by_tls() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let service = Upstream::new();
    let signed = authority.sign(&["127.0.0.1"]);
    let front = Front::new(config(&signed, None, &["http/1.1"]), service.address());
    let door = door(folder, &front.address.to_string(), "tls = { roots = \"ca.pem\" }");
    let mut client = door.connect();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let mut service = service.accept();
    assert!(service.read_head().contains("Upgrade: websocket\r\n"));
    service.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom the service",
    );
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.read_exact(16), b"from the service");
    client.send("from the client");
    assert_eq!(service.read_exact(15), b"from the client");
    // Each side's end is heard on the other.
    service.end();
    client.read_to_end();
}

#[test]
fn an_authority_that_is_written_anew_holds_for_the_next_request() {
    let folder = Folder::new();
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    first.write(&folder, "ca.pem");
    let service = Service::saying("hello");
    let old = Front::new(config(&first.sign(&["127.0.0.1"]), None, &[]), service.address());
    let door = door(folder, &old.address.to_string(), "tls = { roots = \"ca.pem\" }");
    assert!(door.ask(GET).ends_with("hello"));
    door.folder.write("ca.pem", "nonsense");
    door.stderr.wait_for("ca.pem: no certificate in PEM");
    assert!(door.ask(GET).ends_with("hello"), "what was read before stays in use");
    // The connection that is kept was made by the word of the first one.
    second.write(&door.folder, "ca.pem");
    door.stderr.wait_for("were read again");
    let answer = door.ask(GET);
    assert!(answer.contains("urn:doorward:fault:certificate-unknown-authority"), "{answer}");
}

#[test]
fn plain_tcp_goes_on_by_tls() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let service = Upstream::new();
    let front = Front::new(config(&authority.sign(&["127.0.0.1"]), None, &[]), service.address());
    let config = format!(
        "[[tcp]]\nlisten = \"127.0.0.1:0\"\nservice = \"it\"\n[service.it]\n\
         endpoints = [\"{}\"]\ntls = {{ roots = \"ca.pem\" }}\nconnect = \"20s\"\n",
        front.address
    );
    let door = Door::start_in(folder, &config);
    let mut client = crate::wire::Wire::connect(door.tcp[0]);
    client.send("hello");
    let mut service = service.accept();
    assert_eq!(service.read_exact(5), b"hello");
    service.send("and back");
    assert_eq!(client.read_exact(8), b"and back");
    front.seen().expect("a handshake");
}

#[test]
fn authorities_of_the_system_are_read_again_when_they_change() {
    let folder = Folder::new();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    other.write(&folder, "system.pem");
    let service = Service::saying("hello");
    let front =
        Front::new(config(&ours.sign(&["127.0.0.1"]), None, &["http/1.1"]), service.address());
    let mut command = Door::command(&folder, &["run", "doorward.toml"]);
    command.env("SSL_CERT_FILE", folder.path().join("system.pem"));
    let door = Door::start_as(
        command,
        folder,
        &doors(&format!("https://{}", front.address), "tls = true"),
    );
    let mut client = door.connect();
    client.send(GET);
    assert!(client.read_response().starts_with("HTTP/1.1 502 "));
    // Without any the old ones stay in use.
    door.folder.write("system.pem", "");
    door.stderr.wait_for("no authorities any more");
    ours.write(&door.folder, "system.pem");
    door.stderr.wait_for("authorities, lists and certificates were read again");
    client.send(GET);
    assert!(client.read_response().ends_with("hello"));
}

#[test]
fn a_service_of_grpc_is_asked_by_tls_whether_it_is_well() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    authority.write(&folder, "ca.pem");
    let frames = FrameService::new();
    let front = Front::new(config(&authority.sign(&["127.0.0.1"]), None, &["h2"]), frames.address);
    let tls = "tls = { roots = \"ca.pem\" }\nprotocol = \"h2\"\n\
               health = { grpc = \"it.Calls\", every = \"50ms\" }";
    let door = door(folder, &format!("https://{}", front.address), tls);
    let is_well = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let mut served = frames.accept();
                let path = served.head.uri().path().to_owned();
                if path != "/grpc.health.v1.Health/Check" {
                    frames.answer(&mut served, 200, b"well");
                    if path == "/last" {
                        return;
                    }
                    continue;
                }
                let (message, _) = frames.read(&mut served).expect("it is asked");
                assert_eq!(message, b"\0\0\0\0\x0a\x0a\x08it.Calls");
                let head = http::Response::builder().header("content-type", "application/grpc");
                let head = head.body(()).expect("a head");
                let mut send = served.respond.send_response(head, false).expect("it is open");
                let status = if is_well.load(Ordering::Relaxed) { 1 } else { 2 };
                send.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false).expect("it is open");
                let trailers = [(HeaderName::from_static("grpc-status"), HeaderValue::from(0))];
                send.send_trailers(trailers.into_iter().collect()).expect("it is open");
            }
        });
        let well = |verdict| {
            let name = "doorward_health_endpoint_well";
            until("it is known", || {
                let metrics = door.admin("GET", "/metrics");
                let found = metrics.lines().find(|line| line.starts_with(name));
                found.is_some_and(|line| line.ends_with(verdict)).then_some(())
            });
        };
        well(" 0");
        is_well.store(true, Ordering::Relaxed);
        well(" 1");
        let last = door.ask("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(last.contains("well"), "{last}");
    });
}
