//! Everything that happens off the path of a request: loading, compiling, exchanging.

pub(crate) mod listeners;
pub(crate) mod registry;
pub(crate) mod resolve;
pub(crate) mod snapshot;
pub(crate) mod workers;
