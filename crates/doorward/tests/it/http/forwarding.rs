//! What services are told about clients, and what clients cannot make them believe.

use super::{Pass, crlf};
use crate::door::Wire;
use crate::wire::field;

/// The lines that every request gets, with `*` for what is made anew each time.
fn told(request: &str) -> Vec<String> {
    let line = |name: &str| {
        let lines: Vec<&str> = request
            .split("\r\n")
            .filter(|line| line.split(':').next().unwrap_or_default().eq_ignore_ascii_case(name))
            .collect();
        lines.join("\n")
    };
    [
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
    ]
    .into_iter()
    .map(line)
    .filter(|line| !line.is_empty())
    .collect()
}

/// Sends `fields` from `source`, and returns what the service got.
#[track_caller]
fn send(pass: &Pass, source: &str, fields: &str) -> String {
    let mut client = Wire::connect_from(source, pass.door.http[0]);
    client.send(crlf(&format!("GET / HTTP/1.1\nHost: h\n{fields}\n")));
    let mut service = pass.upstream.accept();
    let request = service.read_request();
    service.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    client.read_response();
    request
}

/// A door that trusts two peers, and no others.
fn trusting() -> Pass {
    Pass::new("[forwarding]\ntrust = [\"127.0.0.2\", \"127.0.0.3\", \"2001:db8::/32\"]\n")
}

#[test]
fn a_service_is_told_who_is_there() {
    let pass = Pass::new("");
    assert_eq!(
        told(&send(&pass, "127.0.0.1", "")),
        [
            "Via: 1.1 doorward",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: h",
            "Forwarded: for=127.0.0.1;host=\"h\";proto=http",
        ]
    );
    let mut client = pass.door.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(
        told(&pass.upstream.is_asked()),
        [
            "Via: 1.0 doorward",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "Forwarded: for=127.0.0.1;proto=http",
        ]
    );
    let mut client = pass.door.connect();
    client.send("GET http://a:81/ HTTP/1.1\r\nHost: a:81\r\n\r\n");
    let request = pass.upstream.is_asked();
    assert_eq!(field(&request, "x-forwarded-host"), Some("a:81"));
}

#[test]
fn nobody_is_believed_unasked() {
    let pass = trusting();
    let nothing = told(&send(&pass, "127.0.0.1", ""));
    for fields in [
        "X-Forwarded-For: 1.2.3.4\n",
        "x-forwarded-for: 1.2.3.4\nX-FORWARDED-FOR: 5.6.7.8\n",
        "X-Forwarded-For: 127.0.0.2\n",
        "X-Forwarded-Proto: https\n",
        "X-Forwarded-Host: evil\n",
        "X-Forwarded-Port: 443\n",
        "Forwarded: for=1.2.3.4;proto=https;host=evil\n",
        "Forwarded: for=1.2.3.4\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\n",
        "X-Forwarded-For:\n",
        "Connection: X-Forwarded-For, Forwarded, Via\n",
    ] {
        let request = send(&pass, "127.0.0.1", fields);
        assert_eq!(told(&request), nothing, "{fields}");
        assert!(!request.contains("1.2.3.4") && !request.contains("evil"), "{request}");
    }
}

#[test]
fn look_alikes_are_dropped() {
    let pass = trusting();
    for name in [
        "X-Forwarded-Prefix",
        "X-Forwarded-Scheme",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-Client-Cert",
        "X-Forwarded",
        "Front-End-Https",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X_Real_IP",
        "x-real_ip",
        "X_Original_Url",
        "X_FORWARDED",
        "X_Forwarded_Ssl",
    ] {
        let fields = format!("{name}: poison\n");
        assert!(!send(&pass, "127.0.0.1", &fields).contains("poison"), "{name}");
        assert!(send(&pass, "127.0.0.2", &fields).contains("poison"), "{name}");
    }
}

#[test]
fn trusted_peers_are_believed() {
    let pass = trusting();
    let told = |fields: &str| told(&send(&pass, "127.0.0.2", fields));
    assert_eq!(
        told(
            "X-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nX-Forwarded-Host: outer\nX-Forwarded-Port: 443\n"
        ),
        [
            "Via: 1.1 doorward",
            "X-Forwarded-For: 1.2.3.4, 127.0.0.2",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: outer",
            "X-Forwarded-Port: 443",
            "Forwarded: for=1.2.3.4, for=127.0.0.2;host=\"h\";proto=http",
        ]
    );
    // The client is the last hop that is not trusted; what it says itself is dropped.
    for (fields, expected) in [
        ("X-Forwarded-For: 9.9.9.9, 1.2.3.4\n", "X-Forwarded-For: 1.2.3.4, 127.0.0.2"),
        (
            "X-Forwarded-For: 9.9.9.9\nX-Forwarded-For: 1.2.3.4\n",
            "X-Forwarded-For: 1.2.3.4, 127.0.0.2",
        ),
        ("X-Forwarded-For: 1.2.3.4, 127.0.0.3\n", "X-Forwarded-For: 1.2.3.4, 127.0.0.3, 127.0.0.2"),
        (
            "X-Forwarded-For: 9.9.9.9, 1.2.3.4, 127.0.0.3\n",
            "X-Forwarded-For: 1.2.3.4, 127.0.0.3, 127.0.0.2",
        ),
        (
            "X-Forwarded-For: 1.2.3.4, 2001:db8::1\n",
            "X-Forwarded-For: 1.2.3.4, 2001:db8::1, 127.0.0.2",
        ),
        ("X-Forwarded-For: 1.2.3.4, nonsense\n", "X-Forwarded-For: 127.0.0.2"),
        ("X-Forwarded-For: nonsense, 1.2.3.4\n", "X-Forwarded-For: 1.2.3.4, 127.0.0.2"),
        ("Forwarded: for=9.9.9.9, for=1.2.3.4\n", "X-Forwarded-For: 1.2.3.4, 127.0.0.2"),
        ("Forwarded: for=\"[2001:db9::1]:80\"\n", "X-Forwarded-For: 2001:db9::1, 127.0.0.2"),
        // Most proxies do not know `Forwarded`, and pass on what a client wrote in it.
        (
            "Forwarded: for=9.9.9.9\nX-Forwarded-For: 1.2.3.4\n",
            "X-Forwarded-For: 1.2.3.4, 127.0.0.2",
        ),
    ] {
        let lines = told(fields);
        assert_eq!(lines[1], expected, "{fields}");
        assert!(!lines.concat().contains("9.9.9.9"), "{fields}: {lines:?}");
    }
}

#[test]
fn routes_see_the_client_that_is_believed() {
    let pass = Pass::new(
        "[forwarding]\ntrust = [\"127.0.0.2\"]\n\
         [[route]]\npath = \"/ip\"\nservice = \"it\"\n\
         request-headers = { set = { X-Ip = \"{client.ip}\", X-Scheme = \"{scheme}\" } }\n",
    );
    for (source, ip, scheme) in
        [("127.0.0.1", "127.0.0.1", "http"), ("127.0.0.2", "1.2.3.4", "https")]
    {
        let mut client = Wire::connect_from(source, pass.door.http[0]);
        client.send(
            "GET /ip HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n",
        );
        let request = pass.upstream.is_asked();
        assert_eq!(
            (field(&request, "x-ip"), field(&request, "x-scheme")),
            (Some(ip), Some(scheme))
        );
    }
}

#[test]
fn via_grows_and_circles_end() {
    let pass = Pass::new("");
    let via = |fields: &str| {
        let request = send(&pass, "127.0.0.1", fields);
        request.split("\r\n").filter(|line| line.starts_with("Via:")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(via("Via: 1.1 other\n"), "Via: 1.1 other\nVia: 1.1 doorward");
    assert_eq!(via("Via: 1.1 doorward\n"), "Via: 1.1 doorward\nVia: 1.1 doorward");
    let many = "1.1 doorward, ".repeat(8);
    let response =
        pass.door.ask(format!("GET / HTTP/1.1\r\nHost: h\r\nVia: {many}1.1 other\r\n\r\n"));
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "proxy-status"), Some("doorward; error=proxy_loop_detected"));
    pass.is_next("/probe");
}

#[test]
fn options_go_as_far_as_they_may() {
    let pass = Pass::new("");
    for (given, forwarded) in [
        ("Max-Forwards: 5", "max-forwards: 4"),
        ("Max-Forwards: 1", "max-forwards: 0"),
        ("Max-Forwards: x", "Max-Forwards: x"),
        ("Max-Forwards: 99999999999999999999", "Max-Forwards: 99999999999999999999"),
    ] {
        pass.passes(
            &format!("OPTIONS / HTTP/1.1\nHost: h\n{given}\n\n"),
            &format!("OPTIONS / HTTP/1.1\nHost: h\n{forwarded}\n\n"),
        );
    }
    let response = pass.door.ask("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n");
    assert!(
        response.starts_with("HTTP/1.1 204 ") && field(&response, "allow").is_some(),
        "{response}"
    );
    pass.passes(
        "GET / HTTP/1.1\nHost: h\nMax-Forwards: 0\n\n",
        "GET / HTTP/1.1\nHost: h\nMax-Forwards: 0\n\n",
    );
}

#[test]
fn requests_have_ids_and_traces() {
    let pass = Pass::new("");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = send(
        &pass,
        "127.0.0.1",
        &format!("X-Request-Id: mine-1\ntraceparent: {trace}\ntracestate: a=b\n"),
    );
    assert_eq!(field(&request, "x-request-id"), Some("mine-1"));
    assert_eq!(field(&request, "traceparent"), Some(trace));
    assert_eq!(field(&request, "tracestate"), Some("a=b"));
    let mut ids = Vec::new();
    let overlong = "x".repeat(129);
    for fields in [
        "",
        "X-Request-Id:\n",
        "X-Request-Id: a b\n",
        "X-Request-Id: \u{e4}\n",
        &*format!("X-Request-Id: {overlong}\n"),
        "traceparent: nonsense\ntracestate: a=b\n",
        &*format!("traceparent: {trace}\ntraceparent: {trace}\n"),
        "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\n",
        "traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    ] {
        let request = send(&pass, "127.0.0.1", fields);
        let id = field(&request, "x-request-id").expect("an id").to_owned();
        let made = field(&request, "traceparent").expect("a trace");
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{fields}: {id}"
        );
        assert!(made.starts_with(&format!("00-{id}-")) && made.len() == 55, "{fields}: {made}");
        assert_eq!(request.matches("traceparent").count(), 1);
        assert_eq!(field(&request, "tracestate"), None);
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9);
}
