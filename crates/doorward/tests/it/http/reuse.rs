//! Connections to services: used again, given up, and made anew.

use super::{Pass, to};
use crate::door::{Door, End, Folder, Upstream, Wire};
use crate::wire::{Refusing, Service, UnixUpstream, field, ok, text};

/// Only what HTTP itself asks for is sent again.
const ONCE: &str = "retry = { attempts = 1 }\n";

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn with_body(method: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} /two HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A client, and a service whose connection has served one request.
fn used(pass: &Pass) -> (Wire, Wire) {
    let mut client = pass.door.connect();
    client.send(request("GET", "/one"));
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send(ok("one"));
    client.read_response();
    (client, service)
}

/// The service closes the used connection when it gets `request`, without an answer.
fn closes(pass: &Pass, request: &str) -> (Wire, String) {
    let (mut client, mut service) = used(pass);
    client.send(request);
    let received = service.read_request();
    drop(service);
    (client, received)
}

#[test]
fn an_idempotent_request_is_tried_again() {
    let pass = Pass::new(ONCE);
    let chunked = "PUT /two HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n0\r\n\r\n";
    let trailers = chunked.replace("0\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n");
    let only_trailers = trailers.replace("5\r\nhello\r\n", "");
    for repeated in [
        request("GET", "/two"),
        request("HEAD", "/two"),
        request("OPTIONS", "/two"),
        request("DELETE", "/two"),
        request("PUT", "/two"),
        with_body("PUT", "hello"),
        with_body("PUT", &"x".repeat(60_000)),
        with_body("DELETE", "hello"),
        chunked.to_owned(),
        trailers,
        only_trailers,
    ] {
        let (mut client, first) = closes(&pass, &repeated);
        let mut service = pass.upstream.accept();
        let again = service.read_request();
        assert_eq!(super::plain(&again), super::plain(&first));
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert!(client.read_head().starts_with("HTTP/1.1 204 "));
    }
}

#[test]
fn no_other_request_is() {
    let pass = Pass::new(ONCE);
    for refused in [
        request("POST", "/two"),
        with_body("POST", "hello"),
        with_body("PATCH", "hello"),
        request("BREW", "/two"),
        // Its start is no longer known.
        with_body("PUT", &"x".repeat(200_000)),
    ] {
        let (mut client, _) = closes(&pass, &refused);
        let response = client.read_response();
        assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
        assert_eq!(field(&response, "proxy-status"), Some("doorward; error=connection_terminated"));
        pass.is_next("/probe");
    }
    // Nor one that was answered in part.
    let (mut client, mut service) = used(&pass);
    client.send(request("GET", "/two"));
    service.read_request();
    service.send("HTTP/1.1 ");
    drop(service);
    assert!(client.read_response().starts_with("HTTP/1.1 502 "));
    pass.is_next("/probe");
}

#[test]
fn nothing_is_tried_a_third_time() {
    let pass = Pass::new(ONCE);
    let (mut client, _) = closes(&pass, &request("GET", "/two"));
    let mut service = pass.upstream.accept();
    service.read_request();
    drop(service);
    assert!(client.read_response().starts_with("HTTP/1.1 502 "));
    pass.is_next("/probe");
}

#[test]
fn a_connection_that_was_closed_before_is_not_used() {
    let pass = Pass::new("");
    for next in [request("GET", "/two"), with_body("POST", "hello"), request("BREW", "/two")] {
        for end in [End::Closed, End::Reset] {
            let (mut client, service) = used(&pass);
            match end {
                End::Closed => drop(service),
                End::Reset => service.reset(),
            }
            client.send(&next);
            let mut service = pass.upstream.accept();
            service.read_request();
            service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            assert!(client.read_response().starts_with("HTTP/1.1 204 "), "{next} {end:?}");
        }
    }
}

#[test]
fn a_service_that_speaks_unasked_is_not_heard() {
    let pass = Pass::new("");
    for stray in ["\r\n", "x", &ok("poison"), "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let (mut client, mut service) = used(&pass);
        service.send(stray);
        client.send(request("GET", "/two"));
        let mut fresh = pass.upstream.accept();
        fresh.read_request();
        fresh.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert!(client.read_response().starts_with("HTTP/1.1 204 "), "{stray}");
        assert_eq!(text(&service.read_to_end().0), "", "{stray}");
    }
}

#[test]
fn a_connection_with_a_request_unsent_is_not_used_again() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello");
    let mut service = pass.upstream.accept();
    service.read_until("hello");
    service.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 413 "));
    service.expect_end();
    client.send("GET /");
    client.end();
    assert_eq!(client.expect_end(), End::Closed);
    pass.is_next("/probe");
}

#[test]
fn connections_are_kept_for_their_time_and_up_to_their_number() {
    let pass = Pass::new("idle = \"100ms\"\n");
    let (_client, mut service) = used(&pass);
    assert_eq!(service.expect_end(), End::Closed);

    let pass = Pass::new("idle-connections = 1\n");
    let mut clients = [pass.door.connect(), pass.door.connect()];
    let mut services = clients.each_mut().map(|client| {
        client.send(request("GET", "/"));
        let mut service = pass.upstream.accept();
        service.read_request();
        service
    });
    for (client, service) in clients.iter_mut().zip(&mut services) {
        service.send(ok(""));
        client.read_response();
    }
    let [first, second] = &mut services;
    assert_eq!(second.expect_end(), End::Closed);
    clients[0].send(request("GET", "/again"));
    first.read_request();

    let pass = Pass::new("idle-connections = 0\n");
    let (_client, mut service) = used(&pass);
    assert_eq!(service.expect_end(), End::Closed);
}

#[test]
fn clients_share_connections() {
    let pass = Pass::new("");
    let (_client, mut service) = used(&pass);
    for _ in 0..3 {
        let mut client = pass.door.connect();
        client.send(request("GET", "/two"));
        service.read_request();
        service.send(ok("two"));
        assert!(client.read_response().ends_with("two"));
    }
}

#[test]
fn endpoints_share_the_requests_and_one_that_refuses_is_passed_over() {
    let services = [Service::saying("a"), Service::saying("b")];
    let refusing = Refusing::new();
    let door = Door::start(&format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n\
         [service.it]\nendpoints = [\"{}\", \"{}\", \"{}\"]\n\
         [[route]]\npath = \"/gone\"\nservice = \"gone\"\n\
         [service.gone]\nendpoints = [\"{}\"]\n",
        services[0].address(),
        refusing.address(),
        services[1].address(),
        refusing.address(),
    ));
    for method in ["GET", "POST"].repeat(10) {
        let response = door.ask(request(method, "/"));
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
    let counts = services.map(|service| service.take_received().len());
    assert_eq!(counts.iter().sum::<usize>(), 20);
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    for _ in 0..2 {
        let response = door.ask(request("POST", "/gone"));
        assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
        assert_eq!(field(&response, "proxy-status"), Some("doorward; error=connection_refused"));
    }
}

#[test]
fn a_service_may_be_on_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.path().join("it.sock");
    let upstream = UnixUpstream::new(&path);
    let door = Door::start(&format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nendpoints = [\"unix:{}\"]\n\
         [[route]]\npath = \"/gone\"\nservice = \"gone\"\n[service.gone]\nendpoints = [\"unix:{}\"]\n",
        path.display(),
        folder.path().join("gone.sock").display()
    ));
    let mut client = door.connect();
    client.send(with_body("POST", "hello"));
    let mut service = upstream.accept();
    assert!(service.read_request().ends_with("\r\n\r\nhello"));
    service.send(ok("hello, too"));
    assert!(client.read_response().ends_with("hello, too"));
    // No path ends up in `Host`.
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(field(&service.read_request(), "host"), Some("localhost"));
    service.send(ok(""));
    client.read_response();
    // Nor in an answer.
    let response = door.ask(request("GET", "/gone"));
    assert!(response.starts_with("HTTP/1.1 502 ") && !response.contains("sock"), "{response}");
}

#[test]
fn a_service_may_be_named() {
    let upstream = Upstream::new();
    let port = upstream.address().port();
    let named = to(&upstream).replace(&format!("127.0.0.1:{port}"), &format!("localhost:{port}"));
    let door = Door::start(&format!("{named}host = \"endpoint\"\n"));
    // Until the name is resolved there is no endpoint.
    let until = std::time::Instant::now() + crate::door::LIMIT;
    let mut client = loop {
        let mut client = door.connect();
        client.send(request("GET", "/"));
        match upstream.try_accept(std::time::Duration::from_millis(100)) {
            Some(mut service) => {
                let request = service.read_request();
                assert_eq!(field(&request, "host"), Some(&*format!("localhost:{port}")));
                service.send(ok("named"));
                break client;
            }
            None => {
                assert!(client.read_response().starts_with("HTTP/1.1 503 "));
                assert!(std::time::Instant::now() < until, "`localhost` has no address");
            }
        }
    };
    assert!(client.read_response().ends_with("named"));
}

#[test]
fn what_stands_in_host_is_configured() {
    let upstream = Upstream::new();
    let address = upstream.address();
    for (host, expected) in [
        ("preserve", "example.com:8080".to_owned()),
        ("endpoint", address.to_string()),
        ("inner.example", "inner.example".to_owned()),
    ] {
        let door = Door::start(&format!("{}host = \"{host}\"\n", to(&upstream)));
        let mut client = door.connect();
        client.send("GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n");
        let request = upstream.is_asked();
        assert_eq!(field(&request, "host"), Some(&*expected));
        assert_eq!(field(&request, "x-forwarded-host"), Some("example.com:8080"));
    }
}

#[test]
fn a_body_that_is_still_coming_goes_on_elsewhere() {
    let pass = Pass::new("");
    for (head, parts, whole) in [
        ("Content-Length: 10\r\n\r\n", ["hello", "world"], "helloworld"),
        ("Content-Length: 10\r\n\r\n", ["", "helloworld"], "helloworld"),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            ["5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n"],
            "helloworld",
        ),
    ] {
        let (mut client, mut service) = used(&pass);
        client.send(format!("PUT /two HTTP/1.1\r\nHost: h\r\n{head}{}", parts[0]));
        service.read_until(if parts[0].is_empty() { "\r\n\r\n" } else { "hello" });
        drop(service);
        let mut service = pass.upstream.accept();
        service.read_until(if parts[0].is_empty() { "\r\n\r\n" } else { "hello" });
        client.send(parts[1]);
        let rest = service.read_until(if parts[0].is_empty() { whole } else { "world" });
        assert!(!rest.contains("hello") || parts[0].is_empty(), "{rest}");
        if head.starts_with("Transfer") {
            service.read_until("0\r\n\r\n");
        }
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert!(client.read_response().starts_with("HTTP/1.1 204 "));
    }
}
