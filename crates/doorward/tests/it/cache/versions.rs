//! The same cache for clients of every version of HTTP, and for services of both.

use super::{Kitchen, body};
use crate::door::{Door, Folder, Upstream};
use crate::frames::{Frames, request, request_with};
use crate::tls::client::{Made, tables};

#[test]
fn clients_of_http_2_get_what_others_left() {
    let kitchen = Kitchen::new("{}");
    let large = "x".repeat(300_000);
    kitchen.fetch("GET /a", &format!("200 OK\nCache-Control: max-age=60\nETag: \"1\"\n\n{large}"));
    let caller = Frames::connect(kitchen.door.http[0]);
    let answer = caller.ask(request("GET", "/a"), b"");
    assert_eq!(answer.text().len(), large.len());
    assert!(answer.plain().contains("cache-status: Doorward; hit"), "{}", &answer.plain()[..300]);
    let conditional = request_with("GET", "/a", &[("if-none-match", "\"1\"")]);
    assert!(caller.ask(conditional, b"").plain().starts_with("304"));
    let part = request_with("GET", "/a", &[("range", "bytes=5-9")]);
    let answer = caller.ask(part, b"");
    assert!(answer.plain().starts_with("206") && answer.text() == "xxxxx", "{}", answer.plain());
    assert!(kitchen.is_quiet());
    assert_eq!(body(&kitchen.hit("HEAD /a")), "");
}

#[test]
fn clients_of_http_3_get_what_others_left() {
    let (folder, service) = (Folder::new(), Upstream::new());
    let made = Made::new(&folder, "own", &["localhost"]);
    let config = format!(
        "{}[[route]]\npath = \"/*\"\nservice = \"it\"\ncache = {{}}\n\
         [service.it]\nendpoints = [\"{}\"]\n",
        tables(&[&made]),
        service.address()
    );
    let kitchen = Kitchen { door: Door::start_in(folder, &config), service };
    let large = "x".repeat(300_000);
    let answer = format!("200 OK\nCache-Control: max-age=60\nETag: \"1\"\n\n{large}");
    let caller = crate::quic::Quic::connect(kitchen.door.https[0], &made);
    let mut first = caller.open(&crate::quic::request("GET", "/a", &[]), true);
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crate::http::crlf(&super::said(&answer)));
    assert_eq!(caller.answer(&mut first).expect("an answer").text().len(), large.len());
    let hit = |fields: &[(&str, &str)]| caller.ask(&crate::quic::request("GET", "/a", fields), b"");
    let again = hit(&[]);
    assert_eq!((again.status, again.text().len()), (200, large.len()));
    assert!(again.field("cache-status").is_some_and(|told| told.starts_with("Doorward; hit")));
    assert_eq!(again.field("content-length"), Some("300000"));
    assert_eq!(hit(&[("if-none-match", "\"1\"")]).status, 304);
    let part = hit(&[("range", "bytes=5-9")]);
    assert_eq!((part.status, part.text()), (206, "xxxxx"));
    assert!(kitchen.is_quiet());
}

#[test]
fn a_client_of_http_2_takes_a_stored_body_at_its_own_pace() {
    let kitchen = Kitchen::new("{}");
    let body: String = (0..40_000).map(|at| format!("{at:07} ")).collect();
    kitchen.fetch("GET /a", &format!("200 OK\nCache-Control: max-age=60\n\n{body}"));
    // Windows of a byte more than nothing, and of what does not divide any chunk.
    for window in [1_000, 16_385, 65_535] {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).max_frame_size(16_384);
        let caller = Frames::connect_as(kitchen.door.http[0], &builder);
        let answer = caller.ask(request("GET", "/a"), b"");
        assert!(answer.text() == body, "with a window of {window}");
    }
    assert!(kitchen.is_quiet());
}
