//! Bodies larger than any buffer: both ways at once, slowly, and with answers that come early.

use std::thread;

use super::{Pass, plain};
use crate::door::{Door, End, Wire};
use crate::wire::{field, text};

const MIB: usize = 1024 * 1024;

/// Bytes that differ from place to place, so that nothing can be left out or swapped.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// `bytes` in chunks of all sizes.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut size) = (Vec::new(), bytes, 1);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        (rest, size) = (behind, size * 3 % 99_991);
    }
    out.extend(b"0\r\n\r\n");
    out
}

/// The data in a chunked body.
pub(crate) fn data(wire: &mut Wire) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let line = wire.read_until("\r\n");
        let count = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
        data.extend(wire.read_exact(count));
        assert_eq!(wire.read_exact(2), b"\r\n");
        if count == 0 {
            return data;
        }
    }
}

/// Says `bytes` from another thread.
fn saying(wire: &Wire, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut wire = wire.other_hand();
    thread::spawn(move || wire.send(bytes))
}

#[test]
fn large_bodies_arrive_whole() {
    let pass = Pass::new("");
    let body = pattern(4 * MIB + 12_345);
    for framed in [true, false] {
        let head = match framed {
            true => format!("Content-Length: {}\r\n\r\n", body.len()),
            false => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        };
        let content = if framed { body.clone() } else { chunked(&body) };
        let read = |wire: &mut Wire| {
            wire.read_head();
            if framed { wire.read_exact(body.len()) } else { data(wire) }
        };
        let mut client = pass.door.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}"));
        let sent = saying(&client, content.clone());
        let mut service = pass.upstream.accept();
        assert!(read(&mut service) == body);
        sent.join().expect("all was sent");
        service.send(format!("HTTP/1.1 200 OK\r\n{head}"));
        let sent = saying(&service, content);
        assert!(read(&mut client) == body);
        sent.join().expect("all was sent");
        // Both connections go on.
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(service.read_request().starts_with("GET /next "));
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        client.read_response();
    }
}

#[test]
fn an_echo_flows_both_ways_at_once() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_head();
    service.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 200 "));
    // Each word is heard before the next one is said.
    for word in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        client.send(&chunk);
        assert_eq!(text(&service.read_exact(chunk.len())), chunk);
        service.send(&chunk);
        assert_eq!(text(&client.read_exact(chunk.len())), chunk);
    }
    // Then all at once, more than all buffers hold.
    let body = pattern(8 * MIB);
    let sent = saying(&client, chunked(&body));
    let echoing = thread::spawn(move || {
        let mut other = service.other_hand();
        let body = data(&mut service);
        let echo = chunked(&body);
        other.send(echo);
    });
    assert!(data(&mut client) == body);
    sent.join().expect("all was sent");
    echoing.join().expect("all was echoed");
}

#[test]
fn a_slow_reader_costs_no_memory() {
    const BODY: usize = 32 * MIB;
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.narrow();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_request();
    let before = pass.door.resident_bytes();
    service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
    let block = vec![b'x'; BODY];
    let sent = service.send_until_stuck(&block, std::time::Duration::from_millis(200));
    assert!(sent < BODY, "nobody held it back");
    let grown = pass.door.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * MIB as u64, "{grown} bytes more for {sent} that wait");
    let rest = saying(&service, block[sent..].to_vec());
    client.read_head();
    assert!(client.read_exact(BODY).iter().all(|&byte| byte == b'x'));
    rest.join().expect("all was sent");
}

#[test]
fn a_slow_service_costs_no_memory() {
    const BODY: usize = 32 * MIB;
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n\r\n"));
    let mut service = pass.upstream.accept();
    service.narrow();
    service.read_head();
    let before = pass.door.resident_bytes();
    let block = vec![b'x'; BODY];
    let sent = client.send_until_stuck(&block, std::time::Duration::from_millis(200));
    assert!(sent < BODY, "nobody held it back");
    let grown = pass.door.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * MIB as u64, "{grown} bytes more for {sent} that wait");
    let rest = saying(&client, block[sent..].to_vec());
    assert_eq!(service.read_exact(BODY).len(), BODY);
    rest.join().expect("all was sent");
    service.send("HTTP/1.1 204 No Content\r\n\r\n");
    client.read_response();
}

#[test]
fn many_idle_clients_cost_little() {
    let door = Door::start("[[route]]\npath = \"/\"\nrespond = { body = \"own\" }\n");
    let open = |count: usize| -> Vec<Wire> {
        let mut clients: Vec<Wire> = (0..count).map(|_| door.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            client.read_response();
        }
        clients
    };
    let _first = open(10);
    let before = door.resident_bytes();
    let _others = open(300);
    let grown = door.resident_bytes().saturating_sub(before);
    assert!(grown < 300 * 16 * 1024, "{} bytes each", grown / 300);
}

#[test]
fn a_service_may_answer_before_it_has_the_body() {
    let pass = Pass::new("");
    for answer in [
        "HTTP/1.1 413 Content Too Large\nContent-Length: 2\n\nno",
        "HTTP/1.1 401 Unauthorized\nTransfer-Encoding: chunked\n\n2\nno\n0\n\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nno",
    ] {
        // It closes at once, and so breaks off what the client still sends.
        for closes in [false, true] {
            let mut client = pass.door.connect();
            let bytes = 16 * MIB;
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n"));
            let mut sender = client.other_hand();
            let sending = thread::spawn(move || {
                let _ = sender.try_send(vec![b'x'; bytes]);
                let _ = sender.try_send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
            });
            let mut service = pass.upstream.accept();
            service.read_head();
            service.read_exact(10_000);
            service.send(super::crlf(answer));
            if closes {
                service.end();
            }
            let response = client.read_response();
            let expected = answer.replacen("\n\n", "\nConnection: close\n\n", 1);
            assert_eq!(plain(&response), expected, "{closes}");
            let _ = client.read_to_end();
            sending.join().expect("it ends");
            let _ = service.read_to_end();
            pass.is_next("/probe");
        }
    }
}

#[test]
fn a_service_may_answer_and_go() {
    let pass = Pass::new("");
    let mut told = 0;
    for _ in 0..20 {
        let mut client = pass.door.connect();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nhello");
        let mut service = pass.upstream.accept();
        service.read_until("hello");
        service.send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        drop(service);
        let response = client.read_response();
        told += usize::from(response.starts_with("HTTP/1.1 413 "));
    }
    assert_eq!(told, 20);
}

#[test]
fn a_client_that_goes_takes_its_answer_along() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nhello");
    client.read_until("hello");
    client.reset();
    while service.try_send(vec![b'x'; MIB]).is_ok() {}
    pass.is_next("/probe");
}

#[test]
fn events_arrive_as_they_are_sent() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send("GET /events HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    assert_eq!(field(&client.read_head(), "transfer-encoding"), Some("chunked"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        service.send(event);
        assert_eq!(client.read_until(&format!("{event}\r\n")), format!("9\r\n{event}\r\n"));
    }
    drop(service);
    assert_eq!(client.read_until("\r\n\r\n"), "0\r\n\r\n");
    client.end();
    assert_eq!(client.expect_end(), End::Closed);
}
