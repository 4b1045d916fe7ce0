//! Answers that break off behind their head.

use crate::door::Door;
use crate::http::to;
use crate::ops::{operate, token, until};
use crate::wire::{End, Upstream, Wire, ok};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";

/// The next request, answered with `text` and a broken connection.
#[track_caller]
fn break_off(upstream: &Upstream, text: &str) {
    let mut service = upstream.accept();
    service.read_request();
    service.send(text);
    service.reset();
}

fn ask(door: &Door, head: &str) -> Wire {
    let mut client = door.connect();
    client.send(head);
    client
}

#[test]
fn another_endpoint_answers_if_the_answer_is_small() {
    let upstream = Upstream::new();
    let door = Door::start(&to(&upstream));
    for broken in [HEAD, &format!("{HEAD}ha")] {
        let token = token(&door);
        let mut client = ask(
            &door,
            &format!(
                "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: half\r\nDoorward-Explain: {token}\r\n\r\n"
            ),
        );
        break_off(&upstream, broken);
        let mut second = upstream.accept();
        second.read_request();
        second.send(ok("whole"));
        let answer = client.read_response();
        assert!(answer.ends_with("\r\n\r\nwhole"), "{answer}");
        let trail = until("it is kept", || {
            let trail = operate(&door, "GET", "/api/trails/half", "");
            (trail.status == 200).then_some(trail.body)
        });
        assert!(trail.contains("its head came, and its body did not"), "{trail}");
    }
}

#[test]
fn a_small_answer_that_takes_its_time_goes_on_as_it_comes() {
    let upstream = Upstream::new();
    let door = Door::start(&to(&upstream));
    let mut client = ask(&door, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = upstream.accept();
    service.read_request();
    service.send(HEAD);
    assert!(client.read_head().starts_with("HTTP/1.1 200 "));
    service.send("slow");
    assert_eq!(client.read_exact(4), b"slow");
}

#[test]
fn what_could_not_be_sent_again_is_not_waited_for() {
    let upstream = Upstream::new();
    let once = to(&upstream).replacen("endpoints", "retry = { attempts = 1 }\nendpoints", 1);
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    for (config, request, answer) in
        [(&once, get, HEAD), (&to(&upstream), post, HEAD), (&to(&upstream), get, large)]
    {
        let door = Door::start(config);
        let mut client = ask(&door, request);
        break_off(&upstream, &format!("{answer}ha"));
        let (came, end) = client.read_to_end();
        assert!(came.ends_with(b"\r\n\r\nha"), "{request} {answer}");
        assert_eq!(end, End::Reset, "{request} {answer}");
    }
}
