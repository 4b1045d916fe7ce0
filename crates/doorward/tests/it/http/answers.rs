//! Answers that are carried: how they are framed for the client, and what becomes of both
//! connections.

use super::Pass;
use super::Then::{Closed, Fresh, Reused};

const GET: &str = "GET / HTTP/1.1\nHost: h\n\n";
const HEAD: &str = "HEAD / HTTP/1.1\nHost: h\n\n";
const GET_10: &str = "GET / HTTP/1.0\nHost: h\n\n";
const KEPT_10: &str = "GET / HTTP/1.0\nHost: h\nConnection: keep-alive\n\n";

/// A request, its answer, what the client gets, and what becomes of the connections.
type Table = &'static [(&'static str, &'static str, &'static str, super::Then)];

#[track_caller]
fn check(table: Table) {
    let pass = Pass::new("");
    for (request, answer, received, then) in table {
        pass.answers(request, answer, received, *then);
    }
}

#[test]
fn bodies_with_a_length() {
    check(&[
        (
            GET,
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            Fresh,
        ),
        // The service of 1.0 closes, unless it says otherwise (RFC 9112, 9.3).
        (
            GET,
            "HTTP/1.0 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            Fresh,
        ),
        (
            GET,
            "HTTP/1.0 200 OK\nContent-Length: 5\nConnection: Keep-Alive\nKeep-Alive: max=5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            Reused,
        ),
        (
            "GET / HTTP/1.1\nHost: h\nConnection: close\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\nhello",
            Closed,
        ),
        (
            "GET / HTTP/1.1\nHost: h\nConnection: keep-alive, close\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\nhello",
            Closed,
        ),
        (
            GET_10,
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\nhello",
            Closed,
        ),
        (
            KEPT_10,
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: keep-alive\n\nhello",
            Reused,
        ),
    ]);
}

#[test]
fn chunked_bodies() {
    check(&[
        (
            GET,
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n1;a=b\nh\n4\nello\n0;c\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nTrailer: X-Sum\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 1\n\n",
            "HTTP/1.1 200 OK\nTrailer: X-Sum\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 1\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\nSet-Cookie: a\nContent-Length: 5\nX-A: b\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\nX-A: b\n\n",
            Reused,
        ),
        // RFC 9112, 6.1: never chunks for HTTP/1.0; the trailers are lost with them.
        (
            GET_10,
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 1\n\n",
            "HTTP/1.1 200 OK\nConnection: close\n\nhello",
            Closed,
        ),
        (
            KEPT_10,
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
            "HTTP/1.1 200 OK\nConnection: close\n\nhello",
            Closed,
        ),
    ]);
}

#[test]
fn bodies_that_last_until_the_close() {
    check(&[
        (
            GET,
            "HTTP/1.1 200 OK\n\nhello<end>",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
            Fresh,
        ),
        (
            GET,
            "HTTP/1.0 200 OK\n\nhello<end>",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
            Fresh,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\n\n<end>",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n",
            Fresh,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\nConnection: close\n\nhello\n\nHTTP/1.1 200 OK\n\n<end>",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1c\nhello\n\nHTTP/1.1 200 OK\n\n\n0\n\n",
            Fresh,
        ),
        (
            GET_10,
            "HTTP/1.1 200 OK\n\nhello<end>",
            "HTTP/1.1 200 OK\nConnection: close\n\nhello",
            Closed,
        ),
        (
            KEPT_10,
            "HTTP/1.1 200 OK\n\nhello<end>",
            "HTTP/1.1 200 OK\nConnection: close\n\nhello",
            Closed,
        ),
    ]);
}

#[test]
fn answers_without_a_body() {
    check(&[
        (GET, "HTTP/1.1 204 No Content\n\n", "HTTP/1.1 204 No Content\n\n", Reused),
        // RFC 9110, 8.6: no `Content-Length` in a 204.
        (
            GET,
            "HTTP/1.1 204 No Content\nContent-Length: 0\n\n",
            "HTTP/1.1 204 No Content\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n",
            "HTTP/1.1 204 No Content\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello",
            "HTTP/1.1 204 No Content\n\n",
            Fresh,
        ),
        (
            GET,
            "HTTP/1.1 304 Not Modified\nETag: \"a\"\n\n",
            "HTTP/1.1 304 Not Modified\nETag: \"a\"\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n",
            "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 304 Not Modified\nTransfer-Encoding: chunked\n\n",
            "HTTP/1.1 304 Not Modified\n\n",
            Reused,
        ),
        (
            KEPT_10,
            "HTTP/1.1 304 Not Modified\n\n",
            "HTTP/1.1 304 Not Modified\nConnection: keep-alive\n\n",
            Reused,
        ),
        (
            HEAD,
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            Reused,
        ),
        (HEAD, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", "HTTP/1.1 200 OK\n\n", Reused),
        (HEAD, "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\n\n", Reused),
        (
            HEAD,
            "HTTP/1.1 404 Not Found\nContent-Length: 9\n\n",
            "HTTP/1.1 404 Not Found\nContent-Length: 9\n\n",
            Reused,
        ),
        // A body that must not be there is not taken for the next answer.
        (
            HEAD,
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            Fresh,
        ),
        (
            "HEAD / HTTP/1.0\nHost: h\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\n",
            Closed,
        ),
        (
            GET,
            "HTTP/1.1 205 Reset Content\nContent-Length: 0\n\n",
            "HTTP/1.1 205 Reset Content\nContent-Length: 0\n\n",
            Reused,
        ),
    ]);
}

#[test]
fn status_lines() {
    check(&[
        (
            GET,
            "HTTP/1.1 200\nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 \nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 200 All is well\nContent-Length: 0\n\n",
            "HTTP/1.1 200 All is well\nContent-Length: 0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 299 x\ty\u{e4}\nContent-Length: 0\n\n",
            "HTTP/1.1 299 x\ty\u{e4}\nContent-Length: 0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 599 \nContent-Length: 0\n\n",
            "HTTP/1.1 599 \nContent-Length: 0\n\n",
            Reused,
        ),
        (
            GET,
            "HTTP/1.1 418 I'm a teapot\nContent-Length: 0\n\n",
            "HTTP/1.1 418 I'm a teapot\nContent-Length: 0\n\n",
            Reused,
        ),
    ]);
}

#[test]
fn fields() {
    let pass = Pass::new("");
    for (said, received) in [
        ("Server: x\n", "Server: x\n"),
        ("Set-Cookie: a=b\nSet-Cookie: c=d\n", "Set-Cookie: a=b\nSet-Cookie: c=d\n"),
        ("ETag: \"a\"\nVary: Accept\nAge: 5\n", "ETag: \"a\"\nVary: Accept\nAge: 5\n"),
        ("Location: http://other/\n", "Location: http://other/\n"),
        ("A: \u{e4}\nB:\n", "A: \u{e4}\nB:\n"),
        ("X_Under_Score: a\n", "X_Under_Score: a\n"),
        ("Alt-Svc: h3=\":443\"\n", "Alt-Svc: h3=\":443\"\n"),
        // RFC 9110, 7.6.1.
        ("Connection: X-A\nX-A: b\nX-B: c\n", "X-B: c\n"),
        ("Keep-Alive: timeout=5\nProxy-Connection: keep-alive\n", ""),
        ("Upgrade: h2c\nConnection: upgrade\n", ""),
        ("Upgrade: websocket\n", ""),
        ("Proxy-Authenticate: Basic\n", ""),
        ("TE: trailers\n", ""),
    ] {
        pass.answers(
            GET,
            &format!("HTTP/1.1 200 OK\n{said}Content-Length: 0\n\n"),
            &format!("HTTP/1.1 200 OK\n{received}Content-Length: 0\n\n"),
            Reused,
        );
    }
}

#[test]
fn an_answer_may_come_in_any_pieces() {
    let pass = Pass::new("");
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n\
                  5;x=\"y\"\r\nhello\r\n3\r\n, y\r\n0\r\nX-C: d\r\n\r\n";
    let received =
        "HTTP/1.1 200 OK\nX-A: b\nTransfer-Encoding: chunked\n\n8\nhello, y\n0\nX-C: d\n\n";
    let mut client = pass.door.connect();
    let mut service = None;
    for split in 1..answer.len() {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let service = service.get_or_insert_with(|| pass.upstream.accept());
        service.read_request();
        let (start, rest) = answer.split_at(split);
        service.send(start);
        service.send(rest);
        assert_eq!(super::plain(&client.read_response()), received, "split at {split}");
    }
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = service.expect("it was used");
    service.read_request();
    for byte in answer.bytes() {
        service.send([byte]);
    }
    assert_eq!(super::plain(&client.read_response()), received);
}

#[test]
fn a_date_is_added_where_there_is_none() {
    let pass = Pass::new("");
    for (given, count) in [("", 1), ("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", 1)] {
        let mut client = pass.door.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut service = pass.upstream.accept();
        service.read_request();
        service.send(format!(
            "HTTP/1.1 200 OK\r\n{given}Content-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        let response = client.read_response();
        assert_eq!(response.matches("Date: ").count(), count, "{response}");
        assert!(response.contains(given), "{response}");
    }
}
