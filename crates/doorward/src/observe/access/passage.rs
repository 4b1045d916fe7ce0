//! Lines on connections that are not HTTP.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Passage, escape_json};
use crate::cli::paint::{Look, Paint};
use crate::observe::log::NAME_CHARS;

pub(super) fn write_json(out: &mut Vec<u8>, passage: &Passage) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    write!(
        out,
        "{{\"time\":{}.{:03},\"client\":\"{}\",\"listen\":\"{}\"",
        now.as_secs(),
        now.subsec_millis(),
        passage.client.ip(),
        passage.listen
    )?;
    for (key, value) in [
        ("server-name", passage.server_name.as_deref().unwrap_or_default()),
        ("sni", passage.sni.as_deref().unwrap_or_default()),
        ("service", &passage.service),
        ("endpoint", &passage.endpoint),
    ] {
        write!(out, ",\"{key}\":\"")?;
        escape_json(value.as_bytes(), out);
        out.push(b'"');
    }
    write!(
        out,
        ",\"duration-us\":{},\"request-bytes\":{},\"response-bytes\":{}",
        passage.duration_us, passage.up_bytes, passage.down_bytes
    )?;
    if let Some(fault) = passage.fault {
        write!(out, ",\"fault\":\"{}\",\"reason\":\"", fault.slug())?;
        escape_json(fault.reason().as_bytes(), out);
        out.push(b'"');
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

pub(super) fn write_text(out: &mut Vec<u8>, passage: &Passage) -> io::Result<()> {
    write!(
        out,
        "{} {} TCP {} {} {:.1}ms {}B up {}B down service={} endpoint={}",
        httpdate::fmt_http_date(SystemTime::now()),
        passage.client.ip(),
        passage.listen,
        passage.server_name.as_deref().unwrap_or("-"),
        passage.duration_us as f64 / 1000.0,
        passage.up_bytes,
        passage.down_bytes,
        or_dash(&passage.service),
        or_dash(&passage.endpoint),
    )?;
    if let Some(fault) = passage.fault {
        write!(out, " fault={} ({})", fault.slug(), fault.reason())?;
    }
    out.push(b'\n');
    Ok(())
}

pub(super) fn write_terminal(out: &mut Vec<u8>, passage: &Passage) -> io::Result<()> {
    let paint = Paint::on(&io::stdout());
    let look = if passage.fault.is_some() { Look::Bad } else { Look::Good };
    let kind = format!("{:>NAME_CHARS$}", "tcp");
    let name = passage.server_name.as_deref();
    let name = name.map_or_else(|| passage.listen.to_string(), ToOwned::to_owned);
    write!(out, "{} {name}", paint.paint(look, kind))?;
    let milliseconds = passage.duration_us as f64 / 1000.0;
    let (up, down) = (passage.up_bytes, passage.down_bytes);
    let service = or_dash(&passage.service);
    let detail = format!("{milliseconds:.1} ms, {up} B up, {down} B down, {service}");
    write!(out, "  {}", paint.paint(Look::Faint, detail))?;
    if let Some(fault) = passage.fault {
        write!(out, "  {}", paint.paint(Look::Bad, fault.reason()))?;
    }
    out.push(b'\n');
    Ok(())
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
