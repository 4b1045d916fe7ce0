//! Connections of clients: kept, ended, and used for requests on end (RFC 9112, 9.3).

use std::time::Duration;

use super::{Pass, plain, to};
use crate::door::{Door, End, Upstream};
use crate::wire::{Refusing, Service, ok, text};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn post_chunked(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
         {length:x}\r\n{body}\r\n0\r\n\r\n"
    )
}

/// A door to a service that answers with the path and the body it got.
fn echo() -> (Door, Service) {
    let service = Service::new(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (_, body) = request.split_once("\r\n\r\n").unwrap_or_default();
        // What came in several pieces may go on in as many chunks.
        let body = match body.ends_with("0\r\n\r\n") {
            true => body.split("\r\n").skip(1).step_by(2).collect(),
            false => body.to_owned(),
        };
        ok(&format!("{path} {body}"))
    });
    let config = format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nendpoints = [\"{}\"]\n\
         [[route]]\npath = \"/own\"\nrespond = {{ body = \"own\" }}\n",
        service.address()
    );
    (Door::start(&config), service)
}

/// The bodies of the next `count` responses.
fn bodies(client: &mut crate::door::Wire, count: usize) -> Vec<String> {
    let body = |response: String| response.split_once("\r\n\r\n").expect("a head").1.to_owned();
    (0..count).map(|_| body(client.read_response())).collect()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (door, service) = echo();
    let requests = [
        get("/1"),
        post("/2", "two"),
        get("/own"),
        post_chunked("/3", "three"),
        post("/own", "ignored"),
        get("/missing?").replace("Host: h", "Host: h\r\nX: y"),
        post("/4", ""),
        get("/5"),
    ];
    let expected = ["/1 ", "/2 two", "own", "/3 three", "own", "/missing? ", "/4 ", "/5 "];
    let mut client = door.connect();
    client.send(requests.concat());
    assert_eq!(bodies(&mut client, 8), expected);
    assert_eq!(service.take_received().len(), 6);
    // The same in any pieces.
    let all = requests.concat();
    for size in [1, 2, 3, 7, 50, 100] {
        for piece in all.as_bytes().chunks(size) {
            client.send(piece);
        }
        assert_eq!(bodies(&mut client, 8), expected, "pieces of {size}");
    }
}

#[test]
fn many_pipelined_requests_are_answered_in_order() {
    let (door, _service) = echo();
    let mut client = door.connect();
    // More than any buffer holds.
    let requests: String = (0..3000).map(|n| post(&format!("/{n}"), "body")).collect();
    let mut other = client.other_hand();
    let sending = std::thread::spawn(move || other.send(requests));
    for (n, body) in bodies(&mut client, 3000).iter().enumerate() {
        assert_eq!(*body, format!("/{n} body"));
    }
    sending.join().expect("all was sent");
}

#[test]
fn a_slow_answer_holds_back_the_next_one() {
    let pass = Pass::new("[[route]]\npath = \"/own\"\nrespond = { body = \"own\" }\n");
    let mut client = pass.door.connect();
    client.send(get("/slow") + &get("/own") + &get("/fast"));
    let mut service = pass.upstream.accept();
    assert!(service.read_request().starts_with("GET /slow "));
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nslow");
    assert!(client.read_until("slow").starts_with("HTTP/1.1 200 OK"));
    // Only now does the first answer end; the next request follows on the same connection.
    service.send("slow");
    assert!(service.read_request().starts_with("GET /fast "));
    service.send(ok("fast"));
    let answers = text(&client.read_exact(4)) + &client.read_response() + &client.read_response();
    let places = ["slow", "\r\n\r\nown", "\r\n\r\nfast"].map(|body| answers.find(body));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{answers}");
}

#[test]
fn nothing_is_served_behind_close() {
    let (door, service) = echo();
    for (request, own) in [
        (get("/a").replace("Host: h", "Host: h\r\nConnection: close"), false),
        (get("/own").replace("Host: h", "Host: h\r\nConnection: close"), true),
        (get("/a").replace("Host: h", "Host: h\r\nConnection: x, Close"), false),
        (get("/a").replace("HTTP/1.1", "HTTP/1.0"), false),
        (get("/own").replace("HTTP/1.1", "HTTP/1.0"), true),
    ] {
        let mut client = door.connect();
        client.send(request + &get("/b"));
        let (responses, end) = client.read_to_end();
        let responses = text(&responses);
        assert_eq!(responses.matches("HTTP/1.1 ").count(), 1, "{responses}");
        assert!(responses.contains("\r\nConnection: close\r\n"), "{responses}");
        assert_eq!(end, End::Closed);
        assert_eq!(service.take_received().len(), usize::from(!own));
    }
}

#[test]
fn faults_keep_the_connection_if_the_request_was_sound() {
    let gone = Refusing::new();
    let door = Door::start(&format!(
        "[[route]]\npath = \"/gone\"\nservice = \"it\"\n[service.it]\nendpoints = [\"{}\"]\n\
         [[route]]\npath = \"/get\"\nmethod = \"GET\"\nrespond = {{ body = \"own\" }}\n",
        gone.address()
    ));
    let mut client = door.connect();
    for (request, status) in [
        (get("/gone"), "502"),
        (get("/missing"), "404"),
        (post("/get", ""), "405"),
        (get("/get"), "200"),
    ] {
        client.send(request);
        let response = client.read_response();
        assert_eq!(response.get(9..12), Some(status), "{response}");
        assert!(!response.contains("Connection: close"), "{response}");
    }
    // A body that nobody has read stands between this request and the next.
    client.send(post("/missing", "GET /get HTTP/1.1\r\nHost: h\r\n\r\n"));
    let (response, _) = client.read_to_end();
    let response = text(&response);
    assert!(
        response.starts_with("HTTP/1.1 404 ") && response.contains("Connection: close"),
        "{response}"
    );
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
}

#[test]
fn a_client_may_end_its_side_behind_its_last_request_and_still_be_answered() {
    let (door, _service) = echo();
    let last = |request: String| request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for request in
        [last(get("/a")), last(post("/a", "b")), get("/a").replace("1.1", "1.0"), get("/own")]
    {
        let mut client = door.connect();
        client.send(&request);
        client.end();
        let (response, end) = client.read_to_end();
        assert!(text(&response).starts_with("HTTP/1.1 200 "), "{request}");
        assert_eq!(end, End::Closed);
    }
    let mut client = door.connect();
    client.send(get("/a") + &get("/b") + "GET /half HTTP/1.1\r\nHost");
    client.end();
    let (responses, _) = client.read_to_end();
    assert_eq!(text(&responses).matches("HTTP/1.1 200 ").count(), 2);
}

#[test]
fn a_connection_serves_as_many_requests_as_configured() {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "{}[[route]]\npath = \"/own\"\nrespond = {{ body = \"own\" }}\n\
         [limits]\nrequests-per-connection = 3\n",
        to(&upstream)
    ));
    let mut client = door.connect();
    client.send(get("/own").repeat(5));
    let (responses, end) = client.read_to_end();
    let responses = text(&responses);
    assert_eq!(responses.matches("HTTP/1.1 200 ").count(), 3);
    assert_eq!(responses.matches("Connection: close").count(), 1);
    assert_eq!(
        plain(&responses[responses.rfind("HTTP/1.1 ").expect("a response")..]),
        "HTTP/1.1 200 OK\ncontent-type: text/plain; charset=utf-8\nContent-Length: 3\nConnection: close\n\nown"
    );
    assert_eq!(end, End::Closed);
}

#[test]
fn idle_connections_are_closed_after_their_time() {
    let pass = Pass::new("[limits]\nkeep-alive-idle = \"300ms\"\n");
    let mut client = pass.door.connect();
    client.send(get("/a"));
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send(ok("a"));
    client.read_response();
    assert_eq!(client.expect_end(), End::Closed);
    // The time is for waiting, not for answers.
    let mut client = pass.door.connect();
    client.send(get("/b"));
    service.read_request();
    std::thread::sleep(Duration::from_millis(600));
    service.send(ok("b"));
    client.read_response();
}

#[test]
fn no_keep_alive_is_no_keep_alive() {
    let pass = Pass::new(
        "[[route]]\npath = \"/own\"\nrespond = { body = \"own\" }\n[limits]\nkeep-alive-idle = \"0s\"\n",
    );
    let mut client = pass.door.connect();
    client.send(get("/own"));
    let (response, end) = client.read_to_end();
    assert!(text(&response).starts_with("HTTP/1.1 200 "));
    assert_eq!(end, End::Closed);
}
