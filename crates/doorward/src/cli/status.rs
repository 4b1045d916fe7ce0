//! `doorward status`: how the running process is.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use super::paint::{Look, Paint};
use super::{Failure, client};
use crate::control::load::Loader;
use crate::control::run::unix_now;
use crate::control::token;

const EXAMPLES: &str = "\
Examples:
  doorward status                                  the one that runs the doorward.toml of this folder
  doorward status /etc/doorward/doorward.toml
  doorward status --admin 10.0.0.7:9900 --token \"$TOKEN\"
  doorward status | jq .config.refused             JSON when piped";

/// Shows how the running process is: configuration, services, instances.
///
/// A table on a terminal, JSON when piped.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// The configuration that it runs with: it says where the admin side is
    #[arg(value_name = "FILE|DIR", default_value = "doorward.toml")]
    path: PathBuf,
    #[command(flatten)]
    admin: AdminArgs,
    /// JSON on a terminal too
    #[arg(long)]
    json: bool,
}

/// Where the admin side is, if not where the configuration says.
#[derive(clap::Args)]
pub(crate) struct AdminArgs {
    /// The address of the admin side
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Its token; else the variable DOORWARD_TOKEN, the configuration, or the file that keeps it
    #[arg(long)]
    token: Option<String>,
}

/// The address and token of an admin side.
pub(crate) struct AdminSide {
    pub(crate) address: String,
    pub(crate) token: String,
}

impl AdminArgs {
    /// Where the admin side of the configuration at `path` is.
    ///
    /// # Errors
    /// If there is no token to be found.
    pub(crate) fn side(&self, path: &Path) -> Result<AdminSide, Failure> {
        let mut loader = Loader::new(path);
        let admin = loader.load().config.admin;
        let address = self.admin.clone().unwrap_or_else(|| admin.listen.to_string());
        let configured = admin.token.as_ref().map(|token| token.reveal().to_owned());
        let kept = token::path(loader.path());
        let token = match self
            .token
            .clone()
            .or_else(|| std::env::var("DOORWARD_TOKEN").ok())
            .or(configured)
        {
            Some(token) => token,
            None => std::fs::read_to_string(&kept).map(|token| token.trim().to_owned()).map_err(
                |error| {
                    Failure::new(format!("no token in {}: {error}", kept.display()))
                        .hint("is it running with this configuration? else give --token")
                },
            )?,
        };
        Ok(AdminSide { address, token })
    }
}

impl AdminSide {
    /// Asks the API, and reads the JSON that it answers.
    ///
    /// # Errors
    /// If it cannot be reached, refuses, or answers otherwise.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &[u8]) -> Result<Value, Failure> {
        let headers = [("Authorization".to_owned(), format!("Bearer {}", self.token))];
        let (head, body) = client::send(&self.address, None, method, target, &headers, body)
            .map_err(|failure| {
                failure.hint("is Doorward running, and is this its `[admin] listen`?")
            })?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if head.status == 200 {
            return Ok(value);
        }
        let title = value["title"].as_str().unwrap_or("no reason given");
        Err(Failure::new(format!("the admin side answered {}: {title}", head.status)))
    }
}

/// Asks and shows.
pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let status = args.admin.side(&args.path)?.ask("GET", "/api/status", b"")?;
    let mut out = io::stdout().lock();
    if args.json || !out.is_terminal() {
        writeln!(out, "{status:#}")?;
    } else {
        out.write_all(table(&status, Paint::on(&io::stdout())).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// From how late on it is worth a line: what is sheddable is shed.
const LATE_MS: u64 = 100;

fn table(status: &Value, paint: Paint) -> String {
    let config = &status["config"];
    let listening = |key: &str| config[key].as_array().into_iter().flatten().map(word);
    let https = listening("listening-https").map(|address| format!("https://{address}"));
    let listening: Vec<String> =
        listening("listening").map(ToOwned::to_owned).chain(https).collect();
    let strong = |text: &str| paint.paint(Look::Strong, text);
    let mut out = format!(
        "{} {}  up {}  pid {}  {}  {}  {}\n",
        strong("doorward"),
        word(&status["version"]),
        duration(status["uptime-seconds"].as_u64().unwrap_or_default()),
        status["pid"],
        count(&status["workers"], "worker"),
        count(&status["connections"], "connection"),
        count(&status["requests"], "request"),
    );
    out += &format!(
        "{}  version {}  {}  {}  on {}\n",
        strong(word(&config["path"])),
        config["version"],
        count(&config["routes"], "route"),
        count(&config["services"], "service"),
        listening.join(", "),
    );
    let late_ms = status["loop-lag-ms"].as_u64().unwrap_or_default();
    if late_ms >= LATE_MS {
        let text = format!("it has more to do than it can: its loop comes {late_ms} ms late");
        out += &format!("{}\n", paint.paint(Look::Bad, text));
    }
    if config["draining"] == true {
        out += &format!("{}\n", paint.paint(Look::Odd, "it drains: no new connection is taken"));
    }
    if let Some(problems) = config["refused"].as_str() {
        let refused = paint.paint(Look::Bad, "the file as it is now is refused:");
        out += &format!("{refused}\n{problems}");
    }
    let restart = config["needs-restart"].as_array().into_iter().flatten();
    let restart: Vec<&str> = restart.map(word).collect();
    if !restart.is_empty() {
        let text = format!("takes a restart: {}", restart.join(", "));
        out += &format!("{}\n", paint.paint(Look::Odd, text));
    }
    for service in status["services"].as_array().into_iter().flatten() {
        out += &one_service(service, paint);
    }
    let tcp = status["tcp"].as_array().into_iter().flatten();
    let tcp: Vec<_> = tcp.map(row_of_tcp).collect();
    if !tcp.is_empty() {
        out += &format!("\n{}\n{}", strong("tcp"), paint.columns("    ", &tcp));
    }
    let certificates = status["certificates"].as_array().into_iter().flatten();
    let certificates: Vec<_> = certificates.map(row_of_certificate).collect();
    if !certificates.is_empty() {
        out += &format!("\n{}\n{}", strong("certificates"), paint.columns("    ", &certificates));
    }
    for problem in status["certificate-problems"].as_array().into_iter().flatten() {
        out += &format!("    {}\n", paint.paint(Look::Bad, word(problem)));
    }
    out + &acme(&status["acme"], paint)
}

/// How certificates of an authority stand.
fn acme(keeper: &Value, paint: Paint) -> String {
    let certificates = keeper["certificates"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    if !certificates.is_empty() {
        let rows: Vec<_> = certificates.iter().map(row_of_order).collect();
        let title = paint.paint(Look::Strong, "from the authority");
        out += &format!("\n{title}\n{}", paint.columns("    ", &rows));
    }
    out
}

fn row_of_order(certificate: &Value) -> Vec<(Look, String)> {
    let names: Vec<&str> =
        certificate["names"].as_array().into_iter().flatten().map(word).collect();
    let state = word(&certificate["state"]);
    let look = if state == "valid" { Look::Good } else { Look::Bad };
    let next = certificate["next-unix"].as_u64().unwrap_or_default().saturating_sub(unix_now());
    let next = match certificate["ordering"] == true {
        true => "being ordered".to_owned(),
        false => {
            format!("ordered next in {}: {}", duration(next), word(&certificate["next-reason"]))
        }
    };
    vec![(Look::Strong, names.join(", ")), (look, state.to_owned()), (Look::Plain, next)]
}

fn row_of_certificate(certificate: &Value) -> Vec<(Look, String)> {
    let names: Vec<&str> =
        certificate["names"].as_array().into_iter().flatten().map(word).collect();
    let left = certificate["not-after-unix"].as_i64().unwrap_or_default()
        - i64::try_from(unix_now()).unwrap_or(i64::MAX);
    let (look, left) = match left {
        ..0 => (Look::Bad, "expired".to_owned()),
        // A renewal that failed is noticed while there is time.
        0..1_209_600 => (Look::Odd, format!("{} left", duration(left.cast_unsigned()))),
        _ => (Look::Plain, format!("{} days left", left / 86_400)),
    };
    vec![
        (Look::Strong, names.join(", ")),
        (look, left),
        (Look::Plain, format!("by {}", word(&certificate["issuer"]))),
        (Look::Faint, word(&certificate["from"]).to_owned()),
    ]
}

fn one_service(service: &Value, paint: Paint) -> String {
    let list = |key: &str| service[key].as_array().map_or(&[][..], Vec::as_slice);
    let (endpoints, instances) = (list("endpoints"), list("instances"));
    let unusable = |one: &&Value| one["standing"] != "well";
    let resting = endpoints.iter().filter(unusable).count();
    let wanted = instances.iter().filter(|one| one["role"] == "incumbent").count();
    let (look, mark) = match endpoints.len() - resting {
        0 => (Look::Bad, "✗"),
        usable if usable < wanted.max(endpoints.len()) => (Look::Odd, "●"),
        _ => (Look::Good, "●"),
    };
    let name = paint.paint(Look::Strong, word(&service["name"]));
    let about = match service["started"] == true {
        true => format!("{} of {wanted} ready", endpoints.len()),
        false => count(&endpoints.len().into(), "endpoint"),
    };
    let mut out = format!("\n{} {name}  {about}\n", paint.paint(look, mark));
    let mut rows = Vec::new();
    for instance in instances {
        rows.push(row_of_instance(instance));
    }
    if instances.is_empty() {
        for endpoint in endpoints {
            rows.push(row_of_endpoint(endpoint));
        }
    }
    out += &paint.columns("    ", &rows);
    out += &overload(&service["overload"], paint);
    out += &breaker(&service["breaker"], paint);
    for instance in instances.iter().filter(|one| one["state"] != "ready") {
        let lines = instance["last-exit"]["last-lines"].as_array().into_iter().flatten();
        for line in lines.map(word) {
            out += &format!("      {}\n", paint.paint(Look::Faint, line));
        }
    }
    out
}

/// How much is asked of a service, if that is limited.
fn overload(gate: &Value, paint: Paint) -> String {
    let Some(limit) = gate["limit"].as_u64() else { return String::new() };
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let shed: u64 = ["critical", "normal", "sheddable"]
        .iter()
        .map(|priority| number(&gate["shed"][priority]))
        .sum();
    let (running, waiting) = (number(&gate["running"]), number(&gate["waiting"]));
    let look = if waiting > 0 { Look::Odd } else { Look::Faint };
    if limit == 0 {
        // It is found out with the first request.
        return String::new();
    }
    let text = format!("{running} of {limit} requests at once, {waiting} wait, {shed} were shed");
    format!("    {}\n", paint.paint(look, text))
}

/// Where its breaker is not closed.
fn breaker(states: &Value, paint: Paint) -> String {
    let at = |state: &str| states[state].as_u64().unwrap_or_default();
    let (open, half_open) = (at("open"), at("half-open"));
    let (look, state, count) = match (open, half_open) {
        (0, 0) => return String::new(),
        (0, _) => (Look::Odd, "half open", half_open),
        _ => (Look::Bad, "open", open + half_open),
    };
    let all = open + half_open + at("closed");
    format!(
        "    {}\n",
        paint.paint(look, format!("its breaker is {state} at {count} of {all} workers"))
    )
}

fn row_of_instance(instance: &Value) -> Vec<(Look, String)> {
    let state = word(&instance["state"]);
    let look = match state {
        "ready" => Look::Good,
        "starting" | "unproven" | "draining" | "stopping" => Look::Odd,
        _ => Look::Bad,
    };
    let port = instance["port"].as_u64();
    let pid = instance["pid"].as_u64();
    let restarts = match instance["restarts"].as_u64().unwrap_or_default() {
        0 => String::new(),
        _ => count(&instance["restarts"], "restart"),
    };
    vec![
        (Look::Faint, instance["instance"].to_string()),
        (look, state.to_owned()),
        (Look::Plain, port.map_or(String::new(), |port| format!("127.0.0.1:{port}"))),
        (Look::Plain, pid.map_or(String::new(), |pid| format!("pid {pid}"))),
        (Look::Plain, restarts),
        (Look::Odd, instance["last-exit"]["reason"].as_str().unwrap_or_default().to_owned()),
    ]
}

fn row_of_endpoint(endpoint: &Value) -> Vec<(Look, String)> {
    let standing = word(&endpoint["standing"]);
    let look = match standing {
        "well" => Look::Good,
        "unproven" | "on-trial" | "full" | "leaving" => Look::Odd,
        _ => Look::Bad,
    };
    let note = match standing {
        "refusing" => "it refused a moment ago".to_owned(),
        "ejected" => {
            let seconds = endpoint["ejected-ms"].as_u64().unwrap_or_default() / 1000;
            format!("it did worse than the others; out for {seconds} s more")
        }
        _ => endpoint["last-failure"].as_str().unwrap_or_default().to_owned(),
    };
    vec![
        (Look::Plain, word(&endpoint["address"]).to_owned()),
        (look, standing.to_owned()),
        (Look::Faint, rank_of(endpoint)),
        (Look::Odd, note),
    ]
}

/// What it gets beside the others, as far as anything is said about it.
fn rank_of(endpoint: &Value) -> String {
    let number = |key: &str, usual: u64| {
        let number = endpoint[key].as_u64().filter(|number| *number != usual)?;
        Some(format!("{key} {number}"))
    };
    let zone = endpoint["zone"].as_str().map(|zone| format!("zone {zone}"));
    let words = [number("weight", 1), number("tier", 0), zone];
    words.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

fn row_of_tcp(entry: &Value) -> Vec<(Look, String)> {
    vec![
        (Look::Plain, word(&entry["listen"]).to_owned()),
        (Look::Plain, entry["sni"].as_str().unwrap_or("any name").to_owned()),
        (Look::Strong, word(&entry["service"]).to_owned()),
        (Look::Plain, count(&entry["connections"], "connection")),
    ]
}

fn count(number: &Value, one: &str) -> String {
    match number.as_u64() {
        Some(1) => format!("1 {one}"),
        Some(number) => format!("{number} {one}s"),
        None => format!("? {one}s"),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A time for people.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}
