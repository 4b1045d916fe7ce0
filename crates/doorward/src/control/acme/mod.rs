//! Certificates from an authority that speaks ACME (RFC 8555): ordered, renewed, kept.
//!
//! What to do and when is decided in [`rules::acme`]; [`keeper`] does it, one thing at a time.

mod http;
mod keeper;
mod order;
mod proofs;
mod record;
mod session;
mod settings;
mod storage;
mod trouble;

pub(crate) use keeper::{CertificateState, Keeper, KeeperStatus};
pub(crate) use proofs::HttpAnswers;
pub(crate) use settings::{Settings, check};
pub(crate) use storage::make_private;

/// How often an order goes on when a nonce is refused; each time three in a row were. Pebble, for
/// testing, refuses one in twenty; real authorities hardly any.
const ATTEMPTS_MAX: usize = 10;
