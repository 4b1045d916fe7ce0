//! gRPC-Web from clients of HTTP/1.1 and HTTP/2, gRPC to the service.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::{answer, call, map, message, pair, status};
use crate::door::Door;
use crate::frames::{FrameService, Frames, Served, request_with, say};
use crate::wire::{Wire, field};

/// A door whose route translates.
fn web() -> (Door, FrameService) {
    pair("grpc-web = true", "")
}

fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /it.Calls/Echo HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nAccept: {kind}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Answers with `messages`, and with `trailers`.
fn answer_with(
    service: &FrameService,
    served: &mut Served,
    messages: &[Vec<u8>],
    trailers: HeaderMap,
) {
    let mut send = served.respond.send_response(answer(), false).expect("it is open");
    for message in messages {
        service.wait(say(&mut send, message, false)).expect("it takes the body");
    }
    send.send_trailers(trailers).expect("it is open");
}

/// The next response: its head, and its body, which comes in chunks.
#[track_caller]
fn read(client: &mut Wire) -> (String, Vec<u8>) {
    let head = client.read_head();
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"), "{head}");
    let mut body = Vec::new();
    loop {
        let line = client.read_until("\r\n");
        let count = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
        body.extend(&client.read_exact(count + 2)[..count]);
        if count == 0 {
            return (head, body);
        }
    }
}

/// Pieces of base64, each with its padding.
fn decode(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !text.is_empty() {
        let (group, rest) = text.split_at(4);
        bytes.extend(STANDARD.decode(group).expect("base64"));
        text = rest;
    }
    bytes
}

/// The last message, with the lines of trailers.
fn last(lines: &str) -> Vec<u8> {
    let mut frame = message(lines);
    frame[0] = 0x80;
    frame
}

#[test]
fn binary_bodies_pass_and_trailers_become_the_last_message() {
    let (door, service) = web();
    let mut client = door.connect();
    client.send(post("application/grpc-web+proto", &message("hello")));
    let mut served = service.accept();
    let fields = served.head.headers();
    assert_eq!(fields["content-type"], "application/grpc+proto");
    assert_eq!((&fields["te"], fields.get("accept")), (&"trailers".parse().expect("one"), None));
    assert_eq!(service.read(&mut served).expect("it is whole").0, message("hello"));
    let trailers = map(&[("grpc-status", "10"), ("grpc-message", "no%21"), ("x-bin", "AAE=")]);
    answer_with(&service, &mut served, &[message("one"), message("two")], trailers);
    let (head, body) = read(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "content-type"), Some("application/grpc-web+proto"));
    assert_eq!(field(&head, "trailer"), None);
    let lines = last("grpc-status: 10\r\ngrpc-message: no%21\r\nx-bin: AAE=\r\n");
    assert_eq!(body, [message("one"), message("two"), lines].concat());
    // The connection goes on.
    client.send(post("application/grpc-web+proto", b""));
    service.accept();
}

#[test]
fn base64_is_translated_wherever_it_is_cut() {
    let (door, service) = web();
    // Each message with padding of its own, as clients send them.
    let text = [message("a"), message("bc"), message("def")].map(|one| STANDARD.encode(one));
    let text = text.concat();
    for split in [0, 1, 2, 3, 5, 8, text.len() - 1] {
        let mut client = door.connect();
        let request = post("application/grpc-web-text", text.as_bytes());
        let head = request.len() - text.len();
        client.send(&request[..head + split]);
        let mut served = service.accept();
        assert_eq!(served.head.headers().get("content-length"), None, "it is another one now");
        client.send(&request[head + split..]);
        let (heard, _) = service.read(&mut served).expect("it is whole");
        assert_eq!(heard, [message("a"), message("bc"), message("def")].concat(), "{split}");
        let trailers = map(&[("grpc-status", "0")]);
        answer_with(&service, &mut served, &[message("x"), message("yz")], trailers);
        let (head, body) = read(&mut client);
        assert_eq!(field(&head, "content-type"), Some("application/grpc-web-text+proto"));
        let expected = [message("x"), message("yz"), last("grpc-status: 0\r\n")].concat();
        assert_eq!(decode(&body), expected);
    }
}

#[test]
fn each_message_can_be_read_as_soon_as_it_comes() {
    let (door, service) = web();
    let mut client = door.connect();
    client.send(post("application/grpc-web-text", b""));
    let mut served = service.accept();
    let mut send = served.respond.send_response(answer(), false).expect("it is open");
    client.read_head();
    for text in ["a", "bc", "def"] {
        service.wait(say(&mut send, &message(text), false)).expect("it takes the body");
        let encoded = STANDARD.encode(message(text));
        client.read_until(&format!("{encoded}\r\n"));
    }
}

#[test]
fn what_is_no_base64_is_refused() {
    let (door, service) = web();
    let mut client = door.connect();
    client.send(post("application/grpc-web-text", b"AAAA*AAA"));
    let response = client.read_response();
    assert_eq!(field(&response, "grpc-status"), Some("13"), "{response}");
    assert_eq!(field(&response, "content-type"), Some("application/grpc-web-text"));
    drop(service);
}

#[test]
fn faults_are_statuses_here_too() {
    let (door, service) = web();
    let mut client = door.connect();
    let request = post("application/grpc-web+proto", b"");
    let request = String::from_utf8(request).expect("text").replace("it.Calls", "none");
    client.send(request);
    let response = client.read_response();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(field(&response, "grpc-status"), Some("12"));
    assert_eq!(field(&response, "content-length"), Some("0"));
    // The deadline holds, and the connection goes on.
    let request = post("application/grpc-web", b"");
    let request = String::from_utf8(request).expect("text");
    client.send(request.replace("Accept", "Grpc-Timeout: 100m\r\nAccept"));
    let _held = service.accept();
    assert_eq!(field(&client.read_response(), "grpc-status"), Some("4"));
    client.send(post("application/grpc-web", b""));
    service.accept();
}

#[test]
fn by_http2_too_and_when_the_service_breaks_off() {
    let (door, service) = web();
    let client = Frames::connect(door.http[0]);
    let fields = [("content-type", "application/grpc-web-text")];
    let request = || request_with("POST", "/it.Calls/Echo", &fields);
    for breaks in [false, true] {
        let asked = client.open(request(), true);
        let mut served = service.accept();
        let mut send = served.respond.send_response(answer(), false).expect("it is open");
        service.wait(say(&mut send, &message("one"), false)).expect("it takes the body");
        let mut head = client.wait(asked.response).expect("the head comes at once");
        // The message arrives before what ends the answer.
        let first = client.wait(head.body_mut().data()).expect("data").expect("it is open");
        assert_eq!(decode(&first), message("one"));
        let _ = head.body_mut().flow_control().release_capacity(first.len());
        if breaks {
            send.send_reset(h2::Reason::INTERNAL_ERROR);
        } else {
            send.send_trailers(map(&[("grpc-status", "0")])).expect("it is open");
        }
        let answer = client.wait(crate::frames::read(head)).expect("it ends in good order");
        assert_eq!(answer.trailers, None, "they are the last message");
        let lines = decode(&answer.body);
        let expected = if breaks { "grpc-status: 13\r\n" } else { "grpc-status: 0\r\n" };
        assert_eq!(lines[0], 0x80);
        let lines = String::from_utf8_lossy(&lines[5..]).into_owned();
        assert!(lines.starts_with(expected), "{lines}");
    }
}

#[test]
fn what_is_not_translated_passes_as_it_is() {
    let (door, service) = web();
    // gRPC itself, on the same route.
    let client = Frames::connect(door.http[0]);
    let asked = client.open(call(&[]), true);
    let mut served = service.accept();
    answer_with(&service, &mut served, &[message("one")], map(&[("grpc-status", "0")]));
    let answer = client.answer(asked.response).expect("an answer");
    assert_eq!(answer.body, message("one"));
    assert_eq!(status(&answer.trailers.expect("trailers")).0, 0);
    // An error page of something on the way.
    let mut client: Wire = door.connect();
    client.send(post("application/grpc-web-text", b""));
    let mut served = service.accept();
    let page = http::Response::builder().status(503).header("content-type", "text/html");
    let sent = served.respond.send_response(page.body(()).expect("a response"), false);
    service.wait(say(&mut sent.expect("it is open"), b"<p>busy", true)).expect("it takes the body");
    let (head, body) = read(&mut client);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, b"<p>busy");
    // Without the filter, what browsers say is between them and the service.
    let (door, service) = pair("", "");
    let mut client = door.connect();
    client.send(post("application/grpc-web-text", b"AAAA"));
    let mut served = service.accept();
    assert_eq!(served.head.headers()["content-type"], "application/grpc-web-text");
    assert_eq!(service.read(&mut served).expect("it is whole").0, b"AAAA");
}
