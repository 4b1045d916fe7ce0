//! Whether, when and how often a request is sent again, such that retries never make an outage worse.
//!
//! Three things hold them in check. What could be done twice is not repeated ([`Policy::judge`]).
//! Repeats are a small share of the traffic that there is anyway ([`Budget`]): when everything fails,
//! they are that share more load, and not a multiple. And they are spread over time by chance
//! ([`Policy::pause_ms`]), so that who failed together does not come back together.

mod budget;
mod hedge;
mod outage;
#[cfg(test)]
mod tests;

pub use budget::{Budget, BudgetPolicy};
pub use hedge::{HedgePolicy, Percentile};
pub use outage::{Held, Outage};

/// When requests are sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How often a request is sent at most, the first time included; 1 is never again.
    pub attempts_max: u32,
    /// When an endpoint takes no connection.
    pub on_connect: bool,
    /// When it breaks off before its answer.
    pub on_reset: bool,
    /// When it does not answer in time.
    pub on_timeout: bool,
    /// When it answers with one of these.
    pub on_status: Box<[u16]>,
    /// The mean of the first pause is half of this; each doubles it.
    pub base_ms: u64,
    /// The longest pause.
    pub most_ms: u64,
    /// How long one attempt may take to begin its answer, connecting included.
    pub per_try_ms: Option<u64>,
    /// The header, in lower case, that makes a request repeatable whatever its method.
    pub idempotency_key: Option<Box<str>>,
    /// How much of a request's body is kept, so that it can be sent again.
    pub replay_bytes_max: usize,
    /// How many there may be.
    pub budget: BudgetPolicy,
    /// When a second one is sent before the first has answered.
    pub hedge: Option<HedgePolicy>,
    /// Up to which length an outage, in which no endpoint takes connections, is waited for.
    pub hold_ms: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // With a third of everything failing, five in a row do once in 250 times. What keeps them from
            // doing harm is the budget; Finagle has no other limit.
            attempts_max: 5,
            on_connect: true,
            on_reset: true,
            on_timeout: true,
            // What proxies and overloaded or stopping services say. 500 is a mistake in most, which
            // a second attempt makes again.
            on_status: Box::new([502, 503, 504]),
            base_ms: 10,
            most_ms: 250,
            per_try_ms: None,
            // Only who runs the service can know that it heeds one.
            idempotency_key: None,
            // Forms and JSON are smaller; uploads are not repeated.
            replay_bytes_max: 64 << 10,
            budget: BudgetPolicy::default(),
            hedge: None,
            // Who calls us may have something better to do than to wait.
            hold_ms: None,
        }
    }
}

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or a stream that was refused: nobody looked at the request.
    Unseen,
    /// An idle connection was closed just as it was used again, and nothing of an answer came
    /// (RFC 9112, 9.3.1).
    Stale,
    /// The connection broke before the answer.
    Reset,
    /// No answer in time.
    Timeout,
    /// An answer with this status.
    Status(u16),
}

/// What is known as an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What happened.
    pub failure: Failure,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Whether the method may be repeated (RFC 9110, 9.2.2).
    pub is_idempotent: bool,
    /// Whether a key makes sure that the service does it once.
    pub has_idempotency_key: bool,
    /// Whether all of the request that was sent is still there to be sent again.
    pub can_replay: bool,
    /// Whether an endpoint is left that this request was not at.
    pub is_other_left: bool,
    /// The answer's `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Whether the service says that it does not want the request again.
    pub is_unwanted: bool,
    /// How long the client will still wait, if that is known.
    pub left_ms: Option<u64>,
    /// Random bits.
    pub random: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again after a pause, if the budget allows it.
    Again {
        /// How long to wait before.
        pause_ms: u64,
        /// A clause.
        why: &'static str,
    },
    /// Tell the client what happened.
    No {
        /// A clause.
        why: &'static str,
    },
}

/// The longest `Retry-After` that is waited for, instead of telling it to the client: clients with a
/// person in front of them wait no longer.
const RETRY_AFTER_MS_MAX: u64 = 1_000;

/// The longest `Retry-After` for which an endpoint is left alone: one that is well again sooner must not
/// wait for what it said in the worst moment.
const REST_MS_MAX: u64 = 30_000;

/// How long the endpoint is to be left alone that answered `status` and when to come again. 503 is about
/// the endpoint; 429 is about the client, and says nothing of others.
#[must_use]
pub fn rest_ms(status: u16, retry_after_ms: Option<u64>) -> Option<u64> {
    let after_ms = retry_after_ms.filter(|after_ms| status == 503 && *after_ms > 0)?;
    Some(after_ms.min(REST_MS_MAX))
}

impl Policy {
    /// Whether the request may be sent again. The budget is to be asked after this, since asking is
    /// taking.
    #[must_use]
    pub fn judge(&self, facts: &Facts) -> Verdict {
        if let Err(why) = self.allows(facts) {
            return Verdict::No { why };
        }
        let pause_ms = match self.pause(facts) {
            Ok(pause_ms) => pause_ms,
            Err(why) => return Verdict::No { why },
        };
        if facts.left_ms.is_some_and(|left_ms| left_ms <= pause_ms) {
            return Verdict::No { why: "the client will have left by then" };
        }
        let why = match facts.failure {
            Failure::Unseen => "nobody has looked at it",
            Failure::Stale => "the connection was closed as it was used again",
            _ if facts.is_idempotent => "it may be repeated",
            _ => "its idempotency key makes repeating safe",
        };
        Verdict::Again { pause_ms, why }
    }

    fn allows(&self, facts: &Facts) -> Result<(), &'static str> {
        let (listed, unlisted) = match facts.failure {
            Failure::Unseen => (self.on_connect, "retries of failed connections are off"),
            // Not a failure of the service, and so no matter of its policy.
            Failure::Stale => (true, ""),
            Failure::Reset => (self.on_reset, "retries of broken connections are off"),
            Failure::Timeout => (self.on_timeout, "retries of time-outs are off"),
            Failure::Status(status) => {
                (self.on_status.contains(&status), "this status is not to be tried again")
            }
        };
        let may_repeat = facts.is_idempotent || facts.has_idempotency_key;
        if !listed {
            Err(unlisted)
        } else if facts.is_unwanted {
            Err("the service does not want it again")
        } else if facts.failure != Failure::Unseen && !may_repeat {
            Err("it may have been done, and its method may not be repeated")
        } else if !facts.can_replay {
            Err("its body is gone")
        } else if facts.attempts >= self.attempts_max {
            Err("it was sent as often as allowed")
        } else {
            Ok(())
        }
    }

    fn pause(&self, facts: &Facts) -> Result<u64, &'static str> {
        match facts.failure {
            // The next one is another matter.
            Failure::Unseen if facts.is_other_left => return Ok(0),
            Failure::Stale => return Ok(0),
            _ => {}
        }
        let pause_ms = self.pause_ms(facts.attempts, facts.random);
        match facts.retry_after_ms {
            // It is that endpoint's word, which is to be left alone for so long.
            Some(_) if facts.is_other_left => Ok(pause_ms),
            Some(after_ms) if after_ms > RETRY_AFTER_MS_MAX => Err("it asks to be left alone"),
            Some(after_ms) => Ok(after_ms.max(pause_ms)),
            None => Ok(pause_ms),
        }
    }

    /// The pause behind the attempt number `attempts`: anything up to a bound that doubles (Brooker,
    /// "Exponential Backoff And Jitter", 2015: full jitter).
    #[must_use]
    pub fn pause_ms(&self, attempts: u32, random: u64) -> u64 {
        let doublings = attempts.saturating_sub(1).min(32);
        let bound_ms = self.base_ms.saturating_mul(1 << doublings).min(self.most_ms);
        // The high bits, so that nobody else's use of the same draw shows.
        ((u128::from(random) * u128::from(bound_ms + 1)) >> 64) as u64
    }
}
