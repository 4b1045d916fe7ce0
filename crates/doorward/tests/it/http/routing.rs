//! Which route takes a request, and what its filters and actions make of it.

use std::collections::BTreeMap;

use super::{crlf, plain, to};
use crate::door::{Door, Upstream};
use crate::wire::{Service, field};

/// A door with routes that answer with their own name.
fn named(routes: &[&str]) -> Door {
    let config = routes.iter().enumerate().map(|(at, keys)| {
        format!("[[route]]\nname = \"r{at}\"\n{keys}\nrespond = {{ body = \"{at}\" }}\n")
    });
    Door::start(&config.collect::<String>())
}

/// What `request` is answered with: the body of a 200, or the status.
#[track_caller]
fn answer(door: &Door, request: &str) -> String {
    let response = door.ask(crlf(request));
    match response.strip_prefix("HTTP/1.1 200 ") {
        Some(_) => response.split_once("\r\n\r\n").expect("a head").1.to_owned(),
        None => response[9..12].to_owned(),
    }
}

#[test]
fn the_most_specific_route_takes_a_request() {
    let door = named(&[
        "path = \"/*\"",
        "path = \"/a\"",
        "path = \"/a/*\"",
        "path = \"/a/{id}\"",
        "path = \"/a/{id}/b\"",
        "path = \"/a/b\"",
        "path = \"/*\"\nhost = \"one.example\"",
        "path = \"/*\"\nhost = \"*.example\"",
        "path = \"/m\"\nmethod = \"POST\"",
        "path = \"/m\"\nmethod = \"GET\"",
        "path = \"/h\"\nheader = { X-A = \"1\" }",
        "path = \"/h\"\nheader = { X-A = true }",
        "path = \"/h\"",
        "path = \"/q\"\nquery = { a = \"1\" }",
        "path = \"/q\"\nquery = { a = true }",
        "path = \"/q\"",
    ]);
    for (target, host, fields, expected) in [
        ("/", "h", "", "0"),
        ("/other", "h", "", "0"),
        ("/a", "h", "", "1"),
        ("/%61", "h", "", "1"),
        ("/x/../a", "h", "", "1"),
        ("/a/", "h", "", "2"),
        ("/a/x", "h", "", "3"),
        ("/a/x/b", "h", "", "4"),
        ("/a/x/c", "h", "", "2"),
        ("/a/b", "h", "", "5"),
        ("/a", "one.example", "", "6"),
        ("/a", "ONE.EXAMPLE:80", "", "6"),
        ("/a", "two.example", "", "7"),
        ("/a", "a.b.example", "", "7"),
        ("/a", "example", "", "1"),
        ("/a", "evil-example", "", "1"),
        ("/h", "h", "X-A: 1\n", "10"),
        ("/h", "h", "x-a: 2\n", "11"),
        ("/h", "h", "", "12"),
        ("/q?a=1", "h", "", "13"),
        ("/q?b&a=2", "h", "", "14"),
        ("/q?b=1", "h", "", "15"),
        ("/m", "h", "", "9"),
        ("http://one.example/a", "one.example", "", "6"),
    ] {
        let request = format!("GET {target} HTTP/1.1\nHost: {host}\n{fields}\n");
        assert_eq!(answer(&door, &request), expected, "{request:?}");
    }
    assert_eq!(answer(&door, "POST /m HTTP/1.1\nHost: h\n\n"), "8");
    assert_eq!(answer(&door, "GET /a HTTP/1.0\n\n"), "1");
}

#[test]
fn what_no_route_takes_is_not_found() {
    let door = named(&["path = \"/a\"", "path = \"/*\"\nhost = \"one.example\"\nmethod = \"GET\""]);
    for (request, expected) in [
        ("GET / HTTP/1.1\nHost: h\n\n", "404"),
        ("GET /a/ HTTP/1.1\nHost: h\n\n", "404"),
        ("GET /a/b HTTP/1.1\nHost: h\n\n", "404"),
        ("GET /A HTTP/1.1\nHost: h\n\n", "404"),
        ("OPTIONS * HTTP/1.1\nHost: h\n\n", "404"),
        ("GET /x HTTP/1.1\nHost: one.example\n\n", "1"),
        ("POST /x HTTP/1.1\nHost: one.example\n\n", "405"),
        ("POST /x HTTP/1.1\nHost: two.example\n\n", "404"),
    ] {
        assert_eq!(answer(&door, request), expected, "{request:?}");
    }
}

#[test]
fn services_see_the_path_that_a_route_makes() {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "{}\
         [[route]]\npath = \"/api/*\"\nservice = \"it\"\nrewrite = {{ strip-prefix = \"/api\" }}\n\
         [[route]]\npath = \"/v1/{{rest...}}\"\nservice = \"it\"\n\
         rewrite = {{ path = \"/v2/{{path.rest}}\" }}\n\
         [[route]]\npath = \"/item/{{id}}\"\nservice = \"it\"\n\
         rewrite = {{ path = \"/items\", query = \"id={{path.id}}&{{query}}\" }}\n",
        to(&upstream)
    ));
    for (target, seen) in [
        ("/", "/"),
        ("/api", "/"),
        ("/api/", "/"),
        ("/api/a/b?c=d", "/a/b?c=d"),
        ("/api//a", "//a"),
        ("/api/%2fa", "/%2fa"),
        ("/v1/a/b", "/v2/a/b"),
        ("/v1/a%20b?c", "/v2/a%20b?c"),
        ("/item/5?x=y", "/items?id=5&x=y"),
        ("/item/a%26b=c", "/items?id=a%26b%3Dc"),
    ] {
        let mut client = door.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut service = upstream.accept();
        let request = service.read_request();
        assert_eq!(request.split(' ').nth(1), Some(seen), "{target}");
        service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        client.read_response();
    }
}

#[test]
fn fields_are_changed_on_both_ways() {
    let upstream = Upstream::new();
    let address = upstream.address();
    let door = Door::start(&format!(
        "[[route]]\npath = \"/*\"\nservice = \"it\"\n\
         request-headers = {{ remove = [\"Cookie\", \"x-gone\"], \
         set = {{ X-Set = \"{{method}} {{host}}\" }}, add = {{ X-Add = \"{{header.X-In}}\" }} }}\n\
         response-headers = {{ remove = [\"Server\"], set = {{ X-Out = \"{{path}}\" }} }}\n\
         [service.it]\nendpoints = [\"{address}\"]\n"
    ));
    let mut client = door.connect();
    client.send(crlf(
        "GET /a HTTP/1.1\nHost: h\nCookie: a\nX-Gone: b\nx-gone: c\nX-Set: d\nX-Add: e\nX-In: f\n\n",
    ));
    let mut service = upstream.accept();
    assert_eq!(
        plain(&service.read_request()),
        "GET /a HTTP/1.1\nHost: h\nX-Add: e\nX-In: f\nX-Set: GET h\nX-Add: f\n\n"
    );
    service
        .send(crlf("HTTP/1.1 200 OK\nServer: secret\nX-Out: x\nX-Kept: y\nContent-Length: 0\n\n"));
    assert_eq!(
        plain(&client.read_response()),
        "HTTP/1.1 200 OK\nX-Kept: y\nX-Out: /a\nContent-Length: 0\n\n"
    );
}

#[test]
fn nothing_that_a_client_says_becomes_a_line_of_its_own() {
    let upstream = Upstream::new();
    let address = upstream.address();
    let door = Door::start(&format!(
        "[[route]]\npath = \"/{{name}}\"\nservice = \"it\"\n\
         request-headers = {{ set = {{ X-Name = \"{{path.name}}\", X-Query = \"{{query.q}}\" }} }}\n\
         [service.it]\nendpoints = [\"{address}\"]\n\
         [[route]]\npath = \"/to/{{rest...}}\"\nredirect = {{ to = \"/at/{{path.rest}}?{{query}}\" }}\n"
    ));
    let mut client = door.connect();
    client.send("GET /a%0d%0aX-Evil:%20b?q=%0d%0aX-Evil:%20c HTTP/1.1\r\nHost: h\r\n\r\n");
    let request = upstream.is_asked();
    assert_eq!(field(&request, "x-evil"), None, "{request}");
    let response = door.ask("GET /to/a%0d%0aX-Evil:%20b?%0d%0a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(field(&response, "x-evil"), None, "{response}");
    let response = door.ask("GET /to//evil.example HTTP/1.1\r\nHost: h\r\n\r\n");
    let location = field(&response, "location").unwrap_or("/");
    assert!(location.starts_with('/') && !location.starts_with("//"), "{response}");
}

#[test]
fn answers_and_redirects_of_our_own() {
    let door = Door::start(
        "[[route]]\npath = \"/own\"\nrespond = { status = 201, body = \"own\", type = \"text/css\", \
         headers = { X-A = \"b\" } }\n\
         [[route]]\npath = \"/empty\"\nrespond = { status = 204 }\n\
         [[route]]\npath = \"/go\"\nredirect = { to = \"https://example.com{path}?{query}\", status = 302 }\n\
         [[route]]\npath = \"/to/*\"\nredirect = { to = \"/elsewhere\" }\n",
    );
    let ask = |request: &str| plain(&door.ask(crlf(request)));
    assert_eq!(
        ask("POST /own HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello"),
        "HTTP/1.1 201 Created\ncontent-type: text/css\nX-A: b\nContent-Length: 3\n\nown"
    );
    assert_eq!(ask("GET /empty HTTP/1.1\nHost: h\n\n"), "HTTP/1.1 204 No Content\n\n");
    let response = ask("GET /go?a=b HTTP/1.1\nHost: h\n\n").replace('\n', "\r\n");
    assert!(response.starts_with("HTTP/1.1 302 "), "{response}");
    assert_eq!(field(&response, "location"), Some("https://example.com/go?a=b"));
    let response = ask("GET /to/a HTTP/1.1\nHost: h\n\n").replace('\n', "\r\n");
    assert!(response.starts_with("HTTP/1.1 308 "), "{response}");
    assert_eq!(field(&response, "location"), Some("/elsewhere"));
    let mut client = door.connect();
    client.send("HEAD /own HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(field(&client.read_head(), "content-length"), Some("3"));
    assert!(client.read_head().starts_with("HTTP/1.1 204 "));
}

#[test]
fn a_split_sends_each_service_its_share() {
    let services = [Service::saying("stable"), Service::saying("next")];
    let door = Door::start(&format!(
        "[[route]]\npath = \"/*\"\nsplit = {{ stable = \"75%\", next = \"25%\" }}\n\
         [service.stable]\nendpoints = [\"{}\"]\n[service.next]\nendpoints = [\"{}\"]\n",
        services[0].address(),
        services[1].address()
    ));
    let mut counts = BTreeMap::<String, u32>::new();
    let mut client = door.connect();
    for _ in 0..400 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.read_response();
        *counts
            .entry(response.split_once("\r\n\r\n").expect("a head").1.to_owned())
            .or_default() += 1;
    }
    // 6 standard deviations: once in a billion runs.
    assert!((48..152).contains(&counts["next"]), "{counts:?}");
    assert_eq!(counts["next"] + counts["stable"], 400);
}
