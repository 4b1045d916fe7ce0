//! `kill -9` of two of three instances, three seconds after all are there, again and again, under load.
//!
//! `DOORWARD_TEST_SECONDS=600 cargo test --release --test it killing` goes on for ten minutes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::door::{Door, Folder};
use crate::ops::{WORKER_PY, operate, status, token, until};

/// How long all three are there before two of them are killed.
const EVERY: Duration = Duration::from_secs(3);

/// The processes that get requests, once there are so many.
#[track_caller]
fn ready(door: &Door, count: usize) -> Vec<i32> {
    until("the instances are up", || {
        let status = status(door);
        let service = &status["services"][0];
        let instances = service["instances"].as_array().expect("a list");
        let ready = instances.iter().filter(|one| one["state"] == "ready");
        let pids: BTreeSet<i32> =
            ready.filter_map(|one| i32::try_from(one["pid"].as_i64()?).ok()).collect();
        let used = service["endpoints"].as_array().expect("a list").len();
        (pids.len() == count && used == count).then(|| pids.into_iter().collect())
    })
}

#[test]
fn nobody_notices_who_is_killed() {
    let seconds = std::env::var("DOORWARD_TEST_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let folder = Folder::new();
    folder.write("worker.py", WORKER_PY);
    let door = Door::start_in(
        folder,
        "[service.a]\nrun = \"python3 worker.py {port} a\"\ninstances = 3\n\
         health = { path = \"/\", every = \"100ms\", healthy-after = 1 }\n\
         [[route]]\npath = \"/*\"\nservice = \"a\"\n",
    );
    ready(&door, 3);
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let token = token(&door);
    let ask = |client: u32| {
        let mut wire = door.connect();
        for number in 0_u64.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let id = format!("{client}-{number}");
            wire.send(format!(
                "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: {id}\r\nDoorward-Explain: {token}\r\n\r\n"
            ));
            let response = wire.read_response();
            if !response.starts_with("HTTP/1.1 200 ") {
                done.store(true, Ordering::Relaxed);
                let trail = operate(&door, "GET", &format!("/api/trails/{id}"), "");
                panic!("{response}\n{}", trail.body);
            }
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    let kill = || {
        let began = Instant::now();
        let mut killed = 0;
        while began.elapsed() < Duration::from_secs(seconds) {
            for pid in &ready(&door, 3)[..2] {
                kill_process(Pid::from_raw(*pid).expect("a process"), Signal::KILL)
                    .expect("it runs");
                killed += 1;
            }
            // Requests must go on without them before the next ones die.
            let goal = asked.load(Ordering::Relaxed) + 200;
            until("it goes on", || (asked.load(Ordering::Relaxed) >= goal).then_some(()));
            // Who dies as soon as it is ready is a crash loop, and waits ever longer for its start.
            ready(&door, 3);
            thread::sleep(EVERY);
        }
        killed
    };
    let killed = thread::scope(|scope| {
        for client in 0..8 {
            let ask = &ask;
            scope.spawn(move || ask(client));
        }
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(kill));
        done.store(true, Ordering::Relaxed);
        killed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let asked = asked.load(Ordering::Relaxed);
    assert!(killed >= 2 && asked > 100, "{killed} killed, {asked} answered");
    eprintln!("{killed} instances were killed under {asked} requests, and nobody noticed");
}
