//! What may be stored of responses, and when it may be used again: RFC 9111 and its family.

mod encode;
mod stored;

pub use stored::{Freshness, Stored, StoredPart, Varied, hash, tag};
