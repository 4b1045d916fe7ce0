//! What operators are told: what the cache spared the services, and why each answer was used or not.

use std::thread;
use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use super::collapse::wait_for;
use super::{Kitchen, body, said};
use crate::http::crlf;
use crate::ops::cli::at_terminal;
use crate::ops::{metrics, operate, token, until, value};

/// How long the service takes, at least.
const TAKES: Duration = Duration::from_millis(50);

#[test]
fn it_is_told_what_the_cache_spared_services() {
    let kitchen =
        Kitchen::with("{ bypass = { header = { x-preview = true } } }", "name = \"news\"", "");
    let cache = || operate(&kitchen.door, "GET", "/api/cache", "").json();
    assert_eq!((&cache()["requests"]["hit-ratio"], &cache()["routes"]), (&Value::Null, &json!([])));
    let cacheable = "200 OK\nCache-Control: max-age=60, stale-while-revalidate=60\n\nnews";
    // One leads, one follows.
    let mut clients = [kitchen.ask("GET /a"), kitchen.ask("GET /a")];
    let mut service = kitchen.service.accept();
    service.read_request();
    wait_for(&kitchen, 2);
    thread::sleep(TAKES);
    service.send(crlf(&said(cacheable)));
    for client in &mut clients {
        assert_eq!(body(&client.read_response()), "news");
    }
    kitchen.hit("GET /a");
    kitchen.hit("GET /a");
    kitchen.fetch("GET /a\nX-Preview: 1", cacheable);
    // The service says that what is stored is still so: it was asked, and that took time.
    kitchen.fetch("GET /b", "200 OK\nCache-Control: no-cache\nETag: \"1\"\n\nb");
    let mut client = kitchen.ask("GET /b");
    let mut service = kitchen.service.accept();
    service.read_request();
    thread::sleep(TAKES);
    service.send(crlf(&said("304 Not Modified\nETag: \"1\"")));
    assert_eq!(body(&client.read_response()), "b");
    // A request is counted just after its response is sent.
    let shown =
        until("seven requests", || Some(cache()).filter(|all| all["requests"]["requests"] == 7));
    let requests = &shown["requests"];
    for (key, count) in [
        ("requests", 7),
        ("hit", 2),
        ("stale", 0),
        ("validated", 1),
        ("collapsed", 1),
        ("miss", 2),
        ("bypass", 1),
    ] {
        assert_eq!(requests[key], json!(count), "{key}: {requests}");
    }
    let ratio = requests["hit-ratio"].as_f64().expect("there were requests");
    assert!((ratio - 3.0 / 7.0).abs() < 1e-9, "{ratio}");
    // Of each of the three, all the time that the first one took.
    let saved = requests["saved-seconds"].as_f64().expect("a number");
    assert!(saved >= 3.0 * TAKES.as_secs_f64(), "{saved}");
    assert_eq!(shown["routes"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["routes"][0]["route"], json!("news"));
    assert_eq!(shown["routes"][0]["hit-ratio"], requests["hit-ratio"]);
    let metric =
        value(&metrics(&kitchen.door), "doorward_cache_saved_seconds_total{route=\"news\"}");
    assert!((metric - saved).abs() < 1e-9, "{metric} and {saved}");
    let table =
        at_terminal(&kitchen.door.folder, &["cache", "--admin", &kitchen.door.admin.to_string()]);
    assert!(table.starts_with("in all  7 requests  42.9 % hits  "), "{table}");
    assert!(table.contains("\n  news  7 requests  42.9 % hits  "), "{table}");
    assert!(table.contains("  2 hit, 1 collapsed, 1 validated, 2 miss, 1 bypass\n"), "{table}");
}

/// What the cache decided about `request` (method, path and field lines), in its trail.
fn trail(kitchen: &Kitchen, id: &str, request: &str, answer: Option<&str>) -> String {
    let request =
        format!("{request}\nX-Request-Id: {id}\nDoorward-Explain: {}", token(&kitchen.door));
    let _ = match answer {
        Some(answer) => kitchen.fetch(&request, answer).1,
        None => kitchen.hit(&request),
    };
    let path = format!("/api/trails/{id}");
    let trail = until("its trail", || {
        let answer = operate(&kitchen.door, "GET", &path, "");
        (answer.status == 200).then(|| answer.json())
    });
    let lines = trail["lines"].as_array().expect("lines").iter();
    let ours = lines.filter(|line| line["stage"] == "cache").map(|line| {
        let notes = line["notes"].as_object().expect("notes");
        let notes = notes.iter().filter(|(key, _)| matches!(key.as_str(), "rule" | "vary" | "key"));
        let notes: String =
            notes.map(|(key, value)| format!(" {key}={}", value.as_str().unwrap_or("?"))).collect();
        format!(
            "{}: {}{notes}\n",
            line["step"].as_str().expect("a step"),
            line["why"].as_str().expect("a reason")
        )
    });
    ours.collect()
}

#[test]
fn a_trail_says_why_an_answer_was_used_or_not() {
    let bypass = "{ bypass = { cookie = { admin = true }, header = { x-preview = true } } }";
    let kitchen = Kitchen::new(bypass);
    let varied = "200 OK\nCache-Control: max-age=60\nVary: Accept-Language\n\nhello";
    let private = "200 OK\nCache-Control: private\n\nmine";
    let stories = [
        (
            "GET /a",
            Some(varied),
            expect![[r"
            miss: nothing is stored under this key key=http://h/a
            store: the service says how long vary=accept-language
            answer: it is passed on as it comes
        "]],
        ),
        (
            "GET /a",
            None,
            expect![[r"
            hit: it is fresh key=http://h/a
            answer: it is in memory
        "]],
        ),
        (
            "GET /a\nAccept-Language: de",
            Some(varied),
            expect![[r"
            miss: what is stored is for other request headers key=http://h/a vary=accept-language
            store: the service says how long vary=accept-language
            answer: it is passed on as it comes
        "]],
        ),
        (
            "GET /a\nCookie: admin=1",
            Some(varied),
            expect![[r"
            bypass: the route lets this request bypass the cache rule=admin
        "]],
        ),
        (
            "GET /b",
            Some(private),
            expect![[r"
            miss: nothing is stored under this key key=http://h/b
            pass: the service says `private`
            answer: it is passed on as it comes
        "]],
        ),
        (
            "GET /b",
            Some(private),
            expect![[r"
            miss: nothing is stored under this key key=http://h/b
            alone: a moment ago the answer was none that is kept
            pass: the service says `private`
        "]],
        ),
        (
            "POST /a",
            Some("204 No Content"),
            expect![[r"
            bypass: the request may change things
            purge: the answer to an unsafe request was no error
        "]],
        ),
        (
            "GET /a",
            Some(varied),
            expect![[r"
            miss: it was purged key=http://h/a
            store: the service says how long vary=accept-language
            answer: it is passed on as it comes
        "]],
        ),
    ];
    for (at, (request, answer, expected)) in (0..).zip(stories) {
        expected.assert_eq(&trail(&kitchen, &format!("story-{at}"), request, answer));
    }
}
