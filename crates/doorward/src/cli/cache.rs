//! `doorward cache`: what the running process keeps of responses.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::Failure;
use super::paint::{Look, Paint};
use super::status::{AdminArgs, duration};

const EXAMPLES: &str = "\
Examples:
  doorward cache                                  of the doorward.toml of this folder
  doorward cache /etc/doorward/doorward.toml
  doorward cache | jq .memory.bytes               JSON when piped";

/// Shows what the running process has cached: sums, the largest, the most used, what is stale.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CacheArgs {
    /// The configuration that it runs with: it says where the admin side is
    #[arg(value_name = "FILE|DIR", default_value = "doorward.toml")]
    path: PathBuf,
    #[command(flatten)]
    admin: AdminArgs,
    /// JSON on a terminal too
    #[arg(long)]
    json: bool,
}

/// Asks and shows.
pub(crate) fn cache(args: &CacheArgs) -> Result<ExitCode, Failure> {
    let shown = args.admin.side(&args.path)?.ask("GET", "/api/cache", b"")?;
    let mut out = io::stdout().lock();
    if args.json || !out.is_terminal() {
        writeln!(out, "{shown:#}")?;
    } else {
        out.write_all(table(&shown, Paint::on(&io::stdout())).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(shown: &Value, paint: Paint) -> String {
    let memory = &shown["memory"];
    let number = |key: &str| memory[key].as_u64().unwrap_or_default();
    let mut out = requests(shown, paint);
    out += &format!(
        "{}  {} objects  {} of {}  {} stored  {} evicted  {} purges\n",
        paint.paint(Look::Strong, "memory"),
        number("objects"),
        size(number("bytes")),
        size(number("limit-bytes")),
        number("stored"),
        number("evicted"),
        number("purges"),
    );
    let disk = &shown["disk"];
    if !disk.is_null() {
        let number = |key: &str| disk[key].as_u64().unwrap_or_default();
        let mut text = format!(
            "{}  {} objects  {} of {}  {} read  {} written",
            paint.paint(Look::Strong, "disk"),
            number("objects"),
            size(number("bytes")),
            size(number("limit-bytes")),
            number("hits"),
            number("written"),
        );
        for key in ["dropped", "corrupt", "errors"] {
            if number(key) > 0 {
                text += &paint.paint(Look::Odd, format!("  {} {key}", number(key)));
            }
        }
        if disk["up"] == false {
            text = paint.paint(Look::Bad, "the disk failed: see the log");
        }
        out += &format!("{text}\n");
    }
    for (key, title) in [("hottest", "most used"), ("largest", "largest"), ("stale", "stale")] {
        let objects = shown[key].as_array().map_or(&[][..], Vec::as_slice);
        if !objects.is_empty() {
            let rows: Vec<_> = objects.iter().map(row).collect();
            out +=
                &format!("\n{}\n{}", paint.paint(Look::Strong, title), paint.columns("  ", &rows));
        }
    }
    out
}

/// How many routes stand in the table; JSON has all.
const ROUTES_SHOWN: usize = 10;

/// What the cache spared services: in all, and on the busiest routes.
fn requests(shown: &Value, paint: Paint) -> String {
    let sums = cells(&shown["requests"]).map(|(_, text)| text).join("  ");
    let mut out = format!("{}  {sums}\n", paint.paint(Look::Strong, "in all"));
    let routes = shown["routes"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<_> = routes.iter().take(ROUTES_SHOWN).map(row_of_route).collect();
    out += &paint.columns("  ", &rows);
    if routes.len() > ROUTES_SHOWN {
        out += &format!("  and {} more\n", routes.len() - ROUTES_SHOWN);
    }
    out
}

fn row_of_route(route: &Value) -> Vec<(Look, String)> {
    let [requests, ratio, saved] = cells(route);
    let name = route["route"].as_str().unwrap_or("?").to_owned();
    let counts = ["hit", "stale", "collapsed", "validated", "miss", "bypass"];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|key| route[key].as_u64().unwrap_or_default() > 0)
        .map(|key| format!("{} {key}", route[key]))
        .collect();
    vec![(Look::Plain, name), requests, ratio, saved, (Look::Faint, counts.join(", "))]
}

/// How many requests there were, which share of them the service was spared, and how much time.
fn cells(sums: &Value) -> [(Look, String); 3] {
    let requests = sums["requests"].as_u64().unwrap_or_default();
    let ratio = sums["hit-ratio"].as_f64();
    let saved = sums["saved-seconds"].as_f64().unwrap_or_default();
    [
        (Look::Plain, format!("{requests} requests")),
        (
            Look::Strong,
            ratio.map_or("no hits yet".to_owned(), |ratio| format!("{:.1} % hits", ratio * 100.0)),
        ),
        (Look::Plain, format!("{} saved", seconds(saved))),
    ]
}

/// A time for people.
fn seconds(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        _ => duration(seconds as u64),
    }
}

fn row(object: &Value) -> Vec<(Look, String)> {
    let fresh = object["fresh-seconds"].as_i64().unwrap_or_default();
    let (look, freshness) = match (object["purged"].as_str(), fresh) {
        (Some("hard"), _) => (Look::Bad, "purged".to_owned()),
        (Some("soft"), _) => (Look::Odd, "purged softly".to_owned()),
        (_, 0..) => (Look::Good, format!("fresh for {fresh} s")),
        _ => (Look::Odd, format!("stale for {} s", -fresh)),
    };
    let vary = object["vary"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let vary: Vec<&str> = vary.collect();
    vec![
        (Look::Plain, format!("{} hits", object["hits"])),
        (Look::Plain, size(object["bytes"].as_u64().unwrap_or_default())),
        (look, freshness),
        (Look::Plain, object["url"].as_str().unwrap_or("?").to_owned()),
        (Look::Faint, vary.join(", ")),
    ]
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    let digits = usize::from(unit > 0 && number < 10.0);
    format!("{number:.digits$} {}", UNITS[unit])
}
