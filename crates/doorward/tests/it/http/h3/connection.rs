//! The life of a connection: limits, moves, farewells.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use rustix::process::Signal;

use super::Secure;
use crate::door::LIMIT;
use crate::http::to;
use crate::ops::until;
use crate::ops::{operate, status};
use crate::quic::{Asked, DATA, GOAWAY, Quic, first_packets, frame, request};
use crate::tls::client::tables;

const NO_ERROR: u64 = 0x100;
const REQUEST_REJECTED: u64 = 0x10b;

#[test]
fn a_client_whose_address_changes_stays_connected() {
    // With several workers: the new address may lead to another one than before.
    let pass = Secure::new("[runtime]\nworkers = 3\n");
    let client = pass.connect();
    for at in 0..10 {
        let mut asked = client.open(&request("GET", &format!("/{at}"), &[]), true);
        let mut service = pass.upstream.accept();
        let heard = service.read_request();
        assert!(heard.starts_with(&format!("GET /{at} ")), "{heard}");
        // It moves while it waits for an answer.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        client.wait(async { client.endpoint.rebind(socket) }).expect("it moves");
        service.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nmoved");
        assert_eq!(client.answer(&mut asked).expect("an answer").text(), "moved");
    }
}

#[test]
fn connections_are_spread_over_workers() {
    let pass = Secure::new("[runtime]\nworkers = 2\n");
    let clients: Vec<Quic> = (0..16).map(|_| pass.connect()).collect();
    for client in &clients {
        pass.is_next(client);
    }
    let line = "doorward_client_connections 16\n";
    until(line, || pass.door.admin("GET", "/metrics").contains(line).then_some(()));
}

#[test]
fn a_cancelled_request_is_heard_of_by_the_service() {
    let pass = Secure::new("");
    let client = pass.connect();
    let Asked { mut send, mut recv } = client.open(&request("POST", "/", &[]), false);
    let mut service = pass.upstream.accept();
    service.read_head();
    client.wait(send.write_all(&frame(DATA, b"half"))).expect("it is open");
    assert_eq!(service.read_until("half\r\n"), "4\r\nhalf\r\n");
    send.reset(quinn::VarInt::from_u32(0x10c)).expect("it is open");
    recv.stop(quinn::VarInt::from_u32(0x10c)).expect("it is open");
    let (rest, _) = service.read_to_end();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the body is not whole");
    pass.is_next(&client);
}

#[test]
fn an_answer_that_breaks_off_is_no_whole_one() {
    let pass = Secure::new("");
    let client = pass.connect();
    let mut asked = client.open(&request("GET", "/", &[]), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    // A small one would be asked for again.
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\nhalf");
    service.end();
    assert!(matches!(client.answer(&mut asked), Err(quinn::ReadToEndError::Read(_))));
    pass.is_next(&client);
}

#[test]
fn an_answer_before_the_body_stops_the_client() {
    let pass = Secure::new("[limits]\nbody = \"10B\"\n");
    let client = pass.connect();
    let mut asked = client.open(&request("POST", "/", &[("content-length", "1000000")]), false);
    let answer = client.answer(&mut asked).expect("an answer");
    assert_eq!(answer.status, 413);
    // RFC 9114, 4.1: not an error.
    assert_eq!(client.stopped(&mut asked), Some(NO_ERROR));
    pass.is_next(&client);
}

#[test]
fn idle_connections_end_and_busy_ones_do_not() {
    let pass = Secure::new("[limits]\nkeep-alive-idle = \"300ms\"\n");
    let (idle, busy) = (pass.connect(), pass.connect());
    let mut asked = busy.open(&request("GET", "/", &[]), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    assert_eq!(idle.ended(), NO_ERROR);
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(busy.answer(&mut asked).expect("an answer").text(), "ok");
    assert_eq!(busy.ended(), NO_ERROR);
}

#[test]
fn requests_of_a_connection_are_limited() {
    let pass = Secure::new("[limits]\nrequests-per-connection = 2\n");
    let client = pass.connect();
    pass.is_next(&client);
    pass.is_next(&client);
    assert_eq!(client.ended(), NO_ERROR);
}

#[test]
fn a_drain_says_goodbye_and_lets_requests_end() {
    let mut pass = Secure::new("");
    let client = pass.connect();
    let mut control = client.wait(client.connection.accept_uni()).expect("a control stream");
    let mut asked = client.open(&request("GET", "/", &[]), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    pass.door.signal(Signal::TERM);
    let mut heard = Vec::new();
    // The first stream was taken; the next one would be the fourth number.
    let goodbye = frame(GOAWAY, &[4]);
    while !heard.ends_with(&goodbye) {
        let chunk = client.wait(control.read_chunk(100, true)).expect("it is open");
        heard.extend_from_slice(&chunk.expect("a goodbye").bytes);
    }
    let mut late = client.open(&request("GET", "/late", &[]), true);
    match client.answer(&mut late) {
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
            assert_eq!(code.into_inner(), REQUEST_REJECTED);
        }
        other => panic!("{other:?}"),
    }
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer(&mut asked).expect("an answer").text(), "ok");
    assert_eq!(client.ended(), NO_ERROR);
    assert!(pass.door.wait().success());
}

#[test]
fn a_client_that_vanishes_costs_nothing_for_long() {
    let pass = Secure::new("[limits]\nhandshake-time = \"300ms\"\n");
    // Nothing behind the first packet, which is none.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let door: SocketAddr = pass.door.https[0];
    for noise in [&b""[..], b"\0", &[0xff; 1200], &[0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8]] {
        socket.send_to(noise, door).expect("it is sent");
    }
    pass.is_next(&pass.connect());
}

#[test]
fn a_listener_that_goes_says_goodbye_and_one_that_comes_is_there() {
    let pass = Secure::new("");
    let client = pass.connect();
    let mut asked = client.open(&request("GET", "/", &[]), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    let config = format!("[listen]\nhttp = \"127.0.0.1:0\"\n{}", to(&pass.upstream));
    pass.door.rewrite(&config);
    assert_eq!(operate(&pass.door, "POST", "/api/reload", "").status, 200);
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    assert_eq!(client.answer(&mut asked).expect("an answer").text(), "ok");
    assert_eq!(client.ended(), NO_ERROR);
    let listen = tables(&[&pass.made]);
    pass.door.rewrite(&format!("{listen}{}", to(&pass.upstream)));
    assert_eq!(operate(&pass.door, "POST", "/api/reload", "").status, 200);
    let status = status(&pass.door);
    let address = status["config"]["listening-https"][0].as_str().expect("an address");
    pass.is_next(&Quic::connect(address.parse().expect("an address"), &pass.made));
    // Where somebody else listens is told before anything changes.
    let free = || {
        // By TCP it is to be free: what other tests have left there for a minute is not.
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = tcp.local_addr().expect("it is bound").port();
        Some((UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?, port))
    };
    let (_taken, port) = (0..100).find_map(|_| free()).expect("one free by TCP and UDP");
    let listen =
        listen.replace("https = \"127.0.0.1:0\"", &format!("https = \"127.0.0.1:{port}\""));
    pass.door.rewrite(&format!("{listen}{}", to(&pass.upstream)));
    let refused = operate(&pass.door, "POST", "/api/reload", "");
    assert!(
        refused.body.contains("for HTTP/3 (UDP): another program listens there"),
        "{}",
        refused.body
    );
}

#[test]
fn many_handshakes_make_clients_show_their_address_first() {
    let pass = Secure::new("[runtime]\nworkers = 1\n");
    let packets = first_packets(66, &pass.made);
    let (few, late) = packets.split_at(64);
    // Nobody listens to what these are told.
    let crowd = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    for packet in few {
        crowd.send_to(packet, pass.door.https[0]).expect("it is sent");
    }
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    client.set_read_timeout(Some(LIMIT)).expect("a time-out");
    for packet in late {
        client.send_to(packet, pass.door.https[0]).expect("it is sent");
        let mut answer = [0; 2000];
        client.recv(&mut answer).expect("an answer");
        // RFC 9000, 17.2.5.
        assert_eq!(answer[0] & 0xf0, 0xf0, "it is a Retry");
    }
    let metrics = pass.door.admin("GET", "/metrics");
    assert!(metrics.contains("doorward_quic_retries_total 2\n"), "{metrics}");
    // Who does so is served.
    pass.is_next(&pass.connect());
    let metrics = pass.door.admin("GET", "/metrics");
    // For each packet of its first word.
    assert!(!metrics.contains("doorward_quic_retries_total 2\n"), "{metrics}");
}

#[test]
fn the_access_log_tells_of_http3() {
    let pass = Secure::new("[log]\naccess = \"json\"\n");
    let client = pass.connect();
    pass.is_next(&client);
    let line = pass.door.stdout.wait_for("/probe");
    assert!(line.contains("\"version\":\"3\""), "{line}");
    assert!(line.contains("\"tls\":\"TLSv1.3\""), "{line}");
    assert!(line.contains("\"server-name\":\"localhost\""), "{line}");
}
