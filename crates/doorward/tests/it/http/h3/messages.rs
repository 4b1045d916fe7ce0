//! Messages of every shape, in both directions.

use super::Secure;
use crate::door::Wire;
use crate::http::streams::{data, pattern};
use crate::http::{crlf, plain};
use crate::quic::{Asked, DATA, frame, head, request};
use crate::wire::field;

const MIB: usize = 1024 * 1024;

#[test]
fn a_request_becomes_lines() {
    let pass = Secure::new("");
    let client = pass.connect();
    let fields = [
        ("b-field", "1"),
        ("accept", "a"),
        ("cookie", "a=1"),
        ("b-field", "2"),
        ("cookie", "b=2"),
        ("te", "trailers"),
    ];
    let mut asked = client.open(&request("GET", "/a%20b?c=d", &fields), true);
    let mut service = pass.upstream.accept();
    let heard = service.read_request();
    assert_eq!(
        plain(&heard),
        "GET /a%20b?c=d HTTP/1.1\nHost: localhost\nb-field: 1\naccept: a\nb-field: 2\n\
         cookie: a=1; b=2\nTE: trailers\nConnection: TE\n\n"
    );
    assert!(heard.contains("\r\nVia: 3 doorward\r\n"), "{heard}");
    assert!(heard.contains("\r\nX-Forwarded-Proto: https\r\n"), "{heard}");
    service.send(crlf(
        "HTTP/1.1 404 No\nX-B: 1\nSet-Cookie: a\nSet-Cookie: b\nKeep-Alive: x\n\
                       Content-Length: 2\n\nno",
    ));
    let answer = client.answer(&mut asked).expect("an answer");
    assert_eq!(
        answer.plain(),
        "404\ncontent-length: 2\nset-cookie: a\nset-cookie: b\nx-b: 1\n\nno"
    );
    assert!(answer.field("date").is_some());
}

#[test]
fn an_end_that_comes_late_is_no_body() {
    let pass = Secure::new("");
    let client = pass.connect();
    let mut asked = client.open(&request("GET", "/", &[]), false);
    // Whatever the door does first with a head alone, it has done when this is answered.
    assert_eq!(client.ask(&request("TRACE", "/", &[]), b"").status, 405);
    asked.send.finish().expect("it is open");
    let mut service = pass.upstream.accept();
    assert_eq!(plain(&service.read_request()), "GET / HTTP/1.1\nHost: localhost\n\n");
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer(&mut asked).expect("an answer").text(), "ok");
}

#[test]
fn answers_without_a_body() {
    let pass = Secure::new("");
    let client = pass.connect();
    for (method, said, heard) in [
        ("HEAD", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "200\ncontent-length: 5\n\n"),
        ("GET", "HTTP/1.1 204 No Content\n\n", "204\n\n"),
        ("GET", "HTTP/1.1 304 Not Modified\nETag: \"a\"\n\n", "304\netag: \"a\"\n\n"),
        ("GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "200\ncontent-length: 0\n\n"),
        ("GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n", "200\n\n"),
    ] {
        let mut asked = client.open(&request(method, "/", &[]), true);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(crlf(said));
        service.end();
        assert_eq!(client.answer(&mut asked).expect("an answer").plain(), heard, "{said}");
    }
}

#[test]
fn bodies_of_every_kind_arrive_whole() {
    let pass = Secure::new("[limits]\nbody = \"1GiB\"\n");
    let client = pass.connect();
    for bytes in [1, 4096, 4097, 16_384, 65_536, 3 * MIB + 17] {
        let body = pattern(bytes);
        for announced in [true, false] {
            let length = bytes.to_string();
            let length = [("content-length", length.as_str())];
            let fields = if announced { &length[..] } else { &[] };
            let Asked { mut send, recv } = client.open(&request("POST", "/", fields), false);
            let mut service = pass.upstream.accept();
            let reading = std::thread::spawn(move || {
                let heard = read_body(&mut service, announced.then_some(bytes));
                (service, heard)
            });
            // In frames of odd sizes.
            let said: Vec<u8> = body.chunks(99_991).flat_map(|part| frame(DATA, part)).collect();
            client.wait(send.write_all(&said)).expect("it takes the body");
            send.finish().expect("it is open");
            let (mut service, heard) = reading.join().expect("it was read");
            assert!(heard == body, "{bytes} bytes, announced: {announced}");
            let answering = std::thread::spawn({
                let body = body.clone();
                move || answer_with(&mut service, &body, announced)
            });
            let answer = client.answer(&mut Asked { send, recv }).expect("an answer");
            answering.join().expect("it was sent");
            assert!(answer.body == body, "{bytes} bytes, announced: {announced}");
            assert_eq!(answer.field("content-length").is_some(), announced);
        }
    }
}

/// The body of the next request, of as many bytes as were announced.
fn read_body(service: &mut Wire, announced: Option<usize>) -> Vec<u8> {
    let head = service.read_head();
    let length = field(&head, "content-length").map(|text| text.parse().expect("a number"));
    assert_eq!(length, announced, "{head}");
    match announced {
        Some(bytes) => service.read_exact(bytes),
        None => data(service),
    }
}

/// Says a response with `body`, and ends.
fn answer_with(service: &mut Wire, body: &[u8], announced: bool) {
    if announced {
        service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
    } else {
        service.send("HTTP/1.1 200 OK\r\n\r\n");
    }
    service.send(body);
    service.end();
}

#[test]
fn trailers_pass_in_both_directions() {
    let pass = Secure::new("");
    let client = pass.connect();
    let said = [
        request("POST", "/", &[("te", "trailers")]),
        frame(DATA, b"data"),
        head(&[("x-sum", "1"), ("content-length", "9")]),
    ];
    let mut asked = client.open(&said.concat(), true);
    let mut service = pass.upstream.accept();
    service.read_head();
    assert_eq!(service.read_until("\r\n\r\n"), "4\r\ndata\r\n0\r\nx-sum: 1\r\n\r\n");
    service.send(crlf(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: x-end\n\n2\nok\n0\nX-End: yes\n\n",
    ));
    let answer = client.answer(&mut asked).expect("an answer");
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers, [("x-end".to_owned(), "yes".to_owned())]);
}

#[test]
fn calls_of_grpc_end_by_trailers() {
    let pass = Secure::new("");
    let client = pass.connect();
    let fields = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "9S")];
    let said = [request("POST", "/it.Service/Call", &fields), frame(DATA, b"\0\0\0\0\x02hi")];
    let mut asked = client.open(&said.concat(), true);
    let mut service = pass.upstream.accept();
    let head = service.read_head();
    assert!(head.contains("\r\ngrpc-timeout: "), "{head}");
    service.read_until("0\r\n\r\n");
    service.send(crlf(
        "HTTP/1.1 200 OK\nContent-Type: application/grpc\nTransfer-Encoding: chunked\n\n\
         5\n\0\0\0\0\0\n0\ngrpc-status: 0\n\n",
    ));
    let answer = client.answer(&mut asked).expect("an answer");
    assert_eq!(answer.body, b"\0\0\0\0\0");
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    // What goes wrong is a status of gRPC, in the head.
    service.end();
    let none = client.open(&request("POST", "/it.Service/None", &fields), true);
    drop(pass.upstream);
    let answer = client.answer(&mut { none }).expect("an answer");
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("14")));
}

#[test]
fn the_urgent_goes_first() {
    const BYTES: usize = 900_000;
    let pass = Secure::new("[runtime]\nworkers = 1\n");
    let client = pass.connect();
    let mut begun = Vec::new();
    for (path, priority) in [("/late", "u=7"), ("/soon", "u=0, i")] {
        let mut asked = client.open(&request("GET", path, &[("priority", priority)]), true);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"));
        // Its head has come: it has begun.
        client.wait(asked.recv.read_exact(&mut [0; 2])).expect("a head");
        begun.push((asked, service));
    }
    // A client that does not acknowledge anything gets no more than a few packets.
    let paused = client.pause();
    let (mut asked, sending): (Vec<Asked>, Vec<_>) = begun
        .into_iter()
        .map(|(asked, mut service)| {
            (asked, std::thread::spawn(move || service.send(vec![b'x'; BYTES])))
        })
        .unzip();
    for thread in sending {
        thread.join().expect("it was sent");
    }
    for _ in 0..20 {
        // The one worker has looked at everything meanwhile.
        assert!(pass.door.ask("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n").contains(" 405 "));
    }
    drop(paused);
    let mut soon = asked.pop().expect("two");
    let mut late = asked.pop().expect("one more");
    let early = client.wait(async {
        let mut early = 0;
        let soon = soon.recv.read_to_end(2 * BYTES);
        tokio::pin!(soon);
        loop {
            tokio::select! {
                biased;
                rest = &mut soon => {
                    assert!(rest.expect("an answer").len() > BYTES);
                    return early;
                }
                chunk = late.recv.read_chunk(usize::MAX, true) => {
                    early += chunk.expect("it is open").map_or(BYTES, |chunk| chunk.bytes.len());
                }
            }
        }
    });
    assert!(early < BYTES / 2, "{early} bytes of what can wait came before");
    let rest = client.wait(late.recv.read_to_end(2 * BYTES)).expect("an answer");
    assert!(early + rest.len() > BYTES);
}

#[test]
fn interim_responses_pass_and_bodies_wait_for_them() {
    let pass = Secure::new("");
    let client = pass.connect();
    let fields = [("expect", "100-continue"), ("content-length", "4")];
    let mut asked = client.open(&request("POST", "/", &fields), false);
    let mut service = pass.upstream.accept();
    let head = service.read_head();
    assert!(head.contains("100-continue"), "{head}");
    service.send(crlf("HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </a>\n\n"));
    client.wait(asked.send.write_all(&frame(DATA, b"body"))).expect("it is open");
    asked.send.finish().expect("it is open");
    assert_eq!(service.read_exact(4), b"body");
    service.send(crlf("HTTP/1.1 200 OK\nContent-Length: 0\n\n"));
    let answer = client.answer(&mut asked).expect("an answer");
    assert_eq!((answer.interim, answer.status), (vec![100, 103], 200));
}

#[test]
fn many_streams_are_served_at_a_time_and_a_slow_reader_holds_up_nobody() {
    let pass = Secure::new("");
    let client = pass.connect();
    let slow = client.open(&request("GET", "/slow", &[]), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    let length = 64 * MIB;
    service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    let sending = std::thread::spawn(move || service.try_send(vec![b'x'; length]));
    let mut others: Vec<Asked> =
        (0..100).map(|at| client.open(&request("GET", &format!("/{at}"), &[]), true)).collect();
    let mut services: Vec<Wire> = others.iter().map(|_| pass.upstream.accept()).collect();
    for service in &mut services {
        let heard = service.read_request();
        let path = heard.split(' ').nth(1).expect("a path").to_owned();
        service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
    }
    for (at, asked) in others.iter_mut().enumerate() {
        assert_eq!(client.answer(asked).expect("an answer").text(), format!("/{at}"));
    }
    drop(slow);
    // A client that gives up is heard of at the service.
    assert!(sending.join().expect("it ended").is_err());
}

#[test]
fn where_http3_is_spoken_is_told_over_tcp_only() {
    let pass = Secure::new("");
    let port = pass.door.https[0].port();
    let wants = crate::tls::client::Wants::trusting(&[&pass.made]);
    let mut client = wants.connect(pass.door.https[0]).expect("TLS");
    client.send("TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let told = client.read_response();
    assert!(told.contains(&format!("\r\nAlt-Svc: h3=\":{port}\"; ma=86400\r\n")), "{told}");
    let answer = pass.connect().ask(&request("TRACE", "/", &[]), b"");
    assert_eq!((answer.status, answer.field("alt-svc")), (405, None));
    let plain = pass.door.ask("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!plain.contains("Alt-Svc"), "{plain}");
}
