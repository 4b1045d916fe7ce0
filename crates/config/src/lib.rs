//! Reading configuration and saying exactly what is wrong with it.
//!
//! Text becomes a tree of [`Value`]s that know their [`Place`]s; [`Report::read`] turns a value into
//! any type that serde can read and reports *all* that is wrong with it, not only the first thing.
//! Units ([`Period`], [`Size`], [`Share`], [`Network`]) cannot hold nonsense, and [`At`] keeps the place of a value
//! whose rightness is decided later.
//!
//! ```
//! use config::{At, Period, Report};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields, rename_all = "kebab-case")]
//! struct Retry {
//!     times: At<u8>,
//!     wait: Period,
//! }
//!
//! let mut report = Report::new();
//! let table = report.parse("doorward.toml", "times = 0\nwait = \"250ms\"");
//! let retry: Retry = report.read(&table).expect("nothing is wrong so far");
//! if *retry.times == 0 {
//!     report.error(&retry.times, "`times = 0` tries nothing").help("write at least 1");
//! }
//! assert!(report.to_string().starts_with("doorward.toml:1:9: `times = 0` tries nothing"));
//! ```
//!
//! The crate sees no file, no clock and no environment: the caller lends them.

mod at;
mod de;
mod document;
mod exercise;
mod files;
mod memo;
mod network;
mod parse;
mod place;
mod read;
mod render;
mod report;
mod secret;
mod split;
mod substitute;
mod syntax;
mod units;
mod value;
mod words;

pub use at::At;
pub use document::{Document, Item, Reader};
pub use exercise::exercise;
pub use files::Files;
pub use memo::Memo;
pub use network::Network;
pub use place::{FileId, Place, Sources, Spot};
pub use render::Style;
pub use report::{Problem, Report, Severity};
pub use secret::Secret;
pub use substitute::Variables;
pub use units::{Period, Share, Size};
pub use value::{Data, Entry, Table, Text, Value};

#[cfg(test)]
mod tests;
