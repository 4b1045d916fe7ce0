//! Services that are asked for more than they can do, and who is told to come again then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::door::Door;
use crate::ops::{metrics, operate, status, until, value};
use crate::wire::{Service, Upstream, Wire, field, ok};

/// Places that are taken one after the other.
#[derive(Clone, Default)]
struct Slots(Arc<(Mutex<u64>, Condvar)>);

impl Slots {
    fn new(count: u64) -> Self {
        Self(Arc::new((Mutex::new(count), Condvar::new())))
    }

    /// Makes so many more.
    fn open(&self, count: u64) {
        *self.0.0.lock().expect("nobody panics") += count;
        self.0.1.notify_all();
    }

    /// Works in one of them for `time`, as soon as one is free.
    fn work(&self, time: Duration) {
        let (free, changed) = &*self.0;
        let mut count = changed
            .wait_while(free.lock().expect("nobody panics"), |count| *count == 0)
            .expect("nobody panics");
        *count -= 1;
        drop(count);
        thread::sleep(time);
        self.open(1);
    }
}

fn config(address: std::net::SocketAddr, keys: &str) -> String {
    format!(
        "[service.it]\nendpoints = [\"{address}\"]\n{keys}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n\
         priority = {{ header = \"X-Priority\", header-at-most = \"critical\" }}\n"
    )
}

fn request(name: &str, priority: &str) -> String {
    format!("GET /{name} HTTP/1.1\r\nHost: h\r\nX-Priority: {priority}\r\n\r\n")
}

/// Two at once, two wait, and time is no matter.
const TWO: &str = "overload = { first = 2, least = 2, interval = \"10s\", target = \"10s\" }\n\
                   limits = { requests = 2, pending = 2 }";

#[track_caller]
fn waiting(door: &Door, count: u64) {
    until("so many wait", || {
        let status = status(door);
        (status["services"][0]["overload"]["waiting"] == count).then_some(())
    });
}

/// A connection with a request on it.
fn ask(door: &Door, name: &str, priority: &str) -> Wire {
    let mut client = door.connect();
    client.send(request(name, priority));
    client
}

/// The next request that arrives, and its connection.
fn next(upstream: &Upstream) -> (Wire, String) {
    let mut wire = upstream.accept();
    let request = wire.read_request();
    (wire, request)
}

#[test]
fn the_important_ones_are_first_and_the_others_are_told_when_to_come() {
    let service = Upstream::new();
    let door = Door::start(&config(service.address(), TWO));
    let mut first = ask(&door, "a", "normal");
    let (mut a, _) = next(&service);
    let mut second = ask(&door, "b", "normal");
    let (mut b, _) = next(&service);
    let mut sheddable = ask(&door, "c", "sheddable");
    waiting(&door, 1);
    let mut normal = ask(&door, "d", "normal");
    waiting(&door, 2);
    // There is no room for another one of these.
    let refused = ask(&door, "e", "sheddable").read_response();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("urn:doorward:fault:upstream-overloaded"), "{refused}");
    let seconds = field(&refused, "Retry-After").expect("it says when");
    assert!((1..=30).contains(&seconds.parse::<u32>().expect("seconds")), "{refused}");
    // Who is more important gets the place of who is not.
    let mut critical = ask(&door, "f", "critical");
    let displaced = sheddable.read_response();
    assert!(displaced.starts_with("HTTP/1.1 503 "), "{displaced}");
    a.send(ok("a"));
    assert!(first.read_response().ends_with('a'));
    assert!(a.read_request().starts_with("GET /f "));
    b.send(ok("b"));
    assert!(second.read_response().ends_with('b'));
    assert!(b.read_request().starts_with("GET /d "));
    a.send(ok("f"));
    b.send(ok("d"));
    assert!(critical.read_response().ends_with('f'));
    assert!(normal.read_response().ends_with('d'));
    door.stderr.wait_for("`it` is asked for more than it can do");
    let metrics = metrics(&door);
    let shed = |priority: &str| {
        let name =
            format!("doorward_overload_shed_total{{service=\"it\",priority=\"{priority}\"}}");
        value(&metrics, &name)
    };
    assert_eq!([shed("critical"), shed("normal"), shed("sheddable")], [0.0, 0.0, 2.0]);
    for (name, count) in [("running", 0.0), ("waiting", 0.0), ("limit", 2.0)] {
        let name = format!("doorward_overload_{name}_requests{{service=\"it\"}}");
        assert_eq!(value(&metrics, &name), count, "{name}");
    }
    assert_eq!(value(&metrics, "doorward_overload_waits_total{service=\"it\"}"), 3.0);
    assert_eq!(status(&door)["services"][0]["overload"]["shed"]["sheddable"], 2);
    let asked = r#"{"url": "http://h/", "headers": [["X-Priority", "sheddable"]]}"#;
    let explained = operate(&door, "POST", "/api/explain", asked).body;
    for words in ["the request says so", "while no more is asked of the service than it can do"] {
        assert!(explained.contains(words), "{words:?} in {explained}");
    }
}

#[test]
fn who_leaves_the_queue_takes_nobodys_place() {
    let service = Upstream::new();
    let door = Door::start(&config(service.address(), TWO));
    let _first = ask(&door, "a", "normal");
    let (mut a, _) = next(&service);
    let _second = ask(&door, "b", "normal");
    let (_b, _) = next(&service);
    let leaving = ask(&door, "c", "critical");
    waiting(&door, 1);
    drop(leaving);
    waiting(&door, 0);
    let mut last = ask(&door, "d", "normal");
    waiting(&door, 1);
    // So does one that has left in the middle.
    a.send(ok("a"));
    assert!(a.read_request().starts_with("GET /d "));
    a.send(ok("d"));
    assert!(last.read_response().ends_with('d'));
}

#[test]
fn those_that_wait_are_answered_whatever_is_reloaded() {
    let slots = Slots::new(0);
    let places = slots.clone();
    let service = Service::new(move |_| {
        places.work(Duration::ZERO);
        ok("fine")
    });
    let door = Door::start(&config(service.address(), TWO));
    let mut clients: Vec<_> = (0..4).map(|_| ask(&door, "a", "normal")).collect();
    waiting(&door, 2);
    door.rewrite(&config(service.address(), "limits = { requests = 1 }"));
    door.signal(Signal::HUP);
    until("the new one is in use", || (status(&door)["config"]["version"] == 2).then_some(()));
    slots.open(2);
    for client in &mut clients {
        assert!(client.read_response().ends_with("fine"));
    }
    // And so are those who come by the new one.
    assert!(ask(&door, "b", "normal").read_response().ends_with("fine"));
}

#[test]
fn a_stored_answer_stands_in_for_a_service_with_too_much_to_do() {
    let service = Upstream::new();
    let config = config(service.address(), "limits = { requests = 1, pending = 0 }")
        + "cache = { stale-if-error = \"1h\" }\n";
    let door = Door::start(&config);
    let mut client = ask(&door, "a", "normal");
    let (mut one, _) = next(&service);
    one.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\nold");
    assert!(client.read_response().ends_with("old"));
    let _busy = ask(&door, "b", "normal");
    one.read_request();
    let stale = ask(&door, "a", "normal").read_response();
    assert!(stale.starts_with("HTTP/1.1 200 ") && stale.ends_with("old"), "{stale}");
    let refused = ask(&door, "c", "normal").read_response();
    assert!(refused.contains("upstream-overloaded"), "{refused}");
}

/// Requests of one kind of clients: those that were answered, and those that were told to come again.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    shed: AtomicU64,
}

#[test]
fn at_three_times_the_capacity_the_important_ones_are_answered() {
    const SLOTS: u64 = 8;
    let slots = Slots::new(SLOTS);
    let handled = Arc::new(AtomicU64::new(0));
    let (places, counted) = (slots.clone(), Arc::clone(&handled));
    let service = Service::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        places.work(Duration::from_millis(20));
        ok("done")
    });
    let door = Door::start(&config(
        service.address(),
        &format!(
            "overload = {{ interval = \"2s\" }}\nlimits = {{ requests = {SLOTS}, pending = 8 }}"
        ),
    ));
    let counts: [Counts; 3] = Default::default();
    let done = AtomicBool::new(false);
    let (most_waiting, most_running) = (AtomicU64::new(0), AtomicU64::new(0));
    let client = |at: usize, priority: &str| {
        let mut client = door.connect();
        while !done.load(Ordering::Relaxed) {
            client.send(request("", priority));
            let response = client.read_response();
            if response.starts_with("HTTP/1.1 200 ") {
                counts[at].answered.fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(response.contains("upstream-overloaded"), "{response}");
                counts[at].shed.fetch_add(1, Ordering::Relaxed);
                // Nobody asks again in the same moment.
                thread::sleep(Duration::from_millis(5));
            }
        }
    };
    thread::scope(|scope| {
        // A third of what it can do, as much as it can do, and as much again and more.
        for (at, priority, clients) in [(0, "critical", 3), (1, "normal", 8), (2, "sheddable", 16)]
        {
            for _ in 0..clients {
                scope.spawn(move || client(at, priority));
            }
        }
        let _until_over = Stop(&done);
        while counts[0].answered.load(Ordering::Relaxed) < 150
            && counts[0].shed.load(Ordering::Relaxed) == 0
        {
            let overload = &status(&door)["services"][0]["overload"];
            let number = |key: &str| overload[key].as_u64().expect("a number");
            most_waiting.fetch_max(number("waiting"), Ordering::Relaxed);
            most_running.fetch_max(number("running"), Ordering::Relaxed);
        }
    });
    let [critical, normal, sheddable] = &counts;
    assert_eq!(critical.shed.load(Ordering::Relaxed), 0, "{counts:?}");
    let shed = sheddable.shed.load(Ordering::Relaxed);
    assert!(shed > 0 && shed >= normal.shed.load(Ordering::Relaxed), "{counts:?}");
    assert!(most_waiting.load(Ordering::Relaxed) <= 8);
    assert!(most_running.load(Ordering::Relaxed) <= SLOTS);
    // All that the service did was of use to somebody.
    let answered: u64 = counts.iter().map(|kind| kind.answered.load(Ordering::Relaxed)).sum();
    assert_eq!(handled.load(Ordering::Relaxed), answered, "{counts:?}");
}

/// Stops something when it is dropped, even by a test that fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_door_that_comes_late_itself_takes_the_important_ones() {
    let service = Service::saying("done");
    let door = Door::start(&config(service.address(), ""));
    let stop = AtomicBool::new(false);
    let ask = |priority: &str| door.ask(request("", priority));
    assert!(ask("sheddable").starts_with("HTTP/1.1 200 "));
    thread::scope(|scope| {
        let until_over = Stop(&stop);
        // A loop that gets hardly any time: it is stopped again as soon as it goes on.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                door.signal(Signal::STOP);
                thread::sleep(Duration::from_millis(250));
                door.signal(Signal::CONT);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let refused = until("what is sheddable is shed", || {
            let answer = ask("sheddable");
            (!answer.starts_with("HTTP/1.1 200 ")).then_some(answer)
        });
        let critical = ask("critical");
        drop(until_over);
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("urn:doorward:fault:overloaded"), "{refused}");
        let seconds = field(&refused, "Retry-After").expect("it says when");
        assert!((1..=3).contains(&seconds.parse::<u32>().expect("seconds")), "{refused}");
        assert!(critical.starts_with("HTTP/1.1 200 "), "{critical}");
    });
    // It has time again.
    until("all are taken", || ask("sheddable").starts_with("HTTP/1.1 200 ").then_some(()));
    door.stderr.wait_for("it takes nothing that is sheddable");
    door.stderr.wait_for("it takes everything again");
    let metrics = metrics(&door);
    assert!(value(&metrics, "doorward_worker_shed_total{priority=\"sheddable\"}") > 0.0);
    assert_eq!(value(&metrics, "doorward_worker_shed_total{priority=\"critical\"}"), 0.0);
    assert!(value(&metrics, "doorward_worker_loop_lag_seconds{worker=\"0\"}") < 1.0);
}

#[test]
fn an_endpoint_has_no_more_connections_than_it_may() {
    let service = Upstream::new();
    let door = Door::start(&config(service.address(), "limits = { connections = 1 }"));
    let mut first = ask(&door, "a", "normal");
    let (mut a, _) = next(&service);
    let refused = ask(&door, "b", "normal").read_response();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("urn:doorward:fault:upstream-connections"), "{refused}");
    let open = "doorward_upstream_open_connections{service=\"it\"}";
    assert_eq!(value(&metrics(&door), open), 1.0);
    a.send(ok("a"));
    assert!(first.read_response().ends_with('a'));
    // It is used again, and counts no more when it has ended.
    let mut third = ask(&door, "c", "normal");
    assert!(a.read_request().starts_with("GET /c "));
    a.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nc");
    assert!(third.read_response().ends_with('c'));
    until("it has ended", || (value(&metrics(&door), open) == 0.0).then_some(()));
    let mut last = ask(&door, "d", "normal");
    let (mut d, _) = next(&service);
    d.send(ok("d"));
    assert!(last.read_response().ends_with('d'));
}
