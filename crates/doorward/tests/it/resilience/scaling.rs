//! As many instances as are needed, and none while nobody asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::door::{Door, Folder};
use crate::ops::{get, metrics, metrics_with, status, until, value};
use crate::wire::{Service, ok};

/// A service that takes a tenth of a second for each request.
const SLOW_PY: &str = r#"
import http.server, os, signal, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path != "/healthz":
            time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

fn start(keys: &str) -> Door {
    let folder = Folder::new();
    folder.write("slow.py", SLOW_PY);
    Door::start_in(
        folder,
        &format!(
            "[service.a]\nrun = \"python3 slow.py {{port}}\"\n{keys}\n\
             health = {{ path = \"/healthz\", every = \"100ms\", healthy-after = 1 }}\n\
             [[route]]\npath = \"/*\"\nservice = \"a\"\n"
        ),
    )
}

/// How many instances hold a place, and how many of them get requests.
fn instances(door: &Door) -> (usize, usize) {
    let status = status(door);
    let service = &status["services"][0];
    let instances = service["instances"].as_array().expect("a list");
    let incumbents = instances.iter().filter(|one| one["role"] == "incumbent").count();
    (incumbents, service["endpoints"].as_array().expect("a list").len())
}

/// Waits while `clients` ask all the time, and are all answered.
fn under_load(door: &Door, clients: usize, wait: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(get(door.http[0], "/").0, 200);
                }
            });
        }
        // They end, too, if it was in vain.
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
        done.store(true, Ordering::Relaxed);
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn load_brings_instances_and_quiet_takes_them() {
    let door = start(
        "instances = { min = 1, max = 3 }\n\
         scale = { concurrency = 2, down-after = \"1s\" }",
    );
    until("it is up", || (instances(&door) == (1, 1)).then_some(()));
    under_load(&door, 12, || until("it has grown", || (instances(&door) == (3, 3)).then_some(())));
    door.stderr.wait_for("instances: more requests at once than they are for");
    until("it has shrunk", || (instances(&door) == (1, 1)).then_some(()));
}

#[test]
fn who_asks_first_waits_for_the_first_instance() {
    let door =
        start("instances = { min = 0, max = 2 }\nscale = { idle = \"1s\", down-after = \"1s\" }");
    assert_eq!(instances(&door), (0, 0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(get(door.http[0], "/"), (200, "ok".to_owned())));
        }
    });
    door.stderr.wait_for("somebody asks for it, and there is none");
    until("nobody is left", || (instances(&door) == (0, 0)).then_some(()));
    assert_eq!(get(door.http[0], "/").0, 200);
}

/// What a hook does: the first so many of `all.txt` are where the service is.
const SCALE_SH: &str = "head -n \"$INSTANCES\" all.txt > new.txt && mv new.txt endpoints.txt\n\
                        echo \"$1 $2 $CURRENT\" >> calls.txt\n";

/// Machines that are there already, and a door that has so many of them used as are needed.
fn elsewhere(scale: &str) -> (Vec<Service>, Door) {
    let machine = |_| {
        Service::new(|_| {
            thread::sleep(std::time::Duration::from_millis(100));
            ok("ok")
        })
    };
    let machines: Vec<Service> = (0..3).map(machine).collect();
    let folder = Folder::new();
    let all: Vec<String> = machines.iter().map(|one| one.address().to_string()).collect();
    folder.write("all.txt", all.join("\n") + "\n");
    folder.write("endpoints.txt", format!("{}\n", all[0]));
    folder.write("scale.sh", SCALE_SH);
    let config = format!(
        "[service.a]\nendpoints = [\"file:endpoints.txt\"]\ninstances = {{ min = 1, max = 3 }}\n\
         scale = {{ concurrency = 2, down-after = \"1s\", {scale} }}\n\
         [[route]]\npath = \"/*\"\nservice = \"a\"\n"
    );
    (machines, Door::start_in(folder, &config))
}

fn endpoints(door: &Door) -> usize {
    let status = status(door);
    status["services"][0]["endpoints"].as_array().expect("a list").len()
}

#[test]
fn a_hook_brings_machines_and_takes_them() {
    let (_machines, door) = elsewhere("command = \"sh scale.sh {service} {instances}\"");
    until("it is up", || (endpoints(&door) == 1).then_some(()));
    under_load(&door, 12, || until("it has grown", || (endpoints(&door) == 3).then_some(())));
    until("it has shrunk", || (endpoints(&door) == 1).then_some(()));
    door.stderr.wait_for("are there: fewer were enough for a while");
    let calls = std::fs::read_to_string(door.folder.path().join("calls.txt")).expect("it was run");
    assert!(calls.starts_with("a 2 1\n") && calls.contains("a 3 "), "{calls}");
    metrics_with(&door, "doorward_scale_wanted_instances{service=\"a\"}", 1.0);
    let failed = "doorward_scale_hook_calls_total{service=\"a\",result=\"failed\"}";
    assert_eq!(value(&metrics(&door), failed), 0.0);
}

#[test]
fn a_hook_that_fails_is_told_again() {
    let (_machines, door) = elsewhere("command = \"false\"");
    until("it is up", || (endpoints(&door) == 1).then_some(()));
    let failed = "doorward_scale_hook_calls_total{service=\"a\",result=\"failed\"}";
    under_load(&door, 8, || {
        until("it was told twice", || (value(&metrics(&door), failed) >= 2.0).then_some(()));
    });
    door.stderr.wait_for("the hook failed: `false` ended with 1; it is told again");
    assert_eq!(endpoints(&door), 1);
}
