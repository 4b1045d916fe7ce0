//! The path of a request, station by station.
//!
//! listen -> connection -> serve -> forward (pool, upstream, transfer) | files | respond -> account.
//! What is not HTTP: listen -> tcp (upstream, relay) -> account.

mod account;
mod attempt;
mod balance;
pub(crate) mod breaker;
mod buffer;
pub(crate) mod cache;
mod call;
pub(crate) mod connection;
pub(crate) mod deadline;
mod delay;
mod drain;
mod encode;
mod end;
mod errand;
mod fallback;
mod files;
mod forward;
pub(crate) mod gate;
mod h2;
pub(crate) mod h3;
mod hedge;
mod held;
mod hold;
mod kept;
mod late;
mod limit;
pub(crate) mod listen;
mod mirror;
mod pace;
mod piece;
mod pool;
mod proxied;
pub(crate) mod quic;
mod relay;
pub(crate) mod respond;
pub(crate) mod scratch;
pub(crate) mod serve;
mod side;
mod socket;
pub(crate) mod sticky;
pub(crate) mod store;
mod stream;
mod tasks;
mod tcp;
pub(crate) mod tls;
mod transfer;
mod tunnel;
mod upstream;
mod whole;
pub(crate) mod worker;
