//! Services that the door starts: they come up, come back, and never take others with them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{WORKER_PY, get, operate, status, until};
use crate::door::{Door, Folder};

/// The configuration of services in Python, each at the path of its name.
fn services(services: &[(&str, &str)]) -> String {
    let one = |(name, more): &(&str, &str)| {
        format!(
            "[service.{name}]\nrun = \"python3 worker.py {{port}} {name}\"\n{more}\n\
             [[route]]\npath = \"/{name}\"\nservice = \"{name}\"\n"
        )
    };
    services.iter().map(one).collect()
}

#[track_caller]
fn start(config: &str) -> Door {
    let folder = Folder::new();
    folder.write("worker.py", WORKER_PY);
    Door::start_in(folder, config)
}

fn service<'s>(status: &'s Value, name: &str) -> &'s Value {
    let services = status["services"].as_array().expect("a list");
    let found = services.iter().find(|service| service["name"] == name);
    found.expect("it is there")
}

/// The processes of a service, once so many of them get requests.
#[track_caller]
fn pids(door: &Door, name: &str, count: usize) -> BTreeSet<i32> {
    until("the service is up", || {
        let status = status(door);
        let service = service(&status, name);
        let ready = service["endpoints"].as_array().expect("a list");
        let instances = service["instances"].as_array().expect("a list");
        let pids = instances.iter().filter(|one| one["state"] == "ready");
        let pids: BTreeSet<i32> =
            pids.filter_map(|one| i32::try_from(one["pid"].as_i64()?).ok()).collect();
        (ready.len() == count && pids.len() == count).then_some(pids)
    })
}

/// Asks for `paths` in turn while `act` goes on, and counts; every answer must be 200 and begin with
/// the name of the service.
fn under_load<T>(door: &Door, paths: &[&str], act: impl FnOnce(&AtomicU64) -> T) -> T {
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let ask = |path: &str| {
        let mut client = door.connect();
        while !done.load(Ordering::Relaxed) {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let response = client.read_response();
            assert!(response.starts_with("HTTP/1.1 200 "), "{path}: {response}");
            let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            assert!(body.starts_with(&path[1..]), "{path}: {response}");
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for path in paths {
            scope.spawn(|| ask(path));
        }
        // Whatever `act` finds wrong must not leave the others asking for ever.
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&asked)));
        done.store(true, Ordering::Relaxed);
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Waits for so many more answers.
#[track_caller]
fn answers(asked: &AtomicU64, more: u64) {
    let goal = asked.load(Ordering::Relaxed) + more;
    until("the others are served", || (asked.load(Ordering::Relaxed) >= goal).then_some(()));
}

#[test]
fn who_is_killed_comes_back_and_others_do_not_notice() {
    let door = start(&services(&[("a", ""), ("b", ""), ("c", "instances = 2")]));
    for (name, count) in [("a", 1), ("b", 1), ("c", 2)] {
        pids(&door, name, count);
    }
    assert!(get(door.http[0], "/a").1.starts_with("a "));
    under_load(&door, &["/b", "/c"], |asked| {
        for _ in 0..3 {
            let before = pids(&door, "a", 1);
            let pid = Pid::from_raw(*before.first().expect("one")).expect("a process");
            kill_process(pid, Signal::KILL).expect("it runs");
            answers(asked, 50);
            until("it is another", || {
                let now = status(&door);
                let instance = &service(&now, "a")["instances"][0];
                let reason = instance["last-exit"]["reason"].as_str();
                let killed = reason.is_some_and(|reason| reason.contains("SIGKILL"));
                let other = instance["pid"].as_i64() != Some(i64::from(pid.as_raw_nonzero().get()));
                (killed && other && instance["state"] == "ready").then_some(())
            });
            until("it answers again", || {
                let (status, body) = get(door.http[0], "/a");
                (status == 200 && body.starts_with("a ")).then_some(())
            });
        }
    });
    door.stderr.wait_for("SIGKILL");
}

#[test]
fn who_cannot_start_leaves_all_others_running_and_says_why() {
    let config = services(&[("good", "")])
        + "[service.missing]\nrun = \"no-such-program --port {port}\"\n\
           [service.broken]\nrun = \"python3 -c 'import sys; sys.exit(\\\"the disk is full\\\")'\"\n\
           [[route]]\npath = \"/missing\"\nservice = \"missing\"\n\
           [[route]]\npath = \"/broken\"\nservice = \"broken\"\n";
    let door = start(&config);
    pids(&door, "good", 1);
    under_load(&door, &["/good"], |asked| {
        let reason = |name: &str| {
            until("the reason is known", || {
                let now = status(&door);
                let last = &service(&now, name)["instances"][0]["last-exit"];
                let reason = last["reason"].as_str()?.to_owned();
                Some((reason, last["last-lines"].to_string()))
            })
        };
        let (reason_of_missing, _) = reason("missing");
        assert!(reason_of_missing.contains("no-such-program"), "{reason_of_missing}");
        let (reason_of_broken, lines) = reason("broken");
        assert!(reason_of_broken.contains('1'), "{reason_of_broken}");
        assert!(lines.contains("the disk is full"), "{lines}");
        let (status, body) = get(door.http[0], "/missing");
        assert_eq!(status, 503, "{body}");
        answers(asked, 50);
    });
    door.stderr.wait_for("the disk is full");
}

#[test]
fn a_changed_command_is_replaced_one_at_a_time_and_no_request_fails() {
    let config = |more: &str| services(&[("a", &format!("instances = 3\n{more}")), ("b", "")]);
    let door = start(&config("environment = { ROUND = \"1\" }"));
    let before = pids(&door, "a", 3);
    let of_b = pids(&door, "b", 1);
    under_load(&door, &["/a", "/a", "/b"], |asked| {
        answers(asked, 50);
        door.rewrite(&config("environment = { ROUND = \"2\" }"));
        assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
        until("all are other ones", || {
            let now = status(&door);
            let service = service(&now, "a");
            let ready = service["endpoints"].as_array().expect("a list").len();
            assert!(ready >= 2, "all but one serve: {service}");
            let instances = service["instances"].as_array().expect("a list");
            let pid = |one: &Value| i32::try_from(one["pid"].as_i64()?).ok();
            let old = instances.iter().filter_map(pid).any(|pid| before.contains(&pid));
            (!old && ready == 3).then_some(())
        });
        answers(asked, 50);
    });
    assert_eq!(pids(&door, "b", 1), of_b, "it did not change");
    let after = pids(&door, "a", 3);
    assert!(after.is_disjoint(&before));
}

#[test]
fn a_service_that_goes_away_is_stopped_and_a_new_one_started() {
    let door = start(&services(&[("a", ""), ("b", "")]));
    let gone = *pids(&door, "b", 1).first().expect("one");
    let kept = pids(&door, "a", 1);
    door.rewrite(&services(&[("a", ""), ("c", "")]));
    operate(&door, "POST", "/api/reload", "");
    pids(&door, "c", 1);
    assert!(get(door.http[0], "/c").1.starts_with("c "));
    assert_eq!(get(door.http[0], "/b").0, 404);
    let gone = Pid::from_raw(gone).expect("a process");
    until("it has ended", || rustix::process::test_kill_process(gone).err());
    assert_eq!(pids(&door, "a", 1), kept);
}

#[test]
fn a_new_listener_restarts_no_service() {
    let door = start(&services(&[("a", "")]));
    let before = pids(&door, "a", 1);
    // This one sorts before the other.
    door.rewrite(&format!(
        "[listen]\nhttp = [\"127.0.0.1:0\", \"0.0.0.0:0\"]\n{}",
        services(&[("a", ""), ("b", "")])
    ));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    pids(&door, "b", 1);
    assert_eq!(pids(&door, "a", 1), before);
    // Instances came and went, but there was one reload.
    assert_eq!(status(&door)["config"]["version"], 2);
}

#[test]
fn dev_builds_each_command_once_before_it_starts_anything() {
    let folder = Folder::new();
    folder.write("worker.py", WORKER_PY);
    let build = "build = \"sh -c 'echo compiling; echo built >> builds.txt'\"";
    let config = services(&[("a", build), ("b", build)]);
    let command = Door::command(&folder, &["dev", "doorward.toml"]);
    let door = Door::start_as(command, folder, &config);
    pids(&door, "b", 1);
    let built = std::fs::read_to_string(door.folder.path().join("builds.txt"));
    assert_eq!(built.expect("it was built"), "built\n");
    door.stderr.wait_for("building: sh -c");
    door.stderr.wait_for("\"compiling\"");
    let lines = door.stderr.all();
    let at = |words: &str| lines.iter().position(|line| line.contains(words));
    assert!(at("\"built") < at("http on "), "{lines:#?}");
    door.stderr.wait_for("the door is open");
}

#[test]
fn dev_ends_with_the_reason_when_a_build_fails() {
    let folder = Folder::new();
    let build = "build = \"sh -c 'echo no such crate >&2; exit 3'\"";
    let config = services(&[("a", build)])
        + "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    folder.write("doorward.toml", config);
    let mut command = Door::command(&folder, &["dev", "doorward.toml"]);
    let output = command.output().expect("the program is built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the build of `a` failed"), "{said}");
    assert!(said.contains("no such crate"), "{said}");
}
