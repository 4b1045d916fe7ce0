//! The same cache for clients of every version of HTTP, and for services of both.

use super::{Kitchen, body};
use crate::frames::{Frames, request, request_with};

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
