//! The program's own log: a readable line on a terminal, JSON when piped, always to stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::control::process::{self, Entry, Said};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
}

static TERMINAL: OnceLock<bool> = OnceLock::new();

/// Writes one line about `station` (the part of the house that speaks).
pub(crate) fn line(level: Level, station: &str, message: &str) {
    let terminal = *TERMINAL.get_or_init(|| io::stderr().is_terminal());
    let text = if terminal {
        let (colour, name) = match level {
            Level::Error => ("\x1b[31m", "error"),
            Level::Warn => ("\x1b[33m", "warn"),
            Level::Info => ("\x1b[36m", "info"),
        };
        format!("{colour}{name:<5}\x1b[0m \x1b[1m{station}\x1b[0m {message}\n")
    } else {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
        };
        let time = format!("{}.{:03}", now.as_secs(), now.subsec_millis());
        let message = serde_json::Value::from(message);
        let station = serde_json::Value::from(station);
        format!(
            "{{\"time\":{time},\"level\":\"{level}\",\"station\":{station},\"message\":{message}}}\n"
        )
    };
    // Nobody reads stderr any more: there is nowhere to say so.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Shows what a service printed, or what happened to it.
pub(crate) fn service(entry: &Entry) {
    let who = match entry.instance {
        Some(instance) => format!("{}/{instance}", entry.service),
        None => entry.service.to_string(),
    };
    match &entry.said {
        Said::Line { text, .. } => line(Level::Info, &who, text),
        Said::Event { level, text } => {
            let level = match level {
                process::Level::Info => Level::Info,
                process::Level::Warn => Level::Warn,
                process::Level::Error => Level::Error,
            };
            line(level, &who, text);
        }
        Said::Lost { lines } => {
            line(
                Level::Warn,
                &who,
                &format!("{lines} lines were lost: nobody took them in time"),
            );
        }
    }
}

pub(crate) fn error(station: &str, message: impl AsRef<str>) {
    line(Level::Error, station, message.as_ref());
}

pub(crate) fn warn(station: &str, message: impl AsRef<str>) {
    line(Level::Warn, station, message.as_ref());
}

pub(crate) fn info(station: &str, message: impl AsRef<str>) {
    line(Level::Info, station, message.as_ref());
}
