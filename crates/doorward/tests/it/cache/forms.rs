//! What is cached, compressed: once for all who want it.

use super::{Kitchen, body, said};
use crate::door::Wire;
use crate::http::compress::decode;
use crate::http::crlf;
use crate::http::streams::data;
use crate::wire::field;

fn page() -> String {
    (0..20_000).map(|at| format!("<li>{}</li>", at % 977)).collect()
}

fn answer(fields: &str, page: &str) -> String {
    format!("200 OK\nContent-Type: text/html\nCache-Control: max-age=60\n{fields}\n\n{page}")
}

fn kitchen() -> Kitchen {
    Kitchen::with("{}", "compress = {}", "")
}

/// What a stored form is told by: only of what has been made the length is known.
#[track_caller]
fn made(kitchen: &Kitchen, request: &str) -> (String, Vec<u8>) {
    let mut client = kitchen.ask(request);
    let head = client.read_head();
    let length = field(&head, "content-length").expect("it was made").parse().expect("a number");
    let bytes = if request.starts_with("HEAD") { Vec::new() } else { client.read_exact(length) };
    assert!(kitchen.is_quiet(), "the service was asked");
    (head, bytes)
}

#[test]
fn each_form_is_made_once_and_kept() {
    let (kitchen, page) = (kitchen(), page());
    let tagged = answer("ETag: \"v1\"\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT", &page);
    kitchen.fetch("GET /a", &tagged);
    for (accept, coding) in [("gzip", "gzip"), ("gzip, br", "br"), ("zstd, gzip", "zstd")] {
        let request = format!("GET /a\nAccept-Encoding: {accept}");
        let mut client = kitchen.ask(&request);
        let head = client.read_head();
        assert_eq!(field(&head, "content-encoding"), Some(coding), "{head}");
        let first = data(&mut client);
        let (head, again) = made(&kitchen, &request);
        assert_eq!(first, again, "{coding}");
        assert_eq!(field(&head, "content-encoding"), Some(coding), "{head}");
        assert_eq!(field(&head, "etag"), Some("W/\"v1\""), "{head}");
        assert_eq!(field(&head, "vary"), Some("Accept-Encoding"), "{head}");
        assert_eq!(decode(coding, &again), page);
        let (of_head, _) = made(&kitchen, &format!("HEAD /a\nAccept-Encoding: {accept}"));
        assert_eq!(field(&of_head, "content-length"), field(&head, "content-length"));
        let known = format!("{request}\nIf-None-Match: W/\"v1\"");
        let given = kitchen.hit(&known);
        assert!(given.starts_with("HTTP/1.1 304 "), "{given}");
        assert_eq!(field(&given, "etag"), Some("W/\"v1\""), "{given}");
        assert_eq!(field(&given, "vary"), Some("Accept-Encoding"), "{given}");
        // A part is one of the page as it is, and says so.
        let given = kitchen.hit(&format!("{request}\nRange: bytes=4-8"));
        assert_eq!((body(&given), field(&given, "etag")), (&page[4..9], Some("\"v1\"")));
        assert_eq!(field(&given, "content-encoding"), None, "{given}");
        assert_eq!(field(&given, "vary"), Some("Accept-Encoding"), "{given}");
        // Unless the client may have a part of the compressed one.
        for if_range in ["W/\"v1\"", "Thu, 01 Jan 2026 00:00:00 GMT"] {
            let resumed = format!("{request}\nRange: bytes=4-8\nIf-Range: {if_range}");
            let (head, whole) = made(&kitchen, &resumed);
            assert!(head.starts_with("HTTP/1.1 200 ") && whole == again, "{head}");
        }
    }
    let plain = kitchen.hit("GET /a");
    assert_eq!((body(&plain), field(&plain, "vary")), (&*page, Some("Accept-Encoding")));
    // What is small stays as it is.
    kitchen.fetch("GET /b", &answer("X: y", "small"));
    let given = kitchen.hit("GET /b\nAccept-Encoding: gzip");
    assert_eq!((body(&given), field(&given, "content-encoding")), ("small", None));
}

#[test]
fn a_form_stays_with_its_body_and_goes_with_it() {
    let (kitchen, page) = (kitchen(), page());
    let stale = answer("ETag: \"v1\"\nAge: 90", &page);
    let request = "GET /a\nAccept-Encoding: gzip";
    let mut client = kitchen.ask(request);
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf(&said(&stale)));
    client.read_head();
    let first = data(&mut client);
    assert_eq!(decode("gzip", &first), page);
    // It is still so, and so is its form.
    let mut client = kitchen.ask(request);
    let mut service = kitchen.service.accept();
    assert_eq!(field(&service.read_request(), "if-none-match"), Some("\"v1\""));
    service.send(crlf(&said("304 Not Modified\nETag: \"v1\"\nCache-Control: max-age=60")));
    let length = field(&client.read_head(), "content-length").map(str::parse::<usize>);
    assert_eq!(length, Some(Ok(first.len())));
    // Another state has other forms.
    kitchen.fetch("POST /a", "204 No Content\nX: y");
    let mut client = kitchen.ask(request);
    let mut service = kitchen.service.accept();
    service.read_request();
    let other = page.replace('7', "8");
    service.send(crlf(&said(&answer("ETag: \"v2\"", &other))));
    client.read_head();
    assert_eq!(decode("gzip", &data(&mut client)), other);
    assert_eq!(decode("gzip", &made(&kitchen, request).1), other);
}

#[test]
fn all_who_wait_get_one_form_as_it_arrives() {
    let kitchen = kitchen();
    let request = "GET /a\nAccept-Encoding: br";
    let mut clients: Vec<Wire> = (0..20).map(|_| kitchen.ask(request)).collect();
    let mut service = kitchen.service.accept();
    service.read_request();
    super::collapse::wait_for(&kitchen, 20);
    let said = "HTTP/1.1 200 OK\nContent-Type: text/html\nCache-Control: max-age=60\n\
                Connection: close\n\n";
    service.send(crlf(said));
    service.send("hello ".repeat(500));
    let mut read: Vec<Vec<u8>> = Vec::new();
    for client in &mut clients {
        client.read_head();
        let mut some = Vec::new();
        while decode("br", &some).len() < 3000 {
            let line = client.read_until("\r\n");
            let count = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
            some.extend(client.read_exact(count));
            client.read_exact(2);
        }
        read.push(some);
    }
    service.send("world");
    drop(service);
    for (client, some) in clients.iter_mut().zip(&mut read) {
        some.extend(data(client));
        assert!(decode("br", some).ends_with("hello world"));
    }
    assert!(read.iter().all(|bytes| *bytes == read[0]), "there is one form");
    assert_eq!(made(&kitchen, request).1, read[0]);
}
