//! A child process with its whole process group: started, listened to, stopped, cleaned up.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::journal::Stream;
use super::news;
use super::output::{Tail, Voice, pump};

/// How often to look whether a group that was told to stop is empty: nothing announces it.
const GROUP_CHECK_EVERY: Duration = Duration::from_millis(20);

/// How long output may still come after the end. Only a process that left the group can hold the
/// pipe longer, and it is none of ours.
const PIPE_GRACE: Duration = Duration::from_millis(500);

/// How often a free port is looked for; each try finds another one.
const PORT_TRIES: usize = 64;

/// What a supervisor may have told Doorward, and no service should hear.
const NOT_INHERITED: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"];

/// What is to be executed.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) words: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) directory: &'a Path,
}

/// A child that runs. Dropping it kills its group.
#[derive(Debug)]
pub(super) struct Running {
    // First, so that it is dropped, and with it the group killed, before the child is let go.
    group: Group,
    child: Child,
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) failure: Failure,
    pub(super) success: bool,
}

impl Launch<'_> {
    /// Starts it, in a process group of its own.
    pub(super) fn spawn(&self) -> Result<Running, Failure> {
        let (program, arguments) = self.words.split_first().ok_or(Failure::Unknown)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(|error| self.failure(program, &error))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        Ok(Running { group, child })
    }

    fn failure(&self, program: &str, error: &std::io::Error) -> Failure {
        let why = match std::fs::metadata(self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Some("it does not exist".into()),
            Err(error) => Some(error.to_string()),
            Ok(metadata) => (!metadata.is_dir()).then(|| "it is not a directory".to_owned()),
        };
        if let Some(why) = why {
            let path = self.directory.display().to_string();
            return Failure::Directory { path, why };
        }
        let program = program.to_owned();
        match error.kind() {
            ErrorKind::NotFound => Failure::Missing { program },
            ErrorKind::PermissionDenied => Failure::Forbidden { program },
            _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                Failure::Unrunnable { program }
            }
            _ => Failure::Unstarted { why: error.to_string() },
        }
    }
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Stays with the child to its end: hands on its output and the `signals` that come, and
    /// returns when neither it nor its group is left.
    pub(super) async fn attend(
        mut self,
        mut signals: mpsc::UnboundedReceiver<news::Signal>,
        voice: &Voice,
        (stdout_tail, stderr_tail): (&Tail, &Tail),
    ) -> Ended {
        let stdout = self.child.stdout.take();
        let stderr = self.child.stderr.take();
        let mut output = pin!(async {
            tokio::join!(
                pump(stdout, voice, Stream::Stdout, stdout_tail),
                pump(stderr, voice, Stream::Stderr, stderr_tail),
            )
        });
        let mut life = pin!(self.live(&mut signals));
        let mut output_ended = false;
        let ended = loop {
            tokio::select! {
                ended = &mut life => break ended,
                _ = &mut output, if !output_ended => output_ended = true,
            }
        };
        if !output_ended {
            let _ = tokio::time::timeout(PIPE_GRACE, output).await;
        }
        ended
    }

    async fn live(&mut self, signals: &mut mpsc::UnboundedReceiver<news::Signal>) -> Ended {
        let mut stopping = false;
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status,
                Some(signal) = signals.recv() => {
                    stopping |= signal == news::Signal::Terminate;
                    self.group.signal(signal);
                }
            }
        };
        // Its own children had the same SIGTERM and the same time to end well. If it died by
        // itself, what it left behind may hold its port or its locks, and goes at once.
        while stopping && !self.group.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(GROUP_CHECK_EVERY) => {}
                Some(signal) = signals.recv() => {
                    stopping = signal != news::Signal::Kill;
                }
            }
        }
        self.group.kill();
        match status {
            Ok(status) => Ended { failure: Failure::of(status), success: status.success() },
            Err(_) => Ended { failure: Failure::Unknown, success: false },
        }
    }
}

/// A process group of ours; what is left of it is killed when it is dropped.
///
/// As long as one process is in the group, the kernel gives its number to nobody else. It could
/// only in the moment between the last end and our look, and it counts upwards through all other
/// numbers first.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: news::Signal) {
        let signal = match signal {
            news::Signal::Terminate => Signal::TERM,
            news::Signal::Kill => Signal::KILL,
        };
        if let Some(pid) = self.0 {
            // It fails if the group is gone, and then there is nothing to do.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Whether nobody is left. To be asked only after its first process was waited for.
    fn is_empty(&self) -> bool {
        let Some(pid) = self.0 else { return true };
        // As the first process of a container, Doorward inherits orphans: they stay in the group
        // until it waits for them.
        while let Ok(Some(_)) = rustix::process::waitpgid(pid, WaitOptions::NOHANG) {}
        rustix::process::test_kill_process_group(pid).is_err()
    }

    fn kill(&mut self) {
        self.signal(news::Signal::Kill);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free now and not in `taken`.
pub(super) fn free_port(taken: &[u16]) -> std::io::Result<u16> {
    // All are held until one fits, so that the kernel cannot offer the same one twice.
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if !taken.contains(&port) {
            return Ok(port);
        }
        held.push(listener);
    }
    Err(ErrorKind::AddrInUse.into())
}

/// Whether a child that died probably did so because somebody else has `port`.
pub(super) fn port_is_taken(port: u16, last_lines: &[String]) -> bool {
    let says_so = last_lines.iter().any(|line| {
        let line = line.to_ascii_lowercase();
        line.contains("eaddrinuse") || line.contains("address already in use")
    });
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    says_so || bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}
