//! A client that leaves ends the work for it.

use crate::door::{Door, End, Upstream, Wire};
use crate::http::to;
use crate::ops::metrics_with;
use crate::wire::ok;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn pass() -> (Door, Upstream) {
    let upstream = Upstream::new();
    (Door::start(&to(&upstream)), upstream)
}

/// The service is told so: its connection ends.
#[track_caller]
fn hears_of_it(mut service: Wire) {
    let (_, end) = service.read_to_end();
    assert!(matches!(end, End::Closed | End::Reset));
}

#[test]
fn who_leaves_before_the_answer_is_not_worked_for() {
    let (door, upstream) = pass();
    let with_body = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    let in_chunks =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let mut count = 0.0;
    for request in [GET, with_body, in_chunks] {
        for end in [End::Closed, End::Reset] {
            let mut client = door.connect();
            client.send(request);
            let mut service = upstream.accept();
            service.read_request();
            match end {
                End::Closed => drop(client),
                End::Reset => client.reset(),
            }
            hears_of_it(service);
            count += 1.0;
            metrics_with(&door, "doorward_faults_total{fault=\"client-gone\"}", count);
        }
    }
}

#[test]
fn who_leaves_within_a_slow_answer_is_not_worked_for() {
    let (door, upstream) = pass();
    let mut client = door.connect();
    client.send(GET);
    let mut service = upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.read_until("hello");
    drop(client);
    hears_of_it(service);
}

#[test]
fn who_has_more_to_say_has_not_left() {
    let (door, upstream) = pass();
    let mut client = door.connect();
    client.send(GET);
    let mut service = upstream.accept();
    service.read_request();
    // The next request is here before the first is answered, and comes in pieces.
    client.send("GET /two HTTP/1.1\r\nHo");
    client.send("st: h\r\n\r\n");
    service.send(ok("one"));
    assert!(client.read_response().ends_with("one"));
    assert!(service.read_request().starts_with("GET /two "));
    service.send(ok("two"));
    assert!(client.read_response().ends_with("two"));
}
