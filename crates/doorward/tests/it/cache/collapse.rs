//! Many who ask at once for one answer.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Kitchen, body, said, status};
use crate::door::Wire;
use crate::http::crlf;

/// Waits until `count` requests wait for an answer.
pub(super) fn wait_for(kitchen: &Kitchen, count: usize) {
    loop {
        let metrics = kitchen.door.admin("GET", "/metrics");
        let waiting: f64 = metrics
            .lines()
            .filter(|line| line.starts_with("doorward_cache_waiting_requests "))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        if waiting >= count as f64 {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn one_fetch_serves_all_as_it_arrives() {
    let kitchen = Kitchen::new("{}");
    let mut clients: Vec<Wire> = (0..20).map(|_| kitchen.ask("GET /a")).collect();
    let mut service = kitchen.service.accept();
    service.read_request();
    wait_for(&kitchen, 20);
    service.send(crlf("HTTP/1.1 200 OK\nCache-Control: max-age=60\nContent-Length: 10\n\nhello"));
    for client in &mut clients {
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(client.read_exact(5), b"hello");
    }
    // Late, but not too late.
    let mut late = kitchen.ask("GET /a");
    late.read_head();
    assert_eq!(late.read_exact(5), b"hello");
    service.send("world");
    clients.push(late);
    for client in &mut clients {
        assert_eq!(client.read_exact(5), b"world");
    }
    assert_eq!(body(&kitchen.hit("GET /a")), "helloworld");
}

/// How many clients ask at once: ten thousand, or what this process may have open beside all else.
fn crowd() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let files =
        limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    files.saturating_sub(2_000).clamp(100, 10_000)
}

#[test]
fn ten_thousand_who_ask_at_once_for_a_stale_page_are_one_request() {
    let kitchen = Kitchen::new("{}");
    // Stale when it comes, and worth to be asked for again.
    kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=1\nAge: 5\nETag: \"1\"\n\nold");
    let count = crowd();
    // The door closes: else ten thousand ports of this machine would rest for a minute.
    let ask = |_| kitchen.ask("GET /a\nConnection: close");
    let mut clients: Vec<Wire> = (0..count).map(ask).collect();
    let mut service = kitchen.service.accept();
    assert!(service.read_request().contains("\r\nIf-None-Match: \"1\"\r\n"));
    // The service takes as long as it takes them all to come.
    wait_for(&kitchen, count);
    service.send(crlf(&said("200 OK\nCache-Control: max-age=60\nETag: \"2\"\n\nnew")));
    let mut leaders = 0;
    for client in &mut clients {
        let response = client.read_response();
        assert_eq!(body(&response), "new");
        leaders += usize::from(!status(&response).contains("collapsed"));
    }
    assert_eq!(leaders, 1);
    assert!(kitchen.is_quiet(), "the service was asked more than once");
}

#[test]
fn those_who_follow_say_so() {
    let kitchen = Kitchen::new("{}");
    let mut clients = [kitchen.ask("GET /a"), kitchen.ask("GET /a")];
    let mut service = kitchen.service.accept();
    service.read_request();
    wait_for(&kitchen, 2);
    service.send(crlf(&said("200 OK\nCache-Control: max-age=60\n\nhello")));
    let mut told: Vec<String> =
        clients.iter_mut().map(|client| status(&client.read_response()).to_owned()).collect();
    told.sort();
    assert_eq!(told, ["fwd=uri-miss; stored; collapsed; ttl=60", "fwd=uri-miss; stored; ttl=60"]);
}

#[test]
fn nobody_waits_for_the_client_that_came_first() {
    let kitchen = Kitchen::new("{}");
    let first = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    let mut second = kitchen.ask("GET /a");
    wait_for(&kitchen, 2);
    drop(first);
    service.send(crlf(&said("200 OK\nCache-Control: max-age=60\n\nhello")));
    assert_eq!(body(&second.read_response()), "hello");
    // A client that left alone is no reason to begin anew for the next one.
    drop(kitchen.ask("GET /b"));
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf(&said("200 OK\nCache-Control: max-age=60\n\nb")));
    let mut next = kitchen.ask("GET /b");
    assert_eq!(body(&next.read_response()), "b");
    assert!(kitchen.is_quiet());
}

#[test]
fn what_is_not_for_all_makes_nobody_wait() {
    let kitchen = Kitchen::new("{}");
    let mut clients = [kitchen.ask("GET /a"), kitchen.ask("GET /a"), kitchen.ask("GET /a")];
    let mut first = kitchen.service.accept();
    first.read_request();
    wait_for(&kitchen, 3);
    first.send(crlf(&said("200 OK\nCache-Control: private\n\n1")));
    // The others go on by themselves, both at once.
    let mut others = [kitchen.service.accept(), kitchen.service.accept()];
    for other in &mut others {
        other.read_request();
    }
    for other in &mut others {
        other.send(crlf(&said("200 OK\nCache-Control: private\n\n2")));
    }
    let mut bodies: Vec<String> =
        clients.iter_mut().map(|client| body(&client.read_response()).to_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["1", "2", "2"]);
}

#[test]
fn those_with_other_headers_wait_for_their_own() {
    let kitchen = Kitchen::new("{}");
    let answer =
        |text: &str| crlf(&said(&format!("200 OK\nCache-Control: max-age=60\nVary: X\n\n{text}")));
    let mut ones = [kitchen.ask("GET /a\nX: 1"), kitchen.ask("GET /a\nX: 1")];
    let mut service = kitchen.service.accept();
    service.read_request();
    let mut twos = [kitchen.ask("GET /a\nX: 2"), kitchen.ask("GET /a\nX: 2")];
    wait_for(&kitchen, 4);
    service.send(answer("1"));
    for client in &mut ones {
        assert_eq!(body(&client.read_response()), "1");
    }
    let mut service = kitchen.service.accept();
    assert!(service.read_request().contains("\r\nX: 2\r\n"));
    service.send(answer("2"));
    for client in &mut twos {
        assert_eq!(body(&client.read_response()), "2");
    }
    assert!(kitchen.is_quiet());
}

#[test]
fn a_service_that_breaks_off_is_asked_again_by_the_next() {
    let kitchen = Kitchen::new("{}");
    let mut client = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf("HTTP/1.1 200 OK\nCache-Control: max-age=60\nContent-Length: 10\n\nhello"));
    client.read_head();
    client.read_exact(5);
    drop(service);
    client.expect_end();
    assert_eq!(body(&kitchen.fetch("GET /a", "200 OK\n\nwhole").1), "whole");
}

#[test]
fn what_is_too_large_is_passed_on() {
    let kitchen = Kitchen::new("{}");
    let megabytes = "x".repeat(3 << 20);
    let answer = format!("200 OK\nCache-Control: max-age=60\n\n{megabytes}");
    let (_, given) = kitchen.fetch("GET /a", &answer);
    assert_eq!(status(&given), "fwd=uri-miss; detail=too-large");
    assert_eq!(body(&given).len(), megabytes.len());
    // How large it is can also turn out on the way.
    let mut client = kitchen.ask("GET /b");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf("HTTP/1.1 200 OK\nCache-Control: max-age=60\nConnection: close\n\n"));
    let sending = std::thread::spawn(move || service.send(megabytes));
    let given = client.read_response();
    sending.join().expect("it was read");
    assert!(given.len() > 3 << 20);
    kitchen.fetch("GET /b", "200 OK\n\nx");
}
