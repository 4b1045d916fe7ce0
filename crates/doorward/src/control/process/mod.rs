//! Services that Doorward starts: their processes, from the first check to the last signal.
//!
//! What happens is decided by three state machines that see no process, socket or clock:
//! [`instance`] for one place, [`service`] for all instances of one service, [`fleet`] for all
//! services; they speak in [`news`]. [`mod@supervisor`] does what they decide, with [`child`] for processes, [`output`] for what is printed, which ends in the [`mod@journal`].

mod backoff;
mod build;
mod child;
mod failure;
mod fleet;
mod instance;
mod journal;
mod news;
mod output;
mod service;
mod spec;
mod supervisor;

pub(crate) use build::{BuildSpec, run_builds};
pub(crate) use failure::spelled;
pub(crate) use fleet::InstanceStatus;
pub(crate) use journal::{Entries, Entry, Level, Said, Sink, journal};
pub(crate) use news::StateName;
pub(crate) use service::Role;
pub(crate) use spec::{CommandLine, ServiceSpec};
pub(crate) use supervisor::{EndpointsChanged, Supervision, supervisor};

#[cfg(test)]
mod tests;
