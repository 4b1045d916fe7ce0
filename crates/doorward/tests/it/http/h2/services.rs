//! HTTP/2 to services: many requests on one connection, whatever the clients speak.

use std::future::poll_fn;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};

use crate::door::{Door, End, Upstream};
use crate::frames::{FrameService, Frames, read, request, request_with, say};
use crate::http::streams::pattern;
use crate::http::{crlf, plain};
use crate::wire::text;

const MIB: usize = 1024 * 1024;

/// A door in front of a service.
fn pair() -> (Door, FrameService) {
    let service = FrameService::new();
    let door = Door::start(&format!("{}[limits]\nbody = \"1GiB\"\n", service.config()));
    (door, service)
}

/// The fields of a head, sorted, without those that every message gets.
fn fields(map: &HeaderMap) -> String {
    let every = ["via", "forwarded", "x-request-id", "traceparent", "date"];
    let mut lines: Vec<String> = map
        .iter()
        .filter(|(name, _)| !every.contains(&name.as_str()) && !name.as_str().starts_with("x-forw"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn lines_become_frames_and_back() {
    let (door, service) = pair();
    let mut client = door.connect();
    client.send(crlf(
        "POST /a?b HTTP/1.1\nHost: example.com\nAccept: x\nConnection: te, x-hop\nTE: trailers\n\
         X-Hop: 1\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX-Sum: 6\n\n",
    ));
    let mut served = service.accept();
    assert_eq!(served.head.method(), "POST");
    assert_eq!(served.head.uri(), "http://example.com/a?b");
    assert_eq!(fields(served.head.headers()), "accept: x\nte: trailers");
    assert_eq!(served.head.headers()["via"], "1.1 doorward");
    let (body, trailers) = service.read(&mut served).expect("it is whole");
    assert_eq!(body, b"abc");
    assert_eq!(trailers.expect("trailers")["x-sum"], "6");

    let hints = Response::builder().status(103).header("link", "</a>").body(()).expect("one");
    served.respond.send_informational(hints).expect("it is open");
    let head = Response::builder().header("a", "1").header("a", "2").body(()).expect("one");
    let mut send = served.respond.send_response(head, false).expect("it is open");
    service.wait(say(&mut send, b"defg", false)).expect("it takes the body");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "7".parse().expect("a value"));
    send.send_trailers(trailers).expect("it is open");
    assert_eq!(
        plain(&client.read_response()),
        "HTTP/1.1 103 Early Hints\nlink: </a>\n\nHTTP/1.1 200 OK\na: 1\na: 2\n\
         Transfer-Encoding: chunked\n\n4\ndefg\n0\nx-end: 7\n\n"
    );
}

#[test]
fn answers_without_a_body() {
    let (door, service) = pair();
    for (method, status, length, heard) in [
        ("GET", 204, None, "HTTP/1.1 204 No Content\n\n"),
        ("GET", 304, None, "HTTP/1.1 304 Not Modified\n\n"),
        ("GET", 200, None, "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        ("GET", 200, Some("0"), "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        ("HEAD", 200, Some("5"), "HTTP/1.1 200 OK\nContent-Length: 5\n\n"),
    ] {
        let mut client = door.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut served = service.accept();
        let mut head = Response::builder().status(status);
        if let Some(length) = length {
            head = head.header("content-length", length);
        }
        let head = head.body(()).expect("a response");
        served.respond.send_response(head, true).expect("it is open");
        assert_eq!(plain(&client.read_head()), heard, "{method} {status} {length:?}");
        // And the connection goes on.
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut served = service.accept();
        assert_eq!(served.head.uri().path(), "/next");
        service.answer(&mut served, 200, b"next");
        assert!(client.read_response().ends_with("next\r\n0\r\n\r\n"));
        assert_eq!(served.connection, 1, "all of this is one connection");
    }
}

#[test]
fn large_bodies_arrive_whole() {
    let (door, service) = pair();
    let body = pattern(3 * MIB + 17);
    let client = Frames::connect(door.http[0]);
    let mut asked = client.open(request("POST", "/"), false);
    let mut served = service.accept();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (heard, _) = service.read(&mut served).expect("it is whole");
            service.answer(&mut served, 200, &heard);
            heard
        });
        client.wait(say(&mut asked.body, &body, true)).expect("it takes the body");
        let answer = client.answer(asked.response).expect("an answer");
        assert!(reading.join().expect("it is read") == body);
        assert!(answer.body == body);
    });
}

#[test]
fn trailers_alone_are_an_answer() {
    let (door, service) = pair();
    let client = Frames::connect(door.http[0]);
    let asked = client.open(request_with("POST", "/", &[("te", "trailers")]), true);
    let mut served = service.accept();
    let head = Response::builder().header("grpc-status", "12").body(()).expect("a response");
    served.respond.send_response(head, true).expect("it is open");
    let answer = client.answer(asked.response).expect("an answer");
    assert_eq!(answer.plain(), "200\ngrpc-status: 12\n\n");
}

#[test]
fn requests_share_a_connection() {
    let (door, service) = pair();
    let client = Frames::connect(door.http[0]);
    let asked: Vec<_> =
        (0..50).map(|at| client.open(request("GET", &format!("/{at}")), true)).collect();
    let mut served: Vec<_> = (0..50).map(|_| service.accept()).collect();
    assert!(served.iter().all(|served| served.connection == 1));
    served.sort_by_key(|served| served.head.uri().path()[1..].parse::<u32>().expect("a number"));
    for (at, asked) in asked.into_iter().enumerate().rev() {
        service.answer(&mut served[at], 200, at.to_string().as_bytes());
        assert_eq!(client.answer(asked.response).expect("one").text(), at.to_string());
    }
}

#[test]
fn a_full_connection_gets_a_neighbour() {
    let service = FrameService::with(|builder| {
        builder.max_concurrent_streams(2);
    });
    let door = Door::start(&service.config());
    let client = Frames::connect(door.http[0]);
    let asked: Vec<_> = (0..6).map(|_| client.open(request("GET", "/"), true)).collect();
    let mut served: Vec<_> = (0..6).map(|_| service.accept()).collect();
    let last = served.iter().map(|served| served.connection).max();
    assert_eq!(last, Some(3));
    for served in &mut served {
        service.answer(served, 204, b"");
    }
    for asked in asked {
        assert_eq!(client.answer(asked.response).expect("one").status, 204);
    }
}

#[test]
fn what_was_refused_is_sent_again() {
    let (door, service) = pair();
    let mut client = door.connect();
    // The first request opens the connection; only then is there one to be refused on.
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    service.answer(&mut service.accept(), 204, b"");
    client.read_response();
    client.send(crlf("POST / HTTP/1.1\nHost: h\nContent-Length: 4\n\nbody"));
    let mut first = service.accept();
    assert_eq!(service.read(&mut first).expect("it is whole").0, b"body");
    first.respond.send_reset(Reason::REFUSED_STREAM);
    let mut second = service.accept();
    assert_eq!(service.read(&mut second).expect("it is whole").0, b"body");
    service.answer(&mut second, 200, b"ok");
    assert!(client.read_response().contains("\r\nok\r\n"));

    client.send(crlf("POST / HTTP/1.1\nHost: h\nContent-Length: 4\n\nbody"));
    for _ in 0..5 {
        service.accept().respond.send_reset(Reason::REFUSED_STREAM);
    }
    let response = client.read_response();
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert!(response.contains("urn:doorward:fault:stream-refused"), "{response}");
}

#[test]
fn a_service_that_says_goodbye_gets_a_new_connection() {
    let (door, service) = pair();
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut first = service.accept();
    first.goodbye.notify_one();
    let mut other = door.connect();
    // Whether it comes before or behind the goodbye: it is answered, and not twice.
    other.send("POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    let mut second = service.accept();
    service.answer(&mut second, 200, b"second");
    assert!(other.read_response().contains("second"));
    service.answer(&mut first, 200, b"first");
    assert!(client.read_response().contains("first"));
    client.send("GET /third HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut third = service.accept();
    assert_eq!(third.connection, 2);
    service.answer(&mut third, 204, b"");
    client.read_response();
}

#[test]
fn an_answer_that_breaks_off_does_so_for_the_client() {
    let (door, service) = pair();
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut served = service.accept();
    let head = Response::builder().body(()).expect("one");
    let mut send = served.respond.send_response(head, false).expect("it is open");
    send.send_data(Bytes::from_static(b"half"), false).expect("it is open");
    client.read_until("half\r\n");
    send.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(client.read_to_end().1, End::Reset);
}

#[test]
fn a_client_that_gives_up_is_heard_of() {
    let (door, service) = pair();
    let client = Frames::connect(door.http[0]);
    let mut asked = client.open(request("POST", "/"), false);
    let mut served = service.accept();
    asked.body.send_reset(Reason::CANCEL);
    let reset = service.wait(poll_fn(|cx| served.respond.poll_reset(cx)));
    assert_eq!(reset.expect("a reset"), Reason::CANCEL);
}

#[test]
fn a_service_of_http_1_is_told_apart() {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nprotocol = \"h2\"\n\
         endpoints = [\"{}\"]\n[log]\naccess = \"json\"\n",
        upstream.address()
    ));
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = upstream.accept();
    service.read_until("SM\r\n\r\n");
    service.send(crlf("HTTP/1.1 400 Bad Request\nConnection: close\n\n"));
    service.end();
    assert!(client.read_response().starts_with("HTTP/1.1 502 "));
    door.stdout.wait_for("no frames of the agreed version");
}

/// Plays the other end of a tunnel: what comes goes back.
fn echo(service: &FrameService, mut served: crate::frames::Served) {
    assert_eq!(served.head.method(), "CONNECT");
    let protocol = served.head.extensions().get::<h2::ext::Protocol>();
    assert_eq!(protocol.map(h2::ext::Protocol::as_str), Some("websocket"));
    assert_eq!(fields(served.head.headers()), "sec-websocket-version: 13");
    let head = Response::builder().header("sec-websocket-protocol", "chat").body(());
    let mut send = served.respond.send_response(head.expect("one"), false).expect("it is open");
    service.wait(async {
        while let Some(data) = served.body.data().await {
            send.send_data(data.expect("it is open"), false).expect("it is open");
        }
        send.send_data(Bytes::new(), true).expect("it is open");
    });
}

#[test]
fn websockets_are_bridged_from_both_versions() {
    let service = FrameService::with(|builder| {
        builder.enable_connect_protocol();
    });
    let door = Door::start(&service.config());
    let mut client = door.connect();
    client.send(crlf(
        "GET /chat HTTP/1.1\nHost: h\nConnection: Upgrade\nUpgrade: websocket\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n\n",
    ));
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&service, service.accept()));
        assert_eq!(
            plain(&client.read_head()),
            "HTTP/1.1 101 Switching Protocols\nsec-websocket-protocol: chat\n\
             Connection: Upgrade\nUpgrade: websocket\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\n"
        );
        client.send("hello");
        assert_eq!(text(&client.read_exact(5)), "hello");
        client.end();
        assert_eq!(client.expect_end(), End::Closed);
    });

    let client = Frames::connect(door.http[0]);
    assert_eq!(client.ask(request("TRACE", "/"), b"").status, 405);
    let mut connect = request_with("CONNECT", "/chat", &[("sec-websocket-version", "13")]);
    connect.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let mut asked = client.open(connect, false);
    std::thread::scope(|scope| {
        scope.spawn(|| echo(&service, service.accept()));
        let response = client.wait(asked.response).expect("it is open");
        assert_eq!(response.status(), 200);
        asked.body.send_data(Bytes::from_static(b"hello"), true).expect("it is open");
        let answer = client.wait(async { read(response).await }).expect("it is whole");
        assert_eq!(answer.body, b"hello");
    });
}
