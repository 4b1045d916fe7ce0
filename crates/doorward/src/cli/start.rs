//! `doorward run` and `doorward dev`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use config::Style;

use super::{EXIT_CONFIG, Failure, is_colourful};
use crate::control::load::{Compiled, Loader};
use crate::control::start::{Running, start as start_all};

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
pub(crate) fn run(mut loader: Loader, dev: bool) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let loaded = loader.load();
    let style = Style {
        color: is_colourful(&io::stderr()),
        ..Style::default()
    };
    let report = loaded.report.render(style);
    let Some(compiled) = loaded.compiled() else {
        // Places are aligned under the source: nothing may stand before them.
        io::stderr().lock().write_all(report.as_bytes())?;
        let message = format!("{} cannot be used", loader.path().display());
        return Err(Failure {
            code: EXIT_CONFIG,
            ..Failure::new(message)
        });
    };
    io::stderr().lock().write_all(report.as_bytes())?;
    let greet = move |running: &Running, compiled: &Compiled| {
        if dev {
            greet(running, compiled, began);
        }
    };
    start_all(loader, compiled, dev, greet)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells where everything is, and what to try.
fn greet(running: &Running, compiled: &Compiled, began: Instant) {
    let colour = is_colourful(&io::stderr());
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut text = format!(
        "\n{} after {:.1} s\n",
        paint("1;32", "the door is open"),
        began.elapsed().as_secs_f64()
    );
    for address in &running.listening {
        text += &format!(
            "  {:<10} {}\n",
            "open",
            paint("1;4", &format!("http://{address}/"))
        );
    }
    text += &format!("  {:<10} http://{}/\n", "operate", running.admin);
    if let Some(path) = &running.token_path {
        text += &format!("  {:<10} {}\n", "token", path.display());
    }
    let first = running
        .listening
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let _ = compiled;
    let path = "/";
    text += &format!("\n{}\n", paint("1", "try"));
    text += &format!("  curl -i http://{first}{path}\n");
    text += &format!(
        "  doorward explain GET http://{first}{path} --config {}\n",
        running.path.display()
    );
    text += &format!("  doorward status {}\n", running.path.display());
    text += "  edit the configuration: it is applied as you save. Ctrl-C ends everything.\n\n";
    // Without stderr there is nowhere to say it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
