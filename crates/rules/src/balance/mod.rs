//! Chooses an endpoint from what is known about all of them.
//!
//! A [`Balancer`] belongs to one worker and one service. Every so often it is told how the endpoints
//! stand ([`Balancer::renew`]) and lays out which of them take requests, in which order of
//! preference, and with which weight. A request then costs a draw or two ([`Balancer::pick`]): no
//! walk over all endpoints, no memory, no lock. Every pick says why.

mod key;
mod load;
mod pick;
mod plan;
mod ring;
mod sticky;
#[cfg(test)]
mod tests;

pub use key::HashBy;
pub use load::{Load, Loads, Outcome, is_failure};
pub use pick::{Ask, Pick, Together};
pub use plan::Balancer;
pub(crate) use plan::group_of;
pub use ring::{Hasher, hash};
pub use sticky::{Bond, Claim, MAC_BYTES, SameSite, Sticky, Tie, TieResult};

/// How endpoints are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// By what.
    pub algorithm: Algorithm,
    /// How many requests an endpoint may have; those that have as many are passed over.
    pub running_max: u32,
    /// How long an endpoint that is new, or well again, gets less than its share; zero is at once.
    pub slow_start_ns: u64,
    /// The least share of endpoints that must be well for the others to be left alone: below it, all
    /// are used, since so many cannot be unwell, or so few cannot carry it all.
    pub panic: f32,
}

/// By what an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Of two at random, the one that will probably answer first: by its latency, its failures and
    /// the requests that it has already.
    #[default]
    Fastest,
    /// The one with the fewest requests, in proportion to its weight.
    LeastRequest,
    /// One after the other, in proportion to their weights.
    RoundRobin,
    /// The same one for the same key, as long as it is not too busy.
    Hash,
}

impl Algorithm {
    /// Its name in the configuration and in explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fastest => "fastest",
            Self::LeastRequest => "least-request",
            Self::RoundRobin => "round-robin",
            Self::Hash => "hash",
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            running_max: u32::MAX,
            slow_start_ns: SLOW_START_NS,
            panic: PANIC,
        }
    }
}

/// Caches fill and code is compiled in the first seconds; ten are enough for most and delay nothing.
const SLOW_START_NS: u64 = 10_000_000_000;

/// Two of three may be down without a panic, and one of two.
const PANIC: f32 = 0.3;

/// An endpoint as a balancer has to know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Its number, by which its [`Load`] is found. Never used for another endpoint.
    pub id: u32,
    /// What identifies it on other nodes, too: a hash of its address.
    pub hash: u64,
    /// How much it gets, in proportion to the others.
    pub weight: f32,
    /// 0 is used first, 1 when that fails, and so on.
    pub tier: u8,
    /// Whether it is in our own zone, or none is named.
    pub is_near: bool,
    /// When it became usable: new ones, and ones that are well again, begin slowly.
    pub since_ns: u64,
}

/// Whether an endpoint may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Yes.
    Well,
    /// It was ejected, and may show by a few requests that it is well again.
    OnTrial,
    /// It has passed no check yet.
    Unproven,
    /// Its requests fail, or take far longer than elsewhere.
    Ejected,
    /// It fails its checks.
    Unwell,
    /// It took no connection a moment ago.
    Refusing,
    /// It has as many requests as it may have, or its breaker is open.
    Full,
    /// It is being drained: what it has begun it may finish.
    Leaving,
}

impl Standing {
    /// Its name in `status`, in metrics and in explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::OnTrial => "on-trial",
            Self::Unproven => "unproven",
            Self::Ejected => "ejected",
            Self::Unwell => "unwell",
            Self::Refusing => "refusing",
            Self::Full => "full",
            Self::Leaving => "leaving",
        }
    }
}
