//! Interim responses and expectations (RFC 9110, 10.1.1 and 15.2).

use super::{Pass, crlf, plain};
use crate::door::{End, Upstream, Wire};
use crate::wire::{Refusing, text};

const EXPECTING: &str =
    "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const DONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// Sends `head`, of which the service gets the head alone.
fn expect(pass: &Pass, head: &str) -> (Wire, Wire) {
    let mut client = pass.door.connect();
    client.send(head);
    let mut service = pass.upstream.accept();
    let request = service.read_head();
    assert!(request.contains("\r\nExpect: 100-continue\r\n"), "{request}");
    (client, service)
}

#[test]
fn a_service_asks_for_the_body() {
    let pass = Pass::new("");
    for version in ["1.1", "1.0"] {
        let (mut client, mut service) = expect(&pass, EXPECTING);
        service.send(CONTINUE);
        assert_eq!(client.read_head(), CONTINUE);
        client.send("hello");
        assert_eq!(service.read_exact(5), b"hello");
        service.send(format!(
            "HTTP/{version} 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
        ));
        assert_eq!(plain(&client.read_response()), "HTTP/1.1 200 OK\nContent-Length: 2\n\nOK");
        // The connection goes on.
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut service = pass.upstream.accept();
        assert!(service.read_request().starts_with("GET /next "));
        // Else it is asked once more.
        service.send(DONE);
        client.read_response();
    }
}

#[test]
fn a_client_need_not_wait() {
    let pass = Pass::new("");
    let (mut client, mut service) = expect(&pass, &format!("{EXPECTING}hello"));
    assert_eq!(service.read_exact(5), b"hello");
    service.send(DONE);
    assert_eq!(plain(&client.read_response()), "HTTP/1.1 204 No Content\n\n");
}

#[test]
fn a_service_answers_without_asking() {
    let pass = Pass::new("");
    for answer in [
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (mut client, mut service) = expect(&pass, EXPECTING);
        service.send(answer);
        // Whether the body comes is now the client's choice, so where the next request begins
        // nobody can tell.
        let response = client.read_response();
        assert_eq!(response.get(..15), answer.get(..15));
        assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
        client.send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        client.end();
        assert_eq!(client.expect_end(), End::Closed);
        let (rest, _) = service.read_to_end();
        assert!(!text(&rest).contains("smuggled"), "{}", text(&rest));
        pass.is_next("/probe");
    }
}

#[test]
fn answers_of_our_own_come_without_asking() {
    let pass =
        Pass::new("[[route]]\npath = \"/own\"\nrespond = { status = 201, body = \"own\" }\n");
    for (path, status) in [("/own", "201"), ("/x%zz", "400")] {
        let mut client = pass.door.connect();
        client.send(EXPECTING.replace("PUT /", &format!("PUT {path}")));
        let (response, end) = client.read_to_end();
        let response = text(&response);
        assert_eq!(response.get(..12), Some(&*format!("HTTP/1.1 {status}")), "{response}");
        assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
        assert_eq!(end, End::Closed);
    }
    pass.is_next("/probe");
}

#[test]
fn clients_of_1_0_get_no_interim_response() {
    let pass = Pass::new("");
    for interim in [
        CONTINUE,
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
    ] {
        let mut client = pass.door.connect();
        client.send(
            "PUT / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        );
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(interim);
        service.send(DONE);
        let (response, end) = client.read_to_end();
        assert_eq!(plain(&text(&response)), "HTTP/1.1 204 No Content\nConnection: close\n\n");
        assert_eq!(end, End::Closed);
    }
}

#[test]
fn interim_responses_are_carried_in_order() {
    let pass = Pass::new("");
    let final_answer = "HTTP/1.1 200 OK\nContent-Length: 2\n\nOK";
    for (said, received) in [
        ("HTTP/1.1 103 Early Hints\nLink: </a>\n\n", "HTTP/1.1 103 Early Hints\nLink: </a>\n\n"),
        ("HTTP/1.1 100 Continue\n\n", "HTTP/1.1 100 Continue\n\n"),
        ("HTTP/1.1 102 Processing\n\n", "HTTP/1.1 102 Processing\n\n"),
        ("HTTP/1.1 199 What\nA: b\n\n", "HTTP/1.1 199 What\nA: b\n\n"),
        (
            "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\n\nHTTP/1.1 103 Early Hints\n\n",
            "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\n\nHTTP/1.1 103 Early Hints\n\n",
        ),
        // None of them has a body, whatever it says.
        ("HTTP/1.1 103 Early Hints\nContent-Length: 5\n\n", "HTTP/1.1 103 Early Hints\n\n"),
        (
            "HTTP/1.1 103 Early Hints\nTransfer-Encoding: chunked\n\n",
            "HTTP/1.1 103 Early Hints\n\n",
        ),
        (
            "HTTP/1.1 103 Early Hints\nConnection: close, X-A\nX-A: b\n\n",
            "HTTP/1.1 103 Early Hints\n\n",
        ),
    ] {
        pass.answers(
            "GET / HTTP/1.1\nHost: h\n\n",
            &format!("{said}{final_answer}"),
            &format!("{received}{final_answer}"),
            super::Then::Reused,
        );
    }
    // Each goes out as it comes.
    let mut client = pass.door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_request();
    for link in ["a", "b", "c"] {
        let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: </{link}>\r\n\r\n");
        service.send(&hints);
        assert_eq!(client.read_head(), hints);
    }
    service.send(crlf(final_answer));
    assert_eq!(plain(&client.read_response()), final_answer);
}

#[test]
fn interim_responses_without_end_are_an_error() {
    let pass = Pass::new("");
    let mut client = pass.door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = pass.upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100));
    let response = client.read_response();
    let count = response.matches("HTTP/1.1 103 ").count();
    assert!(response.contains("HTTP/1.1 502 ") && (1..50).contains(&count), "{response}");
    service.read_to_end();
}

#[test]
fn an_expectation_goes_with_the_body_to_another_endpoint() {
    // The first endpoint is gone when it is tried: nothing of the body was asked for yet.
    let (gone, there) = (Refusing::new(), Upstream::new());
    let door = crate::door::Door::start(&format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n\
         [service.it]\nendpoints = [\"{}\", \"{}\"]\n",
        gone.address(),
        there.address()
    ));
    for _ in 0..2 {
        let mut client = door.connect();
        client.send(EXPECTING);
        let mut service = there.accept();
        service.read_head();
        service.send(CONTINUE);
        assert_eq!(client.read_head(), CONTINUE);
        client.send("hello");
        assert_eq!(service.read_exact(5), b"hello");
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        client.read_response();
    }
}
