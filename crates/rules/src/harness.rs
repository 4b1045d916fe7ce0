//! What the tests of this crate share: a configuration and requests as text, outcomes and trails as
//! text.

use std::fmt::Write;
use std::sync::Arc;

use config::Report;
use expect_test::Expect;
use wire::{RequestHead, ResponseHead};

use crate::route::RouteConfig;
use crate::service::ServiceConfig;
use crate::{Cx, Route, Rules, Service, Trail, Verdict};

/// Compiles a configuration; problems are in the report.
pub(crate) fn compile(text: &str) -> (Report, Option<Rules>) {
    let mut report = Report::new();
    let value = report.parse("doorward.toml", text);
    let table = value.as_table().expect("a table");
    let mut services = Vec::new();
    let found = table.find("service").and_then(|entry| entry.value.as_table());
    for entry in found.iter().flat_map(|table| table.entries()) {
        let config = report.read::<ServiceConfig>(&entry.value);
        let service = config.and_then(|config| Service::build(&entry.key, &config, &mut report));
        services.push((entry.key.clone(), service.map(Arc::new)));
    }
    let mut routes = Vec::new();
    let found = table.find("route").and_then(|entry| entry.value.as_array());
    for value in found.into_iter().flatten() {
        let config = report.read::<RouteConfig>(value);
        let route = config.and_then(|config| Route::build(&config, &mut report));
        routes.extend(route.map(|route| (value.place(), Arc::new(route))));
    }
    let rules = Rules::build(&routes, &services, &[], &mut report);
    (report, rules)
}

/// Lets `requests` (one `<method> <host> <target> [<name>: <value>; ...]` a line) run through the
/// rules in `config`.
#[track_caller]
pub(crate) fn check(config: &str, requests: &str, expect: Expect) {
    let (report, rules) = compile(config);
    let mut out = report.to_string();
    if let Some(rules) = rules {
        for line in requests.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let _ = write!(out, "{line}\n{}", play(&rules, line));
        }
    }
    expect.assert_eq(&out);
}

/// A head from its line.
pub(crate) fn head(line: &str) -> RequestHead {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, host, target, fields) = (word(), word(), word(), word());
    let host = if host == "-" { "" } else { host };
    let mut head =
        RequestHead::new(method, host, target).unwrap_or_else(|err| panic!("{line}: {err:?}"));
    for field in fields.split("; ").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(": ").expect("name: value");
        head.fields.push(name, value.as_bytes());
    }
    head
}

/// The context of a test's request.
pub(crate) fn cx() -> Cx {
    let mut cx = Cx::new([10, 0, 0, 1].into(), false);
    cx.begin(0, 1 << 127);
    cx.request_id = crate::RequestId::given(b"id-1").expect("a valid id");
    cx.trail = Some(Box::new(Trail::default()));
    cx
}

fn play(rules: &Rules, line: &str) -> String {
    let (mut head, mut cx) = (head(line), cx());
    let verdict = rules.decide(&mut head, &mut cx);
    let mut out = String::new();
    let outcome = match &verdict {
        Verdict::Forward { route, service } => {
            let mut target = Vec::new();
            head.write_target(&mut target);
            let mut response = ResponseHead::new(200);
            response.fields.push("x-from", b"service");
            rules.on_response(*route, &mut response, &head, &mut cx);
            let shown = |fields: &wire::Fields| {
                let mut text = String::new();
                for (name, value) in fields.iter() {
                    if !name.eq_ignore_ascii_case(b"host") && name != b"x-from" {
                        let name = String::from_utf8_lossy(name);
                        let value = String::from_utf8_lossy(value);
                        let _ = write!(text, "\n     {name}: {value}");
                    }
                }
                text
            };
            let sent = line.splitn(3, ' ').nth(2).unwrap_or_default();
            let target = String::from_utf8_lossy(&target);
            let mut text = format!("forward {}", rules.service(*service).name);
            if target != sent {
                let _ = write!(text, " {target}{}", shown(&head.fields));
            }
            let back = shown(&response.fields);
            if !back.is_empty() {
                let _ = write!(text, "\n  <= 200{back}");
            }
            text
        }
        Verdict::Reply { reply, .. } => {
            let mut text = format!("reply {}", reply.status);
            for (name, value) in &reply.fields {
                let _ = write!(text, "\n     {name}: {}", String::from_utf8_lossy(value));
            }
            if !reply.body.is_empty() {
                let _ = write!(text, "\n     {}", String::from_utf8_lossy(&reply.body));
            }
            text
        }
        Verdict::Files { candidates, .. } => {
            let paths: Vec<&str> = candidates.iter().map(|file| &*file.path).collect();
            format!("files {}", paths.join(", "))
        }
        Verdict::Fault { fault, allow, .. } => {
            let allow = allow.as_ref().map(|allow| format!(" Allow: {allow}")).unwrap_or_default();
            format!("fault {} {}{allow}", fault.status(), fault.slug())
        }
    };
    let _ = writeln!(out, "{}  => {outcome}", cx.trail.expect("kept open"));
    out
}
