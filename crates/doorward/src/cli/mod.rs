//! The command line: one file per command.

pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod explain;
mod greet;
mod https;
pub(crate) mod paint;
pub(crate) mod proxy;
pub(crate) mod purge;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod trust;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::paint::{Look, Paint};
use crate::observe::log;

const EXAMPLES: &str = "\
Examples:
  doorward dev examples/newsroom          a real news portal behind the door
  doorward proxy --to localhost:3000      no file at all
  doorward check doorward.toml            every problem, with its place and advice
  doorward run doorward.toml              in production
  doorward explain GET http://localhost:8080/api/v1/articles/7
  doorward status                         how the running one is
  doorward purge --tag article-7          cached responses with that tag are forgotten

Guide: docs/ in the repository. Reload with SIGHUP, drain and stop with SIGTERM.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  doorward completions bash > /etc/bash_completion.d/doorward
  doorward completions zsh > ~/.zfunc/_doorward
  doorward completions fish > ~/.config/fish/completions/doorward.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  doorward man | man -l -
  doorward man explain > doorward-explain.1";

/// The front door of a backend: routes, balances and protects a team's services.
#[derive(Parser)]
#[command(name = "doorward", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds and starts everything, shows every request, reloads when a file changes
    #[command(after_help = start::DEV_EXAMPLES)]
    Dev(start::StartArgs),
    /// Runs in production
    #[command(after_help = start::RUN_EXAMPLES)]
    Run(start::StartArgs),
    /// Runs without a file, in front of one address, and prints the file it stands for
    Proxy(proxy::ProxyArgs),
    /// Shows every problem of a configuration
    Check(check::CheckArgs),
    /// Tells every decision about a request, with its reason
    Explain(explain::ExplainArgs),
    /// Shows how the running one is
    Status(status::StatusArgs),
    /// Shows what the running one has cached
    Cache(cache::CacheArgs),
    /// Makes the running one forget cached responses, at once
    Purge(purge::PurgeArgs),
    /// Makes this machine trust the local authority of `dev`
    Trust(trust::TrustArgs),
    /// Writes completions for a shell to standard output
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the man page to standard output
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The command that it is about; the whole program if left out
        command: Option<String>,
    },
}

/// What went wrong, in words, and what the process ends with.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) code: u8,
    /// Whoever read the output has gone.
    nobody_reads: bool,
}

/// Something outside of the configuration: a port, a file, a process that is not there.
pub(crate) const EXIT_FAILURE: u8 = 1;

/// The configuration, or the command line itself.
pub(crate) const EXIT_CONFIG: u8 = 2;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: EXIT_FAILURE, nobody_reads: false }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            nobody_reads: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::new(error.to_string())
        }
    }
}

/// How long the last lines of the log may take to be read.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev(args) => start::start(&args, true),
        Command::Run(args) => start::start(&args, false),
        Command::Proxy(args) => proxy::proxy(&args),
        Command::Check(args) => check::check(&args).map_err(Failure::from),
        Command::Explain(args) => explain::explain(&args),
        Command::Status(args) => status::status(&args),
        Command::Cache(args) => cache::cache(&args),
        Command::Purge(args) => purge::purge(&args),
        Command::Trust(args) => trust::trust(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "doorward", &mut script);
            let written = io::stdout().write_all(&script);
            written.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
        Command::Man { command } => man(command.as_deref()),
    };
    log::finish(LAST_WORDS_LIMIT);
    outcome.unwrap_or_else(|failure| {
        if failure.nobody_reads {
            // As when `head` has seen enough.
            return ExitCode::SUCCESS;
        }
        let paint = Paint::on(&io::stderr());
        let error = paint.paint(Look::Bad, "error:");
        let mut text = format!("{error} {}\n", failure.message.trim_end());
        if let Some(hint) = failure.hint {
            text += &format!("{} {hint}\n", paint.paint(Look::Strong, " hint:"));
        }
        // Without stderr there is nowhere to say it.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(failure.code)
    })
}

/// Writes the man page of the program, or of one of its commands.
fn man(command: Option<&str>) -> Result<ExitCode, Failure> {
    let mut page = Cli::command();
    if let Some(name) = command {
        let known = page.find_subcommand(name).cloned();
        let known = known.ok_or_else(|| Failure {
            code: EXIT_CONFIG,
            ..Failure::new(format!("there is no command `{name}`"))
        })?;
        // Pages are called as git calls its own.
        page = known.display_name(format!("doorward-{name}")).bin_name(format!("doorward {name}"));
    }
    clap_mangen::Man::new(page).render(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
