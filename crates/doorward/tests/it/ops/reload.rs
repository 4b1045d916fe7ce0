//! A reload takes what is new, refuses what is wrong, and disturbs nobody.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use serde_json::json;

use super::{all_to, get, metrics, metrics_with, operate, service, status, until, value};
use crate::door::{Door, End, Folder, Wire};

fn respond(path: &str, text: &str) -> String {
    format!("[[route]]\npath = \"{path}\"\nrespond = {{ status = 200, body = \"{text}\" }}\n")
}

#[track_caller]
fn version(door: &Door) -> u64 {
    let version = &status(door)["config"]["version"];
    version.as_u64().expect("a number")
}

#[test]
fn a_signal_and_the_api_apply_what_the_file_says_now() {
    let door = Door::start(&respond("/", "one"));
    assert_eq!(get(door.http[0], "/"), (200, "one".to_owned()));
    door.rewrite(&respond("/", "two"));
    door.signal(Signal::HUP);
    door.stderr.wait_for("version 2 applied");
    assert_eq!(get(door.http[0], "/"), (200, "two".to_owned()));

    door.rewrite(&respond("/", "three"));
    let answer = operate(&door, "POST", "/api/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    assert_eq!((&answer["applied"], &answer["version"]), (&json!(true), &json!(3)));
    assert_eq!(get(door.http[0], "/"), (200, "three".to_owned()));
    let metrics = metrics(&door);
    assert_eq!(value(&metrics, "doorward_config_reloads_total{result=\"applied\"}"), 2.0);
    assert_eq!(value(&metrics, "doorward_config_version"), 3.0);
}

#[test]
fn dev_applies_a_file_as_it_is_saved_and_files_it_includes_too() {
    let folder = Folder::new();
    folder.write("routes/a.toml", respond("/a", "one"));
    let command = Door::command(&folder, &["dev", "doorward.toml"]);
    let door = Door::start_as(command, folder, "include = [\"routes/*.toml\"]\n");
    assert_eq!(get(door.http[0], "/a"), (200, "one".to_owned()));
    door.folder.write("routes/a.toml", respond("/a", "two"));
    door.stderr.wait_for("version 2 applied");
    assert_eq!(get(door.http[0], "/a"), (200, "two".to_owned()));
    door.folder.write("routes/b.toml", respond("/b", "new"));
    door.stderr.wait_for("version 3 applied");
    assert_eq!(get(door.http[0], "/b"), (200, "new".to_owned()));
}

#[test]
fn a_wrong_file_changes_nothing_and_is_loud_everywhere() {
    let door = Door::start(&respond("/", "one"));
    door.rewrite("[[route]]\npath = \"/\"\nrespnd = { status = 200 }\n");
    door.signal(Signal::HUP);
    let line = door.stderr.wait_for("refused; version 1 stays in use");
    assert!(line.contains("\"level\":\"error\""), "{line}");
    assert!(line.contains("doorward.toml:3:1"), "{line}");
    assert!(line.contains("did you mean `respond`?"), "{line}");

    let answer = operate(&door, "POST", "/api/reload", "");
    assert_eq!(answer.status, 422, "{}", answer.body);
    let answer = answer.json();
    assert_eq!((&answer["applied"], &answer["version"]), (&json!(false), &json!(1)));
    let report = answer["report"].as_str().expect("a text");
    assert!(report.contains("doorward.toml:3:1"), "{report}");

    let refused = &status(&door)["config"]["refused"];
    assert_eq!(refused.as_str(), Some(report));
    let counted = metrics(&door);
    assert_eq!(value(&counted, "doorward_config_refused"), 1.0);
    assert_eq!(value(&counted, "doorward_config_reloads_total{result=\"refused\"}"), 2.0);
    assert_eq!(get(door.http[0], "/"), (200, "one".to_owned()));

    door.rewrite(&respond("/", "two"));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    assert_eq!(status(&door)["config"]["refused"], json!(null));
    assert_eq!(value(&metrics(&door), "doorward_config_refused"), 0.0);
    assert_eq!(get(door.http[0], "/"), (200, "two".to_owned()));
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let door = Door::start(&respond("/", "one"));
    std::fs::remove_file(door.folder.path().join("doorward.toml")).expect("it is there");
    let answer = operate(&door, "POST", "/api/reload", "");
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("no such file"), "{}", answer.body);
    assert_eq!(get(door.http[0], "/"), (200, "one".to_owned()));
}

#[test]
fn listeners_come_and_go_and_others_keep_their_connections() {
    let config = |listen: &str| format!("[listen]\nhttp = [{listen}]\n{}", respond("/", "one"));
    let door = Door::start(&config("\"127.0.0.1:0\""));
    let first = door.http[0];
    let mut kept = Wire::connect(first);
    let ask = |client: &mut Wire| {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_response()
    };
    assert!(ask(&mut kept).ends_with("one"));

    // Port 0 is the same listener as before, wherever it stands; another port 0 is another one.
    door.rewrite(&config("\"127.0.0.1:0\", \"127.0.0.1:0\""));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    let listening = status(&door)["config"]["listening"].clone();
    let listening = listening.as_array().expect("a list");
    assert_eq!(listening[0], json!(first.to_string()));
    let second = listening[1].as_str().and_then(|text| text.parse().ok());
    let second = second.expect("an address");
    assert_ne!(first, second);
    let mut guest = Wire::connect(second);
    assert!(ask(&mut guest).ends_with("one"));

    door.rewrite(&config("\"127.0.0.1:0\""));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    until("the second is closed", || TcpStream::connect(second).err());
    assert!(ask(&mut guest).ends_with("one"), "who had come may stay");
    assert!(ask(&mut kept).ends_with("one"));
}

#[test]
fn an_address_that_cannot_be_had_is_refused_with_everything_else() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let door = Door::start(&respond("/", "one"));
    door.rewrite(&format!(
        "[listen]\nhttp = [\"127.0.0.1:0\", \"{address}\"]\n{}",
        respond("/", "two")
    ));
    let answer = operate(&door, "POST", "/api/reload", "");
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains(&format!("cannot listen on {address}")), "{}", answer.body);
    assert_eq!(get(door.http[0], "/"), (200, "one".to_owned()));
    assert_eq!(version(&door), 1);
}

#[test]
fn what_takes_a_restart_is_said() {
    let door = Door::start(&respond("/", "one"));
    door.rewrite(&format!(
        "[runtime]\nworkers = 3\n[admin]\nlisten = \"127.0.0.1:1\"\n{}",
        respond("/", "two")
    ));
    let answer = operate(&door, "POST", "/api/reload", "").json();
    let names = json!(["[runtime] workers", "[admin] listen"]);
    assert_eq!((&answer["applied"], &answer["needs-restart"]), (&json!(true), &names));
    let said = door.stderr.wait_for("takes a restart");
    assert!(said.contains("[runtime] workers, [admin] listen"), "{said}");
    let now = status(&door);
    assert_eq!(now["config"]["needs-restart"], names);
    assert_eq!(now["workers"], json!(1));
    assert_eq!(get(door.http[0], "/"), (200, "two".to_owned()));
    // As it was started: nothing is left to be done.
    door.rewrite(&respond("/", "three"));
    operate(&door, "POST", "/api/reload", "");
    assert_eq!(status(&door)["config"]["needs-restart"], json!([]));
}

#[test]
fn counters_survive_and_those_of_other_routes_are_together() {
    let routes =
        |count: usize| -> String { (0..count).map(|n| respond(&format!("/r{n}"), "x")).collect() };
    let door = Door::start(&routes(2000));
    let requests =
        |route: &str| format!("doorward_route_requests_total{{route=\"{route}\",status=\"2xx\"}}");
    for path in ["/r0", "/r999", "/r1000", "/r1999"] {
        assert_eq!(get(door.http[0], path).0, 200);
    }
    for (route, count) in [("/r0", 1.0), ("/r999", 1.0), ("other", 2.0)] {
        metrics_with(&door, &requests(route), count);
    }
    door.rewrite(&routes(1500));
    operate(&door, "POST", "/api/reload", "");
    assert_eq!(get(door.http[0], "/r0").0, 200);
    let after = metrics_with(&door, &requests("/r0"), 2.0);
    assert_eq!(value(&after, &requests("other")), 2.0);
}

/// How many are open while the configuration changes.
const WEBSOCKETS: usize = 1000;
const RELOADS: u64 = 20;
const CLIENTS: usize = 4;

#[test]
fn twenty_reloads_lose_no_websocket_no_request_no_pooled_connection() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let it = all_to(service("it"));
    let door = Door::start(&it);
    let open = |_| {
        let mut client = door.connect();
        client.send(
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        client
    };
    let mut sockets: Vec<Wire> = (0..WEBSOCKETS).map(open).collect();
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let traffic = || {
        let mut client = door.connect();
        while !done.load(Ordering::Relaxed) {
            client.send("GET /steady HTTP/1.1\r\nHost: h\r\n\r\n");
            let response = client.read_response();
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
            assert!(response.ends_with("\r\n\r\nit"), "{response}");
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    let connects = "doorward_upstream_connects_total{service=\"it\"}";
    let before = thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| drop(scope.spawn(traffic)));
        until("all clients are served", || (asked.load(Ordering::Relaxed) > 100).then_some(()));
        let before = metrics(&door);
        for round in 0..RELOADS {
            let served = asked.load(Ordering::Relaxed);
            // Every second time there is one route and one listener more.
            let more = match round % 2 {
                0 => {
                    respond("/more", "more")
                        + "[listen]\nhttp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n"
                }
                _ => String::new(),
            };
            door.rewrite(&format!("{it}{more}"));
            let answer = operate(&door, "POST", "/api/reload", "");
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(get(door.http[0], "/more").1, ["more", "it"][round as usize % 2]);
            let socket = &mut sockets[round as usize];
            socket.send("ping");
            assert_eq!(socket.read_exact(4), b"ping");
            until("the traffic goes on", || {
                (asked.load(Ordering::Relaxed) > served + 20).then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
        before
    });
    for (number, socket) in sockets.iter_mut().enumerate() {
        let text = format!("still here {number}");
        socket.send(&text);
        assert_eq!(socket.read_exact(text.len()), text.as_bytes());
    }
    let after = metrics(&door);
    // Each upgraded connection took one, and the steady clients share theirs.
    let opened = value(&after, connects) - WEBSOCKETS as f64;
    assert!((1.0..=CLIENTS as f64 + 1.0).contains(&opened), "{opened}");
    assert!(value(&before, connects) >= WEBSOCKETS as f64);
    assert_eq!(value(&after, "doorward_client_upgrades_total"), WEBSOCKETS as f64);
    let ok = "doorward_route_requests_total{route=\"/*\",status=\"2xx\"}";
    assert!(value(&after, ok) >= asked.load(Ordering::Relaxed) as f64);
    assert!(!after.contains("status=\"5xx\""), "{after}");
    let mut first = sockets.swap_remove(0);
    first.end();
    assert_eq!(first.expect_end(), End::Closed);
}
