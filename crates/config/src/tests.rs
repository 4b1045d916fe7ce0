//! Reading as text: a file in, what was read or all that is wrong with it out.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde::Deserialize;

use crate::{At, Period, Place, Report, Share, Size, Style};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "read through Debug only")]
struct Sample {
    #[serde(default)]
    service: BTreeMap<At<String>, Service>,
    workers: Option<At<u16>>,
    wait: Option<Period>,
    body: Option<Size>,
    part: Option<Share>,
    mode: Option<Mode>,
    #[serde(default)]
    trust: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "read through Debug only")]
struct Service {
    endpoints: Vec<At<String>>,
    timeout: Option<Period>,
    weight: Option<f64>,
    tls: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "read through Debug only")]
enum Mode {
    Off,
    Json,
    Only { status: u16 },
}

fn read(text: &str) -> String {
    let mut report = Report::new();
    let value = report.parse("doorward.toml", text);
    let read = report.read::<Sample>(&value);
    match read.filter(|_| report.is_clean()) {
        Some(sample) => format!("{sample:?}\n"),
        None => report.to_string(),
    }
}

#[track_caller]
fn check(text: &str, expect: Expect) {
    expect.assert_eq(&read(text));
}

#[test]
fn reads_what_is_right() {
    check(
        "workers = 4\nwait = '1h30m'\npart = '5%'\nmode = { only = { status = 404 } }\n\
         [service.a]\nendpoints = ['x']\nweight = 2",
        expect![[r#"
            Sample { service: {"a": Service { endpoints: ["x"], timeout: None, weight: Some(2.0), tls: None }}, workers: Some(4), wait: Some(Period { ns: 5400000000000 }), body: None, part: Some(Share { millionths: 50000 }), mode: Some(Only { status: 404 }), trust: [] }
        "#]],
    );
}

#[test]
fn finds_every_problem_in_one_run() {
    check(
        "workers = 70000\nwait = \"5 minutes\"\nbody = 10\npart = '120%'\nmode = 'jsn'\n\
         trust = ['a', 1, true]\nworker = 3\n\n[service.a]\nendpoint = ['x']\ntls = 'yes'\n\
         weight = 'much'\n[service.b]\nendpoints = [1]\n[service.c]\nendpoints = 'x'\ntimeout = 3\n",
        expect![[r#"
            doorward.toml:1:11: the number 70000 is out of range
               1 | workers = 70000
                 |           ^^^^^ write a whole number from 0 to 65535
            doorward.toml:2:8: `5 minutes` is not a duration: write a number and a unit, e.g. "5m"
               2 | wait = "5 minutes"
                 |        ^^^^^^^^^^^
            doorward.toml:3:8: `10` is not a size: write a number and a unit, e.g. "10B"
               3 | body = 10
                 |        ^^
            doorward.toml:4:8: `120%` is not from 0% to 100% in steps of 0.0001%
               4 | part = '120%'
                 |        ^^^^^^
            doorward.toml:5:8: `jsn` is not one of "off", "json", "only"
               5 | mode = 'jsn'
                 |        ^^^^^ did you mean "json"?
            doorward.toml:6:15: expected a string, found the number 1
               6 | trust = ['a', 1, true]
                 |               ^
            doorward.toml:6:18: expected a string, found `true`
               6 | trust = ['a', 1, true]
                 |                  ^^^^
            doorward.toml:7:1: there is no key `worker` here
               7 | worker = 3
                 | ^^^^^^ did you mean `workers`?
            doorward.toml:10:1: there is no key `endpoint` here
              10 | endpoint = ['x']
                 | ^^^^^^^^ did you mean `endpoints`?
            doorward.toml:11:7: expected true or false, found the string "yes"
              11 | tls = 'yes'
                 |       ^^^^^
            doorward.toml:12:10: expected a number, found the string "much"
              12 | weight = 'much'
                 |          ^^^^^^
            doorward.toml:14:14: expected a string, found the number 1
              14 | endpoints = [1]
                 |              ^
            doorward.toml:16:13: expected an array, found the string "x"
              16 | endpoints = 'x'
                 |             ^^^ write it in brackets: `[...]`
            doorward.toml:17:11: `3` is not a duration: write a number and a unit, e.g. "3s"
              17 | timeout = 3
                 |           ^
        "#]],
    );
}

#[test]
fn points_right_whatever_stands_on_the_line() {
    // Tabs, wide characters, line ends of two bytes, and nothing at all after the mistake.
    check(
        "\t\tworker = 1\r\n\"名前\" = { x = 1 }\r\ntrust = ['名前', 1]\r\nmode =\r\n",
        expect![[r#"
            doorward.toml:1:3: there is no key `worker` here
               1 |         worker = 1
                 |         ^^^^^^ did you mean `workers`?
            doorward.toml:2:1: there is no key `名前` here
               2 | "名前" = { x = 1 }
                 | ^^^^^^ known: service, workers, wait, body, part, mode, trust
            doorward.toml:3:16: expected a string, found the number 1
               3 | trust = ['名前', 1]
                 |                  ^
            doorward.toml:4:7: a value is missing
               4 | mode =
                 |       ^
        "#]],
    );
}

#[test]
fn at_has_a_place_from_our_tree_only() {
    let mut report = Report::new();
    let value = report.parse("x.toml", "a = 'b'");
    let map: BTreeMap<At<String>, At<String>> = report.read(&value).expect("all strings");
    let (key, value) = map.iter().next().expect("one entry");
    assert_eq!((key.place().range(), value.place().range()), (0..1, 4..7));
    let json: At<String> = serde_json::from_str("\"b\"").expect("a string");
    assert_eq!((json.as_str(), json.place()), ("b", Place::NONE));
    assert_eq!(serde_json::json!(json), serde_json::json!("b"));
}

#[test]
fn prints_other_places_warnings_json_and_no_more_than_asked() {
    let mut report = Report::new();
    let text = "a = 1\nb = 2\nc = 3\n";
    let file = report.add_source("x.toml", text);
    let place = |at: usize| Place::new(file, at..at + 1);
    report.warning(place(6), "b is odd").other(place(0), "the even one is at");
    report.error(place(12), "c is wrong").help("try d");
    report.error(place(0), "a is wrong");
    report.error(place(0), "a is wrong");
    report.error(Place::NONE, "nothing is there").help("write something");
    let two = Style { problems_max: 2, ..Style::default() };
    expect![[r#"
        x.toml:1:1: a is wrong
           1 | a = 1
             | ^
        x.toml:2:1: warning: b is odd
           2 | b = 2
             | ^
             = the even one is at x.toml:1:1
        and 2 more
    "#]]
    .assert_eq(&report.render(two));
    expect![[r#"[{"column":1,"file":"x.toml","line":1,"message":"a is wrong","severity":"error"},{"column":1,"file":"x.toml","line":2,"message":"b is odd","other":{"column":1,"file":"x.toml","line":1,"message":"the even one is at"},"severity":"warning"},{"column":1,"file":"x.toml","help":"try d","line":3,"message":"c is wrong","severity":"error"},{"help":"write something","message":"nothing is there","severity":"error"}]"#]]
    .assert_eq(&report.to_json().to_string());
    assert!(report.render(Style { color: true, ..two }).contains("\x1b[1;33mwarning: \x1b[0m"));
}
