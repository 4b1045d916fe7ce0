//! The admin side: open for health and metrics, closed without the token, deaf to tricks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::prometheus::{Family, Labels, read};
use super::{all_to, get, metrics, metrics_with, operate, service, status, tell, token, value};
use crate::door::{Door, Upstream, Wire};
use crate::wire::field;

fn door() -> Door {
    Door::start(&all_to(service("it")))
}

#[track_caller]
fn plain(door: &Door, method: &str, path: &str) -> super::Answer {
    tell(door, format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n"))
}

#[test]
fn health_and_index_are_open() {
    let door = door();
    let index = plain(&door, "GET", "/");
    assert_eq!(index.status, 200);
    for path in ["/livez", "/readyz", "/metrics", "/api/status", "/api/reload", "/api/explain"] {
        assert!(index.body.contains(path), "{}", index.body);
    }
    assert_eq!(plain(&door, "GET", "/livez").json(), json!({ "live": true }));
    let ready = plain(&door, "GET", "/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)));
    let nothing = plain(&door, "GET", "/nothing");
    assert_eq!(nothing.status, 404);
    assert_eq!(nothing.json()["status"], json!(404));
    let wrong = plain(&door, "POST", "/metrics");
    assert_eq!((wrong.status, field(&wrong.head, "allow")), (405, Some("GET, HEAD")));
    let mut client = Wire::connect(door.admin);
    client.send("HEAD /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let (bytes, _) = client.read_to_end();
    assert!(bytes.starts_with(b"HTTP/1.1 200 ") && bytes.ends_with(b"\r\n\r\n"));
}

#[test]
fn a_service_without_endpoints_is_told_by_readiness() {
    let door =
        Door::start("[service.a]\nrun = \"false\"\n[[route]]\npath = \"/\"\nservice = \"a\"\n");
    let ready = plain(&door, "GET", "/readyz");
    assert_eq!(ready.status, 200, "others are served");
    assert_eq!(ready.json()["services-without-endpoints"], json!(["a"]));
}

#[test]
fn nothing_of_the_api_is_had_without_the_token() {
    let door = door();
    let token = token(&door);
    assert_eq!(token.len(), 32);
    let kept = door.folder.path().join(".doorward");
    let mode = |name: &str| fs::metadata(kept.join(name)).expect("it is there").mode() & 0o777;
    assert_eq!((mode("."), mode("admin-token")), (0o700, 0o600), "nobody else may read it");
    assert_eq!(fs::read_to_string(kept.join(".gitignore")).ok().as_deref(), Some("*\n"));
    let shorter = &token[..31];
    let wrong: String = token.chars().rev().collect();
    for authorization in [
        String::new(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {wrong}\r\n"),
        format!("Authorization: Bearer {shorter}\r\n"),
        format!("Authorization: Bearer {token}0\r\n"),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Bearer{token}\r\n"),
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}x\r\n"),
        format!("Authorization: Bearer {token}x\r\nAuthorization: Bearer {token}\r\n"),
        format!("Cookie: token={token}\r\n"),
    ] {
        for (method, path) in [
            ("GET", "/api/status"),
            ("POST", "/api/reload"),
            ("POST", "/api/explain"),
            ("GET", "/api/cache"),
            ("POST", "/api/purge"),
            ("GET", "/api/trails/x"),
            ("GET", "/api/nothing"),
        ] {
            let request = format!(
                "{method} {path}?token={token} HTTP/1.1\r\nHost: admin\r\n{authorization}\
                 Content-Length: 0\r\n\r\n"
            );
            let answer = tell(&door, &request);
            assert_eq!(answer.status, 401, "{request}");
            assert!(field(&answer.head, "www-authenticate").is_some(), "{}", answer.head);
            assert!(!answer.body.contains(&token));
        }
    }
    let lower =
        format!("GET /api/status HTTP/1.1\r\nHost: admin\r\nauthorization: bearer {token}\r\n\r\n");
    assert_eq!(tell(&door, lower).status, 200);
    assert_eq!(operate(&door, "GET", "/api/nothing", "").status, 404);
    assert_eq!(operate(&door, "POST", "/api/status", "").status, 405);
    assert_eq!(operate(&door, "GET", "/api/reload", "").status, 405);
    let status = status(&door);
    assert_eq!(status["config"]["version"], json!(1), "nobody reloaded");
}

#[test]
fn a_token_of_the_configuration_is_the_token_and_is_kept_nowhere() {
    let door =
        Door::start("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"a token as long as this one\"\n");
    let ask = |token: &str| {
        let request = format!(
            "GET /api/status HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        tell(&door, request).status
    };
    assert_eq!(ask("a token as long as this one"), 200);
    assert_eq!(ask("a token as long as that one"), 401);
    assert!(!door.folder.path().join(".doorward").exists());
    assert!(!metrics(&door).contains("a token"));
}

#[test]
fn no_way_of_writing_a_path_leads_past_the_token() {
    let door = door();
    for path in [
        "//api/status",
        "/API/status",
        "/api//status",
        "/api%2Fstatus",
        "/%61pi/status",
        "/./api/status",
        "/x/../api/status",
        "/metrics/../api/status",
        "/api/..%2fapi/status",
        "/livez/../api/status",
        "/api;x/status",
        "/%00",
        "/api",
        "/metrics/",
        "/\\api/status",
        "http://admin/api/status",
        "/api/trails/../status",
        "/api/trails/%2e%2e/status",
    ] {
        let answer = plain(&door, "GET", path);
        assert!([400, 401, 404].contains(&answer.status), "{path}: {}", answer.status);
    }
}

#[test]
fn bodies_that_are_wrong_or_huge_are_refused() {
    let door = door();
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\"x\"",
        "{\"url\": 1}",
        "{\"url\": \"/x\"}",
        "{\"url\": \"http://h/\", \"more\": 1}",
        "{\"url\": \"ftp://h/\"}",
        "{\"url\": \"http://h/\\u0000\"}",
        "{\"url\": \"http://h/ x\"}",
        "{\"url\": \"http:///\"}",
        "{\"url\": \"http://h/\", \"method\": \"G T\"}",
        "{\"url\": \"http://h/\", \"method\": \"\"}",
        "{\"url\": \"http://h/\", \"headers\": [[\"a b\", \"c\"]]}",
        "{\"url\": \"http://h/\", \"headers\": [[\"a\", \"c\\r\\nx: y\"]]}",
        "{\"url\": \"http://h/\", \"headers\": [[\"host\", \"a/b\"]]}",
        "{\"url\": \"http://h/\", \"client\": \"nobody\"}",
    ] {
        let answer = operate(&door, "POST", "/api/explain", body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        let title = answer.json()["title"].as_str().map(str::len);
        assert!(title > Some(0), "{}", answer.body);
    }
    let deep = "[".repeat(60_000);
    assert_eq!(operate(&door, "POST", "/api/explain", &deep).status, 400);
    let huge = "x".repeat(64 * 1024 + 1);
    assert_eq!(operate(&door, "POST", "/api/explain", &huge).status, 413);
    // It is refused by its length, before it is sent.
    let token = token(&door);
    let mut client = Wire::connect(door.admin);
    client.send(format!(
        "POST /api/explain HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
         Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"
    ));
    let response = client.read_response();
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    // And without one, as it comes.
    let mut client = Wire::connect(door.admin);
    client.send(format!(
        "POST /api/explain HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    ));
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    client.send(chunk.repeat(5));
    let response = client.read_response();
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    assert_eq!(plain(&door, "GET", "/livez").status, 200);
    assert_eq!(value(&metrics(&door), "doorward_bugs_total"), 0.0);
}

fn steps(explained: &Value) -> Vec<String> {
    let lines = explained["lines"].as_array().expect("a list");
    lines
        .iter()
        .map(|line| format!("{} {}", line["stage"], line["step"]).replace('"', ""))
        .collect()
}

#[test]
fn a_request_is_explained_without_being_sent() {
    let upstream = Upstream::new();
    let door = Door::start(&all_to(upstream.address()));
    let body = "{\"url\": \"http://example.com/a?b\"}";
    let answer = operate(&door, "POST", "/api/explain", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let explanation = answer.json();
    assert_eq!(explanation["request"], json!("GET http://example.com/a?b"));
    let outcome = format!("forward to `it` at {}", upstream.address());
    assert_eq!(explanation["outcome"], json!(outcome));
    let steps = steps(&explanation["decisions"]);
    assert!(steps.iter().any(|step| step.starts_with("route ")), "{steps:?}");
    assert_eq!(steps.last().map(String::as_str), Some("balance pick"));
    let connects = "doorward_upstream_connects_total{service=\"it\"}";
    assert_eq!(value(&metrics(&door), connects), 0.0);
}

#[test]
fn a_request_with_the_token_leaves_a_trail_and_the_service_does_not_see_it() {
    let upstream = Upstream::new();
    let door = Door::start(&all_to(upstream.address()));
    let token = token(&door);
    let wrong = "0".repeat(32);
    let mut client = door.connect();
    let mut behind = None;
    let mut send = |id: &str, token: &str| {
        client.send(format!(
            "GET /x HTTP/1.1\r\nHost: h\r\nX-Request-Id: {id}\r\nDoorward-Explain: {token}\r\n\r\n"
        ));
        let behind = behind.get_or_insert_with(|| upstream.accept());
        let request = behind.read_request();
        assert!(!request.contains(token) && !request.contains("oorward-"), "{request}");
        behind.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.read_response();
    };
    send("id-0001", &token);
    send("id-0002", &wrong);
    send("id-0003", &token);
    let trail = |id: &str| operate(&door, "GET", &format!("/api/trails/{id}"), "");
    super::until("the last one is kept", || (trail("id-0003").status == 200).then_some(()));
    let first = trail("id-0001");
    assert_eq!(first.status, 200, "{}", first.body);
    let first = first.json();
    assert_eq!((&first["request-id"], &first["status"]), (&json!("id-0001"), &json!(200)));
    let steps = steps(&first);
    assert_eq!(steps.last().map(String::as_str), Some("upstream answer"), "{steps:?}");
    assert_eq!(trail("id-0002").status, 404);
    assert_eq!(trail("nobody").status, 404);
    assert_eq!(trail("").status, 404);
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[track_caller]
fn sum(family: &Family, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let wanted = labels(wanted);
    let fits = |labels: &Labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
    let samples = family.samples.iter();
    samples
        .filter(|((sample, labels), _)| sample == name && fits(labels))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn requests_faults_and_bytes_are_counted_right() {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "[service.it]\nendpoints = [\"{}\"]\nretry = {{ attempts = 1 }}\n\
         [[route]]\nname = \"a \\\"quoted\\\\\\\" name\"\npath = \"/api/*\"\nservice = \"it\"\n\
         [[route]]\npath = \"/fixed\"\nrespond = {{ status = 204 }}\n",
        upstream.address()
    ));
    let mut client = door.connect();
    let mut behind = None;
    for (status, request_bytes, response_bytes) in
        [("200 OK", 0, 5), ("200 OK", 1000, 70_000), ("404 Not Found", 10, 3), ("503 Busy", 0, 0)]
    {
        let body = "x".repeat(request_bytes);
        client.send(format!(
            "POST /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: {request_bytes}\r\n\r\n{body}"
        ));
        let behind = behind.get_or_insert_with(|| upstream.accept());
        behind.read_request();
        let body = "y".repeat(response_bytes);
        behind.send(format!("HTTP/1.1 {status}\r\nContent-Length: {response_bytes}\r\n\r\n{body}"));
        client.read_response();
    }
    // Closed by the service without an answer.
    client.send("GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut gone = behind.take().expect("it is there");
    gone.read_request();
    drop(gone);
    upstream.accept().read_request();
    assert!(client.read_response().starts_with("HTTP/1.1 502 "));
    assert_eq!(get(door.http[0], "/fixed").0, 204);
    assert_eq!(get(door.http[0], "/nowhere").0, 404);
    door.ask("BAD\r\n\r\n");

    let text = metrics_with(&door, "doorward_client_requests_total", 8.0);
    let families = read(&text);
    let total = |name: &str, wanted: &[(&str, &str)]| sum(&families[name], name, wanted);
    let route = ("route", "a \"quoted\\\" name");
    let requests = "doorward_route_requests_total";
    for (class, count) in [("2xx", 2.0), ("4xx", 1.0), ("5xx", 2.0)] {
        assert_eq!(total(requests, &[route, ("status", class)]), count, "{class}");
    }
    assert_eq!(total(requests, &[("route", "/fixed"), ("status", "2xx")]), 1.0);
    let bytes = "doorward_route_body_bytes_total";
    assert_eq!(total(bytes, &[route, ("direction", "request")]), 1010.0);
    assert!(total(bytes, &[route, ("direction", "response")]) >= 70_008.0);
    assert_eq!(total("doorward_faults_total", &[]), 3.0);
    assert_eq!(total("doorward_faults_total", &[("fault", "no-route")]), 1.0);
    assert_eq!(total("doorward_upstream_responses_total", &[("status", "2xx")]), 2.0);
    assert_eq!(total("doorward_upstream_failures_total", &[("service", "it")]), 1.0);
    let name = "doorward_route_duration_seconds";
    assert_eq!(sum(&families[name], &format!("{name}_count"), &[route]), 5.0);
    assert_eq!(total("doorward_client_accepted_total", &[]), 4.0);
}

#[test]
fn two_thousand_routes_have_a_thousand_labels_and_other() {
    let routes: String = (0..2000)
        .map(|n| format!("[[route]]\npath = \"/r{n}\"\nrespond = {{ status = 200 }}\n"))
        .collect();
    let door = Door::start(&format!(
        "{routes}[[route]]\nname = \"other\"\npath = \"/x\"\nrespond = {{ status = 200 }}\n"
    ));
    let mut client = door.connect();
    let mut ask = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let response = client.read_response();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    };
    let labels_of = |families: &BTreeMap<String, Family>| {
        let samples = families.values().flat_map(|family| family.samples.keys());
        samples.filter_map(|(_, labels)| labels.get("route").cloned()).collect::<BTreeSet<_>>()
    };
    // One that nobody asked for costs nothing.
    ask("/r7");
    let text = metrics_with(&door, "doorward_client_requests_total", 1.0);
    assert_eq!(labels_of(&read(&text)), BTreeSet::from(["/r7".to_owned()]));
    (0..2000).for_each(|n| ask(&format!("/r{n}")));
    ask("/x");
    let text = metrics_with(&door, "doorward_client_requests_total", 2002.0);
    let families = read(&text);
    assert_eq!(labels_of(&families).len(), 1001);
    let name = "doorward_route_requests_total";
    assert_eq!(sum(&families[name], name, &[("route", "other")]), 1001.0);
    assert_eq!(sum(&families[name], name, &[("route", "/r7")]), 2.0);
    assert_eq!(sum(&families[name], name, &[]), 2002.0);
}

#[test]
fn operators_get_in_when_clients_have_taken_every_place() {
    let door = Door::start(&format!("[limits]\nconnections = 16\n{}", all_to(service("it"))));
    let mut held: Vec<Wire> = (0..16).map(|_| door.connect()).collect();
    for client in &mut held {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_response();
    }
    assert_eq!(get(door.http[0], "/").0, 503);
    assert_eq!(plain(&door, "GET", "/livez").status, 200);
    let status = status(&door);
    assert_eq!(status["connections"], json!(16));
    let counted = metrics(&door);
    assert_eq!(value(&counted, "doorward_client_connections"), 16.0);
    assert_eq!(value(&counted, "doorward_client_refused_total{limit=\"connections\"}"), 1.0);
}
