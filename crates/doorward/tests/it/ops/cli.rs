//! The command line: what it says, to people and to programs, and how it ends.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{WORKER_PY, all_to, get, service, until};
use crate::door::{Door, Folder, Lines, kill_with_services};

const COMMANDS: [&str; 10] =
    ["dev", "run", "proxy", "check", "explain", "status", "cache", "purge", "completions", "man"];

const SMALL: &str = "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";

pub(crate) fn run(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Door::command(folder, arguments).stderr(Stdio::piped()).output();
    let Output { status, stdout, stderr } = output.expect("the program is built");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (status.code(), text(stdout), text(stderr))
}

/// What a person sees who types that at a terminal.
pub(crate) fn at_terminal(folder: &Folder, arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])", env!("CARGO_BIN_EXE_doorward")])
        .args(arguments)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("there is Python");
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

#[test]
fn every_help_has_examples() {
    let folder = Folder::new();
    let (code, out, _) = run(&folder, &["--help"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Examples:") && COMMANDS.iter().all(|name| out.contains(name)), "{out}");
    for name in COMMANDS {
        let (code, out, _) = run(&folder, &[name, "--help"]);
        assert_eq!(code, Some(0));
        assert!(out.contains("Examples:\n  "), "{name}: {out}");
        assert!(out.contains(&format!("doorward {name}")), "{name}: {out}");
    }
}

#[test]
fn completions_and_manual_pages_are_written() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = run(&folder, &["completions", shell]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{shell}");
        assert!(COMMANDS.iter().all(|name| out.contains(name)), "{shell}");
    }
    let (code, page, _) = run(&folder, &["man"]);
    assert!(code == Some(0) && page.contains(".TH doorward 1"), "{page}");
    for name in COMMANDS {
        let (code, page, _) = run(&folder, &["man", name]);
        assert!(code == Some(0) && page.contains(&format!(".TH doorward-{name} 1")), "{page}");
        assert!(page.contains("Examples:"), "{name}");
    }
    assert_eq!(run(&folder, &["man", "dance"]).0, Some(2));
}

#[test]
fn what_keeps_it_from_starting_is_said_and_the_code_tells_which_kind() {
    let folder = Folder::new();
    for verb in ["run", "dev", "check"] {
        let (code, _, err) = run(&folder, &[verb, "nothing.toml"]);
        assert_eq!(code, Some(2), "{verb}: {err}");
        assert!(err.contains("cannot read `nothing.toml`: no such file"), "{verb}: {err}");
        let without = "`doorward proxy --to localhost:3000` runs without a file";
        assert_eq!(err.contains(without), verb != "check", "{verb}: {err}");
    }
    folder.write("wrong.toml", "[[route]]\npath = 1\n");
    for verb in ["run", "dev", "check"] {
        let (code, _, err) = run(&folder, &[verb, "wrong.toml"]);
        assert_eq!(code, Some(2), "{verb}: {err}");
        assert!(err.contains("wrong.toml:2:8: expected a string"), "{verb}: {err}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let wanted = format!("cannot listen on {address}: another program listens there");
    for (listen, admin) in
        [(address.to_string(), "127.0.0.1:0"), ("127.0.0.1:0".into(), &*address.to_string())]
    {
        let build = "build = \"touch built\"\nrun = \"true\"";
        folder.write(
            "taken.toml",
            format!(
                "[listen]\nhttp = \"{listen}\"\n[admin]\nlisten = \"{admin}\"\n\
                 [service.a]\n{build}\n[[route]]\npath = \"/\"\nservice = \"a\"\n"
            ),
        );
        for verb in ["run", "dev"] {
            let (code, _, err) = run(&folder, &[verb, "taken.toml"]);
            assert_eq!(code, Some(1), "{verb}: {err}");
            assert!(err.contains(&wanted), "{verb}: {err}");
        }
    }
    assert!(!folder.path().join("built").exists(), "nothing is built in vain");
    assert_eq!(run(&folder, &["dance"]).0, Some(2));
}

#[test]
fn explain_tells_every_decision_from_the_file_alone() {
    let folder = Folder::new();
    folder.write(
        "doorward.toml",
        "[service.a]\nendpoints = [\"127.0.0.1:7001\"]\n\
         [[route]]\npath = \"/a/*\"\nservice = \"a\"\nmethod = \"GET\"\n\
         [[route]]\npath = \"/a/*\"\nservice = \"a\"\nheader = { x-beta = true }\n",
    );
    let (code, out, err) = run(&folder, &["explain", "GET", "http://h/a/7", "-H", "X-Beta: 1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let explanation: Value = serde_json::from_str(&out).expect("JSON when piped");
    assert_eq!(explanation["outcome"], json!("forward to `a` at 127.0.0.1:7001"));
    let lines = explanation["decisions"]["lines"].as_array().expect("a list");
    for line in lines {
        for key in ["stage", "step", "why"] {
            assert!(line[key].as_str().is_some_and(|text| !text.is_empty()), "{line}");
        }
    }
    let stages: Vec<_> = lines.iter().filter_map(|line| line["stage"].as_str()).collect();
    let at = |wanted: &str| stages.iter().position(|stage| *stage == wanted);
    assert!(at("route") < at("service") && at("service") < at("balance"), "{stages:?}");

    let (code, out, _) = run(&folder, &["explain", "POST", "http://h/a"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("answer 405"), "{out}");
    for (arguments, why) in [
        (["explain", "GET", "/a"], "does not begin with http://"),
        (["explain", "GET", "http:///a"], "names no host"),
        (["explain", "G T", "http://h/a"], "request line"),
    ] {
        let (code, _, err) = run(&folder, &arguments);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.to_lowercase().contains(why), "{err}");
    }
    let table = at_terminal(&folder, &["explain", "GET", "http://h/a/7"]);
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("GET http://h/a/7"), "{table}");
    assert!(table.contains("\n  balance  "), "{table}");
    assert!(table.ends_with("  => forward to `a` at 127.0.0.1:7001\n"), "{table}");
}

#[test]
fn explain_live_shows_what_really_happened() {
    let door = Door::start(&all_to(service("it")));
    let (url, admin) = (format!("http://{}/x", door.http[0]), door.admin.to_string());
    let live = ["explain", "GET", &url, "--live", "--admin", &admin];
    let (code, out, err) = run(&door.folder, &live);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let explanation: Value = serde_json::from_str(&out).expect("JSON when piped");
    let outcome = explanation["outcome"].as_str().unwrap_or_default();
    assert!(outcome.starts_with("answered 200 in "), "{outcome}");
    let lines = explanation["decisions"]["lines"].as_array().expect("a list");
    assert_eq!(lines.last().map(|line| &line["stage"]), Some(&json!("upstream")), "{out}");

    let wrong = [&live[..], &["--token", "0123456789abcdef0123456789abcdef"]].concat();
    let (code, _, err) = run(&door.folder, &wrong);
    assert_eq!(code, Some(1));
    assert!(err.contains("answered 401"), "{err}");
}

#[test]
fn status_is_a_table_for_people_and_json_for_programs() {
    let folder = Folder::new();
    folder.write("worker.py", WORKER_PY);
    let door = Door::start_in(
        folder,
        "[service.good]\nrun = \"python3 worker.py {port} good\"\n\
         [service.bad]\nrun = \"sh -c 'echo the disk is full >&2; exit 3'\"\n\
         [service.else]\nendpoints = [\"127.0.0.1:7001\", \"127.0.0.1:7002\"]\n\
         [[route]]\npath = \"/good\"\nservice = \"good\"\n\
         [[route]]\npath = \"/bad\"\nservice = \"bad\"\n\
         [[route]]\npath = \"/else\"\nservice = \"else\"\n",
    );
    let admin = door.admin.to_string();
    let arguments = ["status", "--admin", &admin];
    let status = until("all is known", || {
        let (code, out, err) = run(&door.folder, &arguments);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let status: Value = serde_json::from_str(&out).expect("JSON when piped");
        let bad = &status["services"][0]["instances"][0]["last-exit"]["last-lines"];
        let good = &status["services"][2]["endpoints"];
        (bad[0] == "the disk is full" && good[0].is_object()).then_some(status)
    });
    assert_eq!(status["config"]["routes"], json!(3));
    let table = at_terminal(&door.folder, &arguments);
    for words in [
        "doorward 0.1.0  up ",
        "doorward.toml  version 1  3 routes  3 services  on 127.0.0.1:",
        "\n● good  1 of 1 ready\n    1  ready  127.0.0.1:",
        "\n✗ bad  0 of 1 ready\n    1  ",
        "exited with status 3\n      the disk is full\n",
        "\n● else  2 endpoints\n    127.0.0.1:7001  well\n    127.0.0.1:7002  well\n",
    ] {
        assert!(table.contains(words), "{words:?} in\n{table}");
    }
    assert!(!table.contains("null"), "{table}");
}

#[test]
fn status_of_what_does_not_run_says_so() {
    let folder = Folder::new();
    let (code, _, err) = run(&folder, &["status"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no token in ") && err.contains("hint:"), "{err}");
    let (code, _, err) = run(&folder, &["status", "--admin", "127.0.0.1:1", "--token", "x"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("Connection refused") && err.contains("is Doorward running"), "{err}");
}

/// A door that was started without a configuration of the test's.
struct Started {
    child: std::process::Child,
    stdout: Lines,
    stderr: Lines,
}

impl Started {
    fn new(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program is built");
        let (stdout, stderr) = (Lines::default(), Lines::default());
        stdout.follow(child.stdout.take().expect("it is piped"));
        stderr.follow(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        kill_with_services(&mut self.child);
    }
}

#[test]
fn proxy_needs_no_file_and_prints_the_one_it_stands_for() {
    let upstream = service("hello");
    for to in [upstream.to_string(), upstream.port().to_string(), format!("http://{upstream}/")] {
        let folder = Folder::new();
        let arguments = ["proxy", "--to", &to, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let proxy = Started::new(Door::command(&folder, &arguments));
        let line = proxy.stderr.wait_for("\"message\":\"http on ");
        let (_, rest) = line.split_once("http on ").expect("it says so");
        let (http, _) = rest.split_once(", admin").expect("it says so");
        assert_eq!(get(http.parse().expect("an address"), "/"), (200, "hello".to_owned()));
        proxy.stdout.wait_for("service = \"app\"");
        let printed = proxy.stdout.all();
        let printed: Vec<_> = printed.iter().take_while(|line| !line.contains(" GET ")).collect();
        let file = printed.iter().fold(String::new(), |file, line| file + line + "\n");
        assert!(file.contains(&format!("endpoints = [\"{upstream}\"]")), "{file}");
        folder.write("doorward.toml", &file);
        let (code, out, err) = run(&folder, &["check"]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    }
    let (code, _, err) = run(&Folder::new(), &["proxy", "--to", "nowhere"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("its port is missing"), "{err}");
}

#[test]
fn dev_says_what_to_try_with_routes_that_are_there() {
    let folder = Folder::new();
    folder.write(
        "my door.toml",
        format!(
            "{SMALL}[[route]]\nhost = \"*.example.com\"\npath = \"/shop/{{id}}\"\n\
             respond = {{ status = 200 }}\n\
             [[route]]\npath = \"/only\"\nmethod = \"POST\"\nrespond = {{ status = 200 }}\n\
             [[route]]\npath = \"/api/v1/articles/*\"\nrespond = {{ status = 200 }}\n"
        ),
    );
    let dev = Started::new(Door::command(&folder, &["dev", "my door.toml"]));
    dev.stderr.wait_for("Ctrl-C ends everything");
    let said = dev.stderr.all().join("\n");
    let line = |words: &str| said.lines().find(|line| line.contains(words)).map(str::trim);
    let curl = line("/articles").expect("it is to be tried");
    assert!(curl.starts_with("curl -i http://127.0.0.1:"), "{said}");
    let hosted = line("-H ").expect("hosts too");
    assert!(hosted.starts_with("curl -i -H 'Host: www.example.com' http://"), "{said}");
    assert!(hosted.ends_with("/shop/1"), "{said}");
    assert!(line("/only").is_none(), "{said}");
    assert!(line("doorward explain").is_some_and(|line| line.ends_with("--config 'my door.toml'")));
    assert_eq!(line("doorward status"), Some("doorward status 'my door.toml'"));
    // It is not a promise only.
    let address = curl.trim_start_matches("curl -i http://");
    let (address, path) = address.split_at(address.find('/').expect("a path"));
    assert_eq!(get(address.parse().expect("an address"), path).0, 200);
}
