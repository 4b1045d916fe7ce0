//! The whole program between a raw client and a raw upstream, for tests of bytes.
//!
//! [`Door`] is the real binary with a configuration of its own; [`Wire`] is one end of a connection
//! that says and hears exact bytes; [`Upstream`] is where the door's connections arrive. Nothing
//! here sleeps: every wait is for an event, and none is longer than [`LIMIT`].

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub(crate) use crate::wire::{End, Upstream, Wire};

/// How long anything may take. A test that gets here has failed; a busy machine must not.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A directory of its own for one test, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("doorward-it-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the directories on the way to it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        let parent = path.parent().expect("it is below the folder");
        fs::create_dir_all(parent).expect("a directory can be made");
        fs::write(&path, content).expect("a file can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lines that the program writes, as they come.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { break };
                lines.change(|written| written.lines.push(line));
            }
            lines.change(|written| written.ended = true);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        let (state, changed) = &*self.0;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// All lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        let (state, _) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.clone()
    }

    /// Waits for a line with `words` in it.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.find(words).unwrap_or_else(|| {
            panic!("no line says {words:?}; the lines:\n{}", self.all().join("\n"))
        })
    }

    /// Waits for a line with `words` in it; `None` if the stream ended without one.
    fn find(&self, words: &str) -> Option<String> {
        let says = |line: &&String| line.contains(words);
        self.wait(|lines| lines.iter().any(|line| says(&line)));
        self.all().iter().find(says).cloned()
    }

    /// Waits until the stream has ended; false if it does not.
    fn has_ended(&self) -> bool {
        self.wait(|_| false)
    }

    /// Waits until `enough` says so or the stream has ended; says whether it has.
    fn wait(&self, enough: impl Fn(&[String]) -> bool) -> bool {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |written: &mut Written| !written.ended && !enough(&written.lines);
        let waited = changed.wait_timeout_while(state, LIMIT, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

/// A running door.
pub(crate) struct Door {
    child: Child,
    pub(crate) folder: Folder,
    /// Where clients connect, one for each listener.
    pub(crate) http: Vec<SocketAddr>,
    /// Where clients of HTTPS connect, one for each listener.
    pub(crate) https: Vec<SocketAddr>,
    /// Where clients of `[[tcp]]` connect, one for each listener.
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) stderr: Lines,
    /// The access log, if there is one.
    pub(crate) stdout: Lines,
}

impl Door {
    /// Starts the program with `config`. What `config` leaves out is set for tests: free ports, and
    /// one worker, so that connections share one pool.
    #[track_caller]
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(Folder::new(), config)
    }

    /// As [`Door::start`], beside the files in `folder`.
    #[track_caller]
    pub(crate) fn start_in(folder: Folder, config: &str) -> Self {
        let command = Self::command(&folder, &["run", "doorward.toml"]);
        Self::start_as(command, folder, config)
    }

    /// The program with `arguments` in `folder`, in an environment that says nothing.
    pub(crate) fn command(folder: &Folder, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// As [`Door::start_in`], by a command of the test's own.
    #[track_caller]
    pub(crate) fn start_as(mut command: Command, folder: Folder, config: &str) -> Self {
        folder.write("doorward.toml", whole(config));
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program is built");
        let (stdout, stderr) = (Lines::default(), Lines::default());
        if let Some(stream) = child.stdout.take() {
            stdout.follow(stream);
        }
        stderr.follow(child.stderr.take().expect("it is piped"));
        let listening = stderr.find("\"message\":\"http on ");
        let Some(listening) = listening else {
            let _ = child.kill();
            panic!("the door does not open:\n{}", stderr.all().join("\n"));
        };
        let (http, admin) = addresses(&listening);
        // It says so before it says that it is up.
        let said = |what: &str| -> Vec<SocketAddr> {
            let lines = stderr.all();
            let mark = format!("\"message\":\"{what} on ");
            let addresses = lines.iter().find_map(|line| Some(line.split_once(&mark)?.1));
            let addresses = addresses.map(|text| text.trim_end_matches(['"', '}']).split(", "));
            addresses.into_iter().flatten().map(|text| text.parse().expect("an address")).collect()
        };
        let (https, tcp) = (said("https"), said("tcp"));
        Self { child, folder, http, https, tcp, admin, stderr, stdout }
    }

    /// A client that has connected to the first listener.
    #[track_caller]
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.http[0])
    }

    /// Sends `request` on a connection of its own and reads until the door closes it, or until one
    /// response is whole.
    #[track_caller]
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(request);
        client.read_response()
    }

    /// The body of `GET path` of the admin side, with the token.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, path: &str) -> String {
        let token = fs::read_to_string(self.folder.path().join(".doorward/admin-token"));
        let token = token.unwrap_or_default();
        let mut client = Wire::connect(self.admin);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            token.trim()
        ));
        let response = client.read_response();
        response.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }

    /// Replaces the configuration file; the door is not told.
    pub(crate) fn rewrite(&self, config: &str) {
        self.folder.write("doorward.toml", whole(config));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the door runs");
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        // The end of what it writes is an event; its exit follows at once.
        assert!(self.stderr.has_ended(), "the door does not end");
        self.child.wait().expect("it is our child")
    }

    /// Memory that the program has in use, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the door runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }
}

/// Ends `door`, and the services that it started: nobody else would, since it has no time to.
pub(crate) fn kill_with_services(door: &mut Child) {
    let services = children(door.id());
    let _ = door.kill();
    let _ = door.wait();
    for service in services {
        // Each leads a group of its own. It may have ended by itself.
        let _ = kill_process_group(service, Signal::KILL);
    }
}

/// The processes that `parent` has started, those that have ended left out.
fn children(parent: u32) -> Vec<Pid> {
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name of the program stands in parentheses, and may have any of its own.
        let mut rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        rest.next() != Some("Z") && rest.next() == Some(&*parent.to_string())
    };
    let all = fs::read_dir("/proc").expect("there is one").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

impl Drop for Door {
    fn drop(&mut self) {
        kill_with_services(&mut self.child);
        if thread::panicking() {
            eprintln!("the door said:\n{}", self.stderr.all().join("\n"));
        }
    }
}

/// `config` with the tables for tests that it lacks.
fn whole(config: &str) -> String {
    let mut whole = format!("{config}\n");
    for (table, content) in [
        ("listen", "http = \"127.0.0.1:0\""),
        ("admin", "listen = \"127.0.0.1:0\""),
        ("runtime", "workers = 1"),
    ] {
        if !config.contains(&format!("[{table}]")) {
            whole += &format!("[{table}]\n{content}\n");
        }
    }
    whole
}

/// The addresses in `http on A, B, admin on C`.
fn addresses(line: &str) -> (Vec<SocketAddr>, SocketAddr) {
    let (_, text) = line.split_once("http on ").expect("it says so");
    let (http, admin) = text.split_once(", admin on ").expect("it says so");
    let admin = admin.trim_end_matches(['"', '}']);
    let parse = |text: &str| text.parse().expect("an address");
    (http.split(", ").map(parse).collect(), parse(admin))
}
