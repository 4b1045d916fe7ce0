//! The path of a request, station by station.
//!
//! listen -> connection -> serve -> forward (pool, upstream, transfer) | files | respond -> account.

mod account;
mod buffer;
pub(crate) mod connection;
pub(crate) mod deadline;
mod files;
mod forward;
pub(crate) mod listen;
mod pace;
mod pool;
pub(crate) mod respond;
pub(crate) mod scratch;
pub(crate) mod serve;
mod socket;
mod transfer;
mod tunnel;
mod upstream;
pub(crate) mod worker;
