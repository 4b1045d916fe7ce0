//! A supervisor of real processes, and everything that is heard from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rules::service::Health;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::super::fleet::InstanceStatus;
use super::super::*;

/// No test takes longer, however busy the machine is.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

/// A supervisor and everything that is heard from it.
pub(super) struct Door {
    pub(super) supervision: Supervision,
    pub(super) changes: UnboundedReceiver<EndpointsChanged>,
    pub(super) entries: Entries,
    pub(super) task: JoinHandle<()>,
    pub(super) ready: BTreeMap<String, Vec<SocketAddr>>,
    /// Everything said, as text, and every change of endpoints.
    pub(super) story: Vec<String>,
}

pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, test).await.expect("the test's time limit");
    });
}

impl Door {
    pub(super) fn new(specs: Vec<ServiceSpec>) -> Self {
        let (sink, entries) = journal();
        let (supervision, changes, supervisor) = supervisor(sink);
        supervision.apply(specs);
        Self {
            supervision,
            changes,
            entries,
            task: tokio::spawn(supervisor.run()),
            ready: BTreeMap::new(),
            story: Vec::new(),
        }
    }

    /// Listens until `done`.
    pub(super) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + LIMIT / 2;
        while !done(self) {
            tokio::select! {
                Some(change) = self.changes.recv() => self.note(change),
                entry = self.entries.next() => self.hear(entry),
                () = tokio::time::sleep_until(deadline) => {
                    panic!("waited too long for: {what}\n{}", self.story.join("\n"))
                }
            }
        }
    }

    pub(super) fn note(&mut self, change: EndpointsChanged) {
        self.story.push(format!("{} ready: {:?}", change.service, change.ready));
        self.ready.insert(change.service.to_string(), change.ready);
    }

    pub(super) fn hear(&mut self, entry: Entry) {
        let instance = entry.instance.map_or_else(String::new, |number| format!("/{number}"));
        let said = match entry.said {
            Said::Line { stream, text } => format!("{stream:?}: {text}"),
            Said::Event { level, text } => format!("{level:?}: {text}"),
            Said::Lost { lines } => format!("lost {lines}"),
        };
        self.story.push(format!("{}{instance} {said}", entry.service));
    }

    pub(super) async fn until_ready(&mut self, service: &str, count: usize) -> Vec<SocketAddr> {
        let what = format!("{count} of {service} to be ready");
        self.until(&what, |door| door.ready_of(service).len() == count).await;
        self.ready_of(service).to_vec()
    }

    pub(super) async fn until_told(&mut self, text: &str) {
        self.until(text, |door| door.told(text) > 0).await;
    }

    pub(super) fn ready_of(&self, service: &str) -> &[SocketAddr] {
        self.ready.get(service).map_or(&[], Vec::as_slice)
    }

    pub(super) fn told(&self, text: &str) -> usize {
        self.story.iter().filter(|line| line.contains(text)).count()
    }

    pub(super) async fn one(&self, service: &str) -> InstanceStatus {
        let status = self.supervision.status().await;
        let mut found = status.into_iter().filter(|one| one.service == service);
        found.next().expect("the service has an instance")
    }

    pub(super) async fn stop(mut self) -> Vec<String> {
        self.supervision.stop().await;
        self.task.await.expect("it did not panic");
        while let Some(entry) = self.entries.take() {
            let instance = entry.instance;
            self.story.push(format!("{}/{instance:?} {:?}", entry.service, entry.said));
        }
        self.story
    }
}

/// `child.py` with `arguments`, checked often.
pub(super) fn service(name: &str, arguments: &str) -> ServiceSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/process/tests/child.py");
    raw(name, &format!("python3 '{script}' {arguments}"))
}

pub(super) fn raw(name: &str, command: &str) -> ServiceSpec {
    let mut spec = ServiceSpec::new(name, super::command(command));
    spec.checked.health = Health {
        ask: super::get("/healthz"),
        every: Duration::from_millis(50),
        timeout: Duration::from_millis(500),
        ..spec.checked.health
    };
    spec.door_url = "http://127.0.0.1:8080".to_owned();
    spec.drain_limit = Duration::from_millis(50);
    spec
}

/// The whole answer of `address`.
pub(super) async fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

pub(super) fn pid_of(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("a pid")
}

pub(super) fn signal(number: u32, signal: Signal) {
    kill_process(pid_of(number), signal).expect("it lives");
}

/// Returns when `pid` has ended, whoever waits for it.
pub(super) async fn ended(pid: u32) {
    let Ok(handle) = pidfd_open(pid_of(pid), PidfdFlags::empty()) else {
        return;
    };
    // No pipe, but its end is announced in the same way: it becomes readable.
    let handle = Receiver::from_owned_fd_unchecked(handle).expect("it can be waited for");
    handle.readable().await.expect("it can be waited for");
}

/// A fresh directory, removed at the end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("doorward-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
