//! `doorward proxy`: in front of one address, without a file.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use super::{Failure, start};
use crate::control::load::Loader;

/// Runs without a file, in front of one or several addresses of a service, and prints the file that
/// it stands for.
#[derive(clap::Args)]
pub(crate) struct ProxyArgs {
    /// Where the service is, `host:port` or `unix:/path`; may be repeated
    #[arg(long, required = true, value_name = "ENDPOINT")]
    to: Vec<String>,
    /// Where clients connect
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where operators connect
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDRESS")]
    admin: SocketAddr,
}

/// Prints the configuration and runs it.
pub(crate) fn proxy(args: &ProxyArgs) -> Result<ExitCode, Failure> {
    let text = config(args);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "# This is what runs. Save it as doorward.toml to go on from here.\n{text}"
    )?;
    drop(out);
    start::run(Loader::of_text("proxy", &text), true)
}

fn config(args: &ProxyArgs) -> String {
    let endpoints: Vec<String> = args
        .to
        .iter()
        .map(|endpoint| toml::Value::from(endpoint.as_str()).to_string())
        .collect();
    format!(
        "[listen]\nhttp = \"{}\"\n\n[admin]\nlisten = \"{}\"\n\n\
         [service.app]\nendpoints = [{}]\n\n[[route]]\npath = \"/*\"\nservice = \"app\"\n",
        args.listen,
        args.admin,
        endpoints.join(", ")
    )
}
