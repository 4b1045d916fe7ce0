//! What is too large for memory: to the disk as it arrives, from there as it is sent.

use super::{Kitchen, body, status};
use crate::door::Wire;
use crate::http::crlf;
use crate::wire::field;

const MIB: usize = 1 << 20;

/// Bytes that tell where they belong.
fn bytes(from: usize, to: usize) -> Vec<u8> {
    (from / 8..to / 8).flat_map(|at| (at as u64).to_be_bytes()).collect()
}

fn kitchen() -> Kitchen {
    let tables = "[cache]\nmemory = \"16MiB\"\nobject = \"256KiB\"\n\
                  disk = { path = \"disk\", size = \"1GiB\" }\n";
    Kitchen::with("{}", "", tables)
}

/// The most memory that the process ever had.
fn most_bytes(kitchen: &Kitchen) -> usize {
    let path = format!("/proc/{}/status", kitchen.door.pid());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is Linux");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Reads `from..to` of the body, and says whether it is right.
#[track_caller]
fn read(client: &mut Wire, from: usize, to: usize) {
    for at in (from..to).step_by(MIB) {
        let end = to.min(at + MIB);
        assert!(client.read_exact(end - at) == bytes(at, end), "wrong bytes behind {at}");
    }
}

/// Asks until the answer comes from what is stored; it is written behind the back of clients.
#[track_caller]
fn hit(kitchen: &Kitchen, request: &str) -> (Wire, String) {
    loop {
        let mut client = kitchen.ask(request);
        let head = client.read_head();
        if status(&head).starts_with("hit") {
            return (client, head);
        }
        assert!(status(&head).contains("collapsed"), "{head}");
    }
}

#[test]
fn a_large_answer_streams_to_all_and_to_the_disk_and_back() {
    let kitchen = kitchen();
    // What is taken whatever is asked for is not counted.
    kitchen.fetch("GET /small", "200 OK\nCache-Control: max-age=60\n\nx");
    let before = most_bytes(&kitchen);
    let total = 96 * MIB;
    let mut first = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf(&format!(
        "HTTP/1.1 200 OK\nCache-Control: max-age=600\nETag: \"1\"\nContent-Length: {total}\n\n"
    )));
    let sent = 10 * MIB + 4096;
    let head = first.read_head();
    assert_eq!(status(&head), "fwd=uri-miss; stored; ttl=600");
    let mut sending = service.other_hand();
    let sender = std::thread::spawn(move || sending.send(bytes(0, sent)));
    read(&mut first, 0, sent);
    sender.join().expect("it was sent");
    // Late ones get what came before from the disk, and what comes as it comes.
    let mut late = [kitchen.ask("GET /a"), kitchen.ask("GET /a")];
    for client in &mut late {
        let head = client.read_head();
        assert!(status(&head).starts_with("fwd=uri-miss; stored; collapsed; ttl="), "{head}");
        read(client, 0, sent);
    }
    let sender = std::thread::spawn(move || {
        for at in (sent..total).step_by(MIB) {
            service.send(bytes(at, total.min(at + MIB)));
        }
    });
    // One who reads nothing holds nobody up.
    read(&mut first, sent, total);
    sender.join().expect("it was sent");
    read(&mut late[0], sent, total);
    let (mut again, head) = hit(&kitchen, "GET /a");
    assert_eq!(field(&head, "content-length"), Some(&*total.to_string()));
    read(&mut again, 0, total);
    read(&mut late[1], sent, total);
    let part = kitchen.hit("GET /a\nRange: bytes=50000008-50000015");
    assert!(part.starts_with("HTTP/1.1 206 "), "{part}");
    assert_eq!(field(&part, "content-range"), Some("bytes 50000008-50000015/100663296"));
    assert_eq!(body(&part).as_bytes(), bytes(50_000_008, 50_000_016));
    let (mut rest, _) = hit(&kitchen, "GET /a\nRange: bytes=-70000");
    assert_eq!(rest.read_exact(70_000), bytes(total - 70_000, total));
    assert!(kitchen.hit("GET /a\nIf-None-Match: \"1\"").starts_with("HTTP/1.1 304 "));
    let taken = most_bytes(&kitchen) - before;
    assert!(taken < 48 * MIB, "{} MiB for a body of {}", taken / MIB, total / MIB);
}

#[test]
fn how_large_it_is_may_turn_out_on_the_way() {
    let kitchen = kitchen();
    let total = 3 * MIB + 1000;
    let mut first = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    let head = "HTTP/1.1 200 OK\nCache-Control: max-age=600\nETag: \"1\"\nConnection: close\n\n";
    service.send(crlf(head));
    let sender = std::thread::spawn(move || service.send(bytes(0, total)));
    first.read_head();
    let got = crate::http::streams::data(&mut first);
    assert!(got == bytes(0, total), "{} bytes", got.len());
    sender.join().expect("it was sent");
    let (mut again, head) = hit(&kitchen, "GET /a");
    assert_eq!(field(&head, "content-length"), Some(&*total.to_string()));
    read(&mut again, 0, total);
    // It is validated and purged as what is small.
    let (_, valid) =
        kitchen.fetch("HEAD /a\nCache-Control: no-cache", "304 Not Modified\nETag: \"1\"");
    drop(valid);
    kitchen.fetch("POST /a", "204 No Content\nX: y");
    let (_, given) = kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=600\n\nsmall");
    assert_eq!(body(&given), "small");
    assert_eq!(body(&kitchen.hit("GET /a")), "small");
}

#[test]
fn what_breaks_off_is_not_kept() {
    let kitchen = kitchen();
    let mut client = kitchen.ask("GET /a");
    let mut service = kitchen.service.accept();
    service.read_request();
    service.send(crlf(&format!(
        "HTTP/1.1 200 OK\nCache-Control: max-age=600\nContent-Length: {}\n\n",
        8 * MIB
    )));
    client.read_head();
    let mut sending = service.other_hand();
    let sender = std::thread::spawn(move || sending.send(bytes(0, 4 * MIB)));
    read(&mut client, 0, 4 * MIB);
    sender.join().expect("it was sent");
    drop(service);
    client.expect_end();
    let (_, given) = kitchen.fetch("GET /a", "200 OK\nCache-Control: max-age=600\n\nwhole");
    assert_eq!(body(&given), "whole");
}
