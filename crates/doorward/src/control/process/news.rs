//! What the state machines hear, and what they ask for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use super::journal::Level;
use super::spec::ServiceSpec;
use crate::control::health::Checked;

/// Time since the supervisor began; tests make it up.
pub(super) type Time = Duration;

/// One run of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RunId {
    pub(super) instance: u64,
    pub(super) run: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) port: u16,
}

/// What happened to a run.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Spawned(Process),
    NotSpawned(Failure),
    Exited(Exit),
    Probed(Result<(), String>),
}

#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) failure: Failure,
    /// The last lines that it printed.
    pub(super) last_lines: Vec<String>,
    /// It seems to have ended because its port was in use.
    pub(super) port_taken: bool,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Spawn { id: RunId, slot: u32, spec: Arc<ServiceSpec> },
    Probe { id: RunId, port: u16, checked: Checked },
    Signal { id: RunId, signal: Signal },
    Publish { service: Arc<str>, ready: Vec<SocketAddr> },
    Say { service: Arc<str>, instance: Option<u32>, level: Level, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

/// The state's name, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StateName {
    Starting,
    Unproven,
    Ready,
    Failing,
    BackingOff,
    Draining,
    Stopping,
    Gone,
}
