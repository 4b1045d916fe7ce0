//! Endpoints are asked whether they are well, and those that are not get no requests.

use super::{Patient, answers, endpoint, until_found};
use crate::door::{Door, Folder};
use crate::ops::{metrics, operate, until, value};
use crate::wire::{Refusing, Service, Upstream};

/// A service of `endpoints` that are asked as `health` says. They take turns: which is faster is chance.
fn asked(endpoints: &[String], health: &str) -> String {
    format!(
        "[service.it]\nendpoints = {endpoints:?}\nbalance = {{ by = \"round-robin\" }}\nhealth = {{ {health}, every = \"20ms\" }}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n"
    )
}

fn of(patients: &[&Patient]) -> Vec<String> {
    patients.iter().map(|one| one.address().to_string()).collect()
}

/// Workers hear of it within a tenth of a second.
#[track_caller]
fn only_a(door: &Door) {
    until("only the good one is used", || {
        answers(door, 20).iter().all(|name| name == "a").then_some(())
    });
}

#[test]
fn what_is_unwell_gets_no_requests_until_it_is_well_again() {
    let (a, b) = (Patient::new("a", true), Patient::new("b", true));
    let door = Door::start(&asked(&of(&[&a, &b]), "path = \"/healthz\""));
    for one in [&a, &b] {
        until_found(&door, one.address(), "well");
    }
    until_both(&door);
    b.becomes(false);
    until_found(&door, b.address(), "unwell");
    let why = &endpoint(&door, b.address())["last-failure"];
    assert_eq!(*why, "`/healthz` answered 503");
    door.stderr.wait_for("failed 3 checks in a row: `/healthz` answered 503");
    only_a(&door);
    let metrics = metrics(&door);
    let label = format!("{{service=\"it\",endpoint=\"{}\"}}", b.address());
    assert_eq!(value(&metrics, &format!("doorward_health_endpoint_well{label}")), 0.0);
    b.becomes(true);
    until_found(&door, b.address(), "well");
    door.stderr.wait_for("is well again");
    until("it is used again", || answers(&door, 4).contains(&"b".to_owned()).then_some(()));
}

/// Waits until both answered: one that is quicker gets nearly all.
fn until_both(door: &Door) {
    for name in ["a", "b"] {
        until(name, || (answers(door, 1) == [name]).then_some(()));
    }
}

#[test]
fn what_is_not_proven_waits_unless_nothing_is() {
    let (a, b) = (Patient::new("a", false), Patient::new("b", false));
    let door = Door::start(&asked(&of(&[&a, &b]), "path = \"/healthz\", unhealthy-after = 1000"));
    // Nothing better is known of either.
    until_both(&door);
    a.becomes(true);
    until_found(&door, a.address(), "well");
    only_a(&door);
    let explained = operate(&door, "POST", "/api/explain", r#"{"url": "http://h/"}"#);
    let outcome = explained.json()["outcome"].clone();
    assert_eq!(outcome, format!("forward to `it` at {}", a.address()));
}

#[test]
fn when_all_are_unwell_all_are_tried() {
    let (a, b) = (Patient::new("a", false), Patient::new("b", false));
    let door = Door::start(&asked(&of(&[&a, &b]), "path = \"/healthz\""));
    for one in [&a, &b] {
        until_found(&door, one.address(), "unwell");
    }
    until_both(&door);
}

#[test]
fn what_was_found_outlives_a_reload() {
    let (a, b) = (Patient::new("a", true), Patient::new("b", false));
    let config = asked(&of(&[&a, &b]), "path = \"/healthz\"");
    let door = Door::start(&config);
    until_found(&door, a.address(), "well");
    until_found(&door, b.address(), "unwell");
    // Checks that last so long that this one never comes again.
    let slow = config.replace("20ms", "1h");
    door.rewrite(&slow);
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    assert_eq!(endpoint(&door, a.address())["health"], "well");
    assert_eq!(endpoint(&door, b.address())["health"], "unwell");
    only_a(&door);
    door.rewrite(&slow.replace("health = ", "#"));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    assert_eq!(endpoint(&door, b.address())["health"], "unasked");
}

#[test]
fn there_are_other_ways_to_ask() {
    let well = Patient::new("a", true).address().to_string();
    let refusing = Refusing::new();
    let both = [well.clone(), refusing.address().to_string()];
    let silent = Upstream::new();
    let folder = || {
        let folder = Folder::new();
        folder.write("check.sh", "case $1 in *:1) exit 1;; esac\ntest $1 = $ENDPOINT");
        folder
    };
    let moved = Service::new(|_| "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned());
    for (endpoints, health, expected) in [
        (&both[..], "tcp = true", &["well", "unwell"][..]),
        (
            &[well.clone(), "127.0.0.1:1".to_owned()],
            "command = \"sh check.sh {endpoint}\"",
            &["well", "unwell"],
        ),
        (std::slice::from_ref(&well), "path = \"/healthz\", body = \"fine\"", &["well"]),
        (std::slice::from_ref(&well), "path = \"/healthz\", body = \"sick\"", &["unwell"]),
        (&[moved.address().to_string()], "status = \"200, 404\"", &["well"]),
        (&[moved.address().to_string()], "path = \"/\"", &["unwell"]),
        (&[silent.address().to_string()], "path = \"/\", timeout = \"50ms\"", &["unwell"]),
    ] {
        let door = Door::start_in(folder(), &asked(endpoints, health));
        for (address, expected) in endpoints.iter().zip(expected) {
            until_found(&door, address.parse().expect("an address"), expected);
        }
    }
}
