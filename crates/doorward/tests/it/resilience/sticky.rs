//! Sessions that stay at one endpoint by a signed cookie.

use std::collections::BTreeSet;

use serde_json::json;

use crate::door::Door;
use crate::ops::{metrics_with, operate};
use crate::wire::{Service, field, ok, text};

fn config(services: &[Service], sticky: &str) -> String {
    let endpoints: Vec<String> = services.iter().map(|one| one.address().to_string()).collect();
    format!(
        "[service.it]\nendpoints = {endpoints:?}\nsticky = {sticky}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n"
    )
}

/// A door before these services, whose sessions stick as `sticky` says.
fn door(services: &[Service], sticky: &str) -> Door {
    Door::start(&config(services, sticky))
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
}

#[test]
fn explain_reads_the_cookie_as_requests_do() {
    let services = three();
    let door = door(&services, "{ key = \"0123456789abcdef\" }");
    let (first, cookie) = begin(&door);
    let at = ["a", "b", "c"].iter().position(|name| *name == first).expect("one of them");
    let there = format!("forward to `it` at {}", services[at].address());
    let ask = |cookie: &str| {
        let question = json!({ "url": "http://h/", "headers": [["Cookie", cookie]] });
        operate(&door, "POST", "/api/explain", &question.to_string()).json()
    };
    let explained = ask(&cookie);
    assert_eq!(explained["outcome"], there, "{explained}");
    assert!(explained.to_string().contains("its cookie names an endpoint"), "{explained}");
    let explained = ask("doorward-it=nonsense").to_string();
    assert!(explained.contains("its cookie is none of ours"), "{explained}");
    // From the file alone, with the key that stands in it.
    let header = format!("Cookie: {cookie}");
    let offline = |door: &Door| {
        let arguments = ["explain", "GET", "http://h/", "-H", &header, "--config", "doorward.toml"];
        let output =
            Door::command(&door.folder, &arguments).output().expect("the program is built");
        text(&output.stdout)
    };
    assert!(offline(&door).contains(&there), "{}", offline(&door));
    door.rewrite(&config(&services, "{}"));
    let unknown = "its cookies are signed by the running process";
    assert!(offline(&door).contains(unknown), "{}", offline(&door));
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
fn keys_are_replaced_without_a_session_moving() {
    let services = three();
    let [old, both, new] = [
        "\"0123456789abcdef\"",
        "[\"fedcba9876543210\", \"0123456789abcdef\"]",
        "\"fedcba9876543210\"",
    ]
    .map(|key| door(&services, &format!("{{ key = {key} }}")));
    let (first, cookie) = begin(&old);
    assert_eq!(ask(&both, &cookie), (first, None), "the old one is believed");
    let (first, cookie) = begin(&both);
    assert_eq!(ask(&new, &cookie), (first, None), "the new one signs");
    assert!(ask(&old, &cookie).1.is_some(), "another key");
}

#[test]
fn answers_for_everybody_carry_no_cookie() {
    let everybody = ok("all").replacen("\r\n", "\r\nCache-Control: public, max-age=60\r\n", 1);
    let door = door(&[Service::new(move |_| everybody.clone())], "{}");
    assert_eq!(ask(&door, "z=1"), ("all".to_owned(), None));
}
