//! Who of several endpoints gets a request, as `balance` says.

use std::collections::BTreeSet;

use crate::door::Door;
use crate::wire::{Service, Upstream, ok};

/// A door before three endpoints that say their names.
fn three(policy: &str) -> (Door, [Service; 3]) {
    let services = ["a", "b", "c"].map(|name| Service::new(move |_| ok(name)));
    let endpoints: Vec<String> = services.iter().map(|one| one.address().to_string()).collect();
    let door = Door::start(&format!(
        "[service.it]\nendpoints = {endpoints:?}\n{policy}\n[[route]]\npath = \"/*\"\nservice = \"it\"\n"
    ));
    (door, services)
}

fn ask(door: &Door, fields: &str) -> String {
    let mut client = door.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    let answer = client.read_response();
    answer.rsplit("\r\n").next().expect("a body").to_owned()
}

#[test]
fn a_key_meets_the_same_endpoint_on_every_connection() {
    let (door, _services) = three("balance = { by = \"hash\", hash = \"header:x-user\" }");
    let mut met = BTreeSet::new();
    for user in 0..20 {
        let first = ask(&door, &format!("X-User: {user}\r\n"));
        for _ in 0..3 {
            assert_eq!(ask(&door, &format!("X-User: {user}\r\n")), first);
        }
        met.insert(first);
    }
    assert_eq!(met.len(), 3, "{met:?}");
}

#[test]
fn turns_are_even() {
    let (door, services) = three("balance = { by = \"round-robin\" }");
    let mut client = door.connect();
    for _ in 0..30 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_response();
    }
    let counts = services.map(|service| service.take_received().len());
    assert_eq!(counts, [10, 10, 10]);
}

#[test]
fn an_endpoint_has_no_more_requests_than_it_may() {
    let only = Upstream::new();
    let door = Door::start(&format!(
        "[runtime]\nworkers = 2\n[service.it]\nendpoints = [\"{}\"]\nbalance = {{ requests = 1 }}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n",
        only.address()
    ));
    let mut first = door.connect();
    first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut taken = only.accept();
    taken.read_request();
    // Whichever worker they come to: one is one.
    for _ in 0..16 {
        let mut other = door.connect();
        other.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let refused = other.read_response();
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("retry-after: 1"), "{refused}");
    }
    taken.send(ok("done"));
    assert!(first.read_response().ends_with("done"));
    first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    taken.read_request();
    taken.send(ok("and again"));
    assert!(first.read_response().ends_with("and again"));
}
