//! `doorward run` and `doorward dev`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use config::Style;

use super::greet::greet;
use super::paint::Paint;
use super::{EXIT_CONFIG, Failure};
use crate::control::load::Loader;
use crate::control::model::Purpose;
use crate::control::start::{Greeting, Running, start as start_all};

pub(crate) const DEV_EXAMPLES: &str = "\
Examples:
  doorward dev                        the doorward.toml of this folder
  doorward dev examples/newsroom      that of another one
  NO_COLOR=1 doorward dev             without colours

What the services print is shown with their names; every request is a line. Ctrl-C ends everything.";

pub(crate) const RUN_EXAMPLES: &str = "\
Examples:
  doorward run /etc/doorward/doorward.toml
  kill -HUP PID           reads the configuration again; a wrong one changes nothing
  kill -TERM PID          lets requests finish (`[runtime] drain`), then ends; a second time, at once

Under systemd, use Type=notify; sockets that it opens are taken. The exit code is 0 after a
drain, 1 if it cannot start, and 2 if the configuration is wrong.";

/// Which configuration to run.
#[derive(clap::Args)]
pub(crate) struct StartArgs {
    /// The file, or the folder of `doorward.toml`
    #[arg(value_name = "FILE|DIR", default_value = "doorward.toml")]
    path: PathBuf,
}

/// Runs the configuration that `args` names.
pub(crate) fn start(args: &StartArgs, dev: bool) -> Result<ExitCode, Failure> {
    run(Loader::new(&args.path), dev)
}

/// Runs what `loader` loads, until the process is told to stop.
pub(crate) fn run(loader: Loader, dev: bool) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let mut loader = loader.to(if dev { Purpose::Develop } else { Purpose::Run });
    let loaded = loader.load();
    let color = Paint::on(&io::stderr()).is_colourful();
    let style = Style { color, ..Style::default() };
    // Places are aligned under the source: nothing may stand before them.
    let report = loaded.report.render(style);
    io::stderr().lock().write_all(report.as_bytes())?;
    let Some(compiled) = loaded.compiled() else {
        let hint = "`doorward proxy --to localhost:3000` runs without a file, and prints one to begin with";
        return Err(Failure {
            code: EXIT_CONFIG,
            hint: (!loader.path().exists()).then(|| hint.to_owned()),
            ..Failure::new(format!("{} cannot be used", loader.name()))
        });
    };
    let greeting: Option<Greeting> = dev.then(|| -> Greeting {
        Box::new(move |running: &Running, loader: &Loader| greet(running, loader, began))
    });
    start_all(loader, compiled, greeting)?;
    Ok(ExitCode::SUCCESS)
}
