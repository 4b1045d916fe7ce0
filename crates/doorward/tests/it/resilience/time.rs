//! How long a request may take in all: by the service's limit, and by what the client says.

use std::time::{Duration, Instant};

use crate::door::{Door, LIMIT, Upstream};
use crate::wire::{field, ok};

fn pass(more: &str) -> (Door, Upstream) {
    let upstream = Upstream::new();
    let door = Door::start(&format!("{}{more}", crate::http::to(&upstream)));
    (door, upstream)
}

fn get(more: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{more}\r\n")
}

#[test]
fn a_request_may_take_so_long_in_all() {
    let (door, upstream) = pass("total = \"300ms\"\n");
    let began = Instant::now();
    let mut client = door.connect();
    client.send(get(""));
    let mut service = upstream.accept();
    service.read_request();
    let response = client.read_response();
    assert!(response.starts_with("HTTP/1.1 504 "), "{response}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(began.elapsed() < LIMIT, "it would have been a minute");
    // Also when it keeps on answering.
    let mut client = door.connect();
    client.send(get(""));
    let mut service = upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while service.try_send("drip").is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(began.elapsed() < LIMIT);
    // One that is in time is not touched.
    let mut client = door.connect();
    client.send(get(""));
    let mut service = upstream.accept();
    service.read_request();
    service.send(ok("in time"));
    assert!(client.read_response().ends_with("in time"));
}

#[test]
fn clients_say_how_long_they_wait_and_services_hear_it() {
    let (door, upstream) = pass("deadline = \"Request-Timeout\"\ntotal = \"30s\"\n");
    for (said, unit, most) in [
        ("Request-Timeout: 20\r\n", "", 20.0),
        ("Request-Timeout: 20s\r\n", "s", 20.0),
        ("Request-Timeout: 20000ms\r\n", "ms", 20_000.0),
        // Clipped to what the service may take, and told even to who did not ask.
        ("Request-Timeout: 3000\r\n", "", 30.0),
        ("", "", 30.0),
    ] {
        let mut client = door.connect();
        client.send(get(said));
        let mut service = upstream.accept();
        let request = service.read_request();
        let told = field(&request, "request-timeout").expect("it is told");
        let left: f64 = told.strip_suffix(unit).and_then(|text| text.parse().ok()).expect("a time");
        assert!(left <= most && left > most / 2.0, "{said:?}: {told}");
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert!(client.read_response().starts_with("HTTP/1.1 204 "));
    }
    let mut client = door.connect();
    client.send(get("Request-Timeout: 0.2\r\n"));
    upstream.accept().read_request();
    assert!(client.read_response().starts_with("HTTP/1.1 504 "));
    assert!(door.ask(get("Request-Timeout: soon\r\n")).starts_with("HTTP/1.1 400 "));
}
