//! What is said in frames and heard in lines, and back.

use std::future::poll_fn;

use bytes::Bytes;
use http::HeaderMap;

use crate::door::{End, Wire};
use crate::frames::{Frames, request, request_with, say};
use crate::http::streams::{data, pattern};
use crate::http::{Pass, crlf, plain};
use crate::wire::field;

const MIB: usize = 1024 * 1024;

/// A client and a service, for one exchange after the other.
fn pair() -> (Pass, Frames) {
    let pass = Pass::new("[limits]\nbody = \"1GiB\"\n");
    let client = Frames::connect(pass.door.http[0]);
    (pass, client)
}

#[test]
fn a_request_becomes_lines() {
    let (pass, client) = pair();
    let fields = [
        ("b-field", "1"),
        ("accept", "a"),
        ("cookie", "a=1"),
        ("b-field", "2"),
        ("cookie", "b=2"),
        ("te", "trailers"),
    ];
    let asked = client.open(request_with("GET", "/a%20b?c=d", &fields), true);
    let mut service = pass.upstream.accept();
    let heard = service.read_request();
    assert_eq!(
        plain(&heard),
        "GET /a%20b?c=d HTTP/1.1\nHost: h\nb-field: 1\nb-field: 2\naccept: a\ncookie: a=1; b=2\n\
         TE: trailers\nConnection: TE\n\n"
    );
    assert!(heard.contains("\r\nVia: 2 doorward\r\n"), "{heard}");
    service.send(crlf(
        "HTTP/1.1 404 No\nX-B: 1\nSet-Cookie: a\nSet-Cookie: b\nKeep-Alive: x\n\
                       Content-Length: 2\n\nno",
    ));
    let answer = client.answer(asked.response).expect("an answer");
    assert_eq!(
        answer.plain(),
        "404\ncontent-length: 2\nset-cookie: a\nset-cookie: b\nx-b: 1\n\nno"
    );
    assert!(answer.fields.contains_key("date"));
}

#[test]
fn answers_without_a_body() {
    let (pass, client) = pair();
    for (method, said, heard) in [
        ("HEAD", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "200\ncontent-length: 5\n\n"),
        ("GET", "HTTP/1.1 204 No Content\n\n", "204\n\n"),
        ("GET", "HTTP/1.1 304 Not Modified\nETag: \"a\"\n\n", "304\netag: \"a\"\n\n"),
        ("GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "200\ncontent-length: 0\n\n"),
        ("GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n", "200\n\n"),
    ] {
        let asked = client.open(request(method, "/"), true);
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(crlf(said));
        service.end();
        assert_eq!(client.answer(asked.response).expect("an answer").plain(), heard, "{said}");
    }
}

#[test]
fn bodies_of_every_kind_arrive_whole() {
    let (pass, client) = pair();
    for bytes in [1, 4096, 4097, 16_384, 65_536, 3 * MIB + 17] {
        let body = pattern(bytes);
        for announced in [true, false] {
            let mut head = request("POST", "/");
            if announced {
                head.headers_mut().insert("content-length", bytes.into());
            }
            let mut asked = client.open(head, false);
            let mut service = pass.upstream.accept();
            let reading = std::thread::spawn(move || {
                let heard = read_body(&mut service, announced.then_some(bytes));
                (service, heard)
            });
            client.wait(say(&mut asked.body, &body, true)).expect("it takes the body");
            let (mut service, heard) = reading.join().expect("it was read");
            assert!(heard == body, "{bytes} bytes, announced: {announced}");
            let answering = std::thread::spawn({
                let body = body.clone();
                move || answer_with(&mut service, &body, announced)
            });
            let answer = client.answer(asked.response).expect("an answer");
            answering.join().expect("it was sent");
            assert!(answer.body == body, "{bytes} bytes, announced: {announced}");
            assert_eq!(answer.fields.contains_key("content-length"), announced);
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
        service.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    }
    service.send(body);
    service.end();
}

#[test]
fn trailers_pass_both_ways() {
    let (pass, client) = pair();
    let mut asked = client.open(request_with("POST", "/", &[("te", "trailers")]), false);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "12".parse().expect("a value"));
    client.wait(say(&mut asked.body, b"data", false)).expect("it takes the body");
    asked.body.send_trailers(trailers).expect("the stream is open");
    let mut service = pass.upstream.accept();
    let heard = service.read_request();
    assert!(heard.ends_with("\r\n\r\n4\r\ndata\r\n0\r\nx-sum: 12\r\n\r\n"), "{heard}");
    service.send(crlf(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: x-end\n\n\
                       3\nyes\n0\nX-End: 34\nContent-Length: 7\n\n",
    ));
    let answer = client.answer(asked.response).expect("an answer");
    assert_eq!(answer.body, b"yes");
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers.get("x-end").map(http::HeaderValue::as_bytes), Some(&b"34"[..]));
    assert_eq!(trailers.len(), 1, "what may not stand there does not");
}

#[test]
fn interim_responses_come_first() {
    let (pass, client) = pair();
    let mut asked = client.open(request_with("POST", "/", &[("expect", "100-continue")]), false);
    let mut service = pass.upstream.accept();
    let head = service.read_head();
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    service.send(crlf("HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </a>\n\n"));
    let interim = client.wait(poll_fn(|cx| asked.response.poll_informational(cx)));
    let interim = interim.expect("one").expect("it is whole");
    assert_eq!(interim.status(), 100);
    let interim = client.wait(poll_fn(|cx| asked.response.poll_informational(cx)));
    let interim = interim.expect("one").expect("it is whole");
    assert_eq!(
        (interim.status().as_u16(), &interim.headers()["link"]),
        (103, &"</a>".parse().expect("one"))
    );
    asked.body.send_data(Bytes::from_static(b"body"), true).expect("it is open");
    let body = service.read_until("0\r\n\r\n");
    assert_eq!(body, "4\r\nbody\r\n0\r\n\r\n");
    service.send(crlf("HTTP/1.1 204 No Content\n\n"));
    assert_eq!(client.answer(asked.response).expect("an answer").status, 204);
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let (pass, client) = pair();
    let asked: Vec<_> =
        (0..100).map(|at| client.open(request("GET", &format!("/{at}")), true)).collect();
    let mut services: Vec<(Wire, String)> = Vec::new();
    for _ in 0..100 {
        let mut service = pass.upstream.accept();
        let heard = service.read_request();
        services.push((service, heard.split(' ').nth(1).expect("a path").to_owned()));
    }
    // The last one first.
    services.sort_by_key(|(_, path)| path[1..].parse::<u32>().expect("a number"));
    for (at, asked) in asked.into_iter().enumerate().rev() {
        let (service, path) = &mut services[at];
        service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        assert_eq!(client.answer(asked.response).expect("an answer").text(), format!("/{at}"));
    }
}

#[test]
fn what_breaks_off_is_reset_and_the_others_go_on() {
    let (pass, client) = pair();
    let broken = client.open(request("GET", "/broken"), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    let other = client.open(request("GET", "/other"), true);
    let mut second = pass.upstream.accept();
    second.read_request();
    // A small one would be asked for again.
    service.send(crlf("HTTP/1.1 200 OK\nContent-Length: 20000\n\n12345"));
    service.end();
    let failed = client.answer(broken.response).expect_err("half of it came");
    assert_eq!(failed.reason(), Some(h2::Reason::INTERNAL_ERROR), "{failed}");
    second.send(crlf("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"));
    assert_eq!(client.answer(other.response).expect("an answer").text(), "ok");
}

#[test]
fn a_client_that_gives_up_is_heard_of() {
    let (pass, client) = pair();
    for with_head in [false, true] {
        let mut asked = client.open(request("GET", "/slow"), true);
        let mut service = pass.upstream.accept();
        service.read_request();
        if with_head {
            service.send(crlf("HTTP/1.1 200 OK\nContent-Length: 10\n\n12345"));
            let response = client.wait(&mut asked.response).expect("a head");
            drop(response);
        }
        asked.body.send_reset(h2::Reason::CANCEL);
        let end = service.expect_end();
        assert!(matches!(end, End::Closed | End::Reset), "{with_head}");
    }
}

#[test]
fn limits_hold_here_too() {
    let pass = Pass::new("[limits]\nbody = \"10B\"\nheader-bytes = \"16KiB\"\n");
    let client = Frames::connect(pass.door.http[0]);
    let too_long =
        client.ask(request_with("POST", "/", &[("content-length", "11")]), b"12345678901");
    assert_eq!(too_long.status, 413);
    assert!(too_long.text().contains("body"), "{too_long:?}");
    let large = "x".repeat(9000);
    let too_many = [("a", &*large), ("b", &*large)];
    assert_eq!(client.ask(request_with("GET", "/", &too_many), b"").status, 431);
}
