//! The command line: one file per command.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod explain;
pub(crate) mod proxy;
pub(crate) mod start;
pub(crate) mod status;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::observe::log;

const EXAMPLES: &str = "\
Examples:
  doorward dev examples/newsroom          a real news portal behind the door
  doorward proxy --to localhost:3000      no file at all
  doorward check doorward.toml            every problem, with its place and advice
  doorward run doorward.toml              in production
  doorward explain GET http://localhost:8080/api/v1/articles/7
  doorward status                         how the running one is

Guide: docs/ in the repository. Reload with SIGHUP, drain and stop with SIGTERM.";

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
    Dev(start::StartArgs),
    /// Runs in production
    Run(start::StartArgs),
    /// Runs without a file, in front of one address, and prints the file it stands for
    Proxy(proxy::ProxyArgs),
    /// Shows every problem of a configuration
    Check(check::CheckArgs),
    /// Tells every decision about a request, with its reason
    Explain(explain::ExplainArgs),
    /// Shows how the running one is
    Status(status::StatusArgs),
    /// Writes completions for a shell to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the man page to standard output
    Man,
}

/// What went wrong, in words, and what the process ends with.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) code: u8,
}

/// Something outside of the configuration: a port, a file, a process that is not there.
pub(crate) const EXIT_FAILURE: u8 = 1;

/// The configuration, or the command line itself.
pub(crate) const EXIT_CONFIG: u8 = 2;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: EXIT_FAILURE,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever read our output has had enough of it: `doorward status | head`.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { message: String::new(), hint: None, code: 0 };
        }
        Self::new(error.to_string())
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
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "doorward", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => clap_mangen::Man::new(Cli::command())
            .render(&mut io::stdout())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Failure::from),
    };
    log::finish(LAST_WORDS_LIMIT);
    outcome.unwrap_or_else(|failure| {
        if failure.code == 0 {
            return ExitCode::SUCCESS;
        }
        let colour = is_colourful(&io::stderr());
        let (red, plain) = if colour {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let mut text = format!("{red}error:{plain} {}\n", failure.message.trim_end());
        if let Some(hint) = failure.hint {
            text += &format!("  {hint}\n");
        }
        // Without stderr there is nowhere to say it.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(failure.code)
    })
}

/// Whether `stream` shows colours, and its user wants them (<https://no-color.org>).
pub(crate) fn is_colourful(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
