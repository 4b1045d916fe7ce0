//! A breaker: when most of what a service is asked fails, or takes far too long, it is left alone for
//! a while, and its clients are told at once, or are served in another way.
//!
//! Ejection ([`crate::health`]) is for one bad endpoint among good ones; a breaker is for a service
//! that is bad as a whole, and costs its callers their time, connections and memory (Nygard,
//! "Release It!", 2007). Each worker has its own: what one sees, the others see within a moment, and
//! nothing is shared. Retries and hedges are not counted, only how requests ended.

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The share of failures that opens it (0 to 1).
    pub failures: f32,
    /// The share of slow answers that opens it (0 to 1).
    pub slow: f32,
    /// From how long on an answer is slow; zero: slowness is not looked at.
    pub slow_ms: f32,
    /// The fewest requests in a window that say anything, for the service as a whole.
    pub requests_least: u32,
    /// The length of a window.
    pub window_ms: u64,
    /// How long it stays open, the first time. Each time doubles it.
    pub open_ms: u64,
    /// How long at most.
    pub open_ms_max: u64,
    /// How many requests in a row must succeed to close it again, one at a time.
    pub probes: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Half is bad beyond what retries can hide, and beyond what chance does.
            failures: 0.5,
            slow: 0.5,
            slow_ms: 0.0,
            requests_least: 20,
            window_ms: 10_000,
            open_ms: 5_000,
            open_ms_max: 60_000,
            probes: 3,
        }
    }
}

/// A window is looked at in so many parts, the oldest of which is forgotten first.
const PARTS: usize = 5;

/// Whether a request may go to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It may.
    Closed,
    /// It may, and shows whether the service is well again: [`Breaker::note`] or
    /// [`Breaker::forget`] has to follow.
    Probe,
    /// It may not.
    Open {
        /// When it is worth to come again.
        retry_after_s: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until_ms: u64 },
    HalfOpen { succeeded: u32, probe_since_ms: Option<u64> },
}

/// How many requests there were in a part of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    number: u64,
    requests: u32,
    failures: u32,
    slow: u32,
}

/// One worker's breaker before one service.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    state: State,
    parts: [Part; PARTS],
    /// How often in a row it opened; being closed for longer than it was open ends the row.
    times: u32,
    /// When it was last closed.
    closed_ms: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, parts: [Part::default(); PARTS], times: 0, closed_ms: 0 }
    }
}

impl Breaker {
    /// Whether a request may go to the service.
    #[inline]
    pub fn pass(&mut self, policy: &Policy, now_ms: u64) -> Pass {
        match self.state {
            State::Closed => Pass::Closed,
            _ => self.pass_slowly(policy, now_ms),
        }
    }

    #[cold]
    fn pass_slowly(&mut self, policy: &Policy, now_ms: u64) -> Pass {
        let refused = |wait_ms: u64| {
            let retry_after_s = wait_ms.div_ceil(1000).clamp(1, 3600) as u32;
            Pass::Open { retry_after_s }
        };
        match &mut self.state {
            State::Closed => Pass::Closed,
            State::Open { until_ms } if *until_ms > now_ms => refused(*until_ms - now_ms),
            State::Open { .. } => {
                self.state = State::HalfOpen { succeeded: 0, probe_since_ms: Some(now_ms) };
                Pass::Probe
            }
            State::HalfOpen { probe_since_ms, .. } => {
                // One that nobody heard of again does not keep it half open for ever.
                let is_lost = |since_ms: u64| now_ms.saturating_sub(since_ms) > policy.open_ms_max;
                if probe_since_ms.is_none_or(is_lost) {
                    *probe_since_ms = Some(now_ms);
                    return Pass::Probe;
                }
                refused(1_000)
            }
        }
    }

    /// A request that passed has ended: whether it failed, and what it took. `workers` share the
    /// traffic. What that turned the breaker to.
    #[inline]
    pub fn note(
        &mut self,
        policy: &Policy,
        (now_ms, workers): (u64, usize),
        passed: Pass,
        (failed, took_ms): (bool, f32),
    ) -> Option<Turned> {
        let is_slow = policy.slow_ms > 0.0 && took_ms > policy.slow_ms;
        match self.state {
            State::Closed => {
                let part = self.part(policy, now_ms);
                part.requests += 1;
                part.failures += u32::from(failed);
                part.slow += u32::from(is_slow);
                if !(failed || is_slow) {
                    return None;
                }
                let why = self.verdict(policy, now_ms, workers)?;
                Some(self.open(policy, now_ms, why))
            }
            State::Open { .. } => None,
            // It began before.
            State::HalfOpen { .. } if passed != Pass::Probe => None,
            State::HalfOpen { .. } if failed || is_slow => {
                Some(self.open(policy, now_ms, "a probe went wrong"))
            }
            State::HalfOpen { succeeded, .. } if succeeded + 1 >= policy.probes => {
                *self = Self { times: self.times, closed_ms: now_ms, ..Self::default() };
                Some(Turned::Closed)
            }
            State::HalfOpen { succeeded, .. } => {
                let succeeded = succeeded + 1;
                self.state = State::HalfOpen { succeeded, probe_since_ms: None };
                None
            }
        }
    }

    /// A probe came to nothing: its client left.
    pub fn forget(&mut self) {
        if let State::HalfOpen { probe_since_ms, .. } = &mut self.state {
            *probe_since_ms = None;
        }
    }

    /// Its state, for `status` and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.state {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half-open",
        }
    }

    /// The part of the window that `now_ms` belongs to.
    fn part(&mut self, policy: &Policy, now_ms: u64) -> &mut Part {
        let number = now_ms / part_ms(policy);
        let part = &mut self.parts[number as usize % PARTS];
        if part.number != number {
            *part = Part { number, ..Part::default() };
        }
        part
    }

    fn verdict(&self, policy: &Policy, now_ms: u64, workers: usize) -> Option<&'static str> {
        let current = now_ms / part_ms(policy);
        let recent = self.parts.iter().filter(|part| part.number + PARTS as u64 > current);
        let (mut requests, mut failures, mut slow) = (0, 0, 0);
        for part in recent {
            requests += part.requests;
            failures += part.failures;
            slow += part.slow;
        }
        // One worker sees only some of them; fewer than five say nothing.
        let least = (policy.requests_least as usize).div_ceil(workers.max(1)).max(5) as u32;
        let share = |count: u32| count as f32 / requests as f32;
        if requests < least {
            None
        } else if share(failures) >= policy.failures {
            Some("too large a share of the requests fails")
        } else if policy.slow_ms > 0.0 && share(slow) >= policy.slow {
            Some("too large a share of the answers is slow")
        } else {
            None
        }
    }

    #[cold]
    fn open(&mut self, policy: &Policy, now_ms: u64, why: &'static str) -> Turned {
        let open_ms = |times: u32| {
            let doublings = times.saturating_sub(1).min(32);
            policy.open_ms.saturating_mul(1 << doublings).min(policy.open_ms_max)
        };
        let was_closed_ms = now_ms.saturating_sub(self.closed_ms);
        if self.state == State::Closed && was_closed_ms > open_ms(self.times) {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        let for_ms = open_ms(self.times);
        self.parts = [Part::default(); PARTS];
        self.state = State::Open { until_ms: now_ms + for_ms };
        Turned::Open { for_ms, why }
    }
}

fn part_ms(policy: &Policy) -> u64 {
    (policy.window_ms / PARTS as u64).max(1)
}

/// That a breaker has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It opened.
    Open {
        /// For how long.
        for_ms: u64,
        /// A clause.
        why: &'static str,
    },
    /// It closed.
    Closed,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};

    use super::*;

    /// Lines of `<ms> <count> <ok | fail | slow>`: so many requests that end so at once.
    #[track_caller]
    fn check(story: &str, expect: Expect) {
        let policy = Policy { slow_ms: 100.0, ..Policy::default() };
        let mut breaker = Breaker::default();
        let mut out = String::new();
        for line in story.lines() {
            let [ms, count, what] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("what is `{line}`?")
            };
            let now_ms = ms.parse().expect("a time");
            let (mut passed, mut refused) = (0, None);
            let mut turned = String::new();
            for _ in 0..count.parse().expect("a count") {
                match breaker.pass(&policy, now_ms) {
                    Pass::Open { retry_after_s } => refused = Some(retry_after_s),
                    pass => {
                        passed += 1;
                        let took_ms = if what == "slow" { 500.0 } else { 10.0 };
                        let ended = (what == "fail", took_ms);
                        match breaker.note(&policy, (now_ms, 1), pass, ended) {
                            Some(Turned::Open { for_ms, why }) => {
                                write!(turned, ", opens for {for_ms} ms: {why}")
                            }
                            Some(Turned::Closed) => write!(turned, ", closes"),
                            None => Ok(()),
                        }
                        .expect("a string takes all");
                    }
                }
            }
            write!(out, "{line}: {passed} pass{turned}").expect("a string takes all");
            if let Some(seconds) = refused {
                write!(out, ", others may come again in {seconds} s").expect("a string takes all");
            }
            writeln!(out, " ({})", breaker.name()).expect("a string takes all");
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn a_breaker_opens_probes_and_closes() {
        check(
            "0 20 ok\n100 19 fail\n200 9 fail\n1000 1 ok\n5199 1 ok\n5200 2 ok\n5300 1 ok\n\
             5400 1 ok\n5500 1 fail",
            expect![[r#"
                0 20 ok: 20 pass (closed)
                100 19 fail: 19 pass (closed)
                200 9 fail: 1 pass, opens for 5000 ms: too large a share of the requests fails, others may come again in 5 s (open)
                1000 1 ok: 0 pass, others may come again in 5 s (open)
                5199 1 ok: 0 pass, others may come again in 1 s (open)
                5200 2 ok: 2 pass (half-open)
                5300 1 ok: 1 pass, closes (closed)
                5400 1 ok: 1 pass (closed)
                5500 1 fail: 1 pass (closed)
            "#]],
        );
    }

    #[test]
    fn it_stays_open_for_longer_each_time() {
        check(
            "0 20 fail\n5000 1 fail\n15000 1 slow\n35000 3 ok\n35000 10 fail\n35000 10 fail",
            expect![[r#"
                0 20 fail: 20 pass, opens for 5000 ms: too large a share of the requests fails (open)
                5000 1 fail: 1 pass, opens for 10000 ms: a probe went wrong (open)
                15000 1 slow: 1 pass, opens for 20000 ms: a probe went wrong (open)
                35000 3 ok: 3 pass, closes (closed)
                35000 10 fail: 10 pass (closed)
                35000 10 fail: 10 pass, opens for 40000 ms: too large a share of the requests fails (open)
            "#]],
        );
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        check(
            "0 19 fail\n10000 20 ok\n10000 19 fail\n10000 1 fail",
            expect![[r#"
            0 19 fail: 19 pass (closed)
            10000 20 ok: 20 pass (closed)
            10000 19 fail: 19 pass (closed)
            10000 1 fail: 1 pass, opens for 5000 ms: too large a share of the requests fails (open)
        "#]],
        );
        check(
            "0 10 ok\n1 9 slow\n2 1 slow",
            expect![[r#"
            0 10 ok: 10 pass (closed)
            1 9 slow: 9 pass (closed)
            2 1 slow: 1 pass, opens for 5000 ms: too large a share of the answers is slow (open)
        "#]],
        );
    }

    #[test]
    fn who_began_before_is_no_probe_and_a_lost_probe_is_not_waited_for() {
        let policy = Policy::default();
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            let pass = breaker.pass(&policy, 0);
            breaker.note(&policy, (0, 1), pass, (true, 1.0));
        }
        assert_eq!(breaker.pass(&policy, 5_000), Pass::Probe);
        assert_eq!(breaker.note(&policy, (5_001, 1), Pass::Closed, (true, 1.0)), None);
        assert_eq!(breaker.name(), "half-open");
        assert_eq!(breaker.pass(&policy, 5_002), Pass::Open { retry_after_s: 1 });
        breaker.forget();
        assert_eq!(breaker.pass(&policy, 5_003), Pass::Probe);
        assert_eq!(breaker.pass(&policy, 70_000), Pass::Probe);
    }
}
