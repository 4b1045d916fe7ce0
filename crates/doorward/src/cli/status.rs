//! `doorward status`: how the running process is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use super::{Failure, client, is_colourful};
use crate::control::load::Loader;
use crate::control::token;

/// Shows how the running process is: configuration, services, instances.
///
/// A table on a terminal, JSON when piped.
#[derive(clap::Args)]
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
        let address = self
            .admin
            .clone()
            .unwrap_or_else(|| admin.listen.to_string());
        let configured = admin.token.as_ref().map(|token| token.reveal().to_owned());
        let kept = token::path(loader.path());
        let token = match self
            .token
            .clone()
            .or_else(|| std::env::var("DOORWARD_TOKEN").ok())
            .or(configured)
        {
            Some(token) => token,
            None => std::fs::read_to_string(&kept)
                .map(|token| token.trim().to_owned())
                .map_err(|error| {
                    Failure::new(format!("no token in {}: {error}", kept.display()))
                        .hint("is it running with this configuration? else give --token")
                })?,
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
        let (head, body) =
            client::send(&self.address, method, target, &headers, body).map_err(|failure| {
                failure.hint("is Doorward running, and is this its `[admin] listen`?")
            })?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if head.status == 200 {
            return Ok(value);
        }
        let title = value["title"].as_str().unwrap_or("no reason given");
        Err(Failure::new(format!(
            "the admin side answered {}: {title}",
            head.status
        )))
    }
}

/// Asks and shows.
pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let status = args
        .admin
        .side(&args.path)?
        .ask("GET", "/api/status", b"")?;
    let mut out = io::stdout().lock();
    if args.json || !out.is_terminal() {
        writeln!(out, "{status:#}")?;
    } else {
        out.write_all(table(&status, is_colourful(&io::stdout())).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(status: &Value, colour: bool) -> String {
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut out = String::new();
    let config = &status["config"];
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} {}  pid {}  up {}  {} workers  {} connections  {} requests",
        paint("1", "doorward"),
        word(&status["version"]),
        status["pid"],
        duration(status["uptime-seconds"].as_u64().unwrap_or_default()),
        status["workers"],
        status["connections"],
        status["requests"],
    );
    let _ = writeln!(
        out,
        "config {}  version {}  {} routes",
        word(&config["path"]),
        config["version"],
        config["routes"]
    );
    if let Some(problems) = config["refused"].as_str() {
        let _ = writeln!(
            out,
            "{}\n{problems}",
            paint("1;31", "the newest file is refused:")
        );
    }
    for service in status["services"].as_array().into_iter().flatten() {
        let endpoints = service["endpoints"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let mark = if endpoints.is_empty() {
            paint("31", "✗")
        } else {
            paint("32", "●")
        };
        let _ = writeln!(out, "\n{mark} {}", paint("1", word(&service["name"])));
        for endpoint in endpoints {
            let resting = endpoint["resting"].as_bool().unwrap_or_default();
            let note = if resting {
                paint("33", "  refused a moment ago")
            } else {
                String::new()
            };
            let _ = writeln!(out, "    {}{note}", word(&endpoint["address"]));
        }
        for instance in service["instances"].as_array().into_iter().flatten() {
            let _ = writeln!(
                out,
                "    instance {}  {}  pid {}  port {}  {} restarts",
                instance["instance"],
                word(&instance["state"]),
                instance["pid"],
                instance["port"],
                instance["restarts"],
            );
            if let Some(reason) = instance["last_exit"]["reason"].as_str() {
                let _ = writeln!(out, "      {}", paint("33", reason));
            }
        }
    }
    out
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}
