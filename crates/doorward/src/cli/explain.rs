//! `doorward explain`: every decision about a request, with its reason.

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use rules::Rules;
use rules::balance::Standing;
use rules::service::{Rank, Source};
use serde_json::{Value, json};

use super::paint::{Look, Paint};
use super::status::AdminArgs;
use super::{EXIT_CONFIG, Failure, client, https};
use crate::control::certificates::Certificates;
use crate::control::compile;
use crate::control::explain::{Facts, Question, Seen, explain as decide};
use crate::control::load::Loader;
use crate::control::token;
use crate::data::sticky::Ties;

const EXAMPLES: &str = "\
Examples:
  doorward explain GET http://localhost:8080/api/v1/articles/7
  doorward explain POST http://shop.example.com/cart -H 'X-Beta: 1' --config shop.toml
  doorward explain GET http://localhost:8080/ --client 203.0.113.9
  doorward explain GET https://shop.example.com/         with the certificate that is shown
  doorward explain GET http://localhost:8080/ --live     sends it, and shows what really happened
  doorward explain GET http://localhost:8080/ | jq       JSON when piped
  doorward explain tls://db.example.com:5432             a connection that is not HTTP; or tcp://HOST:PORT";

/// Tells every decision about a request, with its reason, from the configuration alone.
///
/// With `--live` the request is really sent, and the running process tells what it did.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_missing_positional = true)]
pub(crate) struct ExplainArgs {
    /// The method
    #[arg(default_value = "GET")]
    method: String,
    /// The whole URL
    url: String,
    /// A header, `name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The address that the request comes from
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// What the client's certificate calls it, such as `spiffe://example.org/web` or `cn:web`
    #[arg(long, value_name = "IDENTITY")]
    client_identity: Option<String>,
    /// The configuration
    #[arg(long, value_name = "FILE|DIR", default_value = "doorward.toml")]
    config: PathBuf,
    /// Sends the request to the running process
    #[arg(long, conflicts_with_all = ["client", "client_identity"])]
    live: bool,
    #[command(flatten)]
    admin: AdminArgs,
    /// JSON on a terminal too
    #[arg(long)]
    json: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Explains, and shows.
pub(crate) fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let explanation = if args.live { live(args)? } else { offline(args)? };
    let mut out = io::stdout().lock();
    if args.json || !out.is_terminal() {
        writeln!(out, "{explanation:#}")?;
    } else {
        let text = shown(&explanation, Paint::on(&io::stdout()));
        out.write_all(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn offline(args: &ExplainArgs) -> Result<Value, Failure> {
    let loaded = Loader::new(&args.config).load();
    let report = loaded.report.to_string();
    let Some(compiled) = loaded.compiled() else {
        return Err(Failure { code: EXIT_CONFIG, ..Failure::new(report) });
    };
    let question = Question {
        method: args.method.clone(),
        url: args.url.clone(),
        headers: args.headers.clone(),
        client: args.client,
        client_identity: args.client_identity.clone(),
    };
    let trust = &compiled.config.forwarding.trust;
    let rules = &compiled.rules;
    let certificates = Certificates::default();
    certificates.set_files(&compiled.certificates);
    let zone = compile::zone(&compiled.config);
    let facts = Facts {
        trusts: &|address| trust.iter().any(|network| network.contains(address)),
        endpoints: &|at| written_endpoints(rules, at, zone),
        bond: &|at, head| {
            let service = &rules.services()[at];
            // Without a key of its own it would be signed by a key of the running process.
            let sticky = service.sticky.as_ref().filter(|sticky| !sticky.keys.is_empty())?;
            Some(Ties::new(&service.name, sticky, &[]).read(head))
        },
        certificates: &certificates,
    };
    let explanation = decide(rules, &facts, &question)
        .map_err(|why| Failure { code: EXIT_CONFIG, ..Failure::new(why) })?;
    Ok(json!(explanation))
}

/// The endpoints as the file has them: nothing more is known without a running process.
fn written_endpoints(rules: &Rules, at: usize, zone: Option<&str>) -> Vec<Seen> {
    let seen = |address, rank: Rank| Seen {
        address,
        standing: Standing::Well,
        is_near: rank.is_near(zone),
        rank,
    };
    match &rules.services()[at].source {
        Source::Endpoints(endpoints) => {
            endpoints.iter().map(|one| seen(one.endpoint.to_string(), one.rank.clone())).collect()
        }
        Source::Run(_) => {
            vec![seen("an instance that Doorward starts".to_owned(), Rank::default())]
        }
    }
}

/// Sends the request with the token that opens a trail, then fetches the trail.
fn live(args: &ExplainArgs) -> Result<Value, Failure> {
    let side = args.admin.side(&args.config)?;
    let plain = args.url.strip_prefix("http://").map(|rest| (rest, None));
    let secure = || Some((args.url.strip_prefix("https://")?, Some(https::trusting(&args.config))));
    let (rest, tls) = plain.or_else(secure).ok_or_else(|| {
        Failure::new("a live request takes a URL that begins with http:// or https://")
    })?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    let target = if target.is_empty() { "/" } else { target };
    let id = format!("explain-{}", token::make()?);
    let mut headers = args.headers.clone();
    headers.push(("X-Request-Id".to_owned(), id.clone()));
    headers.push(("Doorward-Explain".to_owned(), side.token.clone()));
    let (head, _) = client::send(authority, tls, &args.method, target, &headers, b"")?;
    let mut explained = side.ask("GET", &format!("/api/trails/{id}"), b"")?;
    let decisions = explained["lines"].take();
    let took = duration(explained["duration-us"].as_u64().unwrap_or_default());
    Ok(json!({
        "request": format!("{} {}", args.method, args.url),
        "outcome": format!("answered {} in {took}", head.status),
        "decisions": { "lines": decisions },
    }))
}

fn shown(explanation: &Value, paint: Paint) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows = Vec::new();
    for line in explanation["decisions"]["lines"].as_array().into_iter().flatten() {
        let (stage, step) = (text(&line["stage"]), text(&line["step"]));
        let look = match (stage.as_str(), step.as_str()) {
            ("fault", _) | (_, "refuse" | "failed" | "none") => Look::Bad,
            (_, "lost") => Look::Faint,
            _ => Look::Good,
        };
        let notes = line["notes"].as_object().into_iter().flatten();
        let notes = notes.map(|(key, value)| format!("{key}={}", text(value)));
        rows.push(vec![
            (Look::Strong, stage),
            (look, step),
            (Look::Plain, text(&line["why"])),
            (Look::Faint, notes.collect::<Vec<_>>().join("  ")),
        ]);
    }
    let outcome = text(&explanation["outcome"]);
    let failed = ["answer 4", "answer 5", "answered 4", "answered 5", "close"];
    let look = match failed.iter().any(|begin| outcome.starts_with(begin)) {
        true => Look::Bad,
        false => Look::Good,
    };
    let request = paint.paint(Look::Strong, text(&explanation["request"]));
    let lines = paint.columns("  ", &rows);
    format!("{request}\n{lines}  {}\n", paint.paint(look, format!("=> {outcome}")))
}

/// A time as people say it.
fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        _ => format!("{:.2} s", microseconds as f64 / 1e6),
    }
}
