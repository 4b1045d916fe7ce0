//! Everything that decides: routes, filters, files, faults, forwarding, connections.
//!
//! Nothing here sees a socket, a clock, a file or a thread: facts come in as arguments, decisions
//! go out as data, and every decision carries its reason. The engine does what was decided.

pub mod acme;
pub mod balance;
pub mod breaker;
pub mod cache;
mod chance;
pub mod coding;
mod conditions;
mod cx;
mod date;
pub mod deadline;
mod decision;
pub mod fault;
pub mod files;
pub mod filter;
pub mod flood;
pub mod forward;
pub mod grpc;
#[cfg(test)]
mod harness;
pub mod health;
pub mod hops;
pub mod identity;
pub mod overload;
mod percent;
mod range;
pub mod retry;
pub mod route;
mod rules;
pub mod scale;
pub mod secure;
pub mod service;
mod siphash;
pub mod store;
pub mod tcp;
mod template;
mod trail;

pub use cx::{Cx, RequestId, Texts};
pub use decision::{Decision, Reply};
pub use fault::Fault;
pub use files::Files;
pub use identity::{Identity, Shown};
pub use route::{Route, RouteId};
pub use rules::{Rules, Verdict};
pub use secure::Secure;
pub use service::{Service, ServiceId};
pub use tcp::Tcp;
pub use trail::{Line, Trail};
