//! Certificates from an authority: the whole program against Pebble, the authority that the authors of
//! Let's Encrypt made for testing clients.

mod clock;
mod front;
mod local;
mod pebble;
mod renewal;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::door::{Door, Folder, LIMIT};
use pebble::Pebble;

/// A route for each of two hosts, which must not stand in the way of an authority.
const ROUTES: &str = "[[route]]\npath = \"/*\"\nredirect = { to = \"https://elsewhere.example/\" }\n\
                      [[route]]\nhost = \"one.example\"\npath = \"/*\"\n\
                      respond = { status = 200, body = \"one\" }\n";

fn acme(door: &Door) -> Value {
    let status: Value = serde_json::from_str(&door.admin("GET", "/api/status")).expect("JSON");
    status["acme"].clone()
}

/// Waits until two lines say `words`.
#[track_caller]
fn wait_for_two(door: &Door, words: &str) {
    wait_until(words, || door.stderr.all().iter().filter(|line| line.contains(words)).count() > 1);
}

/// Waits for what nothing announces.
#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !done() {
        assert!(began.elapsed() < LIMIT, "in vain: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn http_01_is_answered_before_all_routes() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    // Everything plain is sent elsewhere, too.
    let names = "names = [\"one.example\", [\"two.example\", \"www.two.example\"]]\n\
                 contact = \"ops@example.com\"\n[tls]\nredirect = 5001\n";
    let door = Door::start_in(folder, &format!("{}{names}{ROUTES}", pebble.tables()));
    door.stderr.wait_for("one.example: certified until");
    door.stderr.wait_for("two.example, www.two.example: certified until");

    let mut one = pebble.client("one.example").connect(door.https[0]).expect("it is trusted");
    one.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
    assert!(one.read_response().ends_with("one"));
    for name in ["two.example", "www.two.example"] {
        pebble.client(name).connect(door.https[0]).expect("it is trusted");
    }
    // The answers are gone, and whoever asks is sent where all are.
    let answer = door.ask("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
    assert!(answer.contains("https://one.example:5001/"), "{answer}");

    let status = acme(&door);
    let certificates = status["certificates"].as_array().expect("two");
    assert_eq!(certificates.len(), 2);
    for certificate in certificates {
        assert_eq!((&certificate["state"], &certificate["error"]), (&"valid".into(), &Value::Null));
        assert_eq!(certificate["next-reason"], "two thirds of its life are over then");
    }
    let metrics = door.admin("GET", "/metrics");
    assert!(metrics.contains("doorward_acme_orders_total{result=\"issued\"} 2"), "{metrics}");
    assert!(metrics.contains("doorward_acme_failures{name=\"one.example\"} 0"), "{metrics}");

    let state = door.folder.path().join(".doorward/acme");
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode(&state) & 0o777, 0o700);
    let mut kept = 0;
    for entry in fs::read_dir(&state).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name != ".gitignore") {
            assert_eq!(mode(&path) & 0o777, 0o600, "{}", path.display());
            kept += 1;
        }
    }
    assert_eq!(kept, 6, "an account, a lock, two certificates with their records");
}

#[test]
fn hosts_of_routes_are_certified_by_tls_alpn_01() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let config =
        format!("{}challenge = \"tls-alpn-01\"\nkey = \"rsa2048\"\n{ROUTES}", pebble.tables());
    let door = Door::start_in(folder, &config);
    door.stderr.wait_for("one.example: certified until");
    pebble.client("one.example").connect(door.https[0]).expect("it is trusted");
    // Without a challenge, nobody gets anything in that protocol.
    let odd = pebble.client("one.example").protocols(&["acme-tls/1"]);
    odd.connect(door.https[0]).err().expect("there is no challenge any more");
}

#[test]
fn wildcards_are_certified_by_dns_01() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let hook = pebble.hook(&folder);
    let config = format!(
        "{}challenge = \"dns-01\"\ndns-hook = \"{hook}\"\nkey = \"ecdsa-p384\"\n\
         names = [[\"*.one.example\", \"one.example\"]]\n{ROUTES}",
        pebble.tables()
    );
    let door = Door::start_in(folder, &config);
    door.stderr.wait_for("*.one.example, one.example: certified until");
    for name in ["one.example", "any.one.example"] {
        pebble.client(name).connect(door.https[0]).expect("it is trusted");
    }
    let log = fs::read_to_string(door.folder.path().join("hook.log")).expect("it was called");
    let mut calls: Vec<&str> = log.lines().collect();
    calls.sort_unstable();
    let [add, remove] = ["add _acme-challenge.one.example", "remove _acme-challenge.one.example"];
    assert_eq!(calls, [add, add, remove, remove]);
}

#[test]
fn an_external_account_is_bound() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[("EXTERNAL", "1")]);
    let config =
        |account: &str| format!("{}names = [\"one.example\"]\n{account}{ROUTES}", pebble.tables());
    let door = Door::start_in(folder, &config(""));
    let said = door.stderr.wait_for("one.example: no certificate");
    assert!(said.contains("this authority wants `external-account`"), "{said}");
    assert_eq!(acme(&door)["certificates"][0]["state"], "missing");

    // Whoever mends the configuration does not have to wait.
    door.rewrite(&config(
        "external-account = { id = \"kid-1\", key = \
         \"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\" }\n",
    ));
    door.signal(rustix::process::Signal::HUP);
    door.stderr.wait_for("one.example: certified until");
}

#[test]
fn nonces_are_refused_and_the_order_goes_on() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[("PEBBLE_WFE_NONCEREJECT", "50")]);
    let door = Door::start_in(folder, &format!("{}{ROUTES}", pebble.tables()));
    door.stderr.wait_for("one.example: certified until");
    assert_eq!(acme(&door)["failed"], 0);
}
