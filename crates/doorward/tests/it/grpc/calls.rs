//! Deadlines, cancellation, and faults as clients of gRPC hear of them.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use h2::Reason;

use super::{answer, call, map, message, pair, status};
use crate::door::{Door, LIMIT};
use crate::frames::{FrameService, Frames, Served, say};
use crate::ops::metrics_with;
use crate::wire::Refusing;

/// Waits until the door gives the stream up, and says why it does.
#[track_caller]
fn given_up(service: &FrameService, served: &mut Served) -> Reason {
    service.wait(poll_fn(|cx| served.respond.poll_reset(cx))).expect("it is reset")
}

#[test]
fn a_fault_is_a_status_in_the_head() {
    let refusing = Refusing::new();
    let config = format!(
        "[[route]]\npath = \"/it.Calls/*\"\nservice = \"it\"\nbody-limit = \"10B\"\n\
         [service.it]\nprotocol = \"h2\"\nendpoints = [\"{}\"]\n",
        refusing.address()
    );
    let door = Door::start(&config);
    let client = Frames::connect(door.http[0]);
    let mut elsewhere = call(&[]);
    *elsewhere.uri_mut() = "http://h/none/Here".parse().expect("a target");
    for (asked, expected) in [
        (call(&[]), (14, "The service could not be reached")),
        (elsewhere, (12, "There is nothing here")),
        (call(&[("grpc-timeout", "soon")]), (13, "The deadline of the request cannot be read")),
        (call(&[("content-length", "11")]), (8, "The body of the request is too large")),
    ] {
        let body = if expected.0 == 8 { &b"hello world"[..] } else { b"" };
        let answer = client.ask(asked, body);
        assert_eq!((answer.status, answer.text()), (200, ""));
        assert_eq!(answer.fields["content-type"], "application/grpc+proto");
        assert_eq!(answer.fields.get("content-length"), None);
        assert_eq!(answer.trailers, None, "they came as the head");
        assert_eq!(status(&answer.fields), (expected.0, expected.1.to_owned()));
    }
    // Others hear of it as before.
    let other = client.ask(crate::frames::request("POST", "/it.Calls/Echo"), b"");
    assert_eq!(other.status, 502);
}

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    let (door, service) = pair("", "");
    let client = Frames::connect(door.http[0]);
    let began = Instant::now();
    let mut asked = client.open(call(&[("grpc-timeout", "300m")]), false);
    client.wait(say(&mut asked.body, &message("hello"), false)).expect("it takes the body");
    let mut served = service.accept();
    let passed_on = served.head.headers()["grpc-timeout"].to_str().expect("text").to_owned();
    let microseconds = passed_on.strip_suffix('u').map(str::parse::<u64>);
    let microseconds = microseconds.expect("the finest unit with room").expect("a number");
    assert!((1..300_000).contains(&microseconds), "{passed_on}");
    let answer = client.answer(asked.response).expect("an answer");
    assert_eq!(status(&answer.fields), (4, "The deadline of the request is over".to_owned()));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < LIMIT / 4, "{took:?}");
    assert_eq!(given_up(&service, &mut served), Reason::CANCEL);
    metrics_with(&door, "doorward_faults_total{fault=\"deadline-exceeded\"}", 1.0);
    // One that is over already is not even begun.
    let answer = client.ask(call(&[("grpc-timeout", "0S")]), b"");
    assert_eq!(status(&answer.fields).0, 4);
    // The connections are as good as before.
    let asked = client.open(call(&[]), true);
    let mut served = service.accept();
    assert_eq!((served.connection, served.head.headers().get("grpc-timeout")), (1, None));
    service.answer(&mut served, 200, b"fine");
    assert_eq!(client.answer(asked.response).expect("an answer").text(), "fine");
}

#[test]
fn a_deadline_ends_an_answer_that_has_begun_by_trailers() {
    let (door, service) = pair("", "");
    let client = Frames::connect(door.http[0]);
    let asked = client.open(call(&[("grpc-timeout", "500m")]), true);
    let mut served = service.accept();
    let mut send = served.respond.send_response(answer(), false).expect("it is open");
    // Steadily, and for ever.
    let piece = message("again");
    let sending = async {
        while say(&mut send, &piece, false).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    service.wait(sending);
    let answer = client.answer(asked.response).expect("it ends in good order");
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 2 * piece.len(), "{}", answer.body.len());
    assert_eq!(status(&answer.trailers.expect("trailers")).0, 4);
}

/// Answers that the service is not available, with `fields` besides.
fn fail(served: &mut Served, fields: &[(&'static str, &str)]) {
    let mut head = answer();
    head.headers_mut().extend(map(&[("grpc-status", "14")]));
    head.headers_mut().extend(map(fields));
    served.respond.send_response(head, true).expect("it is open");
}

#[test]
fn a_call_that_fails_at_once_counts_as_a_failure() {
    let more =
        "retry = { idempotency-key = \"x-key\" }\nbreaker = { requests = 5, pause = \"30s\" }\n";
    let (door, service) = pair("", more);
    let client = Frames::connect(door.http[0]);
    // With a key it may be sent again.
    let asked = client.open(call(&[("x-key", "1")]), true);
    fail(&mut service.accept(), &[]);
    service.answer(&mut service.accept(), 200, b"at last");
    assert_eq!(client.answer(asked.response).expect("an answer").text(), "at last");
    // Unless the service does not want that, or there is none.
    for (fields, pushback) in
        [(&[("x-key", "1")][..], &[("grpc-retry-pushback-ms", "-1")][..]), (&[], &[])]
    {
        let asked = client.open(call(fields), true);
        fail(&mut service.accept(), pushback);
        let answer = client.answer(asked.response).expect("an answer");
        assert_eq!(status(&answer.fields).0, 14, "{fields:?}");
    }
    for _ in 0..2 {
        let asked = client.open(call(&[]), true);
        fail(&mut service.accept(), &[]);
        client.answer(asked.response).expect("an answer");
    }
    door.stderr.wait_for("`it`: the breaker of worker 0 opens for ");
}

#[test]
fn a_service_that_breaks_off_ends_the_answer_by_trailers() {
    let (door, service) = pair("", "");
    let client = Frames::connect(door.http[0]);
    for head_only in [true, false] {
        let asked = client.open(call(&[]), true);
        let mut served = service.accept();
        let mut send = served.respond.send_response(answer(), false).expect("it is open");
        if !head_only {
            service.wait(say(&mut send, &message("half"), false)).expect("it takes the body");
        }
        let head = client.wait(asked.response).expect("the head comes at once");
        send.send_reset(Reason::INTERNAL_ERROR);
        let answer = client.wait(crate::frames::read(head)).expect("it ends in good order");
        let (number, message) = status(&answer.trailers.expect("trailers"));
        assert_eq!((number, &*message), (13, "The service broke off"));
    }
    // Of what is no call, nothing is said that could be taken for whole.
    let asked = client.open(crate::frames::request("GET", "/it.Calls/Echo"), true);
    let mut served = service.accept();
    let mut send = served.respond.send_response(answer(), false).expect("it is open");
    let head = client.wait(asked.response).expect("the head comes at once");
    send.send_reset(Reason::INTERNAL_ERROR);
    let error = client.wait(crate::frames::read(head)).expect_err("it breaks off");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
}

#[test]
fn a_client_that_cancels_is_heard_of_by_the_service() {
    let (door, service) = pair("", "");
    let client = Frames::connect(door.http[0]);
    for begun in [false, true] {
        let mut asked = client.open(call(&[]), false);
        client.wait(say(&mut asked.body, &message("hello"), false)).expect("it takes the body");
        let mut served = service.accept();
        let send = begun.then(|| served.respond.send_response(answer(), false).expect("open"));
        asked.body.send_reset(Reason::CANCEL);
        let reason = match &send {
            None => given_up(&service, &mut served),
            Some(_) => {
                let error = service.read(&mut served).expect_err("the body breaks off");
                error.reason().expect("the stream was reset")
            }
        };
        assert_eq!(reason, Reason::CANCEL);
    }
    metrics_with(&door, "doorward_faults_total{fault=\"client-gone\"}", 2.0);
}

#[test]
fn a_conversation_may_be_silent_for_as_long_as_a_websocket() {
    let limits = "between-bytes = \"200ms\"\n\
                  [limits]\nbody-idle = \"200ms\"\nbody-rate = \"1MiB\"\nupgrade-idle = \"1s\"\n";
    let (door, service) = pair("", limits);
    let client = Frames::connect(door.http[0]);
    let mut asked = client.open(call(&[]), false);
    let mut served = service.accept();
    let mut send = served.respond.send_response(answer(), false).expect("it is open");
    let head = client.wait(asked.response).expect("the head comes at once");
    // Twice as long as any other request might be silent, three times over.
    for _ in 0..3 {
        client.wait(async { tokio::time::sleep(Duration::from_millis(400)).await });
        client.wait(say(&mut asked.body, &message("ping"), false)).expect("it is open");
        service.wait(served.body.data()).expect("it comes").expect("it is whole");
        service.wait(say(&mut send, &message("pong"), false)).expect("it is open");
    }
    let began = Instant::now();
    let answer = client.wait(crate::frames::read(head)).expect("it ends in good order");
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(answer.body, message("pong").repeat(3));
    assert_eq!(status(&answer.trailers.expect("trailers")).0, 4);
}

#[test]
fn an_answer_in_the_head_passes_as_it_is() {
    let (door, service) = pair("", "[log]\naccess = \"json\"\n");
    let client = Frames::connect(door.http[0]);
    let asked = client.open(call(&[]), true);
    let mut served = service.accept();
    let mut head = answer();
    head.headers_mut().extend(map(&[("grpc-status", "5"), ("grpc-message", "none%20here")]));
    served.respond.send_response(head, true).expect("it is open");
    let answer = client.answer(asked.response).expect("an answer");
    assert_eq!(status(&answer.fields), (5, "none%20here".to_owned()));
    assert_eq!((answer.trailers, answer.body.len()), (None, 0));
    // It is told from one that went well, which HTTP would not.
    let calls = "doorward_route_grpc_calls_total{route=\"/it.Calls/*\",status=";
    metrics_with(&door, &format!("{calls}\"NOT_FOUND\"}}"), 1.0);
    door.stdout.wait_for("\"grpc-status\":\"NOT_FOUND\"");
    let asked = client.open(call(&[]), true);
    let mut served = service.accept();
    let mut send = served.respond.send_response(super::answer(), false).expect("it is open");
    send.send_trailers(map(&[("grpc-status", "0")])).expect("it is open");
    client.answer(asked.response).expect("an answer");
    metrics_with(&door, &format!("{calls}\"OK\"}}"), 1.0);
    client.ask(call(&[("grpc-timeout", "0S")]), b"");
    metrics_with(&door, &format!("{calls}\"DEADLINE_EXCEEDED\"}}"), 1.0);
}
