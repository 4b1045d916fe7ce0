//! QUIC (RFC 9000): `quinn-proto` knows the protocol, and touches neither socket nor clock; what does
//! is here. Each worker has a socket of its own and drives the connections that began on it, without
//! a lock and without another thread (`docs/decisions/017-quic-is-driven-by-workers.md`).

mod beginnings;
mod cross;
mod endpoint;
mod link;
mod socket;
mod terms;

pub(crate) use cross::{Arrivals, Crossing};
pub(crate) use endpoint::{Endpoint, Host, Newcomer};
pub(crate) use link::{Driver, Happened, Link, Taken};
pub(crate) use terms::terms;

#[cfg(test)]
mod tests;
