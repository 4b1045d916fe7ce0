//! What one client, and one service, may take: time and connections.

use std::time::{Duration, Instant};

use super::{Pass, crlf};
use crate::door::{Door, End, LIMIT, Wire};
use crate::wire::{Jammed, Upstream, field, ok, text};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OWN: &str = "GET /own HTTP/1.1\r\nHost: h\r\n\r\n";
const OWN_ROUTE: &str = "[[route]]\npath = \"/own\"\nrespond = { body = \"own\" }\n";

/// The pause of a client that trickles.
const PAUSE: Duration = Duration::from_millis(40);

#[test]
fn a_head_must_come_in_time() {
    let pass = Pass::new("[limits]\nheader-time = \"200ms\"\n");
    // Who says nothing is told nothing.
    let mut client = pass.door.connect();
    assert_eq!(client.expect_end(), End::Closed);
    for start in ["\r\n", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n"] {
        let mut client = pass.door.connect();
        client.send(start);
        let (response, end) = client.read_to_end();
        assert!(text(&response).starts_with("HTTP/1.1 408 "), "{start:?}");
        assert!(text(&response).contains("\r\nConnection: close\r\n"), "{start:?}");
        assert_eq!(end, End::Closed);
    }
    // A byte now and then does not help.
    let mut client = pass.door.connect();
    let began = Instant::now();
    while client.try_send("G").is_ok() && began.elapsed() < LIMIT {
        std::thread::sleep(PAUSE);
    }
    assert!(began.elapsed() < LIMIT, "it goes on for ever");
    pass.is_next("/probe");
}

#[test]
fn the_time_for_a_head_begins_with_its_first_byte() {
    let pass = Pass::new(&format!("{OWN_ROUTE}[limits]\nheader-time = \"200ms\"\n"));
    let mut client = pass.door.connect();
    for _ in 0..3 {
        client.send(OWN);
        client.read_response();
        std::thread::sleep(Duration::from_millis(300));
    }
    client.send(&OWN[..10]);
    assert!(client.read_head().starts_with("HTTP/1.1 408 "));
}

#[test]
fn a_body_must_go_on() {
    let pass = Pass::new("[limits]\nbody-idle = \"200ms\"\n");
    for body in [
        "Content-Length: 10\n\n",
        "Content-Length: 10\n\nhello",
        "Transfer-Encoding: chunked\n\n5\nhe",
    ] {
        let mut client = pass.door.connect();
        client.send(crlf(&format!("POST / HTTP/1.1\nHost: h\n{body}")));
        let mut service = pass.upstream.accept();
        let (response, end) = client.read_to_end();
        assert!(text(&response).starts_with("HTTP/1.1 408 "), "{body:?} {}", text(&response));
        assert_eq!(end, End::Closed);
        let (request, _) = service.read_to_end();
        assert!(!text(&request).ends_with("0\r\n\r\n"));
    }
}

#[test]
fn a_client_that_waits_to_be_asked_is_not_late() {
    let pass = Pass::new("first-byte = \"600ms\"\n[limits]\nbody-idle = \"200ms\"\n");
    let expecting =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    // The service takes longer than a client may.
    let mut client = pass.door.connect();
    client.send(expecting);
    let mut service = pass.upstream.accept();
    service.read_head();
    std::thread::sleep(Duration::from_millis(400));
    service.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 100 "));
    // Now it is the client's turn.
    assert!(client.read_head().starts_with("HTTP/1.1 408 "));
    service.read_to_end();
    // A service that says nothing at all is to blame.
    let mut client = pass.door.connect();
    client.send(expecting);
    let mut service = pass.upstream.accept();
    service.read_head();
    assert!(client.read_head().starts_with("HTTP/1.1 504 "));
    service.read_to_end();
}

#[test]
fn a_body_must_have_a_rate() {
    let pass = Pass::new("[limits]\nbody-rate = \"1MiB\"\n");
    let mut client = pass.door.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_head();
    // Never idle, and never done. The first ten seconds are free.
    let began = Instant::now();
    while client.try_send("x").is_ok() && began.elapsed() < LIMIT {
        std::thread::sleep(PAUSE);
    }
    assert!(began.elapsed() < LIMIT, "it goes on for ever");
    let (request, _) = service.read_to_end();
    assert!(request.len() < 1000, "{} bytes", request.len());
}

#[test]
fn a_service_that_does_not_read_is_not_the_clients_fault() {
    let service = "send = \"300ms\"\n[limits]\nbody-idle = \"100ms\"\n";
    let pass = Pass::new(service);
    let mut client = pass.door.connect();
    let bytes = 64 * 1024 * 1024;
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n"));
    let service = pass.upstream.accept();
    // Whatever the buffers on the way hold is sent; then both wait for the service.
    let mut sender = client.other_hand();
    let sending = std::thread::spawn(move || {
        let block = vec![b'x'; 64 * 1024];
        while sender.try_send(&block).is_ok() {}
    });
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert_eq!(field(&head, "proxy-status"), Some("doorward; error=connection_write_timeout"));
    sending.join().expect("it ends");
    drop(service);
}

#[test]
fn a_client_must_take_its_answer() {
    let pass = Pass::new("[limits]\nbody-idle = \"200ms\"\n");
    let mut client = pass.door.connect();
    client.narrow();
    client.send(GET);
    let mut service = pass.upstream.accept();
    service.read_request();
    let bytes = 64 * 1024 * 1024;
    service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n"));
    // Nobody reads it: the door gives up, and the service is told.
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < bytes && service.try_send(&block).is_ok() {
        sent += block.len();
    }
    assert!(sent < bytes);
    let (received, end) = client.read_to_end();
    assert!(received.len() < bytes);
    assert_eq!(end, End::Reset);
}

#[test]
fn a_service_must_answer_in_time() {
    let pass =
        Pass::new("first-byte = \"200ms\"\nbetween-bytes = \"200ms\"\nretry = { attempts = 1 }\n");
    let mut client = pass.door.connect();
    for part in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        client.send(GET);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(part);
        let response = client.read_response();
        assert!(response.starts_with("HTTP/1.1 504 "), "{response}");
        assert_eq!(
            field(&response, "proxy-status"),
            Some("doorward; error=connection_read_timeout")
        );
        // What it says later is nobody's answer.
        let _ = service.try_send(ok("poison"));
        service.read_to_end();
    }
    client.send(GET);
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let (response, end) = client.read_to_end();
    assert!(text(&response).ends_with("\r\n\r\nhello"));
    assert_eq!(end, End::Reset);
}

#[test]
fn a_connection_attempt_may_take_so_long() {
    let jammed = Jammed::new();
    let there = Upstream::new();
    let door = Door::start(&format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nendpoints = [\"{}\"]\n\
         connect = \"200ms\"\n\
         [[route]]\npath = \"/two\"\nservice = \"two\"\n[service.two]\nendpoints = [\"{}\", \"{}\"]\n\
         connect = \"200ms\"\n",
        jammed.address(),
        jammed.address(),
        there.address()
    ));
    let response = door.ask(GET);
    assert!(response.starts_with("HTTP/1.1 504 "), "{response}");
    assert_eq!(field(&response, "proxy-status"), Some("doorward; error=connection_timeout"));
    for _ in 0..2 {
        let mut client = door.connect();
        client.send(GET.replace("/ ", "/two "));
        let mut service = there.accept();
        service.read_request();
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        client.read_response();
    }
}

/// Connects until there is room again.
fn wait_for_room(connect: impl Fn() -> Wire) {
    let until = Instant::now() + LIMIT;
    loop {
        let mut client = connect();
        let _ = client.try_send(OWN);
        if client.read_head().starts_with("HTTP/1.1 200 ") {
            return;
        }
        assert!(Instant::now() < until, "no room");
    }
}

#[test]
fn connections_are_counted() {
    let door = Door::start(&format!("{OWN_ROUTE}[limits]\nconnections = 16\n"));
    let mut open: Vec<Wire> = (0..16).map(|_| door.connect()).collect();
    for client in &mut open {
        client.send(OWN);
        client.read_response();
    }
    for _ in 0..3 {
        let mut refused = door.connect();
        let _ = refused.try_send(OWN);
        let (response, end) = refused.read_to_end();
        let response = text(&response);
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert_eq!(field(&response, "content-type"), Some("application/problem+json"));
        assert_eq!(field(&response, "retry-after"), Some("5"));
        assert_eq!(field(&response, "connection"), Some("close"));
        assert_eq!(end, End::Closed);
    }
    for client in &mut open {
        client.send(OWN);
        assert!(client.read_response().starts_with("HTTP/1.1 200 "));
    }
    open.pop();
    wait_for_room(|| door.connect());
    // Operators are let in, however many clients there are.
    assert!(door.admin("GET", "/livez").contains("true"));
}

#[test]
fn connections_of_one_client_are_counted() {
    let door = Door::start(&format!("{OWN_ROUTE}[limits]\nconnections-per-client = 2\n"));
    let address = door.http[0];
    let mut open = [door.connect(), door.connect()];
    for client in &mut open {
        client.send(OWN);
        client.read_response();
    }
    let mut refused = door.connect();
    assert!(text(&refused.read_to_end().0).starts_with("HTTP/1.1 503 "));
    let mut other = Wire::connect_from("127.0.0.2", address);
    other.send(OWN);
    assert!(other.read_response().starts_with("HTTP/1.1 200 "));
    drop(open);
    wait_for_room(|| door.connect());
}
