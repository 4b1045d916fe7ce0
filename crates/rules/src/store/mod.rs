//! What decides in the store of cached responses: what is kept, and what a purge touched.

pub mod fifo;
mod ghost;
pub mod purge;
mod target;
mod weight;

pub use fifo::Fifo;
pub use purge::{Purged, Purges, Receipt, Scope};
pub use target::{url, url_prefix};
pub use weight::allocated;
