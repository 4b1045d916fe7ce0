//! When certificates are ordered from an authority, renewed, and tried for again (ACME, RFC 8555).
//!
//! Times are seconds since 1970 and are facts, as is chance: the engine asks [`plan`] what to do
//! next, does it, and tells the [`History`] how it went.

mod advice;
mod names;
#[cfg(test)]
mod tests;

pub use advice::{Challenge, advice};
pub use names::wrong_name;

use serde::{Deserialize, Serialize};

/// What is known of one certificate that is wanted. It is kept on disk, so that a restart neither
/// forgets a failure nor asks the authority again for what it has given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The certificate in use.
    pub held: Option<Held>,
    /// When the authority wants it renewed (RFC 9773), if it said so.
    pub window: Option<Window>,
    /// When to ask for the window again; at once if never asked.
    pub ask_again: Option<u64>,
    /// Attempts since the last success, all in vain.
    pub failure: Option<Failure>,
}

/// A certificate that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// From when it is good, as it says itself.
    pub not_before: u64,
    /// Until when it is good.
    pub not_after: u64,
    /// When it came, by our clock.
    pub obtained: u64,
    /// Whether it is what is wanted now: these names, this kind of key.
    pub fits: bool,
}

/// When the authority suggests to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first moment.
    pub start: u64,
    /// The last one.
    pub end: u64,
}

/// Attempts that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How many in a row.
    pub count: u32,
    /// When the last one failed.
    pub at: u64,
    /// No attempt before.
    pub until: u64,
    /// What went wrong, in words.
    pub error: String,
    /// What to do about it.
    pub advice: String,
}

/// What to do next about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Order one.
    Order,
    /// Ask the authority when it wants the present one renewed.
    AskWindow,
}

/// A step, when it is due, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub step: Step,
    /// When; it may be over.
    pub at: u64,
    /// Why, as a clause.
    pub reason: &'static str,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The wait after the first failure; each further one makes it [`BACKOFF_FACTOR`] times as long. In
/// an hour that is four attempts: public authorities stop a name after five.
const BACKOFF: u64 = 60;
const BACKOFF_FACTOR: u64 = 3;

/// The longest wait between attempts: with thirty days left at a renewal, sixty of them.
const BACKOFF_MAX: u64 = 12 * HOUR;

/// The wait when an authority says that there were too many orders and not how long that is so.
const RATE_LIMITED: u64 = HOUR;

/// The longest wait that an authority may ask for; the limits of public ones are over within a week.
const RETRY_AFTER_MAX: u64 = 7 * DAY;

/// How soon and how late an authority is asked for its window again (RFC 9773, 4.3.2).
const ASK_AGAIN_MIN: u64 = 60;
const ASK_AGAIN_MAX: u64 = DAY;

/// How long to leave an authority alone that did not say when it wants to be asked again.
const ASK_AGAIN: u64 = 6 * HOUR;

/// What is to be done next, as `history` stands at `now`. `chance` is any number, always the same
/// for the same certificate: it spreads what many would do at one moment.
pub fn plan(history: &History, chance: u32, now: u64) -> Plan {
    let order = next_order(history, chance, now);
    let asks = history.held.is_some_and(|held| held.fits && now < held.not_after && order.at > now);
    let ask_at = history.ask_again.unwrap_or(0);
    if asks && ask_at < order.at {
        return Plan { step: Step::AskWindow, at: ask_at, reason: "the authority may move it" };
    }
    order
}

/// When a certificate is to be ordered next, as far as that is known at `now`.
pub fn next_order(history: &History, chance: u32, now: u64) -> Plan {
    let (mut at, mut reason) = order(history, chance, now);
    if let Some(failure) = &history.failure
        && failure.at <= now
        && failure.until > at
    {
        (at, reason) = (failure.until, "the attempt before failed");
    }
    Plan { step: Step::Order, at, reason }
}

/// When a certificate is to be ordered if nothing goes wrong, and why then.
fn order(history: &History, chance: u32, now: u64) -> (u64, &'static str) {
    let Some(held) = history.held else {
        return (0, "there is none yet");
    };
    if !held.fits {
        return (0, "it is not the one that is wanted now");
    }
    let life = held.not_after.saturating_sub(held.not_before);
    // A twentieth is four days of ninety.
    let usual = held.not_before + life / 3 * 2 + share(life / 20, chance);
    let (at, reason) = match history.window {
        // Whatever an authority says, a tenth of its life is left for attempts that fail.
        Some(Window { start, end }) => {
            let at = start + share(end.saturating_sub(start), chance);
            (at.min(held.not_after - life / 10), "the authority wants it renewed then")
        }
        None => (usual, "two thirds of its life are over then"),
    };
    let (at, reason) = match held.not_after <= now {
        true => (held.not_after, "it has expired"),
        false => (at, reason),
    };
    // A clock that is wrong must not make an order of every look at it.
    let rest = (life / 3).min(DAY);
    match held.obtained <= now {
        true => (at.max(held.obtained + rest), reason),
        false => (at, reason),
    }
}

/// `chance`'s share of `whole`.
fn share(whole: u64, chance: u32) -> u64 {
    ((u128::from(whole) * u128::from(chance)) >> 32) as u64
}

impl History {
    /// Notes that a certificate has come.
    pub fn succeeded(&mut self, held: Held) {
        *self = Self { held: Some(held), ..Self::default() };
    }

    /// Notes that an attempt came to nothing: of which kind (the last word of the authority's
    /// `urn:ietf:params:acme:error:`, or empty), and how long the authority wants to be left alone.
    pub fn failed(
        &mut self,
        (kind, error, advice): (&str, String, String),
        retry_after: Option<u64>,
        chance: u32,
        now: u64,
    ) {
        let count = self.failure.as_ref().map_or(0, |failure| failure.count).saturating_add(1);
        let mut wait = BACKOFF.saturating_mul(BACKOFF_FACTOR.saturating_pow(count - 1));
        wait = wait.min(BACKOFF_MAX);
        // Certificates that fail together are not to be tried together again.
        wait += share(wait / 4, chance.wrapping_mul(count.wrapping_mul(2) | 1));
        if kind == "rateLimited" {
            wait = wait.max(RATE_LIMITED);
        }
        wait = wait.max(retry_after.unwrap_or(0).min(RETRY_AFTER_MAX));
        self.failure = Some(Failure { count, at: now, until: now + wait, error, advice });
    }

    /// Notes what the authority said about when to renew, and in how many seconds it wants to be
    /// asked again. Without a window, what it said before stays.
    pub fn asked(&mut self, window: Option<Window>, again: Option<u64>, now: u64) {
        // RFC 9773, 4.2: a window must end after it starts.
        self.window = window.filter(|window| window.start < window.end).or(self.window);
        let again = again.unwrap_or(ASK_AGAIN).clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX);
        self.ask_again = Some(now + again);
    }
}
