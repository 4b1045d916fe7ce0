//! The end: nothing new is taken, what is under way is finished, and systemd knows.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Instant;

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::json;

use super::{WORKER_PY, all_to, get, operate, status, tell, until};
use crate::door::{Door, End, Folder, LIMIT, Upstream, Wire};

/// Tells the door to end, and waits until it has begun to.
#[track_caller]
fn terminate(door: &Door) {
    door.signal(Signal::TERM);
    door.stderr.wait_for("draining, for");
}

#[test]
fn what_is_under_way_is_finished_and_nothing_new_is_taken() {
    let upstream = Upstream::new();
    let mut door = Door::start(&all_to(upstream.address()));

    let mut idle = door.connect();
    idle.send("GET /idle HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut pooled = upstream.accept();
    pooled.read_request();
    pooled.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(!idle.read_response().to_ascii_lowercase().contains("connection: close"));

    let mut slow = door.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    // The door uses the connection that it has.
    pooled.read_request();

    let mut upload = door.connect();
    upload.send("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfirst");
    let mut uploading = upstream.accept();
    let head = uploading.read_head();
    assert!(head.starts_with("POST /upload "), "{head}");

    let mut socket = door.connect();
    socket.send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut tunnel = upstream.accept();
    tunnel.read_request();
    tunnel.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    socket.read_head();

    terminate(&door);
    assert_eq!(idle.expect_end(), End::Closed);
    until("nobody listens", || TcpStream::connect(door.http[0]).err());
    let ready = tell(&door, "GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n");
    assert_eq!((ready.status, &ready.json()["draining"]), (503, &json!(true)));
    assert_eq!(tell(&door, "GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n").status, 200);
    assert_eq!(status(&door)["config"]["draining"], json!(true));

    pooled.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
    let response = slow.read_response();
    assert!(response.ends_with("\r\n\r\nslow"), "{response}");
    assert!(response.to_ascii_lowercase().contains("connection: close"), "{response}");
    assert_eq!(slow.expect_end(), End::Closed);

    upload.send(" rest");
    assert_eq!(uploading.read_exact(10), b"first rest");
    uploading.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert!(upload.read_response().starts_with("HTTP/1.1 201 "));

    socket.send("ping");
    assert_eq!(tunnel.read_exact(4), b"ping");
    tunnel.send("pong");
    assert_eq!(socket.read_exact(4), b"pong");
    socket.end();
    tunnel.expect_end();
    tunnel.end();
    socket.expect_end();

    assert_eq!(door.wait().code(), Some(0));
    door.stderr.wait_for("all requests are finished");
}

#[test]
fn what_takes_longer_than_the_limit_is_cut_off() {
    let upstream = Upstream::new();
    let config =
        format!("[runtime]\ndrain = \"200ms\"\nworkers = 2\n{}", all_to(upstream.address()));
    let mut door = Door::start(&config);
    let mut client = door.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut service = upstream.accept();
    service.read_request();
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ");
    client.read_until("half ");
    terminate(&door);
    assert_eq!(door.wait().code(), Some(0));
    door.stderr.wait_for("1 connections are cut off");
    client.expect_end();
}

#[test]
fn told_again_it_ends_at_once_with_all_its_children() {
    let folder = Folder::new();
    // It does not end when it is told to.
    folder.write("stubborn.sh", "trap '' TERM\necho $$ up\nwhile :; do sleep 1000; done\n");
    let upstream = Upstream::new();
    let run = "[service.stubborn]\nrun = \"sh stubborn.sh\"\n\
               [[route]]\npath = \"/stubborn\"\nservice = \"stubborn\"\n";
    let mut door = Door::start_in(folder, &format!("{}{run}", all_to(upstream.address())));
    door.stderr.wait_for(" up");
    let pid = status(&door)["services"][1]["instances"][0]["pid"].as_i64();
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).expect("it runs");
    let mut client = door.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    upstream.accept().read_request();
    terminate(&door);
    let began = Instant::now();
    door.signal(Signal::TERM);
    assert_eq!(door.wait().code(), Some(0));
    // Its child would have had ten seconds, and the request thirty.
    assert!(began.elapsed() < LIMIT / 4, "{:?}", began.elapsed());
    until("the child is gone", || test_kill_process(pid).err());
}

#[test]
fn told_before_it_is_up_it_ends_with_what_it_builds() {
    let folder = Folder::new();
    folder.write(
        "doorward.toml",
        "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
        [service.a]\nbuild = \"sh -c 'echo build is $$$$; exec sleep 1000'\"\nrun = \"true\"\n\
        [[route]]\npath = \"/\"\nservice = \"a\"\n",
    );
    let mut child = Door::command(&folder, &["dev", "doorward.toml"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program is built");
    let stderr = crate::door::Lines::default();
    stderr.follow(child.stderr.take().expect("it is piped"));
    let line = stderr.wait_for("\"build is ");
    let digits: String = line
        .rsplit("build is ")
        .next()
        .unwrap_or_default()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let build = Pid::from_raw(digits.parse().expect("a number")).expect("a process");
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    until("the build is gone", || test_kill_process(build).err());
}

/// What systemd would do: a listening socket, and a socket for news.
#[test]
fn systemd_opens_the_socket_and_hears_how_far_we_are() {
    let folder = Folder::new();
    let news_path = folder.path().join("notify");
    let news = UnixDatagram::bind(&news_path).expect("a free path");
    news.set_read_timeout(Some(LIMIT)).expect("a socket");
    let hear = || {
        let mut text = [0; 256];
        let count = news.recv(&mut text).expect("it says something");
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    // Somebody came before the door was there.
    let mut early = Wire::connect(address);
    early.send("GET /early HTTP/1.1\r\nHost: h\r\n\r\n");
    // Only a shell can say which process it will be.
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(
            "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec '{}' run doorward.toml",
            env!("CARGO_BIN_EXE_doorward")
        ))
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", &news_path)
        .stdin(OwnedFd::from(listener));
    let route = "[[route]]\npath = \"/*\"\nrespond = { status = 200, body = \"hello\" }\n";
    let config = format!("[listen]\nhttp = \"{address}\"\n{route}");
    let mut door = Door::start_as(command, folder, &config);
    assert_eq!(door.http, [address]);
    assert_eq!(hear(), "READY=1");
    assert!(early.read_response().ends_with("hello"));
    assert_eq!(get(address, "/").0, 200);

    operate(&door, "POST", "/api/reload", "");
    let reloading = hear();
    let (state, time) = reloading.split_once('\n').expect("two lines");
    assert_eq!(state, "RELOADING=1");
    let time = time.strip_prefix("MONOTONIC_USEC=").expect("the time");
    assert!(time.parse::<u64>().expect("a number") > 0);
    assert_eq!(hear(), "READY=1");

    terminate(&door);
    assert_eq!(hear(), "STOPPING=1");
    assert_eq!(door.wait().code(), Some(0));
}

#[test]
fn a_socket_of_systemd_that_nothing_uses_is_said() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(
            "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec '{}' run doorward.toml",
            env!("CARGO_BIN_EXE_doorward")
        ))
        .current_dir(folder.path())
        .stdin(OwnedFd::from(listener));
    let door = Door::start_as(command, folder, "");
    door.stderr.wait_for(&format!("systemd opened {address}, which is not in `[listen]`"));
}

#[test]
fn the_end_stops_all_children() {
    let folder = Folder::new();
    folder.write("worker.py", WORKER_PY);
    let config = "[service.a]\nrun = \"python3 worker.py {port} a\"\ninstances = 2\n\
                  [[route]]\npath = \"/*\"\nservice = \"a\"\n";
    let mut door = Door::start_in(folder, config);
    let pids = until("both are ready", || {
        let status = status(&door);
        let service = &status["services"][0];
        let ready = service["endpoints"].as_array().is_some_and(|all| all.len() == 2);
        let instances = service["instances"].as_array().filter(|_| ready)?;
        let pids = instances.iter().filter_map(|instance| instance["pid"].as_i64());
        Some(pids.collect::<Vec<_>>())
    });
    assert_eq!(get(door.http[0], "/").0, 200);
    terminate(&door);
    assert_eq!(door.wait().code(), Some(0));
    for pid in pids {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
        assert!(test_kill_process(pid).is_err(), "{pid:?} lives");
    }
}
