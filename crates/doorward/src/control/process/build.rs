//! Runs the build commands of services before the services are started.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::child::Launch;
use super::failure::Failure;
use super::journal::{Level, Sink};
use super::output::{Tail, Voice};
use super::spec::CommandLine;

/// What has to be built before a service can start.
#[derive(Clone, Debug)]
pub(crate) struct BuildSpec {
    pub(crate) service: Arc<str>,
    pub(crate) command: CommandLine,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
}

/// A build that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildFailure {
    pub(crate) service: Arc<str>,
    pub(crate) command: String,
    pub(crate) failure: Failure,
    pub(crate) last_lines: Vec<String>,
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, command, failure, last_lines } = self;
        write!(f, "the build of `{service}` failed: `{command}` {failure}")?;
        last_lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Runs each distinct command once, in order; services may share one. Dropped, it kills what it
/// runs.
///
/// # Errors
/// The first build that fails; later ones are not begun.
pub(crate) async fn run_builds(builds: &[BuildSpec], sink: &Sink) -> Result<(), BuildFailure> {
    let mut done = HashSet::new();
    for build in builds {
        if done.insert((&build.command, &build.environment, &build.directory)) {
            run_build(build, sink).await?;
        }
    }
    Ok(())
}

async fn run_build(build: &BuildSpec, sink: &Sink) -> Result<(), BuildFailure> {
    let tail = Tail::default();
    let fail = |failure| BuildFailure {
        service: Arc::clone(&build.service),
        command: build.command.to_string(),
        failure,
        last_lines: tail.lines(),
    };
    let voice = Voice { sink: sink.clone(), service: Arc::clone(&build.service), instance: None };
    let launch = Launch {
        words: build.command.all(),
        variables: build.environment.clone().into_iter().collect(),
        directory: &build.directory,
    };
    let text = format!("building: {}", build.command);
    sink.event(&build.service, None, Level::Info, text);
    let running = launch.spawn().map_err(fail)?;
    let (_keep, signals) = mpsc::unbounded_channel();
    let ended = running.attend(signals, &voice, (&tail, &tail)).await;
    if ended.success {
        sink.event(&build.service, None, Level::Info, "built".to_owned());
        return Ok(());
    }
    Err(fail(ended.failure))
}
