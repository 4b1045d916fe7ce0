//! What to do when there is more work than can be done in time: less of it, the important part
//! first.
//!
//! A [`Gate`] stands before each service, one for each worker. It lets so many requests through at
//! once as the service answers without queueing ([`Limiter`]). The next few wait, the important ones
//! in front, and no longer than they would have to in a queue that drains ([`Queue`]). All others
//! are told at once, and when it is worth to come again. A service that is never asked for more than
//! it can do answers everything in time that it answers; one that is asked for three times as much
//! without a gate answers nothing in time.

mod lag;
mod limit;
mod queue;
#[cfg(test)]
mod tests;

pub use lag::LoopLag;
pub use limit::{Common, LimitPolicy, Limiter};
pub use queue::{Queue, QueuePolicy, Ticket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How important a request is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// A person cannot go on without it, or money is lost.
    Critical,
    /// Most.
    #[default]
    Normal,
    /// Prefetches, polls, batches, crawlers: what comes again by itself or may be missing.
    Sheddable,
}

impl Priority {
    /// All, the most important first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Sheddable];

    /// Its name in the configuration, in headers and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Sheddable => "sheddable",
        }
    }

    /// The priority of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name().as_bytes() == name)
    }
}

/// How a service is kept from being asked for more than it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// How many requests go there at once.
    pub limit: LimitPolicy,
    /// How many may wait, and how long.
    pub queue: QueuePolicy,
}

/// What a request has to do that came to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on. [`Gate::end`] has to follow.
    Go,
    /// Wait until [`Gate::next`] calls its ticket, or for so long.
    Wait {
        /// What it is called by.
        ticket: Ticket,
        /// If it was not called by then it is to leave: [`Gate::leave`].
        most_ns: u64,
    },
    /// Tell the client that there is too much to do.
    Shed {
        /// When it may come again.
        retry_after_s: u32,
        /// A clause.
        why: &'static str,
    },
}

/// What becomes of one that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It goes on. [`Gate::end`] has to follow.
    Go(Ticket),
    /// It waited for too long.
    Shed {
        /// Who.
        ticket: Ticket,
        /// When its client may come again.
        retry_after_s: u32,
        /// A clause.
        why: &'static str,
    },
}

/// What stands before one service, at one worker.
#[derive(Clone, Debug)]
pub struct Gate {
    limiter: Limiter,
    queue: Queue,
    running: u32,
    /// When it began to shed, if it still does.
    sheds: Option<Sheds>,
}

/// A time of shedding.
#[derive(Clone, Copy, Debug)]
struct Sheds {
    since_ns: u64,
    last_ns: u64,
}

/// Behind so long without shedding, it is over.
const SHEDS_OVER_NS: u64 = 1_000_000_000;

/// The longest time that a client is told to wait: nobody knows what is in a minute.
const RETRY_AFTER_S_MAX: u64 = 30;

impl Gate {
    /// One that has seen nothing yet. `workers` share what the service can do.
    #[must_use]
    pub fn new(policy: Policy, workers: usize) -> Self {
        Self {
            limiter: Limiter::new(policy.limit, workers),
            queue: Queue::new(policy.queue, workers),
            running: 0,
            sheds: None,
        }
    }

    /// A request comes. Another that waited may have to leave for it: [`Self::next`] is to be asked.
    /// `random` spreads the times at which those who are shed come again.
    #[inline]
    pub fn arrive(
        &mut self,
        common: &Common,
        now_ns: u64,
        priority: Priority,
        random: u64,
    ) -> Admission {
        if self.running < self.limiter.limit(now_ns, common) && self.queue.is_empty() {
            self.running += 1;
            return Admission::Go;
        }
        self.limiter.reached();
        match self.queue.push(now_ns, priority, common.base_ms) {
            Some((ticket, most_ns)) => Admission::Wait { ticket, most_ns },
            None => Admission::Shed {
                retry_after_s: self.retry_after_s(now_ns, random),
                why: "as many wait as can be answered in time",
            },
        }
    }

    /// A request that went on at `begun_ns` has its answer, or never will (`is_measured` is `false`
    /// then: it says nothing about how long answers take).
    #[inline]
    pub fn end(&mut self, common: &mut Common, begun_ns: u64, now_ns: u64, is_measured: bool) {
        if is_measured {
            let took_ms = now_ns.saturating_sub(begun_ns) as f32 / 1e6;
            self.limiter.record(now_ns, took_ms, self.running, common);
        }
        self.running = self.running.saturating_sub(1);
    }

    /// Who of those that wait is called: to be asked until there is nobody, behind each
    /// [`Self::arrive`] that waits and each [`Self::end`].
    #[inline]
    pub fn next(&mut self, common: &Common, now_ns: u64, random: u64) -> Option<Called> {
        if self.queue.is_empty() {
            return None;
        }
        let base_ms = common.base_ms;
        if let Some((ticket, why)) = self.queue.too_late(now_ns, base_ms) {
            let retry_after_s = self.retry_after_s(now_ns, random);
            return Some(Called::Shed { ticket, retry_after_s, why });
        }
        if self.running >= self.limiter.limit(now_ns, common) {
            return None;
        }
        let ticket = self.queue.pop(now_ns, base_ms)?;
        self.running += 1;
        Some(Called::Go(ticket))
    }

    /// One that waited leaves by itself. Whether it still waited.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.queue.leave(ticket)
    }

    /// When one that is shed now may come again: it has lasted for so long, and will probably last as
    /// long again.
    pub fn retry_after_s(&mut self, now_ns: u64, random: u64) -> u32 {
        let since_ns = match self.sheds {
            Some(sheds) if now_ns - sheds.last_ns < SHEDS_OVER_NS => sheds.since_ns,
            _ => now_ns,
        };
        self.sheds = Some(Sheds { since_ns, last_ns: now_ns });
        let lasts_s = (now_ns - since_ns) / 1_000_000_000;
        // Half as long again for some, so that they do not come back together.
        let seconds = lasts_s.clamp(1, RETRY_AFTER_S_MAX * 2 / 3);
        (seconds + random % (seconds / 2 + 2)).min(RETRY_AFTER_S_MAX) as u32
    }

    /// How many requests may go there at once, from this worker.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limiter.settled()
    }

    /// How many are under way, and how many wait.
    #[must_use]
    pub fn load(&self) -> (u32, usize) {
        (self.running, self.queue.len())
    }
}
