//! When a request is sent again, and what becomes of the attempt before.

use crate::door::Door;
use crate::ops::{get, until};
use crate::wire::{Service, Upstream, ok};

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

fn door(endpoints: &[String], more: &str) -> Door {
    Door::start(&format!(
        "[runtime]\nworkers = 1\n[service.it]\nendpoints = {endpoints:?}\n{more}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n"
    ))
}

/// A service that fails until it was asked so often.
fn recovering(times: usize) -> Service {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Service::new(move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        asked if asked < times => BUSY.to_owned(),
        _ => ok("done"),
    })
}

#[test]
fn a_key_makes_any_method_repeatable() {
    let service = recovering(1);
    let door =
        door(&[service.address().to_string()], "retry = { idempotency-key = \"Idempotency-Key\" }");
    let post = |fields: &str| {
        door.ask(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n{fields}\r\nbody"))
    };
    assert!(post("Idempotency-Key: \"7\"\r\n").ends_with("done"));
    let received = service.take_received();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|one| one.ends_with("body") && one.contains("\"7\"")));
    let other = recovering(1);
    let path = "retry = { idempotency-key = \"Idempotency-Key\" }";
    let door = self::door(&[other.address().to_string()], path);
    let post = |fields: &str| {
        door.ask(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n{fields}\r\nbody"))
    };
    assert!(post("Idempotency-Key:\r\n").ends_with("busy"), "an empty one is none");
}

#[test]
fn an_attempt_may_take_so_long() {
    let (silent, other) = (Upstream::new(), Service::saying("other"));
    let endpoints = [silent.address().to_string(), other.address().to_string()];
    let door = door(
        &endpoints,
        "retry = { per-try = \"100ms\" }\nbalance = { by = \"round-robin\" }\neject = { at-most = \"0%\" }",
    );
    // One of two in turn begins at the silent one.
    assert_eq!(get(door.http[0], "/").1, "other");
    assert_eq!(get(door.http[0], "/").1, "other");
    silent.accept().read_request();
    // A slow body is not an attempt's.
    let slow = Upstream::new();
    let door = self::door(&[slow.address().to_string()], "retry = { per-try = \"100ms\" }");
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut answer = slow.accept();
    answer.read_request();
    answer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1");
    client.read_until("1");
    std::thread::sleep(std::time::Duration::from_millis(300));
    answer.send("2");
    client.read_until("2");
}

#[test]
fn who_asks_to_be_left_alone_is() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n";
    let (a, b) = (Service::new(move |_| busy.to_owned()), Service::saying("b"));
    let endpoints = [a.address().to_string(), b.address().to_string()];
    let door = door(&endpoints, "balance = { by = \"round-robin\" }");
    until("it was asked", || {
        assert_eq!(get(door.http[0], "/").1, "b");
        (!a.take_received().is_empty()).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(get(door.http[0], "/").1, "b");
    }
    assert_eq!(a.take_received().len(), 0);
    assert_eq!(super::endpoint(&door, a.address())["standing"], "refusing");
}

#[test]
fn an_answer_that_is_not_given_leaves_its_connection() {
    let only = Upstream::new();
    let door = door(&[only.address().to_string()], "");
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = only.accept();
    service.read_request();
    service.send(BUSY);
    let mut again = only.accept();
    again.read_request();
    again.send(ok("done"));
    assert!(client.read_response().ends_with("done"));
    // Neither was closed: of two requests at once, each has one.
    let mut other = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    other.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    service.read_request();
    again.read_request();
}
