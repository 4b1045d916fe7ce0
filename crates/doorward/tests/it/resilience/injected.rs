//! Faults that are made on purpose: what clients see of them, and what is written down.

use std::time::{Duration, Instant};

use crate::door::{Door, End};
use crate::frames::{Frames, request};
use crate::ops::{metrics, value};
use crate::wire::{Service, field};

fn door(fault: &str, service: &Service) -> Door {
    Door::start(&format!(
        "[log]\naccess = \"json\"\n\
         [[route]]\nname = \"cart\"\npath = \"/*\"\nservice = \"a\"\nfault = {fault}\n\
         [service.a]\nendpoints = [\"{}\"]\n",
        service.address()
    ))
}

fn get(more: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{more}\r\n")
}

#[test]
fn a_request_is_held_up_and_the_service_is_not_blamed() {
    let service = Service::saying("late");
    let door = door("{ delay = { time = \"400ms\" }, header = { x-chaos = \"slow\" } }", &service);
    let began = Instant::now();
    let response = door.ask(get("X-Chaos: slow\r\n"));
    assert!(response.ends_with("late"), "{response}");
    assert!(began.elapsed() >= Duration::from_millis(400));
    let line = door.stdout.wait_for("injected-delay-us");
    assert!(line.contains("\"injected-delay-us\":400000") && !line.contains("\"fault\""), "{line}");
    assert!(door.ask(get("")).ends_with("late"));
    let metrics = metrics(&door);
    let injected = "doorward_route_injected_faults_total{route=\"cart\",kind=\"delay\"}";
    assert_eq!(value(&metrics, injected), 1.0);
    assert_eq!(value(&metrics, "doorward_client_delayed_requests"), 0.0);
    let waited = value(&metrics, "doorward_upstream_first_byte_seconds_sum{service=\"a\"}");
    assert!(waited < 0.4, "the service is said to have taken {waited} s");
}

#[test]
fn a_request_is_failed_and_the_service_hears_nothing_of_it() {
    let service = Service::saying("never");
    let door = door("{ abort = { with = 429 } }", &service);
    let response = door.ask(get(""));
    assert!(response.starts_with("HTTP/1.1 429 "), "{response}");
    assert_eq!(field(&response, "proxy-status"), Some("doorward; error=proxy_internal_response"));
    assert!(response.contains("\"type\":\"urn:doorward:fault:injected\""), "{response}");
    door.stdout.wait_for("\"fault\":\"injected\"");
    assert!(service.take_received().is_empty());
    let metrics = metrics(&door);
    let injected = "doorward_route_injected_faults_total{route=\"cart\",kind=\"abort\"}";
    assert_eq!(value(&metrics, injected), 1.0);
    assert_eq!(value(&metrics, "doorward_faults_total{fault=\"injected\"}"), 1.0);
}

#[test]
fn a_connection_breaks_off() {
    let service = Service::saying("fine");
    let fault = "{ abort = { with = \"reset\" }, header = { x-chaos = true } }";
    let door = door(fault, &service);
    let mut client = door.connect();
    client.send(get("X-Chaos: 1\r\n"));
    assert_eq!(client.read_to_end(), (Vec::new(), End::Reset));
    door.stdout.wait_for("\"fault\":\"injected-reset\"");
    // Over HTTP/2 it is the stream, and the others go on.
    let client = Frames::connect(door.http[0]);
    let mut chaotic = request("GET", "/");
    chaotic.headers_mut().insert("x-chaos", "1".parse().expect("a value"));
    let broken = client.open(chaotic, true);
    let whole = client.open(request("GET", "/"), true);
    assert!(client.answer(broken.response).is_err());
    assert_eq!(client.answer(whole.response).expect("an answer").status, 200);
}

#[test]
fn who_is_held_up_may_leave() {
    let service = Service::saying("never");
    let door = door("{ delay = { time = \"60s\" } }", &service);
    let mut client = door.connect();
    client.send(get(""));
    client.end();
    door.stdout.wait_for("\"fault\":\"client-gone\"");
    assert!(service.take_received().is_empty());
}
