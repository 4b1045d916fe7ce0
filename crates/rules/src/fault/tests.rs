//! What clients see of faults.

use expect_test::{Expect, expect};
use wire::h1::Malformed;
use wire::hello::NotHello;

use super::{Asker, Fault, NoTls, Side, Unproven};

#[track_caller]
fn check(fault: Fault, accept: Option<&str>, expect: Expect) {
    let reply = fault.reply(Asker {
        accept: accept.map(str::as_bytes),
        request_id: "a\"<b>\\",
        allow: (fault == Fault::MethodNotAllowed).then_some("GET, HEAD"),
        grpc: None,
    });
    let mut text = format!("{}\n", reply.status);
    for (name, value) in &reply.fields {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value));
    }
    text += &String::from_utf8_lossy(&reply.body);
    expect.assert_eq(&text);
}

#[test]
fn programs_get_a_problem_document() {
    check(
        Fault::MethodNotAllowed,
        None,
        expect![[r#"
        405
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: doorward; error=http_request_denied
        allow: GET, HEAD
        {"type":"urn:doorward:fault:method-not-allowed","title":"The method is not allowed here","status":405,"request-id":"a\"<b>\\"}
    "#]],
    );
    check(
        Fault::ConnectRefused,
        Some("application/json, text/plain, */*"),
        expect![[r#"
        502
        content-type: application/problem+json
        cache-control: no-store
        proxy-status: doorward; error=connection_refused
        {"type":"urn:doorward:fault:connect-refused","title":"The service could not be reached","status":502,"request-id":"a\"<b>\\"}
    "#]],
    );
}

#[test]
fn browsers_get_a_page_and_terminals_a_line() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    check(
        Fault::NoRoute,
        Some(browser),
        expect![[r#"
        404
        content-type: text/html; charset=utf-8
        cache-control: no-store
        proxy-status: doorward; error=destination_not_found
        <!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1"><title>404 Not Found</title><style>:root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;background:#f6f7f9;color:#1c2430}main{max-width:32rem;padding:2rem}.status{margin:0;font-size:4rem;line-height:1;font-weight:700;color:#5b6b82;letter-spacing:-.03em}h1{margin:.5rem 0;font-size:1.4rem}p{margin:.5rem 0}.id{margin-top:1.5rem;font-size:.85rem;color:#5b6b82;overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{background:#12161d;color:#e6eaf0}.status,.id{color:#8d9bb0}}</style><main><p class=status>404</p><h1>There is nothing here</h1><p>The address may be misspelt, or what it led to is gone.</p><p class=id>Request <code>a"&lt;b&gt;\</code></p></main>
    "#]],
    );
    check(
        Fault::Draining,
        Some("text/plain"),
        expect![[r#"
        503
        content-type: text/plain; charset=utf-8
        cache-control: no-store
        proxy-status: doorward; error=proxy_internal_response
        retry-after: 1
        503 Service Unavailable: The server is too busy at the moment
        Request: a"<b>\
    "#]],
    );
}

#[test]
fn the_form_follows_the_weights() {
    let form = |accept: &str| {
        let asker = Asker { accept: Some(accept.as_bytes()), ..Asker::default() };
        let reply = Fault::NoRoute.reply(asker);
        String::from_utf8_lossy(&reply.fields[0].1).into_owned()
    };
    for (accept, expect) in [
        ("*/*", "application/problem+json"),
        ("", "application/problem+json"),
        ("image/png", "application/problem+json"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/html, */*", "text/html; charset=utf-8"),
        ("TEXT/HTML;level=1;q=0.9, application/json;q=0.8", "text/html; charset=utf-8"),
        ("text/html;q=0.5, application/json", "application/problem+json"),
        ("text/html, application/json", "application/problem+json"),
        ("text/html;q=0", "application/problem+json"),
        ("text/plain;q=0.9, */*;q=0.1", "text/plain; charset=utf-8"),
        ("text/html;q=nonsense", "text/html; charset=utf-8"),
    ] {
        assert_eq!(form(accept), expect, "{accept}");
    }
}

/// Every fault.
pub(crate) const ALL: [Fault; 64] = [
    Fault::Malformed(Malformed::Host),
    Fault::BodyMalformed(Malformed::ChunkSize),
    Fault::HeadTimeout,
    Fault::BodyTooLarge,
    Fault::BodyIdle,
    Fault::BodyTooSlow,
    Fault::ClientGone,
    Fault::ClientStalled,
    Fault::HelloMalformed(NotHello::NotTls),
    Fault::UnrecognizedName,
    Fault::ConnectionIdle,
    Fault::DeadlineMalformed,
    Fault::DeadlineExceeded,
    Fault::TotalTimeout,
    Fault::Connect,
    Fault::Loop,
    Fault::TooEarly,
    Fault::NoRoute,
    Fault::MethodNotAllowed,
    Fault::Unproven(Unproven::Certificate),
    Fault::Unproven(Unproven::Identity),
    Fault::Unproven(Unproven::Misdirected),
    Fault::Unproven(Unproven::Withdrawn),
    Fault::Injected(503),
    Fault::InjectedReset,
    Fault::FileNotFound,
    Fault::OnlyIfCached,
    Fault::FileUnreadable,
    Fault::TooManyConnections,
    Fault::Draining,
    Fault::Overloaded { retry_after_s: 3 },
    Fault::NoEndpoint,
    Fault::Starting,
    Fault::UpstreamBusy,
    Fault::UpstreamOverloaded { retry_after_s: 7 },
    Fault::BreakerOpen { retry_after_s: 5 },
    Fault::UpstreamConnections,
    Fault::SocketsExhausted,
    Fault::DnsFailed,
    Fault::DnsTimeout,
    Fault::ConnectRefused,
    Fault::ConnectTimeout,
    Fault::Unreachable,
    Fault::ConnectFailed,
    Fault::NoTls(NoTls::UnknownAuthority),
    Fault::NoTls(NoTls::Expired),
    Fault::NoTls(NoTls::NotYetValid),
    Fault::NoTls(NoTls::WrongName),
    Fault::NoTls(NoTls::Pin),
    Fault::NoTls(NoTls::Invalid),
    Fault::NoTls(NoTls::ClientCertificate),
    Fault::NoTls(NoTls::Refused),
    Fault::NoTls(NoTls::Protocol),
    Fault::NoTls(NoTls::Failed),
    Fault::SendTimeout,
    Fault::SendFailed,
    Fault::FirstByteTimeout,
    Fault::UpstreamClosed,
    Fault::StreamRefused,
    Fault::UpstreamMalformed(Malformed::HeadTooLarge),
    Fault::UpgradeFailed,
    Fault::BetweenBytesTimeout,
    Fault::UpstreamTruncated,
    Fault::Bug,
];

#[test]
fn the_table_is_sound() {
    let mut slugs = std::collections::BTreeSet::new();
    for fault in ALL {
        assert!(slugs.insert(fault.slug()), "{fault:?} shares its slug");
        let status = fault.status();
        assert!((400..600).contains(&status), "{fault:?}");
        assert!(fault.title().starts_with(char::is_uppercase) && !fault.title().ends_with('.'));
        assert!(!fault.reason().is_empty());
        match fault.side() {
            Side::Client => assert!(status < 500 || status == 501 || status == 502, "{fault:?}"),
            Side::Upstream | Side::Ours => assert!(status >= 500, "{fault:?}"),
        }
        if fault.failure(false).is_some() {
            assert_eq!(fault.side(), Side::Upstream, "{fault:?}");
        }
    }
}

#[test]
fn the_whole_table() {
    let mut text = String::new();
    for fault in ALL {
        text += &format!(
            "{:<22} {} {:<9} {:<8} {:<8} {}\n",
            fault.slug(),
            fault.status(),
            fault.stage().name(),
            fault.side().name(),
            fault.failure(true).map_or("-".to_owned(), |failure| format!("{failure:?}")),
            fault.proxy_error().unwrap_or("-"),
        );
    }
    expect![[r#"
        malformed              400 head      client   -        http_request_error
        body-malformed         400 body      client   -        http_request_error
        head-timeout           408 head      client   -        http_request_error
        body-too-large         413 body      client   -        http_request_error
        body-idle              408 body      client   -        http_request_error
        body-too-slow          408 body      client   -        http_request_error
        client-gone            499 deliver   client   -        -
        client-stalled         499 deliver   client   -        -
        hello-malformed        400 head      client   -        tls_protocol_error
        unrecognized-name      421 route     client   -        destination_not_found
        connection-idle        504 deliver   ours     -        connection_read_timeout
        deadline-malformed     400 head      client   -        http_request_error
        deadline-exceeded      504 deliver   upstream -        connection_read_timeout
        total-timeout          504 deliver   upstream -        connection_read_timeout
        connect                501 head      client   -        http_request_error
        loop                   502 head      client   -        proxy_loop_detected
        too-early              425 head      client   -        http_request_error
        no-route               404 route     client   -        destination_not_found
        method-not-allowed     405 route     client   -        http_request_denied
        client-certificate-required 403 route     client   -        http_request_denied
        client-not-allowed     403 route     client   -        http_request_denied
        misdirected            421 route     client   -        http_request_denied
        client-certificate-withdrawn 403 route     client   -        http_request_denied
        injected               503 route     ours     -        proxy_internal_response
        injected-reset         502 route     ours     -        proxy_internal_response
        file-not-found         404 files     client   -        -
        only-if-cached         504 endpoint  ours     -        -
        file-unreadable        500 files     ours     -        -
        too-many-connections   503 accept    ours     -        connection_limit_reached
        draining               503 accept    ours     -        proxy_internal_response
        overloaded             503 accept    ours     -        proxy_internal_response
        no-endpoint            503 endpoint  upstream -        destination_unavailable
        starting               503 endpoint  upstream -        destination_unavailable
        upstream-busy          503 endpoint  ours     -        connection_limit_reached
        upstream-overloaded    503 endpoint  upstream -        connection_limit_reached
        breaker-open           503 endpoint  upstream -        destination_unavailable
        upstream-connections   503 endpoint  upstream Unseen   connection_limit_reached
        sockets-exhausted      503 connect   ours     -        proxy_internal_response
        dns-failed             502 connect   upstream Unseen   dns_error
        dns-timeout            504 connect   upstream Unseen   dns_timeout
        connect-refused        502 connect   upstream Unseen   connection_refused
        connect-timeout        504 connect   upstream Unseen   connection_timeout
        unreachable            502 connect   upstream Unseen   destination_ip_unroutable
        connect-failed         502 connect   upstream Unseen   connection_terminated
        certificate-unknown-authority 502 connect   upstream Unseen   tls_certificate_error
        certificate-expired    502 connect   upstream Unseen   tls_certificate_error
        certificate-not-yet-valid 502 connect   upstream Unseen   tls_certificate_error
        certificate-wrong-name 502 connect   upstream Unseen   tls_certificate_error
        certificate-pin        502 connect   upstream Unseen   tls_certificate_error
        certificate-invalid    502 connect   upstream Unseen   tls_certificate_error
        tls-client-certificate 502 connect   upstream -        tls_alert_received
        tls-refused            502 connect   upstream Unseen   tls_alert_received
        tls-protocol           502 connect   upstream Unseen   tls_protocol_error
        tls-failed             502 connect   upstream Unseen   tls_protocol_error
        send-timeout           504 send      upstream Timeout  connection_write_timeout
        send-failed            502 send      upstream Stale    connection_terminated
        first-byte-timeout     504 wait      upstream Timeout  connection_read_timeout
        upstream-closed        502 wait      upstream Stale    connection_terminated
        stream-refused         502 wait      upstream Unseen   connection_terminated
        upstream-malformed     502 receive   upstream -        http_response_header_section_size
        upgrade-failed         502 receive   upstream -        http_upgrade_failed
        between-bytes-timeout  504 receive   upstream -        connection_read_timeout
        upstream-truncated     502 receive   upstream Reset    http_response_incomplete
        bug                    500 deliver   ours     -        proxy_internal_error
    "#]]
    .assert_eq(&text);
}
