//! The program's own log: a readable line on a terminal, JSON when piped, always to stderr.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::writer::Writer;
use crate::cli::paint::{self, Look, Paint};
pub(crate) use crate::control::model::Level;
use crate::control::process::{self, Entry, Said};

/// The width of the column of names on a terminal.
pub(crate) const NAME_CHARS: usize = 14;

/// Lines that may wait for whoever reads them.
const WAITING_MAX: usize = 4096;

/// The program's own lines that matter less than this are not written.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

static WRITER: OnceLock<Option<Writer>> = OnceLock::new();

/// Lines that nobody took in time, and that nobody was told about yet.
static LOST: AtomicU64 = AtomicU64::new(0);

/// From now on, lines that matter less than `level` are not written.
pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Has `text` written to standard error behind everything before it.
pub(crate) fn show(text: String) {
    let start = || Writer::start("log", WAITING_MAX, io::stderr()).ok();
    let Some(writer) = WRITER.get_or_init(start) else {
        return;
    };
    let lost = LOST.swap(0, Ordering::Relaxed);
    let text = match lost {
        0 => text,
        _ => rendered(Level::Warn, "log", &format!("{lost} lines were lost")) + &text,
    };
    if !writer.write(text.into_bytes()) {
        LOST.fetch_add(lost + 1, Ordering::Relaxed);
    }
}

/// Waits until everything is written, for `limit` at most.
pub(crate) fn finish(limit: Duration) {
    if let Some(Some(writer)) = WRITER.get() {
        writer.finish(limit);
    }
}

/// Writes one line about `station` (the part of the house that speaks).
fn line(level: Level, station: &str, message: &str) {
    if level as u8 <= LEVEL.load(Ordering::Relaxed) {
        show(rendered(level, station, message));
    }
}

fn rendered(level: Level, station: &str, message: &str) -> String {
    let name = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
    };
    if io::stderr().is_terminal() {
        return for_people(level, station, message);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, milliseconds) = (now.as_secs(), now.subsec_millis());
    let message = serde_json::Value::from(message);
    let station = serde_json::Value::from(station);
    format!(
        "{{\"time\":{seconds}.{milliseconds:03},\"level\":\"{name}\",\"station\":{station},\"message\":{message}}}\n"
    )
}

/// The name in a column of its own, in its own colour; of the levels, only those that want to be seen.
fn for_people(level: Level, station: &str, message: &str) -> String {
    let paint = Paint::on(&io::stderr());
    let name = match station.split_once('/') {
        Some((service, _)) => paint::name(service),
        None => Look::Strong,
    };
    let column = paint.paint(name, format!("{station:<NAME_CHARS$}"));
    let level = match level {
        Level::Error => paint.paint(Look::Bad, "error: "),
        Level::Warn => paint.paint(Look::Odd, "warning: "),
        Level::Info => String::new(),
    };
    // What goes on below stands below.
    let indent = format!("\n{:NAME_CHARS$} ", "");
    let message = message.trim_end().replace('\n', &indent);
    format!("{column} {level}{message}\n")
}

/// Shows what a service printed, or what happened to it.
pub(crate) fn service(entry: &Entry) {
    let who = match entry.instance {
        Some(instance) => format!("{}/{instance}", entry.service),
        None => entry.service.to_string(),
    };
    match &entry.said {
        // What services print is theirs: the level is about what the program itself says.
        Said::Line { text, .. } => show(rendered(Level::Info, &who, text)),
        Said::Event { level, text } => {
            let level = match level {
                process::Level::Info => Level::Info,
                process::Level::Warn => Level::Warn,
                process::Level::Error => Level::Error,
            };
            line(level, &who, text);
        }
        Said::Lost { lines } => {
            line(Level::Warn, &who, &format!("{lines} lines were lost: nobody took them in time"));
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
