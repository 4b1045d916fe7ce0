//! Compressed answers: what clients decode is what the service said, at once where it matters.

use std::io::Read;

use super::streams::data;
use crate::door::{Door, Upstream, Wire};
use crate::wire::{Service, field};

fn door(upstream: std::net::SocketAddr, compress: &str) -> Door {
    Door::start(&format!(
        "[service.it]\nendpoints = [\"{upstream}\"]\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\ncompress = {{ {compress} }}\n\
         [[route]]\npath = \"/own\"\nrespond = {{ status = 200, body = \"{}\" }}\ncompress = {{}}\n",
        "own words ".repeat(300)
    ))
}

pub(crate) fn decode(coding: &str, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    // A body that is not whole yet: what is there must come out.
    let _ = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => {
            zstd::stream::read::Decoder::new(bytes).and_then(|mut it| it.read_to_end(&mut out))
        }
        other => panic!("coding {other}"),
    };
    String::from_utf8(out).expect("it is text")
}

fn ask(client: &mut Wire, method: &str, path: &str, accept: &str) -> String {
    client
        .send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\n\r\n"));
    client.read_head()
}

#[test]
fn clients_decode_what_the_service_said() {
    let page: String = (0..20_000).map(|at| format!("<li>{}</li>", at % 977)).collect();
    let body = page.clone();
    let service = Service::new(move |_| {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    });
    let door = door(service.address(), "");
    for (accept, coding) in [("gzip", "gzip"), ("gzip, deflate, br", "br"), ("*", "zstd")] {
        let mut client = door.connect();
        // Twice on one connection: what follows must be read rightly.
        for _ in 0..2 {
            let head = ask(&mut client, "GET", "/", accept);
            assert_eq!(field(&head, "content-encoding"), Some(coding), "{head}");
            assert_eq!(field(&head, "etag"), Some("W/\"v1\""), "{head}");
            assert_eq!(field(&head, "vary"), Some("Accept-Encoding"), "{head}");
            assert_eq!(field(&head, "content-length"), None, "{head}");
            let encoded = data(&mut client);
            assert!(encoded.len() < page.len() / 5, "{}", encoded.len());
            assert_eq!(decode(coding, &encoded), page);
        }
        let heard = service.take_received();
        let heard =
            field(heard.last().expect("it was asked"), "accept-encoding").map(ToOwned::to_owned);
        assert_eq!(heard.as_deref(), Some(coding), "the service may compress itself");
        let head = ask(&mut client, "HEAD", "/", accept);
        assert_eq!(field(&head, "content-encoding"), Some(coding), "{head}");
        assert_eq!(field(&head, "content-length"), None, "{head}");
    }
    let mut client = door.connect();
    let head = ask(&mut client, "GET", "/", "identity");
    assert_eq!(field(&head, "vary"), Some("Accept-Encoding"));
    let length =
        field(&head, "content-length").expect("it is as it was").parse().expect("a number");
    assert_eq!(client.read_exact(length), page.as_bytes());
    let mut old = door.connect();
    old.send("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = old.read_head();
    assert_eq!(field(&head, "transfer-encoding"), None, "{head}");
    assert_eq!(decode("gzip", &old.read_to_end().0), page);
}

#[test]
fn events_are_not_held_back() {
    for (accept, coding) in [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd")] {
        let upstream = Upstream::new();
        let door = door(upstream.address(), "effort = \"high\"");
        let mut client = door.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\n\r\n"));
        let mut service = upstream.accept();
        service.read_request();
        service.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        let head = client.read_head();
        assert_eq!(field(&head, "content-encoding"), Some(coding), "{head}");
        let (mut said, mut heard) = (String::new(), Vec::new());
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            said += &event;
            service.send(format!("{:x}\r\n{event}\r\n", event.len()));
            // The next event is only sent once this one is there.
            while decode(coding, &heard) != said {
                let line = client.read_until("\r\n");
                let count = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
                heard.extend(client.read_exact(count));
                client.read_exact(2);
            }
        }
        service.send("0\r\n\r\n");
        heard.extend(data(&mut client));
        assert_eq!(decode(coding, &heard), said);
    }
}

#[test]
fn trailers_stay_behind_the_compressed_body() {
    let upstream = Upstream::new();
    let door = door(upstream.address(), "");
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    let mut service = upstream.accept();
    service.read_request();
    service.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let head = client.read_head();
    assert_eq!(field(&head, "content-encoding"), Some("gzip"), "{head}");
    let mut encoded = Vec::new();
    loop {
        let line = client.read_until("\r\n");
        let count = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
        if count == 0 {
            break;
        }
        encoded.extend(client.read_exact(count));
        client.read_exact(2);
    }
    assert_eq!(decode("gzip", &encoded), "hi");
    assert_eq!(client.read_until("\r\n\r\n").to_ascii_lowercase(), "x-sum: 7\r\n\r\n");
}

#[test]
fn a_fixed_answer_is_compressed_too() {
    let service = Service::saying("x");
    let door = door(service.address(), "");
    let mut client = door.connect();
    let head = ask(&mut client, "GET", "/own", "gzip");
    match field(&head, "content-encoding") {
        Some(coding) => {
            let length = field(&head, "content-length").expect("it is at hand").parse();
            let encoded = client.read_exact(length.expect("a number"));
            assert_eq!(decode(coding, &encoded), "own words ".repeat(300));
        }
        None => panic!("{head}"),
    }
}
