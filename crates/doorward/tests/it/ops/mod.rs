//! Operating the program: reloads, processes, drain, the admin side, logs, the command line.

mod admin;
pub(crate) mod cli;
mod drain;
mod logs;
mod processes;
mod prometheus;
mod purge;
mod reload;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::door::{Door, LIMIT, Wire};

/// An answer of the admin side.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    fn read(client: &mut Wire) -> Self {
        let response = client.read_response();
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        Self {
            status: head[9..12].parse().expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What the admin side of `door` answers to `request`, which ends with its body.
#[track_caller]
pub(crate) fn tell(door: &Door, request: impl AsRef<[u8]>) -> Answer {
    let mut client = Wire::connect(door.admin);
    client.send(request);
    Answer::read(&mut client)
}

/// The token of the admin side.
pub(crate) fn token(door: &Door) -> String {
    let path = door.folder.path().join(".doorward/admin-token");
    let token = fs::read_to_string(path).expect("it is kept");
    token.trim().to_owned()
}

/// What the admin side answers to an operator with the token.
#[track_caller]
pub(crate) fn operate(door: &Door, method: &str, path: &str, body: &str) -> Answer {
    let (token, length) = (token(door), body.len());
    tell(
        door,
        format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

#[track_caller]
pub(crate) fn status(door: &Door) -> Value {
    operate(door, "GET", "/api/status", "").json()
}

#[track_caller]
pub(crate) fn metrics(door: &Door) -> String {
    tell(door, "GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").body
}

/// The metrics, once `series` is `count`: a request is counted just after its response is sent.
#[track_caller]
pub(crate) fn metrics_with(door: &Door, series: &str, count: f64) -> String {
    let line = format!("{series} {count}");
    until(&line, || {
        let metrics = metrics(door);
        metrics.lines().any(|other| other == line).then_some(metrics)
    })
}

/// The number in the line of `metrics` that begins with `series`.
#[track_caller]
pub(crate) fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series).filter(|rest| rest.starts_with(' ')));
    let value = line.unwrap_or_else(|| panic!("no {series} in\n{metrics}"));
    value.trim().parse().expect("a number")
}

/// Asks again and again until the answer is there.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "waited too long until {what}");
        thread::yield_now();
    }
}

/// The status and body of `GET path`.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut client = Wire::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    let answer = Answer::read(&mut client);
    (answer.status, answer.body)
}

/// A route that leads everything to `service`.
pub(crate) fn all_to(service: SocketAddr) -> String {
    format!(
        "[service.it]\nendpoints = [\"{service}\"]\n[[route]]\npath = \"/*\"\nservice = \"it\"\n"
    )
}

/// A service in this process that says its name to every request, and echoes what comes over a
/// connection that was upgraded. Ends with the test.
pub(crate) fn service(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Many may be open at once, and each needs little.
            let serving = thread::Builder::new().stack_size(64 * 1024);
            let _ = serving.spawn(move || serve(name, stream));
        }
    });
    address
}

fn serve(name: &str, stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::with_capacity(1024, stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (mut length, mut upgrade) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
            upgrade |= line.starts_with("upgrade:");
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if upgrade {
            let head = "HTTP/1.1 101 Switching Protocols\r\n\
                        Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            writer.write_all(head.as_bytes()).ok()?;
            let mut bytes = [0; 512];
            loop {
                let count = reader.read(&mut bytes).ok()?;
                if count == 0 {
                    return None;
                }
                writer.write_all(&bytes[..count]).ok()?;
            }
        }
        let length = name.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// A service in Python that tells its process to every request; its first argument is the port.
pub(crate) const WORKER_PY: &str = r#"
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = f"{sys.argv[2]} {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;
