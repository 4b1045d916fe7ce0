//! What clients are told when a request goes wrong, and what they are not told.

use crate::door::Door;
use crate::wire::{Refusing, Service, field};

/// A door with every kind of trouble behind it. Names and addresses in here are nobody's business.
fn troubled(refusing: &Refusing, silent: &Service) -> Door {
    Door::start(&format!(
        "[[route]]\npath = \"/refusing\"\nservice = \"secret-a\"\n\
         [service.secret-a]\nendpoints = [\"{}\"]\n\
         [[route]]\npath = \"/silent\"\nservice = \"secret-b\"\n\
         [service.secret-b]\nendpoints = [\"{}\"]\n\
         [[route]]\npath = \"/unnamed\"\nservice = \"secret-c\"\n\
         [service.secret-c]\nendpoints = [\"secret-host.invalid:1\"]\n\
         [[route]]\npath = \"/get\"\nmethod = [\"GET\", \"PUT\"]\nrespond = {{ body = \"own\" }}\n\
         [[route]]\npath = \"/files/*\"\nfiles = {{ root = \"secret-files\" }}\n",
        refusing.address(),
        silent.address(),
    ))
}

fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\nX-Request-Id: the-id\r\n{fields}\r\n")
}

#[test]
fn every_fault_is_a_problem_document() {
    let refusing = Refusing::new();
    let silent = Service::new(|_| "\0\r\nConnection: close\r\n".to_owned());
    let door = troubled(&refusing, &silent);
    for (method, path, status, slug, title, error) in [
        ("GET", "/none", 404, "no-route", "There is nothing here", "destination_not_found"),
        ("GET", "/files/none", 404, "file-not-found", "There is nothing here", ""),
        (
            "POST",
            "/get",
            405,
            "method-not-allowed",
            "The method is not allowed here",
            "http_request_denied",
        ),
        (
            "TRACE",
            "/get",
            405,
            "method-not-allowed",
            "The method is not allowed here",
            "http_request_denied",
        ),
        (
            "GET",
            "/refusing",
            502,
            "connect-refused",
            "The service could not be reached",
            "connection_refused",
        ),
        (
            "GET",
            "/silent",
            502,
            "upstream-malformed",
            "The service gave an invalid answer",
            "http_protocol_error",
        ),
        (
            "GET",
            "/unnamed",
            503,
            "no-endpoint",
            "The service is not available at the moment",
            "destination_unavailable",
        ),
    ] {
        let response = door.ask(request(method, path, ""));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert_eq!(field(&response, "content-type"), Some("application/problem+json"));
        assert_eq!(field(&response, "cache-control"), Some("no-store"));
        let expected = (!error.is_empty()).then(|| format!("doorward; error={error}"));
        assert_eq!(field(&response, "proxy-status"), expected.as_deref());
        assert_eq!(field(&response, "retry-after"), (status == 503).then_some("1"));
        let (_, body) = response.split_once("\r\n\r\n").expect("a head");
        assert_eq!(
            body,
            format!(
                "{{\"type\":\"urn:doorward:fault:{slug}\",\"title\":\"{title}\",\
                 \"status\":{status},\"request-id\":\"the-id\"}}\n"
            )
        );
    }
}

#[test]
fn nothing_inside_is_told() {
    let refusing = Refusing::new();
    let silent = Service::new(|_| "HTTP/9.9 poison\r\nConnection: close\r\n\r\n".to_owned());
    let door = troubled(&refusing, &silent);
    for path in ["/none", "/files/none", "/get", "/refusing", "/silent", "/unnamed", "/%zz"] {
        for accept in ["", "Accept: text/html\r\n", "Accept: text/plain\r\n"] {
            let response = door.ask(request("POST", path, accept)).to_ascii_lowercase();
            for inner in ["secret", "127.0.0.1", "poison", "/tmp", "invalid:1", "rust"] {
                assert!(!response.contains(inner), "{path} tells of {inner}: {response}");
            }
        }
    }
}

#[test]
fn a_method_that_is_not_allowed_is_told_which_are() {
    let door = troubled(&Refusing::new(), &Service::saying(""));
    let response = door.ask(request("POST", "/get", ""));
    assert_eq!(field(&response, "allow"), Some("GET, HEAD, PUT"));
    let response = door.ask(request("TRACE", "/get", ""));
    assert!(field(&response, "allow").is_some_and(|allow| !allow.contains("TRACE")));
    let response = door.ask(request("PUT", "/files/a", ""));
    assert_eq!(field(&response, "allow"), Some("GET, HEAD"));
}

#[test]
fn the_form_is_what_the_client_likes_best() {
    let door = Door::start("");
    for (accept, media) in [
        ("", "application/problem+json"),
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("text/html", "text/html; charset=utf-8"),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
        ("text/html;q=0.1, application/json", "application/problem+json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("image/png", "application/problem+json"),
    ] {
        let fields =
            if accept.is_empty() { String::new() } else { format!("Accept: {accept}\r\n") };
        let response = door.ask(request("GET", "/none", &fields));
        assert_eq!(field(&response, "content-type"), Some(media), "{accept}");
        assert!(response.contains("the-id"), "{accept}: {response}");
    }
    // What the client sent is never markup.
    let markup =
        "GET /none HTTP/1.1\r\nHost: h\r\nX-Request-Id: <script>\"&\r\nAccept: text/html\r\n\r\n";
    let response = door.ask(markup);
    assert!(!response.contains("<script>"), "{response}");
    let response = door.ask(markup.replace("text/html", "*/*"));
    assert!(response.contains(r#""request-id":"<script>\"&""#), "{response}");
}

#[test]
fn a_head_gets_a_head() {
    let door = Door::start("");
    let mut client = door.connect();
    client.send("HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.read_head();
    let length = field(&head, "content-length").expect("a length");
    assert!(head.starts_with("HTTP/1.1 404 ") && length != "0", "{head}");
    // No body stands before the next answer.
    client.send("GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.read_response().starts_with("HTTP/1.1 404 "));
}
