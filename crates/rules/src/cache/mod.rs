//! What may be stored of responses, and when it may be used again: RFC 9111 and its family.
//!
//! A route's [`Cache`] answers the engine's questions in this order: does the request go past the
//! cache ([`Cache::passes_by`]), under which key is it looked up ([`Cache::write_key`]), is a stored
//! response for it ([`Stored::is_for`]) and may it be used ([`Stored::judge`]), what does it answer
//! ([`Stored::answer`]); what is asked instead ([`prepare`]); and behind a fetch: may the response be
//! stored, or does it update what is stored ([`Cache::learn`]), does it make anything invalid
//! ([`invalidates`]). Each rule has the sentence beside it that it follows.

mod answer;
mod config;
mod cookies;
mod directives;
mod encode;
mod fetch;
mod freshness;
mod groups;
mod invalidation;
mod key;
mod reuse;
mod status;
mod stored;
mod storing;
mod structured;
mod tags;
mod update;
mod vary;
mod why;

pub use answer::{Answer, Join, forget_conditions, wants_range};
pub use config::{BypassConfig, Cache, CacheConfig, Cookies, KeyConfig};
pub use fetch::{Brought, prepare};
pub use freshness::Times;
pub(crate) use invalidation::{Invalid, invalidates};
pub use key::KeyParts;
pub(crate) use key::normal_url;
pub use reuse::{Use, Wishes};
pub use status::{Because, Told, Way};
pub use stored::{Freshness, Stored, StoredPart, Varied, hash, tag};
pub use storing::{Asked, is_for_us};
pub use why::Why;
