//! Real processes, really killed.

use std::collections::BTreeMap;
use std::time::Duration;

use rules::service::Ask;
use rustix::process::Signal;

use super::super::news::StateName;
use super::super::service::Role;
use super::super::*;
use super::door::{Door, LIMIT, Scratch, ask, ended, raw, run, service, signal};

#[test]
fn it_has_its_variables_its_output_is_heard_and_it_answers() {
    run(async {
        let mut spec = service("shop", "--print-variables --port {port} --name red");
        spec.environment.insert("COLOUR".to_owned(), "red".to_owned());
        let mut door = Door::new(vec![spec]);
        let ready = door.until_ready("shop", 1).await;
        assert!(ask(ready[0]).await.contains("X-Name: red"));
        let status = door.one("shop").await;
        assert_eq!((status.state, status.port), (StateName::Ready, Some(ready[0].port())));
        assert!(status.since_unix_ms > 1_700_000_000_000);
        let story = door.stop().await.join("\n");
        for said in [
            &format!("Stdout: PORT={}", ready[0].port())[..],
            "shop/1 Stdout: SERVICE=shop",
            "shop/1 Stdout: INSTANCE=1",
            "shop/1 Stdout: DOORWARD_URL=http://127.0.0.1:8080",
            "shop/1 Stdout: COLOUR=red",
            "shop/1 Stdout: not text: \\xff",
            "shop/1 Stderr: on stderr",
            "no line end",
        ] {
            assert!(story.contains(said), "{said} in\n{story}");
        }
    });
}

#[test]
fn killed_it_comes_back_on_another_port() {
    run(async {
        let mut door = Door::new(vec![service("shop", "")]);
        let first = door.until_ready("shop", 1).await;
        signal(door.one("shop").await.pid.expect("it lives"), Signal::KILL);
        door.until_ready("shop", 0).await;
        let second = door.until_ready("shop", 1).await;
        assert_ne!(first, second);
        let status = door.one("shop").await;
        assert_eq!(status.restarts, 1);
        let reason = status.last_exit.expect("it ended once").reason;
        assert!(reason.starts_with("ended by SIGKILL"), "{reason}");
        door.stop().await;
    });
}

#[test]
fn a_crash_loop_backs_off_and_touches_no_other() {
    run(async {
        let mut door = Door::new(vec![service("bad", "--exit 7"), service("good", "")]);
        door.until_ready("good", 1).await;
        let good = door.one("good").await;
        door.until_told("failure 3 in a row").await;
        assert_eq!(door.told("last words; next try"), 0);
        let reports = door.story.iter().filter(|line| line.contains("exited with status 7"));
        let texts: Vec<_> = reports.filter(|line| line.contains("last words")).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        let status = door.one("bad").await;
        let last = status.last_exit.expect("it ended");
        assert_eq!(last.reason, "exited with status 7");
        assert_eq!(last.last_lines, ["first", "second", "last words"]);
        assert_eq!(door.one("good").await, good);
        door.stop().await;
    });
}

#[test]
fn what_cannot_start_says_why_and_touches_no_other() {
    run(async {
        let scratch = Scratch::new("unstartable");
        for (name, mode) in [("plain", 0o644), ("odd", 0o755)] {
            let path = scratch.0.join(name);
            std::fs::write(&path, "\0nothing that runs").expect("a file");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("its mode");
        }
        let mut lost = raw("lost", "python3 -V");
        lost.directory = scratch.0.join("nowhere");
        let mut specs = vec![
            raw("missing", "no-such-program --port {port}"),
            raw("shelly", "cd somewhere"),
            raw("plain", "./plain"),
            raw("odd", "./odd"),
            lost,
            service("good", ""),
        ];
        for spec in &mut specs[2..4] {
            spec.directory.clone_from(&scratch.0);
        }
        let mut door = Door::new(specs);
        door.until_ready("good", 1).await;
        for (service, reason) in [
            ("missing", "command not found: `no-such-program` (it is in no directory of PATH)"),
            ("shelly", "only a shell knows it"),
            ("plain", "`./plain` may not be executed (`chmod +x` may be missing)"),
            ("odd", "`./odd` is not an executable format"),
            ("lost", "nowhere`: it does not exist"),
        ] {
            let status = door.one(service).await;
            let said = status.last_exit.expect("it failed").reason;
            assert!(said.contains(reason), "{said}");
        }
        door.stop().await;
    });
}

#[test]
fn a_slow_start_is_awaited_and_an_endless_one_is_not() {
    run(async {
        let mut endless = service("endless", "--status '503 Busy'");
        endless.start_limit = Duration::from_secs(3);
        let mut slow = service("slow", "--after 0.5");
        slow.checked.health.healthy_after = 3;
        let mut plain = service("plain", "--after 0.2 --port {port}");
        plain.checked.health.ask = Ask::Connection;
        let mut door = Door::new(vec![endless, slow, plain]);
        door.until_ready("slow", 1).await;
        door.until_ready("plain", 1).await;
        door.until_told("was not healthy within 3s: `/healthz` answered 503").await;
        assert!(door.ready_of("endless").is_empty());
        door.stop().await;
    });
}

#[test]
fn one_that_hangs_is_replaced() {
    run(async {
        let mut spec = service("shop", "");
        spec.checked.health.timeout = Duration::from_millis(200);
        let mut door = Door::new(vec![spec]);
        let first = door.until_ready("shop", 1).await;
        let pid = door.one("shop").await.pid.expect("it lives");
        signal(pid, Signal::USR1);
        door.until("another one", |door| {
            door.ready_of("shop").first().is_some_and(|address| *address != first[0])
        })
        .await;
        ended(pid).await;
        let reason = door.one("shop").await.last_exit.expect("it hung").reason;
        assert_eq!(reason, "stopped answering: 3 checks in a row failed, no answer within 200ms");
        door.stop().await;
    });
}

#[test]
fn one_that_ignores_sigterm_is_killed() {
    run(async {
        let mut spec = service("shop", "--deaf");
        spec.stop_grace = Duration::from_millis(100);
        let mut door = Door::new(vec![spec]);
        door.until_ready("shop", 1).await;
        let pid = door.one("shop").await.pid.expect("it lives");
        let story = door.stop().await.join("\n");
        assert!(story.contains("did not stop within 100ms: killed"), "{story}");
        ended(pid).await;
    });
}

#[test]
fn a_new_command_replaces_one_at_a_time_and_the_old_serves_until_drained() {
    run(async {
        let spec = |arguments: &str| {
            let mut spec = service("shop", arguments);
            spec.instances = 3;
            spec.drain_limit = LIMIT;
            vec![spec]
        };
        let mut door = Door::new(spec("--name old"));
        let mut before = door.until_ready("shop", 3).await;
        door.supervision.apply(spec("--name new --after 0.1"));
        for _ in 0..3 {
            let change = door.changes.recv().await.expect("a change");
            assert_eq!(change.ready.len(), 3, "{change:?}");
            let left: Vec<_> = before.iter().filter(|old| !change.ready.contains(old)).collect();
            assert_eq!(left.len(), 1, "{before:?} {change:?}");
            assert!(ask(*left[0]).await.contains("X-Name: old"));
            for address in &change.ready {
                assert!(ask(*address).await.starts_with("HTTP/1.1 204"));
            }
            door.supervision.drained(*left[0]);
            before.clone_from(&change.ready);
            door.note(change);
        }
        for address in &before {
            assert!(ask(*address).await.contains("X-Name: new"));
        }
        door.until("the old to stop", |door| door.told(" stopped") == 3).await;
        assert_eq!(door.supervision.status().await.len(), 3);
        // A command that fails changes nothing but the status.
        door.supervision.apply(spec("--exit 1"));
        door.until_told("exited with status 1").await;
        let status = door.supervision.status().await;
        let candidate = status.iter().find(|one| one.role == Role::Candidate).expect("one");
        assert_eq!(
            candidate.last_exit.as_ref().map(|last| &last.reason[..]),
            Some("exited with status 1")
        );
        assert_eq!(door.ready_of("shop"), before, "the endpoints stay");
        door.stop().await;
    });
}

#[test]
fn counts_change_and_services_go_and_the_unchanged_stay() {
    run(async {
        let mut shop = service("shop", "");
        let blog = service("blog", "");
        let mut door = Door::new(vec![shop.clone(), blog.clone()]);
        door.until_ready("shop", 1).await;
        door.until_ready("blog", 1).await;
        let (pid, blog_pid) = (door.one("shop").await.pid, door.one("blog").await.pid);
        shop.instances = 3;
        door.supervision.apply(vec![shop.clone(), blog]);
        door.until_ready("shop", 3).await;
        shop.instances = 1;
        door.supervision.apply(vec![shop]);
        door.until_ready("shop", 1).await;
        door.until_ready("blog", 0).await;
        assert_eq!(door.one("shop").await.pid, pid);
        ended(blog_pid.expect("it lived")).await;
        door.stop().await;
    });
}

/// The pid that the grandchild printed, the `count`th of its kind.
async fn grandchild(door: &mut Door, count: usize) -> u32 {
    door.until("a grandchild", |door| door.told("Stdout: grandchild ") == count).await;
    let line = door.story.iter().rfind(|line| line.contains("grandchild ")).expect("it spoke");
    line.rsplit(' ').next().expect("a pid").parse().expect("a pid")
}

#[test]
fn grandchildren_go_with_their_parent() {
    run(async {
        let mut spec = service("shop", "--parent");
        spec.stop_grace = Duration::from_millis(200);
        let mut door = Door::new(vec![spec]);
        door.until_ready("shop", 1).await;
        let first = grandchild(&mut door, 1).await;
        signal(door.one("shop").await.pid.expect("it lives"), Signal::KILL);
        ended(first).await;
        let second = grandchild(&mut door, 2).await;
        door.until_ready("shop", 1).await;
        // This one ignores SIGTERM, as its parent does not: the group has its grace all the same.
        let story = door.stop().await.join("\n");
        assert!(story.contains("did not stop within 200ms: killed"), "{story}");
        ended(second).await;
    });
}

#[test]
fn a_supervisor_that_is_dropped_leaves_nobody_behind() {
    run(async {
        let mut door = Door::new(vec![service("shop", "--deaf --parent")]);
        door.until_ready("shop", 1).await;
        let pid = door.one("shop").await.pid.expect("it lives");
        let grandchild = grandchild(&mut door, 1).await;
        door.task.abort();
        ended(pid).await;
        ended(grandchild).await;
    });
}

#[test]
fn when_nobody_can_speak_to_it_any_more_everything_stops() {
    run(async {
        let mut door = Door::new(vec![service("shop", "")]);
        door.until_ready("shop", 1).await;
        let pid = door.one("shop").await.pid.expect("it lives");
        drop(door.supervision);
        door.task.await.expect("it did not panic");
        ended(pid).await;
    });
}

#[test]
fn a_flood_blocks_nobody() {
    run(async {
        let loud = service("loud", "--flood 20000000");
        let calm = service("calm", "--print-variables");
        let (sink, entries) = journal();
        let (supervision, mut changes, supervisor) = supervisor(sink);
        let task = tokio::spawn(supervisor.run());
        supervision.apply(vec![loud, calm]);
        // Nobody takes entries, and yet it comes to the end of its flood and listens.
        while changes.recv().await.expect("a change").service[..] != *"loud" {}
        let mut door =
            Door { supervision, changes, entries, task, ready: BTreeMap::new(), story: Vec::new() };
        door.until_told("loud lost ").await;
        door.until_told("calm/1 Stdout: INSTANCE=1").await;
        assert!(door.told("loud/1 Stdout: xxx") < 5_000);
        door.stop().await;
    });
}

#[test]
fn a_lost_race_for_a_port_is_run_again_at_once() {
    run(async {
        let scratch = Scratch::new("race");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/process/tests/child.py");
        let mut spec = raw(
            "shop",
            &format!(
                "sh -c 'test -e once || {{ touch once; echo EADDRINUSE >&2; exit 1; }}; \
                 exec python3 {script}'"
            ),
        );
        spec.directory.clone_from(&scratch.0);
        let mut door = Door::new(vec![spec]);
        door.until_ready("shop", 1).await;
        assert_eq!(door.told("lost its port to another: trying again"), 1);
        assert_eq!(door.one("shop").await.last_exit, None);
        door.stop().await;
    });
}
