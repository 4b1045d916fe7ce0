//! What a decision costs, and what building the rules costs.
//!
//! `cargo run --release -p rules --example bench`; with `build` behind it, building only. A shared machine lies about time: each figure is
//! the least of many runs.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it measures time, and stops at the first surprise"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use config::{At, Place, Report};
use rules::forward::{self, Peer};
use rules::route::RouteConfig;
use rules::service::{EndpointConfig, ServiceConfig};
use rules::{Cx, Route, Rules, Service, Trail};
use wire::RequestHead;
use wire::h1::HeadLimits;

fn main() {
    if std::env::args().any(|word| word == "build") {
        return builds();
    }
    decisions();
    forwarding();
    builds();
}

fn decisions() {
    let api = ["users", "posts", "comments", "tags", "media", "search", "feeds", "likes"];
    let mut table: Vec<String> = Vec::new();
    for name in api {
        for tail in ["", "/{id}", "/{id}/history", "/{id}/history/{at}", "/*"] {
            table.push(format!("path = '/api/v1/{name}{tail}'"));
        }
    }
    let hosts: Vec<String> = (0..1000)
        .flat_map(|n| {
            [
                format!("host = 'h{n}.example.com'\npath = '/*'"),
                format!("host = '*.w{n}.example.com'\npath = '/*'"),
            ]
        })
        .collect();
    let large: Vec<String> = (0..50_000).map(large).collect();
    let one = |keys: &str| vec![format!("path = '/*'\n{keys}")];
    let methods = ["GET", "POST", "DELETE"].map(|m| format!("path = '/a'\nmethod = '{m}'"));
    for (label, routes, target) in [
        ("one route `/*`", one(""), "/api/v1/users/42?x=1"),
        ("40 routes, 4 segments, a parameter", table.clone(), "/api/v1/tags/42/history"),
        ("the same, percent-encoded", table, "/api/v1/tags/%34%32/hist%6Fry"),
        ("2000 hosts, exact", hosts.clone(), "h:h777.example.com/"),
        ("2000 hosts, wildcard", hosts, "h:a.b.w777.example.com/"),
        ("50000 routes", large, "/team-58/service-5/v2/resource-31777"),
        ("three methods on one path", methods.to_vec(), "/a"),
        ("with a header condition", one("header = { accept = true }"), "/a"),
        ("with strip-prefix", one("rewrite = { strip-prefix = '/api' }"), "/api/v1/users"),
        (
            "with two request headers",
            one("request-headers.set = { X-A = 'b', X-Ip = '{client.ip}' }"),
            "/a",
        ),
    ] {
        let rules = build(&routes);
        let ns = decide(&rules, target, false);
        let explained = decide(&rules, target, true);
        println!("{label:<40} {ns:>8.1} ns   explained {explained:>8.0} ns");
    }
}

fn large(n: usize) -> String {
    format!("path = '/team-{}/service-{}/v2/resource-{n}'", n % 97, n % 13)
}

/// Nanoseconds for one decision on a head that is parsed anew, without the parsing.
fn decide(rules: &Rules, target: &str, explain: bool) -> f64 {
    let (host, target) = match target.strip_prefix("h:") {
        Some(rest) => rest.split_at(rest.find('/').unwrap()),
        None => ("localhost:8080", target),
    };
    let bytes = request(host, target);
    let run = |with: bool| {
        let mut head = RequestHead::default();
        let mut cx = Cx::new([10, 0, 0, 1].into(), false);
        time(|n| {
            head.parse(&bytes, &HeadLimits::default()).unwrap();
            cx.begin(n, u128::from(n) << 64);
            if explain {
                cx.trail = Some(Box::new(Trail::default()));
            }
            if with {
                black_box(rules.decide(black_box(&mut head), black_box(&mut cx)));
            }
        })
    };
    run(true) - run(false)
}

fn request(host: &str, target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Accept-Encoding: gzip\r\nCookie: session=0123456789abcdef\r\n\r\n"
    )
    .into_bytes()
}

fn forwarding() {
    let bytes = request("example.com", "/");
    let peer = Peer { address: "192.0.2.1:99".parse().ok(), trusted: false, https: true };
    let run = |receives: bool, appends: bool| {
        let mut head = RequestHead::default();
        let mut cx = Cx::new([10, 0, 0, 1].into(), false);
        let mut out = Vec::new();
        time(|n| {
            head.parse(&bytes, &HeadLimits::default()).unwrap();
            cx.begin(n, u128::from(n) << 64);
            out.clear();
            if receives {
                forward::receive(black_box(&mut head), peer, &mut cx, |_| false);
            }
            if appends {
                forward::append(black_box(&head), peer, &cx, &mut out);
            }
        })
    };
    let floor = run(false, false);
    println!("{:<40} {:>8.1} ns", "forward::receive", run(true, false) - floor);
    println!("{:<40} {:>8.1} ns", "forward::append", run(false, true) - floor);
}

fn builds() {
    let texts: Vec<String> = (0..50_000).map(large).collect();
    let hosts: Vec<String> = (0..5_000)
        .flat_map(|n| (0..10).map(move |m| format!("host = 'h{n}.example.com'\npath = '/r{m}/*'")))
        .collect();
    for (label, texts) in [("50000 routes", texts), ("5000 hosts, 10 routes each", hosts)] {
        let routes = routes(&texts);
        let services = services();
        let ms = (0..10)
            .map(|_| {
                let mut report = Report::new();
                let start = Instant::now();
                black_box(Rules::build(black_box(&routes), &services, &[], &mut report)).unwrap();
                start.elapsed().as_secs_f64() * 1e3
            })
            .fold(f64::MAX, f64::min);
        println!("{:<40} {ms:>8.2} ms", format!("Rules::build: {label}"));
    }
}

fn build(texts: &[String]) -> Rules {
    let mut report = Report::new();
    let rules = Rules::build(&routes(texts), &services(), &[], &mut report);
    rules.unwrap_or_else(|| panic!("{report}"))
}

fn routes(texts: &[String]) -> Vec<(Place, Arc<Route>)> {
    let mut report = Report::new();
    let routes = texts.iter().map(|text| {
        let value = report.parse("route", &format!("{text}\nservice = 's'"));
        let config: RouteConfig = report.read(&value).unwrap();
        (Place::NONE, Arc::new(Route::build(&config, &mut report).unwrap()))
    });
    let routes = routes.collect();
    assert!(report.is_clean(), "{report}");
    routes
}

fn services() -> Vec<(At<String>, Option<Arc<Service>>)> {
    let name = At::from("s".to_owned());
    let endpoints = At::from(vec![At::from(EndpointConfig::Address("127.0.0.1:1".to_owned()))]);
    let config = ServiceConfig { endpoints: Some(endpoints), ..ServiceConfig::default() };
    let service = Service::build(&name, &config, &mut Report::new()).unwrap();
    vec![(name, Some(Arc::new(service)))]
}

fn time(mut f: impl FnMut(u64)) -> f64 {
    const N: u64 = 20_000;
    (0..40)
        .map(|_| {
            let start = Instant::now();
            (0..N).for_each(&mut f);
            start.elapsed().as_nanos() as f64 / N as f64
        })
        .fold(f64::MAX, f64::min)
}
