//! Why a process is not running, in words for the person who wrote its command.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// Why an instance or a build came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The program is not there.
    Missing { program: String },
    /// The program may not be executed.
    Forbidden { program: String },
    /// The program is neither a binary nor a script with a `#!` line.
    Unrunnable { program: String },
    /// The working directory is not there, or is not a directory, or may not be entered.
    Directory { path: String, why: String },
    /// Starting failed for another reason.
    Unstarted { why: String },
    /// It ended by itself.
    Exited { status: i32 },
    /// A signal ended it.
    Killed { signal: i32 },
    /// It did not become healthy in time.
    NeverReady { limit: Duration, last: String },
    /// It stopped answering.
    Silent { checks: u32, last: String },
    /// Its end was not seen.
    Unknown,
}

impl Failure {
    pub(super) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(status), _) => Self::Exited { status },
            (None, Some(signal)) => Self::Killed { signal },
            (None, None) => Self::Unknown,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { program } if program.contains('/') => {
                Some("a relative path starts at the service's directory")
            }
            Self::Missing { program } if BUILT_IN.contains(&program.as_str()) => {
                Some("only a shell knows it: write `sh -c \"...\"` around the whole command")
            }
            Self::Missing { .. } => Some("it is in no directory of PATH"),
            Self::Forbidden { .. } => Some("`chmod +x` may be missing"),
            Self::Unrunnable { .. } => Some("a script needs a first line like `#!/bin/sh`"),
            Self::Exited { status: 0 } => {
                Some("a service must stay in the foreground, and not fork away")
            }
            Self::Exited { status: 127 } => Some("shells say so when a command is not found"),
            Self::Killed { signal: 9 } => Some("out of memory, perhaps: see the kernel's log"),
            Self::NeverReady { last, .. } if last.contains("refused") => {
                Some("a service must listen on 127.0.0.1 and the port in PORT or `{port}`")
            }
            _ => None,
        }
    }
}

/// Words that look like programs and are none.
const BUILT_IN: [&str; 8] = ["cd", "source", ".", "export", "set", "ulimit", "exec", "eval"];

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program } => write!(f, "command not found: `{program}`"),
            Self::Forbidden { program } => write!(f, "`{program}` may not be executed"),
            Self::Unrunnable { program } => write!(f, "`{program}` is not an executable format"),
            Self::Directory { path, why } => write!(f, "cannot work in `{path}`: {why}"),
            Self::Unstarted { why } => write!(f, "could not start: {why}"),
            Self::Exited { status } => write!(f, "exited with status {status}"),
            Self::Killed { signal } => match name_of(*signal) {
                Some(name) => write!(f, "ended by {name}"),
                None => write!(f, "ended by signal {signal}"),
            },
            Self::NeverReady { limit, last } => {
                write!(f, "was not healthy within {}: {last}", spelled(*limit))
            }
            Self::Silent { checks, last } => {
                write!(f, "stopped answering: {checks} checks in a row failed, {last}")
            }
            Self::Unknown => f.write_str("ended in a way that was not seen"),
        }?;
        self.hint().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

fn name_of(signal: i32) -> Option<&'static str> {
    use rustix::process::Signal;
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL, an illegal instruction"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT, which a program sends to itself"),
        (Signal::BUS, "SIGBUS, a bad memory access"),
        (Signal::FPE, "SIGFPE, a bad calculation"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV, a bad memory access"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU, too much CPU time"),
    ];
    let found = names.iter().find(|(known, _)| known.as_raw() == signal);
    found.map(|(_, name)| *name)
}

/// A duration as a person says it: two digits are enough.
pub(crate) fn spelled(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 if ms % 1_000 >= 100 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        1_000..120_000 => format!("{}s", ms / 1_000),
        _ => format!("{}m", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let spell = |ms| spelled(Duration::from_millis(ms));
        assert_eq!(
            [0, 999, 1_000, 1_050, 2_345, 59_999, 300_000].map(spell),
            ["0ms", "999ms", "1s", "1s", "2.3s", "59s", "5m"]
        );
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(Failure::Killed { signal: 15 }.to_string(), "ended by SIGTERM");
        assert_eq!(Failure::Killed { signal: 42 }.to_string(), "ended by signal 42");
    }
}
