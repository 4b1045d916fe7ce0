//! The access log: one line a request, written by a thread of its own.
//!
//! A worker gathers lines in memory and hands them over in batches. When the reader of the log
//! falls behind, lines are dropped and counted; a worker never waits for a disk or a pipe.

mod passage;

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rules::grpc::Status;
use rules::{Cx, Fault};
use wire::RequestHead;

use super::log::NAME_CHARS;
use super::writer::Writer;
use crate::cli::paint::{Look, Paint};
use crate::data::serve::Done;
use crate::data::tls::Secured;
use crate::metrics::Metrics;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessFormat {
    Off,
    Json,
    Text,
    /// For a person who watches.
    Terminal,
}

/// Lines are handed over when they are this many bytes together, or half a second old.
const BATCH_BYTES: usize = 32 * 1024;

/// Batches that may wait for the writer: 8 MiB, seconds of log at full load.
const BATCHES_MAX: usize = 256;

/// Where batches go.
#[derive(Clone)]
pub(crate) struct AccessSink(Writer);

impl AccessSink {
    /// Starts the thread that writes to standard output.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start() -> io::Result<Self> {
        Writer::start("access-log", BATCHES_MAX, io::stdout()).map(Self)
    }

    /// Waits until everything is written, for `limit` at most.
    pub(crate) fn finish(&self, limit: Duration) {
        self.0.finish(limit);
    }
}

/// One worker's end of the log.
pub(crate) struct AccessLog {
    sink: AccessSink,
    metrics: Arc<Metrics>,
    /// The index of the worker.
    worker: usize,
    lines: RefCell<Lines>,
}

/// Lines that are not handed over yet.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
}

/// What a line tells.
pub(crate) struct Entry<'a> {
    pub(crate) request: &'a RequestHead,
    pub(crate) cx: &'a Cx,
    /// How it was encrypted, if it was.
    pub(crate) tls: Option<&'a Secured>,
    /// The number of the request on its connection.
    pub(crate) nth: u64,
    pub(crate) done: &'a Done,
    pub(crate) duration_us: u64,
    pub(crate) route: &'a str,
}

/// What a line tells of a connection that is not HTTP.
pub(crate) struct Passage {
    pub(crate) client: SocketAddr,
    /// Where the listener is.
    pub(crate) listen: SocketAddr,
    /// What the client asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// Of the entry.
    pub(crate) sni: Option<Box<str>>,
    /// Empty before it is known, as is the endpoint.
    pub(crate) service: Box<str>,
    pub(crate) endpoint: String,
    pub(crate) up_bytes: u64,
    pub(crate) down_bytes: u64,
    pub(crate) duration_us: u64,
    pub(crate) fault: Option<Fault>,
}

impl Passage {
    /// Of a connection that has just begun.
    pub(crate) fn new(client: SocketAddr, listen: SocketAddr) -> Self {
        Self {
            client,
            listen,
            server_name: None,
            sni: None,
            service: Box::default(),
            endpoint: String::new(),
            up_bytes: 0,
            down_bytes: 0,
            duration_us: 0,
            fault: None,
        }
    }
}

impl AccessLog {
    /// For the worker at the index `worker`.
    pub(crate) fn new(sink: AccessSink, metrics: Arc<Metrics>, worker: usize) -> Self {
        Self { sink, metrics, worker, lines: RefCell::default() }
    }

    pub(crate) fn write(&self, format: AccessFormat, entry: &Entry<'_>) {
        self.add(format, |text| match format {
            AccessFormat::Off => Ok(()),
            AccessFormat::Json => write_json(text, entry),
            AccessFormat::Text => write_text(text, entry),
            AccessFormat::Terminal => write_terminal(text, entry),
        });
    }

    pub(crate) fn write_passage(&self, format: AccessFormat, passage: &Passage) {
        self.add(format, |text| match format {
            AccessFormat::Off => Ok(()),
            AccessFormat::Json => passage::write_json(text, passage),
            AccessFormat::Text => passage::write_text(text, passage),
            AccessFormat::Terminal => passage::write_terminal(text, passage),
        });
    }

    /// Adds the line that `write` appends.
    fn add(&self, format: AccessFormat, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let full = {
            let lines = &mut *self.lines.borrow_mut();
            // Writing to a vector cannot fail.
            let _ = write(&mut lines.text);
            lines.count += 1;
            // Who watches wants to see it now.
            lines.text.len() >= BATCH_BYTES || format == AccessFormat::Terminal
        };
        if full {
            self.flush();
        }
    }

    /// Hands the gathered lines over. If nobody takes them in time, they are dropped and counted.
    pub(crate) fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.text.is_empty() {
            return;
        }
        let room = Vec::with_capacity(lines.text.len());
        let batch = std::mem::replace(&mut lines.text, room);
        let count = std::mem::take(&mut lines.count);
        if !self.sink.0.write(batch) {
            self.metrics.workers[self.worker].log_lines_dropped.add(count);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn write_json(out: &mut Vec<u8>, entry: &Entry<'_>) -> io::Result<()> {
    let Entry { request, cx, tls, nth, done, duration_us, route } = entry;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    write!(
        out,
        "{{\"time\":{}.{:03},\"client\":\"{}\"",
        now.as_secs(),
        now.subsec_millis(),
        cx.client
    )?;
    for (key, value) in [
        ("method", request.method_text().as_bytes()),
        ("host", request.authority()),
        ("path", request.asked_path()),
        ("version", request.version.text().as_bytes()),
        ("route", route.as_bytes()),
        ("request-id", cx.request_id.as_bytes()),
        ("user-agent", request.fields.get_named("user-agent").unwrap_or_default()),
    ] {
        write!(out, ",\"{key}\":\"")?;
        escape_json(value, out);
        out.push(b'"');
    }
    write!(
        out,
        ",\"status\":{},\"duration-us\":{duration_us},\"request-bytes\":{},\"response-bytes\":{}",
        done.status, done.request_bytes, done.response_bytes
    )?;
    write!(out, ",\"nth\":{nth}")?;
    if let Some(tls) = tls {
        let Secured { version, cipher, resumed, .. } = tls;
        write!(out, ",\"tls\":\"{version}\"")?;
        if let Some(cipher) = cipher {
            write!(out, ",\"cipher\":\"{cipher}\"")?;
        }
        if let Some(resumed) = resumed {
            write!(out, ",\"resumed\":{resumed}")?;
        }
        out.extend_from_slice(b",\"server-name\":\"");
        let shown = tls.proven.shown();
        escape_json(shown.server_name.as_deref().unwrap_or_default().as_bytes(), out);
        out.push(b'"');
        if let Some(identity) = &shown.identity {
            out.extend_from_slice(b",\"client-identity\":\"");
            escape_json(identity.name().as_bytes(), out);
            out.push(b'"');
        }
    }
    if let Some(call) = &cx.grpc {
        write!(out, ",\"grpc-status\":\"{}\"", call.ended(done.status, done.fault).name())?;
    }
    if let Some(delay) = cx.delay {
        write!(out, ",\"injected-delay-us\":{}", delay.as_micros())?;
    }
    if let Some(fault) = done.fault {
        write!(out, ",\"fault\":\"{}\"", fault.slug())?;
        out.extend_from_slice(b",\"reason\":\"");
        escape_json(fault.reason().as_bytes(), out);
        out.push(b'"');
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn write_text(out: &mut Vec<u8>, entry: &Entry<'_>) -> io::Result<()> {
    let Entry { request, cx, tls, done, duration_us, route, .. } = entry;
    write!(out, "{} {} {} ", httpdate::fmt_http_date(SystemTime::now()), cx.client, done.status)?;
    out.extend_from_slice(request.method_text().as_bytes());
    out.push(b' ');
    // Authority and target hold only visible ASCII: the parser refused all else.
    out.extend_from_slice(request.authority());
    out.extend_from_slice(request.asked_path());
    if let Some(query) = request.asked_query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    write!(
        out,
        " {:.1}ms {}B route={route} id={}",
        *duration_us as f64 / 1000.0,
        done.response_bytes,
        cx.request_id.as_str()
    )?;
    if let Some(tls) = tls {
        write!(out, " tls={}/{}", tls.version, tls.cipher.unwrap_or("-"))?;
    }
    if let Some(call) = &cx.grpc {
        write!(out, " grpc={}", call.ended(done.status, done.fault).name())?;
    }
    if let Some(delay) = cx.delay {
        write!(out, " injected-delay={}ms", delay.as_millis())?;
    }
    if let Some(fault) = done.fault {
        write!(out, " fault={} ({})", fault.slug(), fault.reason())?;
    }
    out.push(b'\n');
    Ok(())
}

fn write_terminal(out: &mut Vec<u8>, entry: &Entry<'_>) -> io::Result<()> {
    let Entry { request, cx, done, duration_us, route, .. } = entry;
    let paint = Paint::on(&io::stdout());
    let look = match (done.fault, done.status) {
        (Some(_), _) | (_, 500..) => Look::Bad,
        (None, 400..) => Look::Odd,
        (None, _) => Look::Good,
    };
    // A column of its own, as wide as that of names in the log.
    let status = format!("{:>NAME_CHARS$}", done.status);
    write!(out, "{} ", paint.paint(look, status))?;
    out.extend_from_slice(request.method_text().as_bytes());
    out.push(b' ');
    request.write_target(out);
    let milliseconds = *duration_us as f64 / 1000.0;
    let detail = format!("{milliseconds:.1} ms, {} B, {route}", done.response_bytes);
    write!(out, "  {}", paint.paint(Look::Faint, detail))?;
    if let Some(call) = &cx.grpc {
        let status = call.ended(done.status, done.fault);
        let look = if status == Status::Ok { Look::Faint } else { Look::Odd };
        write!(out, "  {}", paint.paint(look, status.name()))?;
    }
    if let Some(fault) = done.fault {
        write!(out, "  {}", paint.paint(Look::Bad, fault.reason()))?;
    }
    out.push(b'\n');
    Ok(())
}

/// Appends `bytes` as the inside of a JSON string; what is not UTF-8 becomes U+FFFD.
fn escape_json(bytes: &[u8], out: &mut Vec<u8>) {
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            control if u32::from(control) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => {
                let mut encoded = [0; 4];
                out.extend_from_slice(other.encode_utf8(&mut encoded).as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_breaks_out_of_its_json_string() {
        let mut out = Vec::new();
        escape_json(b"a\"b\\c\nd\xffe\x01", &mut out);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), "a\\\"b\\\\c\\u000ad\u{fffd}e\\u0001");
    }
}
