//! Copies of requests: who gets them, what is in them, and that nobody else notices.

use crate::door::{Door, Upstream};
use crate::http::crlf;
use crate::ops::{metrics, metrics_with, value};
use crate::wire::{Refusing, Service, field, ok};

fn config(to: impl std::fmt::Display, mirror: impl std::fmt::Display) -> String {
    format!(
        "[[route]]\nname = \"all\"\npath = \"/*\"\nservice = \"now\"\nmirror = {{ to = \"next\" }}\n\
         [service.now]\nendpoints = [\"{to}\"]\n[service.next]\nendpoints = [\"{mirror}\"]\n"
    )
}

fn result(name: &str) -> String {
    format!("doorward_route_mirrored_requests_total{{route=\"all\",result=\"{name}\"}}")
}

#[test]
fn a_copy_says_that_it_is_one_and_its_answer_is_nobodys() {
    let (now, next) = (Service::saying("now"), Service::saying("next"));
    let door = Door::start(&config(now.address(), next.address()));
    let response = door.ask("GET /a?b HTTP/1.1\r\nHost: h\r\nX-Request-Id: the-id\r\n\r\n");
    assert!(response.ends_with("now"), "{response}");
    let original = &now.wait_received(1)[0];
    let copy = &next.wait_received(1)[0];
    assert!(copy.starts_with("GET /a?b HTTP/1.1\r\n"), "{copy}");
    assert_eq!(field(copy, "doorward-mirrored"), Some("?1"));
    assert_eq!(field(original, "doorward-mirrored"), None);
    for name in ["host", "x-request-id", "x-forwarded-for", "via"] {
        assert_eq!(field(copy, name), field(original, name), "{name}: {copy}");
    }
    let metrics = metrics_with(&door, &result("answered"), 1.0);
    assert_eq!(value(&metrics, "doorward_client_mirrored_requests"), 0.0);
    assert_eq!(value(&metrics, "doorward_client_requests_total"), 1.0);
}

#[test]
fn bodies_are_copied_up_to_a_bound() {
    let (now, next) = (Service::saying("now"), Service::saying("next"));
    let door = Door::start(&config(now.address(), next.address()));
    let post = |body: &str, framing: &str| {
        let response = door.ask(format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n{body}"));
        assert!(response.ends_with("now"), "{response}");
    };
    post("hello", "Content-Length: 5\r\n");
    let copy = &next.wait_received(1)[0];
    assert!(
        copy.ends_with("\r\n\r\nhello") && field(copy, "content-length") == Some("5"),
        "{copy}"
    );
    post("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n");
    let copy = &next.wait_received(1)[0];
    assert!(
        copy.contains("hello") && field(copy, "transfer-encoding") == Some("chunked"),
        "{copy}"
    );
    let large = "x".repeat(64 * 1024);
    post(&large, &format!("Content-Length: {}\r\n", large.len()));
    assert!(next.wait_received(1)[0].ends_with(&large));
    metrics_with(&door, &result("answered"), 3.0);
    post(&format!("{large}y"), &format!("Content-Length: {}\r\n", large.len() + 1));
    metrics_with(&door, &result("dropped-body"), 1.0);
    assert!(next.take_received().is_empty());
}

#[test]
fn who_fails_with_copies_hurts_nobody() {
    let (now, next) = (Service::saying("now"), Refusing::new());
    let door = Door::start(&config(now.address(), next.address()));
    let mut client = door.connect();
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.read_response().ends_with("now"));
    }
    let metrics = metrics_with(&door, &result("failed"), 20.0);
    assert_eq!(value(&metrics, "doorward_upstream_failures_total{service=\"now\"}"), 0.0);
    assert_eq!(value(&metrics, "doorward_upstream_retries_total{service=\"now\"}"), 0.0);
    let mut families = metrics.lines().filter(|line| line.starts_with("doorward_faults_total{"));
    assert_eq!(families.next(), None, "what becomes of a copy is no fault of a client's");
}

#[test]
fn copies_beyond_the_limit_are_left_out() {
    // Connections wait there for ever.
    let (now, next) = (Service::saying("now"), Upstream::new());
    let door = Door::start(&config(now.address(), next.address()));
    let mut client = door.connect();
    for _ in 0..300 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.read_response().ends_with("now"));
    }
    let metrics = metrics(&door);
    assert_eq!(value(&metrics, "doorward_client_mirrored_requests"), 256.0);
    assert_eq!(value(&metrics, &result("dropped-busy")), 44.0);
}

#[test]
fn clients_cannot_pass_for_copies_and_upgrades_are_not_copied() {
    let (now, next) = (Upstream::new(), Service::saying("next"));
    let door = Door::start(&config(now.address(), next.address()));
    let mut client = door.connect();
    client.send(crlf(
        "GET / HTTP/1.1\nHost: h\nDoorward-Mirrored: ?1\nDoorward_Mirrored: ?1\n\
         Connection: upgrade\nUpgrade: echo\n\n",
    ));
    let mut service = now.accept();
    let request = service.read_request();
    assert!(!request.to_ascii_lowercase().contains("mirrored"), "{request}");
    service.send(ok("no"));
    client.read_response();
    assert!(next.take_received().is_empty());
    let metrics = metrics(&door);
    assert!(!metrics.contains("doorward_route_mirrored_requests_total{"), "{metrics}");
}
