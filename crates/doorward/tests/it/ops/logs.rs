//! What is written down: every request once, in either form, and never at a client's expense.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use super::{all_to, metrics, service, status, until, value};
use crate::door::{Door, Folder, Upstream};

fn with_log(format: &str, more: &str) -> String {
    format!("[log]\naccess = \"{format}\"\n{more}")
}

#[test]
fn json_tells_everything_about_a_request() {
    let door = Door::start(&with_log("json", &all_to(service("hello"))));
    let mut client = door.connect();
    client.send(
        "POST /a%20b/%22c%22?q=%22x%22 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\
         User-Agent: a \"quoted\\\" \u{e9}\r\nX-Request-Id: the-id-0123456789\r\n\r\nabc",
    );
    client.read_response();
    client.send("GET /second HTTP/1.1\r\nHost: example.com\r\nBad Line\r\n\r\n");
    client.read_response();
    let line = door.stdout.wait_for("\"status\":200");
    let entry: Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for (key, wanted) in [
        ("client", "127.0.0.1"),
        ("method", "POST"),
        ("host", "example.com"),
        ("route", "/*"),
        ("user-agent", "a \"quoted\\\" \u{e9}"),
    ] {
        assert_eq!(entry[key].as_str(), Some(wanted), "{key}: {line}");
    }
    assert!(entry["path"].as_str().is_some_and(|path| path.contains('c')), "{line}");
    assert_eq!(entry["request-bytes"].as_u64(), Some(3), "{line}");
    assert!(entry["response-bytes"].as_u64() >= Some(5), "{line}");
    assert!(entry["duration-us"].is_u64() && entry["time"].as_f64() > Some(1.6e9), "{line}");
    assert!(entry.get("fault").is_none(), "{line}");

    let line = door.stdout.wait_for("\"status\":400");
    let entry: Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(entry["route"].as_str(), Some("-"), "{line}");
    assert!(entry["fault"].is_string(), "{line}");
}

#[test]
fn text_is_one_line_for_a_person() {
    let door = Door::start(&with_log("text", &all_to(service("hello"))));
    door.ask("GET /x?y HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    let line = door.stdout.wait_for("example.com/x?y");
    for words in [" 200 ", " GET ", "127.0.0.1", "route=/*", "id="] {
        assert!(line.contains(words), "{words}: {line}");
    }
}

#[test]
fn no_log_is_no_log_and_a_reload_changes_it() {
    let it = all_to(service("hello"));
    let door = Door::start(&it);
    let ask = |path: &str| {
        door.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    };
    ask("/unwritten");
    door.rewrite(&with_log("json", &it));
    door.signal(Signal::HUP);
    door.stderr.wait_for("version 2 applied");
    ask("/written");
    door.stdout.wait_for("/written");
    assert_eq!(door.stdout.all().len(), 1);
}

/// Some of these are in the memory of a worker when the end comes.
#[test]
fn at_the_end_every_line_is_written() {
    let mut door = Door::start(&with_log("json", &all_to(service("hello"))));
    let mut client = door.connect();
    for n in 0..500 {
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.read_response();
    }
    door.signal(Signal::TERM);
    assert_eq!(door.wait().code(), Some(0));
    door.stdout.wait_for("\"/499\"");
    assert_eq!(door.stdout.all().len(), 500);
}

#[test]
fn at_the_end_of_patience_every_line_is_written_too() {
    let upstream = Upstream::new();
    let config = with_log("json", &all_to(upstream.address()));
    let mut door = Door::start(&format!("[runtime]\ndrain = \"100ms\"\nworkers = 1\n{config}"));
    let mut stuck = door.connect();
    stuck.send("GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n");
    upstream.accept().read_request();
    door.ask("GET /../refused HTTP/1.1\r\nHost: a b\r\n\r\n");
    door.signal(Signal::TERM);
    assert_eq!(door.wait().code(), Some(0));
    door.stdout.wait_for("\"status\":400");
}

/// A reader that takes nothing, and goes on when it is told to.
#[test]
fn a_full_pipe_stops_nobody_and_what_is_lost_is_counted() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let folder = Folder::new();
    let mut command = Door::command(&folder, &["run", "doorward.toml"]);
    command.stdout(Stdio::from(writer));
    let mut door = Door::start_as(command, folder, &with_log("json", &all_to(service("hello"))));
    // Each line holds it, so that the queue is full soon.
    let agent = "x".repeat(30_000);
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
    let mut client = door.connect();
    let dropped = || value(&metrics(&door), "doorward_log_lines_dropped_total");
    let mut asked = 0;
    until("lines are dropped", || {
        for _ in 0..50 {
            client.send(&request);
            let response = client.read_response();
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
            asked += 1;
        }
        (dropped() > 0.0).then_some(())
    });
    client.end();
    client.expect_end();
    let lost = until("all is counted", || {
        // What is in the hands of the worker is dropped, too, within half a second.
        let before = dropped();
        (dropped() == before).then_some(before)
    });
    // The rest is written when the reader goes on.
    let counting = thread::spawn(move || {
        let mut text = String::new();
        File::from(std::os::fd::OwnedFd::from(reader)).read_to_string(&mut text).map(|_| text)
    });
    door.signal(Signal::TERM);
    assert_eq!(door.wait().code(), Some(0));
    let text = counting.join().expect("no panic").expect("it is text");
    let written = text.lines().count();
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(written + lost as usize <= asked && written > 200, "{written} and {lost} of {asked}");
}

#[test]
fn a_reader_of_errors_that_stands_still_stops_nobody() {
    let folder = Folder::new();
    folder.write("loud.sh", "i=0; while [ $i -lt 100000 ]; do echo $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; sleep 1000\n");
    let config = "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[runtime]\nworkers = 1\n\
        [service.loud]\nrun = \"sh loud.sh\"\n[[route]]\npath = \"/loud\"\nservice = \"loud\"\n";
    folder.write("doorward.toml", config);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = Door::command(&folder, &["run", "doorward.toml"])
        .stderr(Stdio::from(writer))
        .spawn()
        .expect("the program is built");
    // Reads until the address is known, and then no more.
    let mut reader = File::from(std::os::fd::OwnedFd::from(reader));
    let mut text = String::new();
    while !text.contains(", admin on ") || !text.ends_with('\n') {
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("it says where it listens");
        text.push(char::from(byte[0]));
    }
    let (_, admin) = text.split_once(", admin on ").expect("it says so");
    let end = admin.find('"').expect("a string");
    let admin = admin[..end].parse().expect("an address");
    for _ in 0..100 {
        let mut client = crate::door::Wire::connect(admin);
        client.send("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(client.read_response().starts_with("HTTP/1.1 200 "));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
        .expect("it runs");
    // It ends although nobody reads what it says.
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    drop(reader);
}

#[test]
fn the_level_is_obeyed_from_the_reload_on() {
    let door = Door::start("");
    door.rewrite("[log]\nlevel = \"error\"\n");
    door.signal(Signal::HUP);
    until("it is applied", || (version(&door) == 2).then_some(()));
    door.rewrite("[log]\nlevel = \"eror\"\n");
    door.signal(Signal::HUP);
    door.stderr.wait_for("refused; version 2 stays in use");
    let lines = door.stderr.all();
    assert!(!lines.iter().any(|line| line.contains("applied")), "{lines:#?}");
}

fn version(door: &Door) -> u64 {
    let version = &status(door)["config"]["version"];
    version.as_u64().expect("a number")
}
