//! Services that are bad as a whole, and what their clients get meanwhile.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::door::{Door, Folder};
use crate::ops::{metrics, operate, status, until, value};
use crate::wire::{End, Refusing, Service, Upstream, field, ok, text};

/// A service that is well (0), answers 500 (1), or takes a tenth of a second (2).
struct Moody {
    service: Service,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn new(mood: u8) -> Self {
        let mood = Arc::new(AtomicU8::new(mood));
        let state = Arc::clone(&mood);
        let service = Service::new(move |_| {
            match state.load(Ordering::Relaxed) {
            0 => "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"1\"\r\nContent-Length: 4\r\n\r\nwell"
                .to_owned(),
            1 => "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => {
                thread::sleep(Duration::from_millis(100));
                ok("slow")
            }
        }
        });
        Self { service, mood }
    }

    fn becomes(&self, mood: u8) {
        self.mood.store(mood, Ordering::Relaxed);
    }

    /// The service `it`, with a breaker of these keys that opens soon.
    fn config(&self, keys: &str) -> String {
        format!(
            "[service.it]\nendpoints = [\"{}\"]\n\
             [service.it.breaker]\nrequests = 5\n{keys}\n\
             [[route]]\npath = \"/*\"\nservice = \"it\"\n",
            self.service.address()
        )
    }
}

fn get(door: &Door, path: &str) -> String {
    door.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
}

/// Asks until the breaker is open, which takes five requests.
#[track_caller]
fn open(door: &Door, path: &str, status: &str) {
    for _ in 0..5 {
        let answer = get(door, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    door.stderr.wait_for("`it`: the breaker of worker 0 opens for ");
}

#[test]
fn it_opens_and_is_closed_by_probes() {
    let service = Moody::new(1);
    let door = Door::start(&service.config("pause = \"1s\"\nprobes = 2"));
    assert_eq!(status(&door)["services"][0]["breaker"]["closed"], 1);
    open(&door, "/", "500");
    let refused = get(&door, "/");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("urn:doorward:fault:breaker-open"), "{refused}");
    assert_eq!(field(&refused, "Retry-After"), Some("1"), "{refused}");
    assert_eq!(service.service.take_received().len(), 5, "it is left alone");
    assert_eq!(status(&door)["services"][0]["breaker"]["open"], 1);
    let explained = operate(&door, "POST", "/api/explain", r#"{"url": "http://h/"}"#).body;
    assert!(explained.contains("while it is closed"), "{explained}");
    service.becomes(0);
    until("it is tried again", || get(&door, "/").starts_with("HTTP/1.1 200 ").then_some(()));
    until("it is closed", || get(&door, "/").starts_with("HTTP/1.1 200 ").then_some(()));
    door.stderr.wait_for("closes: its probes were answered well");
    let metrics = metrics(&door);
    let state = |state: &str| {
        let name = format!("doorward_breaker_workers{{service=\"it\",state=\"{state}\"}}");
        value(&metrics, &name)
    };
    assert_eq!([state("closed"), state("open"), state("half-open")], [1.0, 0.0, 0.0]);
    assert_eq!(value(&metrics, "doorward_breaker_opens_total{service=\"it\"}"), 1.0);
    assert!(value(&metrics, "doorward_breaker_refused_total{service=\"it\"}") >= 1.0);
}

#[test]
fn what_is_slow_opens_it_too() {
    let service = Moody::new(2);
    let door = Door::start(&service.config("pause = \"30s\"\nslow-after = \"50ms\""));
    open(&door, "/", "200");
    door.stderr.wait_for("too large a share of the answers is slow");
    assert!(get(&door, "/").contains("breaker-open"));
}

#[test]
fn another_service_stands_in() {
    let (service, other) = (Moody::new(1), Service::saying("the other"));
    let config = service.config("pause = \"30s\"\nfallback = [\"stale\", \"service:other\"]");
    let other = format!("[service.other]\nendpoints = [\"{}\"]\n", other.address());
    let door = Door::start(&(config + &other));
    open(&door, "/", "500");
    let answer = get(&door, "/");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("the other"), "{answer}");
    let posted = door.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    assert!(posted.ends_with("the other"), "{posted}");
    let to = "doorward_breaker_fallbacks_total{service=\"it\",to=\"service\"}";
    assert_eq!(value(&metrics(&door), to), 2.0);
}

#[test]
fn who_is_down_stands_in_for_nobody() {
    let (service, refusing) = (Moody::new(1), Refusing::new());
    let config =
        service.config("pause = \"30s\"\nfallback = [\"service:other\", { body = \"sorry\" }]");
    let other = format!("[service.other]\nendpoints = [\"{}\"]\n", refusing.address());
    let door = Door::start(&(config + &other));
    open(&door, "/", "500");
    // It has to be found out.
    until("it is passed over", || get(&door, "/").ends_with("sorry").then_some(()));
}

#[test]
fn who_stands_in_and_has_no_answer_is_followed_by_the_next() {
    let (service, failing, silent) = (Moody::new(1), Moody::new(1), Upstream::new());
    let fallback = |more: &str| {
        let keys = format!("pause = \"30s\"\nfallback = [\"service:one\"{more}]");
        let one = format!("[service.one]\nendpoints = [\"{}\"]\n", failing.service.address());
        let two = format!(
            "[service.two]\nendpoints = [\"{}\"]\nretry = {{ attempts = 1 }}\n\
             [[route]]\npath = \"/two\"\nservice = \"two\"\n",
            silent.address()
        );
        service.config(&keys) + &one + &two
    };
    let door = Door::start(&fallback(", \"service:two\", { body = \"sorry\" }"));
    open(&door, "/", "500");
    // One answers 500, two breaks off.
    let mut client = door.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    silent.accept().read_request();
    let answer = client.read_response();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("sorry"), "{answer}");
    // A body has gone to the first of them.
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    let (answer, end) = client.read_to_end();
    assert!(answer.ends_with(b"sorry"), "{}", text(&answer));
    assert_eq!(end, End::Closed);
    // The last one's answer is the answer, whatever it is.
    let door = Door::start(&fallback(""));
    open(&door, "/", "500");
    assert!(get(&door, "/").starts_with("HTTP/1.1 500 "));
}

#[test]
fn a_fixed_answer_stands_in() {
    let folder = Folder::new();
    folder.write("sorry.html", "<h1>Back soon</h1>");
    let service = Moody::new(1);
    let answer = "pause = \"30s\"\nfallback = [{ status = 503, file = \"sorry.html\", type = \"text/html\", \
                  headers = { X-From = \"the door\" } }]";
    let config =
        service.config(answer) + "response-headers = { set = { X-Filter = \"was here\" } }\n";
    let door = Door::start_in(folder, &config);
    open(&door, "/", "500");
    let answer = get(&door, "/");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("<h1>Back soon</h1>"));
    for (name, value) in
        [("Content-Type", "text/html"), ("X-From", "the door"), ("X-Filter", "was here")]
    {
        assert_eq!(field(&answer, name), Some(value), "{answer}");
    }
    let seconds = field(&answer, "Retry-After").expect("it says when");
    assert!((1..=30).contains(&seconds.parse::<u32>().expect("seconds")), "{answer}");
    door.folder.write("sorry.html", "<h1>Back later</h1>");
    until("it is read again", || get(&door, "/").ends_with("<h1>Back later</h1>").then_some(()));
    fs::remove_file(door.folder.path().join("sorry.html")).expect("it is there");
    door.stderr.wait_for("the answer in `sorry.html` cannot be read: No such file");
    assert!(get(&door, "/").ends_with("<h1>Back later</h1>"), "what was read before stays");
    // Who speaks gRPC would not understand it.
    let call = door.ask(
        "POST /a.B/C HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nTE: trailers\r\n\
         Content-Length: 0\r\n\r\n",
    );
    assert_eq!(field(&call, "grpc-status"), Some("14"), "{call}");
}

#[test]
fn a_stored_answer_stands_in_and_then_what_comes_next() {
    let service = Moody::new(0);
    let fallback = "pause = \"30s\"\nfallback = [\"stale\", { status = 200, body = \"sorry\" }]";
    let door = Door::start(&(service.config(fallback) + "cache = {}\n"));
    assert!(get(&door, "/stored").ends_with("well"));
    service.becomes(1);
    until("it is open", || {
        get(&door, "/");
        (status(&door)["services"][0]["breaker"]["open"] == 1).then_some(())
    });
    let stored = get(&door, "/stored");
    assert!(stored.starts_with("HTTP/1.1 200 ") && stored.ends_with("well"), "{stored}");
    assert!(field(&stored, "Age").is_some(), "{stored}");
    let other = get(&door, "/other");
    assert!(other.ends_with("sorry"), "{other}");
    let mut client = door.connect();
    client.send("HEAD /stored HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 200 ") && field(&head, "Age").is_some(), "{head}");
    let to = |to: &str| {
        let name = format!("doorward_breaker_fallbacks_total{{service=\"it\",to=\"{to}\"}}");
        value(&metrics(&door), &name)
    };
    assert!(to("stale") >= 2.0 && to("answer") >= 1.0);
}
