//! Connections of HTTP/2: how they begin, how long they last, how they end.

use rustix::process::Signal;

use crate::door::{Door, End};
use crate::frames::{Frames, request};
use crate::http::{Pass, crlf, to};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];

/// `GET /` of `h`, in literals that no table knows.
fn get(stream: u8) -> Vec<u8> {
    // :method GET, :scheme http, :path / by the static table; :authority as a literal.
    let block = b"\x82\x86\x84\x01\x01h";
    let mut frame = vec![0, 0, 6, 1, 5, 0, 0, 0, stream];
    frame.extend_from_slice(block);
    frame
}

#[test]
fn the_preface_may_come_in_pieces() {
    let door = Door::start("[[route]]\npath = \"/\"\nrespond = { status = 204 }\n");
    let opening = [PREFACE, SETTINGS, &get(1)].concat();
    for at in 1..opening.len() {
        let mut client = door.connect();
        client.send(&opening[..at]);
        // The door has to see two reads; what it says in between is its settings.
        let mut heard = Vec::new();
        if at > PREFACE.len() {
            heard = client.read_exact(9);
        }
        client.send(&opening[at..]);
        client.send(ACK);
        if heard.is_empty() {
            heard = client.read_exact(9);
        }
        assert_eq!((heard[3], heard[4]), (4, 0), "settings come first: {heard:?}");
    }
}

#[test]
fn versions_share_a_listener() {
    let door = Door::start("[[route]]\npath = \"/\"\nrespond = { body = \"both\" }\n");
    assert_eq!(Frames::connect(door.http[0]).ask(request("GET", "/"), b"").text(), "both");
    assert!(door.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("both"));
    // Only the first bytes of a connection can be the preface.
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.read_response();
    client.send(PREFACE);
    assert!(client.read_response().starts_with("HTTP/1.1 505 "));
}

#[test]
fn what_is_no_http_gets_no_answer() {
    let pass = Pass::new("");
    for said in ["INVALID CONNECTION PREFACE\r\n\r\n", "EHLO mail example\r\n\r\n"] {
        let mut client = pass.door.connect();
        client.send(said);
        assert_eq!(client.expect_end(), End::Closed, "{said}");
    }
}

#[test]
fn a_shutdown_lets_streams_finish() {
    let mut pass = Pass::new("");
    let client = Frames::connect(pass.door.http[0]);
    let asked = client.open(request("GET", "/"), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    pass.door.signal(Signal::TERM);
    pass.door.stderr.wait_for("draining, for");
    service.send(crlf("HTTP/1.1 200 OK\nContent-Length: 4\n\nlast"));
    assert_eq!(client.answer(asked.response).expect("an answer").text(), "last");
    client.ended().expect("it ends in good order");
    assert!(pass.door.wait().success());
}

#[test]
fn an_idle_connection_is_told_goodbye() {
    let door = Door::start(
        "[[route]]\npath = \"/\"\nrespond = { status = 204 }\n[limits]\nkeep-alive-idle = \"200ms\"\n",
    );
    let client = Frames::connect(door.http[0]);
    assert_eq!(client.ask(request("GET", "/"), b"").status, 204);
    client.ended().expect("it ends in good order");
}

#[test]
fn a_connection_ends_after_so_many_requests() {
    let door = Door::start(
        "[[route]]\npath = \"/\"\nrespond = { status = 204 }\n[limits]\nrequests-per-connection = 3\n",
    );
    let client = Frames::connect(door.http[0]);
    for _ in 0..3 {
        assert_eq!(client.ask(request("GET", "/"), b"").status, 204);
    }
    client.ended().expect("it ends in good order");
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let pass = Pass::new("[limits]\nstreams = 2\n");
    let mut client = pass.door.connect();
    client.send([PREFACE, SETTINGS, &get(1), &get(3), &get(5)].concat());
    let refused = loop {
        let head = client.read_exact(9);
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = client.read_exact(length);
        if head[3] == 3 {
            break (head[8], payload);
        }
    };
    // REFUSED_STREAM: it may safely be sent again (RFC 9113, 8.7).
    assert_eq!(refused, (5, vec![0, 0, 0, 7]));
}

#[test]
fn the_log_and_explain_tell_the_version() {
    let upstream = crate::door::Upstream::new();
    let door = Door::start(&format!("[log]\naccess = \"json\"\n{}", to(&upstream)));
    let client = Frames::connect(door.http[0]);
    let asked = client.open(request("GET", "/told"), true);
    let mut service = upstream.accept();
    service.read_request();
    service.send(crlf("HTTP/1.1 204 No Content\n\n"));
    client.answer(asked.response).expect("an answer");
    let line = door.stdout.wait_for("/told");
    assert!(line.contains("\"version\":\"2\""), "{line}");
}
