//! What the module promises: decisions in a made-up world with its own time, and real processes.

mod builds;
mod decisions;
mod door;
mod histories;
mod processes;
mod world;

use rules::service::{Ask, Get};

/// Any 2xx for `path`.
fn get(path: &str) -> Ask {
    Ask::Get(Get { path: path.into(), statuses: [(200, 299)].into(), body: None })
}

/// Splits `text` as the loader does.
fn command(text: &str) -> super::CommandLine {
    super::CommandLine::of(shlex::split(text).expect("a command"))
}
