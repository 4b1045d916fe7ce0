//! Everything that happens off the path of a request: loading, compiling, exchanging.

pub(crate) mod acme;
mod answers;
pub(crate) mod authority;
pub(crate) mod certificates;
pub(crate) mod compile;
pub(crate) mod endpoints;
pub(crate) mod explain;
pub(crate) mod health;
mod hook;
pub(crate) mod listeners;
pub(crate) mod load;
pub(crate) mod model;
mod notify;
pub(crate) mod process;
pub(crate) mod registry;
mod resolve;
pub(crate) mod run;
mod scale;
pub(crate) mod snapshot;
pub(crate) mod start;
pub(crate) mod token;
pub(crate) mod trust;
mod watch;
pub(crate) mod workers;
