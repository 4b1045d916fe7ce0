//! Endpoints that die, hang, crawl or answer with errors, beside others that are well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::endpoint;
use crate::door::{Door, LIMIT};
use crate::http::to;
use crate::ops::{metrics, operate, until, value};
use crate::wire::{Refusing, Service, Upstream, ok};

/// What a [`Moody`] service does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mood {
    Well,
    /// It answers 500.
    Errors,
    /// It answers 503.
    Busy,
    /// It takes a fifth of a second.
    Slow,
    /// It does not answer.
    Silent,
}

const MOODS: [Mood; 5] = [Mood::Well, Mood::Errors, Mood::Busy, Mood::Slow, Mood::Silent];

/// A service that says its name as its mood allows.
struct Moody {
    service: Service,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn new(name: &'static str) -> Self {
        let mood = Arc::new(AtomicU8::new(0));
        let state = Arc::clone(&mood);
        let service =
            Service::new(move |_| match MOODS[usize::from(state.load(Ordering::Relaxed))] {
                Mood::Well => ok(name),
                Mood::Errors => "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
                Mood::Busy => "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
                Mood::Slow => {
                    thread::sleep(Duration::from_millis(200));
                    ok(name)
                }
                Mood::Silent => {
                    thread::sleep(LIMIT);
                    String::new()
                }
            });
        Self { service, mood }
    }

    fn becomes(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    fn address(&self) -> std::net::SocketAddr {
        self.service.address()
    }
}

fn config(services: &[&Moody]) -> String {
    let endpoints: Vec<String> = services.iter().map(|one| one.address().to_string()).collect();
    format!("[service.it]\nendpoints = {endpoints:?}\n[[route]]\npath = \"/*\"\nservice = \"it\"\n")
}

/// Sends requests from so many clients until `enough` says so; how often each first line and body
/// came.
fn load(
    door: &Door,
    clients: usize,
    method: &str,
    enough: impl Fn(u64) -> bool + Sync,
) -> BTreeMap<String, u64> {
    let asked = AtomicU64::new(0);
    let one = || {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut client = door.connect();
        while !enough(asked.fetch_add(1, Ordering::Relaxed)) {
            client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
            let response = client.read_response();
            let status = &response[9..12];
            let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let body = if status == "200" { body } else { "" };
            *counts.entry(format!("{status} {body}").trim().to_owned()).or_default() += 1;
        }
        counts
    };
    let mut all = BTreeMap::new();
    thread::scope(|scope| {
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        for counts in running {
            for (said, count) in counts.join().expect("no client fails") {
                *all.entry(said).or_default() += count;
            }
        }
    });
    all
}

/// Waits until the endpoint stands so, while requests go on that must all be answered well.
#[track_caller]
fn under_load_until(door: &Door, service: &Moody, standing: &str) -> BTreeMap<String, u64> {
    let began = Instant::now();
    let stands = || endpoint(door, service.address())["standing"] == standing;
    let done = std::sync::atomic::AtomicBool::new(false);
    let counts = thread::scope(|scope| {
        let loading = scope.spawn(|| load(door, 8, "GET", |_| done.load(Ordering::Relaxed)));
        while !stands() && began.elapsed() < LIMIT {
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
        loading.join().expect("no client fails")
    });
    assert!(began.elapsed() < LIMIT, "it is {}", endpoint(door, service.address()));
    counts
}

#[test]
fn who_refuses_is_never_noticed() {
    let (a, b, refusing) = (Moody::new("a"), Moody::new("b"), Refusing::new());
    let config = config(&[&a, &b]).replace("[\"", &format!("[\"{}\", \"", refusing.address()));
    let door = Door::start(&config);
    // Not even by what may not be repeated: nobody looked at it.
    let counts = load(&door, 4, "POST", |asked| asked >= 200);
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), ["200 a", "200 b"]);
}

#[test]
fn errors_of_one_are_answered_by_another_and_it_is_left_alone() {
    let (a, b) = (Moody::new("a"), Moody::new("b"));
    let door = Door::start(&config(&[&a, &b]));
    b.becomes(Mood::Busy);
    let counts = under_load_until(&door, &b, "ejected");
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), ["200 a"], "{counts:?}");
    door.stderr.wait_for("is left alone for ");
    let metrics = metrics(&door);
    let standing =
        |name| format!("doorward_balance_endpoints{{service=\"it\",standing=\"{name}\"}}");
    assert_eq!(value(&metrics, &standing("ejected")), 1.0);
    assert_eq!(value(&metrics, &standing("well")), 1.0);
    let explained = operate(&door, "POST", "/api/explain", r#"{"url": "http://h/"}"#);
    assert!(explained.body.contains(&format!("{} (ejected)", b.address())), "{}", explained.body);
}

#[test]
fn who_was_left_alone_comes_back_by_trial() {
    let (a, b) = (Moody::new("a"), Moody::new("b"));
    let door = Door::start(&config(&[&a, &b]));
    b.becomes(Mood::Errors);
    under_load_until(&door, &b, "ejected");
    b.becomes(Mood::Well);
    let counts = under_load_until(&door, &b, "well");
    assert!(counts.keys().all(|said| said.starts_with("200 ")), "{counts:?}");
    door.stderr.wait_for("is well again: it answered while on trial");
}

#[test]
fn who_is_silent_holds_nobody_up() {
    let services = ["a", "b", "c"].map(Moody::new);
    let door = Door::start(&config(&services.each_ref()));
    let began = Instant::now();
    load(&door, 8, "GET", |asked| asked >= 200);
    services[2].becomes(Mood::Silent);
    let counts = under_load_until(&door, &services[2], "ejected");
    assert!(counts.keys().all(|said| said.starts_with("200 ")), "{counts:?}");
    // Nobody waited for the time-out, which is a minute.
    assert!(began.elapsed() < LIMIT);
}

#[test]
fn who_crawls_gets_hardly_anything() {
    let services = ["a", "b", "c"].map(Moody::new);
    let door = Door::start(&config(&services.each_ref()));
    services[2].becomes(Mood::Slow);
    let counts = load(&door, 8, "GET", |asked| asked >= 2000);
    assert!(counts.keys().all(|said| said.starts_with("200 ")), "{counts:?}");
    let slow = counts.get("200 c").copied().unwrap_or_default();
    assert!(slow < 200, "{counts:?}");
}

#[test]
fn when_all_fail_nobody_is_blamed_and_retries_are_few() {
    let (a, b) = (Moody::new("a"), Moody::new("b"));
    let door = Door::start(&config(&[&a, &b]));
    for one in [&a, &b] {
        one.becomes(Mood::Busy);
    }
    let counts = load(&door, 4, "GET", |asked| asked >= 1000);
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), ["503"], "{counts:?}");
    let sent = a.service.take_received().len() + b.service.take_received().len();
    // A fifth more, and ten a second over the time that is remembered.
    assert!(sent <= 1000 + 200 + 110, "{sent}");
    until("it is counted", || {
        let metrics = metrics(&door);
        let denied = value(&metrics, "doorward_upstream_retries_denied_total{service=\"it\"}");
        (denied > 0.0).then_some(())
    });
}

#[test]
fn what_may_not_be_repeated_is_not() {
    let (a, b) = (Moody::new("a"), Moody::new("b"));
    let door = Door::start(&config(&[&a, &b]));
    b.becomes(Mood::Busy);
    let counts = load(&door, 1, "POST", |asked| asked >= 20);
    let received = a.service.take_received().len() + b.service.take_received().len();
    assert_eq!(received, 20, "{counts:?}");
}

#[test]
fn a_retry_tells_why() {
    let silent = Upstream::new();
    let door = Door::start(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef0123\"\n\
         [service.it]\nendpoints = [\"{}\"]\n[[route]]\npath = \"/*\"\nservice = \"it\"\n",
        silent.address()
    ));
    let mut client = door.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: r1\r\n\
         Doorward-Explain: 0123456789abcdef0123\r\n\r\n",
    );
    let mut first = silent.accept();
    first.read_request();
    drop(first);
    let mut second = silent.accept();
    second.read_request();
    second.send(ok("at last"));
    assert!(client.read_response().ends_with("at last"));
    let mut admin = crate::door::Wire::connect(door.admin);
    let trail = until("it is kept", || {
        admin.send(
            "GET /api/trails/r1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer 0123456789abcdef0123\r\n\r\n",
        );
        let answer = admin.read_response();
        answer.starts_with("HTTP/1.1 200 ").then_some(answer)
    });
    for words in
        ["the endpoint closed before it began its answer", "it may be repeated", "\"again\""]
    {
        assert!(trail.contains(words), "{words:?} in {trail}");
    }
}

#[test]
fn a_retry_knows_who_has_come_meanwhile() {
    let (old, new) = (Upstream::new(), Upstream::new());
    let door = Door::start(&to(&old));
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut first = old.accept();
    first.read_request();
    door.rewrite(&to(&new));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    drop(first);
    let mut second = new.accept();
    second.read_request();
    second.send(ok("from who has come"));
    assert!(client.read_response().ends_with("from who has come"));
    assert!(old.try_accept(Duration::from_millis(1)).is_none(), "who has gone was asked again");
}
