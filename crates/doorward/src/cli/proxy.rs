//! `doorward proxy`: in front of one address, without a file.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use super::{Failure, start};
use crate::control::load::Loader;

const EXAMPLES: &str = "\
Examples:
  doorward proxy --to localhost:3000
  doorward proxy --to 3000 --to 3001                   in turn
  doorward proxy --to https://example.com               by TLS
  doorward proxy --to 3000 --https 127.0.0.1:8443      https://localhost:8443 too
  doorward proxy --to unix:/run/app.sock --listen 0.0.0.0:80";

/// Runs without a file, in front of one or several addresses of a service, and prints the file that
/// it stands for.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProxyArgs {
    /// Where the service is: `host:port`, `port`, `https://host` or `unix:/path`; may be repeated
    #[arg(long, required = true, value_name = "ENDPOINT")]
    to: Vec<String>,
    /// Where clients connect
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where clients connect over TLS, with certificates of the local authority: see `doorward trust`
    #[arg(long, value_name = "ADDRESS")]
    https: Option<SocketAddr>,
    /// Where operators connect
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDRESS")]
    admin: SocketAddr,
}

/// Prints the configuration and runs it.
pub(crate) fn proxy(args: &ProxyArgs) -> Result<ExitCode, Failure> {
    let text = config(args);
    let mut out = io::stdout().lock();
    writeln!(out, "# This is what runs. Save it as doorward.toml to go on from here.\n{text}")?;
    drop(out);
    start::run(Loader::of_text("proxy", &text), true)
}

fn config(args: &ProxyArgs) -> String {
    let endpoints = args.to.iter().map(|text| endpoint(text));
    let endpoints: Vec<String> =
        endpoints.map(|text| toml::Value::from(text).to_string()).collect();
    // Sites of others know themselves by their own name alone.
    let by_tls = args.to.iter().any(|text| text.starts_with("https://"));
    let host = if by_tls { "host = \"endpoint\"\n" } else { "" };
    let https = args.https.map_or(String::new(), |address| format!("https = \"{address}\"\n"));
    format!(
        "[listen]\nhttp = \"{}\"\n{https}\n[admin]\nlisten = \"{}\"\n\n\
         [service.app]\nendpoints = [{}]\n{host}\n[[route]]\npath = \"/*\"\nservice = \"app\"\n",
        args.listen,
        args.admin,
        endpoints.join(", ")
    )
}

/// What is meant by `text`, which may be copied from a browser, or be a port of this machine.
fn endpoint(text: &str) -> String {
    let text = match text.strip_prefix("http://") {
        Some(rest) => rest.trim_end_matches('/'),
        None => text,
    };
    match text.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => text.to_owned(),
    }
}
