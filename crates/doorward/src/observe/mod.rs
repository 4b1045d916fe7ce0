//! What an operator sees: the access log, the program's own log, the trails of requests.

pub(crate) mod access;
pub(crate) mod log;
pub(crate) mod progress;
pub(crate) mod trails;
mod writer;
