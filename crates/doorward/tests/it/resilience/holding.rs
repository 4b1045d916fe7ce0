//! A service that is not there for a moment: requests wait for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::door::Door;
use crate::ops::{metrics, metrics_with};
use crate::wire::Refusing;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn config(endpoint: SocketAddr, hold: &str) -> String {
    format!(
        "[service.it]\nendpoints = [\"{endpoint}\"]\nretry = {{ {hold} }}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n"
    )
}

const HELD: &str = "doorward_upstream_held_requests{service=\"it\"}";

#[test]
fn requests_wait_for_a_service_that_starts_again() {
    let refusing = Refusing::new();
    let door = Door::start(&config(refusing.address(), "hold = \"30s\""));
    let mut clients = [door.connect(), door.connect(), door.connect()];
    clients[0].send(GET);
    clients[1].send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    // Nobody has seen it, so its method does not matter.
    clients[2].send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    metrics_with(&door, HELD, 3.0);
    let service = refusing.listen();
    for _ in 0..3 {
        service.is_asked();
    }
    for (at, mut client) in clients.into_iter().enumerate() {
        let response = client.read_head();
        assert!(response.starts_with("HTTP/1.1 204"), "{at}: {response}");
    }
    metrics_with(&door, HELD, 0.0);
}

#[test]
fn a_long_outage_is_told_at_once() {
    let refusing = Refusing::new();
    let door = Door::start(&config(refusing.address(), "hold = \"300ms\""));
    let mut client = door.connect();
    let began = Instant::now();
    client.send(GET);
    assert!(client.read_response().starts_with("HTTP/1.1 502"));
    assert!(began.elapsed() >= Duration::from_millis(200), "it was not held");
    // From now on nobody waits: the outage is known to be a long one. Each would for a quarter of a second.
    let began = Instant::now();
    for _ in 0..40 {
        client.send(GET);
        assert!(client.read_response().starts_with("HTTP/1.1 502"));
    }
    assert!(began.elapsed() < Duration::from_secs(8), "each was held");
    assert!(!metrics(&door).contains(&format!("{HELD} 1")));
}

#[test]
fn who_is_held_may_leave() {
    let refusing = Refusing::new();
    let door = Door::start(&config(refusing.address(), "hold = \"30s\""));
    let mut client = door.connect();
    client.send(GET);
    metrics_with(&door, HELD, 1.0);
    drop(client);
    metrics_with(&door, HELD, 0.0);
}

#[test]
fn a_request_has_no_more_time_than_it_may_take() {
    let refusing = Refusing::new();
    let text = config(refusing.address(), "hold = \"30s\"");
    let door = Door::start(&text.replace("retry =", "total = \"500ms\"\nretry ="));
    let mut client = door.connect();
    client.send(GET);
    let response = client.read_response();
    assert!(response.starts_with("HTTP/1.1 50"), "{response}");
}
