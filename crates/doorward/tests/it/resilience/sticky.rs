//! Sessions that stay at one endpoint by a signed cookie.

use std::collections::BTreeSet;

use crate::door::Door;
use crate::ops::{metrics_with, operate};
use crate::wire::{Service, field, ok};

/// A door before these services, whose sessions stick as `sticky` says.
fn door(services: &[Service], sticky: &str) -> Door {
    let endpoints: Vec<String> = services.iter().map(|one| one.address().to_string()).collect();
    Door::start(&format!(
        "[service.it]\nendpoints = {endpoints:?}\nsticky = {sticky}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n"
    ))
}

fn three() -> [Service; 3] {
    ["a", "b", "c"].map(Service::saying)
}

/// What is answered to a client with this `Cookie`: the body, and the `Set-Cookie`.
fn ask(door: &Door, cookie: &str) -> (String, Option<String>) {
    let answer = door.ask(format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: x=y; {cookie}\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (body.to_owned(), field(head, "Set-Cookie").map(ToOwned::to_owned))
}

/// A new session: who answered, and the cookie that it got.
fn begin(door: &Door) -> (String, String) {
    let (body, cookie) = ask(door, "z=1");
    let cookie = cookie.expect("a cookie");
    (body, cookie.split(';').next().expect("a pair").to_owned())
}

#[test]
fn a_session_stays_where_it_began() {
    let door = door(&three(), "{}");
    let mut met = BTreeSet::new();
    while met.len() < 3 {
        let (first, cookie) = begin(&door);
        for _ in 0..5 {
            assert_eq!(ask(&door, &cookie), (first.clone(), None));
        }
        met.insert(first);
    }
    let (_, set) = ask(&door, "");
    let set = set.expect("a cookie");
    assert!(set.starts_with("doorward-it="), "{set}");
    assert!(set.ends_with("; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    let metrics = metrics_with(
        &door,
        "doorward_balance_sessions_total{service=\"it\",result=\"moved\"}",
        0.0,
    );
    assert!(metrics.contains("{service=\"it\",result=\"kept\"} "), "{metrics}");
    let explained = operate(&door, "POST", "/api/explain", "{\"url\": \"http://h/\"}").body;
    assert!(explained.contains("doorward-it"), "{explained}");
}

#[test]
fn what_is_not_signed_by_us_is_ignored() {
    let door =
        door(&three(), "{ cookie = \"at\", keep = \"1h\", same-site = \"strict\", path = \"/\" }");
    let (_, cookie) = begin(&door);
    let (name, value) = cookie.split_once('=').expect("a pair");
    // Another endpoint, a longer time, another signature.
    for at in [0, 16, 40] {
        let digit = if value[at..].starts_with('0') { "1" } else { "0" };
        let forged = format!("{name}={}{digit}{}", &value[..at], &value[at + 1..]);
        let (_, set) = ask(&door, &forged);
        let set = set.unwrap_or_else(|| panic!("{forged} is believed"));
        assert!(set.ends_with("; Max-Age=3600; Path=/; HttpOnly; SameSite=Strict"), "{set}");
    }
    assert!(ask(&door, "at=nonsense").1.is_some());
}

#[test]
fn a_session_whose_endpoint_is_gone_moves() {
    let services = three();
    let door = door(&services, "{}");
    let (first, cookie) = begin(&door);
    let gone = ["a", "b", "c"].iter().position(|name| *name == first).expect("one of them");
    let path = format!("/api/services/it/endpoints/{}", services[gone].address());
    operate(&door, "DELETE", &path, "");
    let (second, moved) = ask(&door, &cookie);
    let moved = moved.expect("another cookie");
    let moved = moved.split(';').next().expect("a pair");
    assert_ne!(second, first);
    assert_eq!(ask(&door, moved), (second.clone(), None));
    // That one is back, and the session stays.
    operate(&door, "PUT", &path, "");
    assert_eq!(ask(&door, moved), (second, None));
}

#[test]
fn nodes_with_one_key_believe_each_other() {
    let services = three();
    let with_key = "{ key = \"0123456789abcdef\" }";
    let [one, other] = [(); 2].map(|()| door(&services, with_key));
    let alone = door(&services, "{}");
    let (first, cookie) = begin(&one);
    for _ in 0..5 {
        assert_eq!(ask(&other, &cookie), (first.clone(), None));
    }
    assert!(ask(&alone, &cookie).1.is_some(), "another key");
}

#[test]
fn answers_for_everybody_carry_no_cookie() {
    let everybody = ok("all").replacen("\r\n", "\r\nCache-Control: public, max-age=60\r\n", 1);
    let door = door(&[Service::new(move |_| everybody.clone())], "{}");
    assert_eq!(ask(&door, "z=1"), ("all".to_owned(), None));
}
