//! Finds endpoints that do worse than the others, by the requests that they get anyway.
//!
//! Each worker judges by what it sees itself. What it finds is shared between workers as two or three
//! numbers for each endpoint ([`Ejections`]), which the engine keeps. An endpoint is judged against
//! the others: when all of them fail, none of them is the cause. Who was ejected comes back on trial:
//! a few requests, one at a time, and with the first that fails it is out for longer.

use crate::balance::{Algorithm, Balancer, Load, Loads, Standing, group_of};

/// When endpoints are ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passive {
    /// So many failures without an answer in between.
    pub failures_in_a_row: u32,
    /// So much larger a share of failures than the others have (0 to 1).
    pub error_share: f32,
    /// So many times the latency of the others.
    pub latency_factor: f32,
    /// For how long, the first time. Each time doubles it.
    pub base_ms: u64,
    /// For how long at most.
    pub most_ms: u64,
    /// The largest share of a service's endpoints that may be out at once (0 to 1).
    pub share_max: f32,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            // Envoy's value: one in a million by chance at 6 % errors.
            failures_in_a_row: 5,
            error_share: 0.2,
            latency_factor: 5.0,
            // Shorter than Envoy's 30 s: coming back is by trial here, and costs one request.
            base_ms: 5_000,
            most_ms: 300_000,
            share_max: 0.5,
        }
    }
}

/// The fewest outcomes that a share of failures is judged by.
const OUTCOMES_LEAST: f32 = 20.0;

/// The fewest answers that a latency is judged by.
const ANSWERS_LEAST: f32 = 10.0;

/// What is less slower than this is not noticed by anybody.
const SLOWER_MS_LEAST: f32 = 20.0;

/// Requests that must have been waiting in vain for an endpoint to be called silent: one or two may
/// be long polls.
const SILENT_RUNNING_LEAST: u32 = 3;

/// For how long at least they must have waited, ...
const SILENT_MS_LEAST: f32 = 1_000.0;

/// ... and how many times what an answer takes at the others.
const SILENT_FACTOR: f32 = 20.0;

/// Good answers in a row that end a trial.
const TRIAL_ANSWERS: u32 = 3;

/// How unlikely failures in a row must be by chance, if the endpoint is like the others: once in a
/// million.
const CHANCE_LN: f32 = -13.8;

/// When so large a share of requests fails at the other endpoints, a trial there proves nothing.
const COMMON_FAILURE: f32 = 0.2;

/// What is shared about one endpoint between the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    /// Until when it is out; after that it is on trial. Zero: it is in.
    pub until_ms: u64,
    /// How often in a row it was ejected.
    pub times: u32,
    /// When it was last found to be well again.
    pub acquitted_ms: u64,
}

impl Ejections {
    /// Where that leaves the endpoint.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Standing {
        match self.until_ms {
            0 => Standing::Well,
            until_ms if until_ms > now_ms => Standing::Ejected,
            _ => Standing::OnTrial,
        }
    }
}

/// Why an endpoint is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It failed time after time.
    FailsInARow,
    /// It failed while it was on trial.
    FailedTrial,
    /// It fails more often than the others.
    Errors,
    /// It takes far longer than the others.
    Slow,
    /// It gives no sign of life, while the others answer.
    Silent,
}

impl Suspicion {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::FailsInARow, Self::FailedTrial, Self::Errors, Self::Slow, Self::Silent];

    /// As a clause, for logs and explanations.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::FailsInARow => "it failed time after time",
            Self::FailedTrial => "it failed while on trial",
            Self::Errors => "it fails more often than the others",
            Self::Slow => "it takes far longer than the others",
            Self::Silent => "it does not answer at all, while the others do",
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailsInARow => "failures-in-a-row",
            Self::FailedTrial => "failed-trial",
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::Silent => "silent",
        }
    }
}

impl Passive {
    /// To be asked behind each failure: whether the endpoint `id` is to be ejected at once.
    #[must_use]
    #[inline]
    pub fn after_failure(&self, id: u32, balancer: &Balancer, loads: &Loads) -> Option<Suspicion> {
        let load = loads.get(id);
        let on_trial = balancer.is_on_trial(id);
        if !on_trial && load.failures_in_a_row < self.failures_in_a_row {
            return None;
        }
        let theirs = failing_besides(id, balancer, loads);
        if on_trial {
            return (theirs < COMMON_FAILURE).then_some(Suspicion::FailedTrial);
        }
        // With half of all requests failing everywhere, five in a row are nothing; twenty are.
        let by_chance = load.failures_in_a_row as f32 * theirs.max(f32::MIN_POSITIVE).ln();
        (by_chance <= CHANCE_LN).then_some(Suspicion::FailsInARow)
    }

    /// To be asked behind each outcome at the endpoint `id`, which is on trial: whether it is well
    /// again.
    #[must_use]
    pub fn is_acquitted(&self, id: u32, balancer: &Balancer, loads: &Loads) -> bool {
        loads.get(id).answers_in_a_row >= TRIAL_ANSWERS
            || failing_besides(id, balancer, loads) >= COMMON_FAILURE
    }

    /// To be asked every second or so: the endpoint that stands out most clearly from the others.
    #[must_use]
    pub fn compare(
        &self,
        balancer: &Balancer,
        loads: &Loads,
        now_ns: u64,
    ) -> Option<(u32, Suspicion)> {
        let mut all = Others::default();
        // Another zone is further away, and another tier often of another kind: how long they take
        // is compared among their like only. With hashing, each endpoint has requests of its own kind,
        // and may be slow for that. Who has just come has few requests, and is quick for that or cold:
        // whoever carries the rest meanwhile is not to be held against it.
        let of_latency = balancer.policy().algorithm != Algorithm::Hash;
        let is_measure = |member| of_latency && !balancer.is_new(member, now_ns);
        let mut alike: Vec<((u8, bool), Others)> = Vec::new();
        for member in balancer.well() {
            let (load, kind) = (loads.get(member.id), group_of(member));
            all.add(load, now_ns, 1.0);
            if is_measure(member) {
                let at = alike.iter().position(|(other, _)| *other == kind).unwrap_or_else(|| {
                    alike.push((kind, Others::default()));
                    alike.len() - 1
                });
                alike[at].1.add(load, now_ns, 1.0);
            }
        }
        let failed = balancer.on_trial().find(|id| all.is_silent(loads.get(*id), 1, now_ns));
        if let Some(id) = failed {
            return Some((id, Suspicion::FailedTrial));
        }
        balancer.well().find_map(|member| {
            let (load, kind) = (loads.get(member.id), group_of(member));
            let (mut others, mut peers) = (all, Others::default());
            others.add(load, now_ns, -1.0);
            if is_measure(member)
                && let Some((_, all)) = alike.iter().find(|(other, _)| *other == kind)
            {
                peers = *all;
                peers.add(load, now_ns, -1.0);
            }
            let suspicion = self.stands_out(load, &others, &peers, now_ns)?;
            Some((member.id, suspicion))
        })
    }

    fn stands_out(
        &self,
        load: &Load,
        others: &Others,
        peers: &Others,
        now_ns: u64,
    ) -> Option<Suspicion> {
        if others.count < 1.0 {
            return None;
        }
        let (outcomes, failures) = load.outcomes(now_ns);
        if outcomes >= OUTCOMES_LEAST && others.outcomes >= OUTCOMES_LEAST {
            let theirs = others.failures / others.outcomes;
            // Three standard deviations of what chance would give with their share.
            let by_chance = 3.0 * (theirs * (1.0 - theirs) / outcomes).max(0.0).sqrt();
            if failures / outcomes > theirs + self.error_share + by_chance {
                return Some(Suspicion::Errors);
            }
        }
        if others.is_silent(load, SILENT_RUNNING_LEAST, now_ns) {
            return Some(Suspicion::Silent);
        }
        if peers.measured < 1.0 {
            return None;
        }
        let theirs_ms = peers.mean_ms / peers.measured;
        let slower = load.mean_ms > theirs_ms * self.latency_factor
            && load.mean_ms > theirs_ms + SLOWER_MS_LEAST;
        (slower && outcomes - failures >= ANSWERS_LEAST).then_some(Suspicion::Slow)
    }

    /// The endpoint is to be ejected: until when, unless too many are out already. `out` of `count`
    /// endpoints of the service are; `random` keeps several nodes from trying it all at once.
    #[must_use]
    pub fn eject(
        &self,
        before: Ejections,
        (out, count): (usize, usize),
        now_ms: u64,
        random: u64,
    ) -> Option<Ejections> {
        let is_out_already = before.until_ms > now_ms;
        let most = ((count as f32 * self.share_max) as usize).max(1).min(count.saturating_sub(1));
        if is_out_already || out >= most {
            return None;
        }
        let was_on_trial = before.until_ms > 0;
        let last_ms = self.out_ms(before.times);
        // Who was well for longer than it had been out begins anew.
        let is_forgiven = !was_on_trial && now_ms.saturating_sub(before.acquitted_ms) > last_ms;
        let times = if is_forgiven { 1 } else { before.times.saturating_add(1) };
        let out_ms = self.out_ms(times);
        let jitter_ms = random % (out_ms / 5 + 1);
        Some(Ejections { until_ms: now_ms + out_ms + jitter_ms, times, ..before })
    }

    fn out_ms(&self, times: u32) -> u64 {
        let doublings = times.saturating_sub(1).min(32);
        self.base_ms.saturating_mul(1 << doublings).min(self.most_ms)
    }

    /// The endpoint is well again.
    #[must_use]
    pub fn acquit(&self, before: Ejections, now_ms: u64) -> Ejections {
        Ejections { until_ms: 0, acquitted_ms: now_ms, ..before }
    }
}

/// The share of failures at the other endpoints just now.
#[cold]
fn failing_besides(id: u32, balancer: &Balancer, loads: &Loads) -> f32 {
    let used = balancer.used().filter(|other| *other != id);
    let (sum, count) = used
        .fold((0.0, 0.0_f32), |(sum, count), other| (sum + loads.get(other).failing, count + 1.0));
    sum / count.max(1.0)
}

/// Several endpoints taken together.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    count: f32,
    outcomes: f32,
    failures: f32,
    /// The sum of their means, and of how many it is.
    mean_ms: f32,
    measured: f32,
}

impl Others {
    /// Whether an endpoint with so many requests owes them all, while the others answer.
    fn is_silent(&self, load: &Load, running: u32, now_ns: u64) -> bool {
        if self.measured < 1.0 || load.running < running {
            return false;
        }
        let waited_ms = now_ns.saturating_sub(load.silent_since_ns) as f32 / 1e6;
        waited_ms > (self.mean_ms / self.measured * SILENT_FACTOR).max(SILENT_MS_LEAST)
            && (self.outcomes - self.failures) / self.count >= ANSWERS_LEAST
    }

    fn add(&mut self, load: &Load, now_ns: u64, sign: f32) {
        let (outcomes, failures) = load.outcomes(now_ns);
        self.count += sign;
        self.outcomes += sign * outcomes;
        self.failures += sign * failures;
        if load.mean_ms > 0.0 {
            self.mean_ms += sign * load.mean_ms;
            self.measured += sign;
        }
    }
}

#[cfg(test)]
mod tests;
