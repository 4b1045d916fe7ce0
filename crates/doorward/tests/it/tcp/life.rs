//! The life of a connection that is not HTTP: bytes, ends, limits, reload, drain, what operators see.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::tls::TlsService;
use super::{entry, listener, refused};
use crate::door::{Door, End, Folder, Upstream, Wire};
use crate::ops::{metrics_with, operate, status, until};
use crate::wire::text;

/// Both ends of a connection through the door.
fn connected(door: &Door, upstream: &Upstream) -> (Wire, Wire) {
    (Wire::connect(listener(door)), upstream.accept())
}

#[test]
fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("echo", upstream.address(), ""));
    let (mut client, mut service) = connected(&door, &upstream);
    let much: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let hands = [client.other_hand(), service.other_hand()];
    for (mut from, to) in hands.into_iter().zip([&mut service, &mut client]) {
        let bytes = much.clone();
        let sending = std::thread::spawn(move || from.send(bytes));
        assert!(to.read_exact(much.len()) == much, "they came as they were");
        sending.join().expect("all was sent");
    }
    client.send("last words");
    client.end();
    assert_eq!(service.read_to_end(), (b"last words".to_vec(), End::Closed));
    service.send("answer");
    drop(service);
    assert_eq!(client.read_to_end(), (b"answer".to_vec(), End::Closed));
    let bytes = "doorward_tcp_bytes_total{listen=\"127.0.0.1:0\",sni=\"\",direction=\"up\"}";
    metrics_with(&door, bytes, 3_000_010.0);
}

#[test]
fn what_breaks_off_breaks_off_on_the_other_side() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("echo", upstream.address(), ""));
    let (mut client, mut service) = connected(&door, &upstream);
    client.send("hello");
    service.read_exact(5);
    client.reset();
    assert_eq!(service.expect_end(), End::Reset);
    let (mut client, mut service) = connected(&door, &upstream);
    // The door has its connection when something went over it.
    client.send("hello");
    service.read_exact(5);
    service.reset();
    assert_eq!(client.expect_end(), End::Reset);
    metrics_with(&door, "doorward_faults_total{fault=\"client-gone\"}", 1.0);
    metrics_with(&door, "doorward_faults_total{fault=\"upstream-truncated\"}", 1.0);
    let failures = "doorward_tcp_failures_total{listen=\"127.0.0.1:0\",sni=\"\"}";
    metrics_with(&door, failures, 2.0);
}

#[test]
fn who_is_silent_for_too_long_is_cut_off() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("echo", upstream.address(), "idle = \"1s\""));
    let (mut client, mut service) = connected(&door, &upstream);
    client.send("something");
    service.read_exact(9);
    assert_eq!(client.expect_end(), End::Reset);
    assert_eq!(service.expect_end(), End::Reset);
    metrics_with(&door, "doorward_faults_total{fault=\"connection-idle\"}", 1.0);
}

#[test]
fn an_entry_has_so_many_connections_and_no_more() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("db", upstream.address(), "connections = 1"));
    let (client, service) = connected(&door, &upstream);
    assert_eq!(refused(listener(&door)), End::Reset);
    metrics_with(&door, "doorward_faults_total{fault=\"too-many-connections\"}", 1.0);
    drop((client, service));
    metrics_with(&door, "doorward_tcp_open_connections{listen=\"127.0.0.1:0\",sni=\"\"}", 0.0);
    connected(&door, &upstream);
}

#[test]
fn an_endpoint_has_so_many_connections_and_no_more() {
    let upstream = Upstream::new();
    let config = entry("db", upstream.address(), "") + "balance = { requests = 1 }\n";
    let door = Door::start(&config);
    let (client, service) = connected(&door, &upstream);
    assert_eq!(refused(listener(&door)), End::Reset);
    metrics_with(&door, "doorward_faults_total{fault=\"upstream-busy\"}", 1.0);
    drop((client, service));
    metrics_with(&door, "doorward_tcp_open_connections{listen=\"127.0.0.1:0\",sni=\"\"}", 0.0);
    connected(&door, &upstream);
}

#[test]
fn a_client_meets_the_same_endpoint_again() {
    let names = ["a", "b", "c"];
    let services = names.map(|name| {
        let upstream = Upstream::new();
        let address = upstream.address().to_string();
        std::thread::spawn(move || {
            // As long as the test runs.
            while let Some(mut wire) = upstream.try_accept(10 * crate::door::LIMIT) {
                let _ = wire.try_send(name);
            }
        });
        address
    });
    let door = Door::start(&format!(
        "[[tcp]]\nlisten = \"127.0.0.1:0\"\nservice = \"db\"\n\
         [service.db]\nendpoints = {services:?}\nbalance = {{ by = \"hash\", hash = \"client\" }}\n"
    ));
    let ask = |client: u8| {
        let mut wire = Wire::connect_from(&format!("127.0.0.{client}"), listener(&door));
        text(&wire.read_exact(1))
    };
    let first: Vec<String> = (1..=20).map(ask).collect();
    assert!(names.iter().all(|name| first.iter().any(|met| met == name)), "{first:?}");
    assert_eq!((1..=20).map(ask).collect::<Vec<_>>(), first);
    let explained = operate(
        &door,
        "POST",
        "/api/explain",
        // As it is written.
        "{\"url\": \"tcp://127.0.0.1:0\", \"client\": \"127.0.0.7\"}",
    );
    let met = names.iter().position(|name| *name == first[6]).expect("one of them");
    assert!(explained.body.contains(&services[met]), "{} {first:?}", explained.body);
}

#[test]
fn the_limits_of_all_connections_hold_here_too() {
    let upstream = Upstream::new();
    let config = entry("db", upstream.address(), "");
    let door = Door::start(&format!("{config}[limits]\nconnections-per-client = 1\n"));
    let (_client, _service) = connected(&door, &upstream);
    // Without anything that only a client of HTTP would understand.
    refused(listener(&door));
    let refused = "doorward_client_refused_total{limit=\"connections-per-client\"}";
    metrics_with(&door, refused, 1.0);
}

#[test]
fn the_proxy_protocol_is_taken_and_given() {
    let upstream = Upstream::new();
    let address = upstream.address();
    let door = Door::start(&format!(
        "[[tcp]]\nlisten = {{ address = \"127.0.0.1:0\", proxy-protocol = [\"127.0.0.1\"] }}\n\
         service = \"db\"\nproxy-protocol = \"v2\"\n\
         [service.db]\nendpoints = [\"{address}\"]\n[log]\naccess = \"json\"\n"
    ));
    let mut client = Wire::connect(listener(&door));
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 5432\r\nhello");
    let mut service = upstream.accept();
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    expected.extend([192, 0, 2, 7, 198, 51, 100, 1]);
    expected.extend([4711_u16.to_be_bytes(), 5432_u16.to_be_bytes()].concat());
    expected.extend(b"hello");
    assert_eq!(service.read_exact(expected.len()), expected);
    drop((client, service));
    let line = door.stdout.wait_for("\"service\":\"db\"");
    assert!(line.contains("\"client\":\"192.0.2.7\""), "{line}");
    // Without the header nothing goes on.
    let mut client = Wire::connect(listener(&door));
    client.send("hello, hello, hello");
    client.expect_end();
}

#[test]
fn the_access_log_has_a_line_for_each_connection() {
    let service = TlsService::new("db.example.com");
    let config = entry("db", service.address, "sni = \"*.example.com\"");
    let door = Door::start(&format!("{config}[log]\naccess = \"json\"\n"));
    service.ask(listener(&door), "db.example.com").expect("TLS is content");
    let line = door.stdout.wait_for("server-name");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["server-name"], "db.example.com");
    assert_eq!(line["sni"], "*.example.com");
    assert_eq!(line["service"], "db");
    assert_eq!(line["endpoint"], service.address.to_string());
    assert_eq!(line["listen"], listener(&door).to_string());
    assert!(line["request-bytes"].as_u64() > Some(200), "{line}");
    assert!(line["response-bytes"].as_u64() > Some(500), "{line}");
    assert_eq!(line.get("fault"), None);

    let door = Door::start(&format!("{config}[log]\naccess = \"text\"\n"));
    super::tls::refusal(listener(&door), "a.b.test");
    let line = door.stdout.wait_for(" TCP ");
    let end = "a.b.test";
    assert!(line.contains(end) && line.contains(" fault=unrecognized-name ("), "{line}");
}

#[test]
fn a_reload_leaves_connections_as_they_are() {
    let [first, second] = [Upstream::new(), Upstream::new()];
    let folder = Folder::new();
    let door = Door::start_in(folder, &entry("db", first.address(), ""));
    let (mut client, mut service) = connected(&door, &first);
    let address = listener(&door);
    door.rewrite(&entry("db", second.address(), ""));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    let mut other = Wire::connect(address);
    let mut moved = second.accept();
    other.send("to the new one");
    assert_eq!(moved.read_exact(14), b"to the new one");
    client.send("to the old one");
    assert_eq!(service.read_exact(14), b"to the old one");

    // Without its entry nobody listens any more, and what is open goes on.
    door.rewrite("");
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    until("nobody listens", || std::net::TcpStream::connect(address).err());
    service.send("still here");
    assert_eq!(client.read_exact(10), b"still here");
}

#[test]
fn the_end_waits_for_what_is_open() {
    let upstream = Upstream::new();
    let mut door = Door::start(&entry("db", upstream.address(), ""));
    let (mut client, mut service) = connected(&door, &upstream);
    door.signal(Signal::TERM);
    door.stderr.wait_for("draining, for");
    until("nobody listens", || std::net::TcpStream::connect(listener(&door)).err());
    client.send("bye");
    assert_eq!(service.read_exact(3), b"bye");
    // With those that only looked whether anybody listens.
    drop((client, service, upstream));
    assert_eq!(door.wait().code(), Some(0));
    door.stderr.wait_for("all requests are finished");
}

#[test]
fn status_and_explain_know_the_entries() {
    let upstream = Upstream::new();
    let door = Door::start(&entry("db", upstream.address(), "sni = \"db.example.com\""));
    assert_eq!(
        status(&door)["tcp"],
        json!([{
            "listen": listener(&door).to_string(),
            "sni": "db.example.com",
            "service": "db",
            "connections": 0,
        }])
    );
    let explain = |url: &str| {
        let answer = operate(&door, "POST", "/api/explain", &json!({ "url": url }).to_string());
        let answer = answer.json();
        let lines = answer["decisions"]["lines"].as_array().cloned().unwrap_or_default();
        let why = lines.first().map(|line| line["why"].clone());
        (answer["outcome"].clone(), why.unwrap_or_default())
    };
    let (outcome, why) = explain("tls://db.example.com:0");
    assert_eq!(outcome, format!("forward to `db` at {}", upstream.address()));
    assert_eq!(why, "the entry has this very name");
    let (outcome, why) = explain("tls://other.example.com:0");
    assert_eq!(outcome, "close: There is no server of this name here");
    assert_eq!(why, "no entry is for the server that the client names");
    let (_, why) = explain("tcp://127.0.0.1:0");
    assert_eq!(why, "the connection does not begin with TLS");
    let answer = operate(&door, "POST", "/api/explain", r#"{"url": "tcp://127.0.0.1:1"}"#);
    assert_eq!(answer.json()["title"], "no `[[tcp]]` listens on port 1");
}
