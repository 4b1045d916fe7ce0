//! How many instances of a service there should be.
//!
//! Up at once, when what is seen in the last seconds is more than the instances are for; down slowly,
//! and only to the most that was needed in the last minutes: an instance too many costs a little
//! memory, one too few costs answers. That is also what keeps the number from going up and down
//! (Kubernetes' HPA calls it stabilization, Knative's autoscaler the stable window and panic mode).

mod telling;

pub use telling::Telling;

/// How many there should be, and by what that is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// At least so many. With zero, a service that nobody asks for has none.
    pub min: u32,
    /// At most so many.
    pub max: u32,
    /// What one instance is for.
    pub target: Target,
    /// How long fewer must have been enough before there are fewer.
    pub down_after_ms: u64,
    /// How long nobody must have asked before the last one is stopped, if `min` is zero.
    pub idle_ms: u64,
}

/// What one instance is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// So many requests at once.
    Concurrency(f32),
    /// Such a share of one core (0.7 is 70 %).
    Cpu(f32),
    /// Answers within so many milliseconds, on average.
    Latency(f32),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1,
            // What a small web service with a pool of connections to its database does well.
            target: Target::Concurrency(16.0),
            // As Kubernetes has it: load that comes in waves of minutes is met by what is there.
            down_after_ms: 300_000,
            idle_ms: 300_000,
        }
    }
}

/// What was seen of the service in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The time.
    pub now_ms: u64,
    /// Instances that take requests.
    pub ready: u32,
    /// Instances that will.
    pub starting: u32,
    /// Requests that were under way, on average; those that waited for an instance included.
    pub running: f32,
    /// The share of a core that each instance used, on average.
    pub cpu: f32,
    /// What answers took, on average; zero if there was none.
    pub latency_ms: f32,
}

/// How many there should be from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// So many, those that are starting included.
    pub instances: u32,
    /// A clause.
    pub why: &'static str,
}

/// A number within this much of the target is the target: what flutters by so little says nothing.
const TOLERANCE: f32 = 0.1;

/// At most so many times as many at once: what is starting may be enough already.
const GROWTH_MAX: f32 = 2.0;

/// The share of the latency's target below which fewer instances are tried. Latency does not rise in
/// proportion: what takes half as long as it may would take far more than that with half as many.
const LATENCY_LOW: f32 = 0.5;

/// Fewer requests at once than that are none: what answers took while there were more says nothing then.
const IDLE: f32 = 0.1;

/// How much a second counts in what is seen. Half of a step is seen in two seconds, nearly all of it
/// in ten.
const WEIGHT: f32 = 0.3;

/// In how many parts the past is kept.
const PARTS: usize = 10;

/// Decides for one service. To be asked every second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scaler {
    /// What is seen, smoothed.
    running: f32,
    /// Of all instances together.
    cores: f32,
    latency_ms: f32,
    /// The most that was wanted in each part of the past.
    wanted: [(u64, u32); PARTS],
    /// When somebody last asked for it.
    used_ms: u64,
}

impl Scaler {
    /// How many there should be.
    pub fn decide(&mut self, policy: &Policy, seen: &Seen) -> Decision {
        let there = seen.ready + seen.starting;
        if seen.running > 0.0 || self.used_ms == 0 {
            self.used_ms = seen.now_ms;
        }
        self.see(seen);
        let (wanted, why) = self.wanted(policy, seen, there);
        let wanted = wanted.clamp(policy.min, policy.max);
        let recent = self.remember(policy, seen.now_ms, wanted);
        if wanted > there {
            return Decision { instances: wanted, why };
        }
        let is_idle = seen.running == 0.0 && seen.now_ms - self.used_ms >= policy.idle_ms;
        if policy.min == 0 && is_idle {
            return Decision { instances: 0, why: "nobody has asked for it for a while" };
        }
        // The last one goes only for idleness.
        let enough = recent.max(policy.min).max(u32::from(there > 0)).min(policy.max);
        match enough < there {
            true => Decision { instances: enough, why: "fewer were enough for a while" },
            false => Decision { instances: there.min(policy.max), why: "as many as are needed" },
        }
    }

    fn see(&mut self, seen: &Seen) {
        let towards = |smooth: f32, now: f32| smooth + (now - smooth) * WEIGHT;
        self.running = towards(self.running, seen.running);
        self.cores = towards(self.cores, seen.cpu * seen.ready as f32);
        if seen.latency_ms > 0.0 {
            self.latency_ms = towards(self.latency_ms, seen.latency_ms);
        }
    }

    fn wanted(&self, policy: &Policy, seen: &Seen, there: u32) -> (u32, &'static str) {
        if there == 0 {
            let some = u32::from(seen.running > 0.0);
            return (some, "somebody asks for it, and there is none");
        }
        let most = (there as f32 * GROWTH_MAX).ceil();
        let by = |needed: f32| needed.ceil().min(most) as u32;
        let near = |needed: f32| {
            let is_near = (needed - there as f32).abs() <= there as f32 * TOLERANCE;
            if is_near { there as f32 } else { needed }
        };
        match policy.target {
            Target::Concurrency(each) => {
                // A leap counts at once, if it is no single second's.
                let running = self.running.max(seen.running * 0.5);
                (by(near(running / each)), "more requests at once than they are for")
            }
            Target::Cpu(share) => {
                (by(near(self.cores / share)), "they use more of their cores than they should")
            }
            Target::Latency(ms)
                if self.latency_ms > ms * (1.0 + TOLERANCE) && seen.running > 0.0 =>
            {
                // Not while some are starting, which will make it better.
                let more = if seen.starting == 0 { there as f32 * 1.5 } else { there as f32 };
                (by(more.ceil()), "answers take longer than they should")
            }
            Target::Latency(_) if self.running < IDLE => (there - 1, "hardly anybody asks"),
            Target::Latency(ms) if self.latency_ms < ms * LATENCY_LOW => {
                (there - 1, "answers take as long as they should")
            }
            Target::Latency(_) => (there, "answers take as long as they should"),
        }
    }

    /// The most that was wanted for as long as it takes to have fewer.
    fn remember(&mut self, policy: &Policy, now_ms: u64, wanted: u32) -> u32 {
        let part_ms = (policy.down_after_ms / (PARTS as u64 - 1)).max(1);
        let number = now_ms / part_ms + 1;
        let part = &mut self.wanted[number as usize % PARTS];
        if part.0 != number {
            *part = (number, 0);
        }
        part.1 = part.1.max(wanted);
        let is_recent = |part: &&(u64, u32)| part.0 + PARTS as u64 > number;
        self.wanted.iter().filter(is_recent).map(|(_, wanted)| *wanted).max().unwrap_or(wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};

    use super::*;

    /// Plays seconds of `<seconds> <requests at once or other figure>` a line, in a world where an
    /// instance needs three seconds to start, and shows every change.
    #[track_caller]
    fn check(policy: Policy, story: &str, expect: Expect) {
        let mut scaler = Scaler::default();
        let (mut ready, mut starting): (u32, Vec<u64>) = (policy.min, Vec::new());
        let (mut now_ms, mut out) = (1_000, String::new());
        for line in story.lines() {
            let (seconds, load) = line.split_once(' ').expect("seconds and a load");
            let load: f32 = load.parse().expect("a number");
            for _ in 0..seconds.parse::<u32>().expect("a number") {
                now_ms += 1_000;
                starting.retain(|since_ms| {
                    let is_ready = now_ms - since_ms >= 3_000;
                    ready += u32::from(is_ready);
                    !is_ready
                });
                let each = load / ready.max(1) as f32;
                let seen = Seen {
                    now_ms,
                    ready,
                    starting: starting.len() as u32,
                    running: load,
                    cpu: each / 10.0,
                    latency_ms: if load > 0.0 { 20.0 + each * each } else { 0.0 },
                };
                let Decision { instances, why } = scaler.decide(&policy, &seen);
                let there = ready + starting.len() as u32;
                if instances != there {
                    let at_s = now_ms / 1_000 - 1;
                    writeln!(out, "{at_s} s, load {load}: {there} -> {instances}, {why}")
                        .expect("a string takes all");
                }
                (there..instances).for_each(|_| starting.push(now_ms));
                (instances..there).for_each(|_| match starting.pop() {
                    Some(_) => {}
                    None => ready -= 1,
                });
            }
        }
        expect.assert_eq(&out);
    }

    const ONE_TO_TEN: Policy = Policy {
        min: 1,
        max: 10,
        target: Target::Concurrency(10.0),
        down_after_ms: 60_000,
        idle_ms: 30_000,
    };

    #[test]
    fn up_at_once_and_down_slowly() {
        check(
            ONE_TO_TEN,
            "10 5\n20 55\n300 5",
            expect![[r#"
            11 s, load 55: 1 -> 2, more requests at once than they are for
            12 s, load 55: 2 -> 4, more requests at once than they are for
            15 s, load 55: 4 -> 5, more requests at once than they are for
            93 s, load 5: 5 -> 3, fewer were enough for a while
            99 s, load 5: 3 -> 1, fewer were enough for a while
        "#]],
        );
        check(
            ONE_TO_TEN,
            "10 5\n60 500",
            expect![[r#"
            11 s, load 500: 1 -> 2, more requests at once than they are for
            12 s, load 500: 2 -> 4, more requests at once than they are for
            13 s, load 500: 4 -> 8, more requests at once than they are for
            14 s, load 500: 8 -> 10, more requests at once than they are for
        "#]],
        );
    }

    #[test]
    fn load_that_goes_up_and_down_changes_nothing_for_long() {
        let waves = "20 45\n20 15\n".repeat(15);
        check(
            ONE_TO_TEN,
            &waves,
            expect![[r#"
            1 s, load 45: 1 -> 2, more requests at once than they are for
            2 s, load 45: 2 -> 3, more requests at once than they are for
            4 s, load 45: 3 -> 4, more requests at once than they are for
            11 s, load 45: 4 -> 5, more requests at once than they are for
        "#]],
        );
        let noise = "1 40\n1 44\n1 37\n1 42\n".repeat(60);
        check(
            ONE_TO_TEN,
            &noise,
            expect![[r#"
            1 s, load 40: 1 -> 2, more requests at once than they are for
            2 s, load 44: 2 -> 3, more requests at once than they are for
            5 s, load 40: 3 -> 4, more requests at once than they are for
        "#]],
        );
    }

    #[test]
    fn to_zero_and_back() {
        let policy = Policy { min: 0, ..ONE_TO_TEN };
        check(
            policy,
            "5 0\n1 1\n20 1\n100 0\n5 30",
            expect![[r#"
            6 s, load 1: 0 -> 1, somebody asks for it, and there is none
            56 s, load 0: 1 -> 0, nobody has asked for it for a while
            127 s, load 30: 0 -> 1, somebody asks for it, and there is none
            128 s, load 30: 1 -> 2, more requests at once than they are for
            130 s, load 30: 2 -> 3, more requests at once than they are for
        "#]],
        );
    }

    #[test]
    fn by_cpu_and_by_latency() {
        let policy = Policy { target: Target::Cpu(0.5), ..ONE_TO_TEN };
        check(
            policy,
            "10 4\n60 20\n200 4",
            expect![[r#"
                11 s, load 20: 1 -> 2, they use more of their cores than they should
                12 s, load 20: 2 -> 3, they use more of their cores than they should
                15 s, load 20: 3 -> 4, they use more of their cores than they should
                133 s, load 4: 4 -> 2, fewer were enough for a while
                139 s, load 4: 2 -> 1, fewer were enough for a while
            "#]],
        );
        let policy = Policy { target: Target::Latency(50.0), ..ONE_TO_TEN };
        check(
            policy,
            "10 4\n60 30\n400 4",
            expect![[r#"
            11 s, load 30: 1 -> 2, answers take longer than they should
            14 s, load 30: 2 -> 3, answers take longer than they should
            17 s, load 30: 3 -> 5, answers take longer than they should
            20 s, load 30: 5 -> 8, answers take longer than they should
            23 s, load 30: 8 -> 10, answers take longer than they should
            133 s, load 4: 10 -> 9, fewer were enough for a while
            199 s, load 4: 9 -> 8, fewer were enough for a while
            266 s, load 4: 8 -> 7, fewer were enough for a while
            333 s, load 4: 7 -> 6, fewer were enough for a while
            399 s, load 4: 6 -> 5, fewer were enough for a while
            466 s, load 4: 5 -> 4, fewer were enough for a while
        "#]],
        );
        // What was slow while many asked is not slow for ever.
        check(
            policy,
            "10 4\n20 30\n500 0",
            expect![[r#"
            11 s, load 30: 1 -> 2, answers take longer than they should
            14 s, load 30: 2 -> 3, answers take longer than they should
            17 s, load 30: 3 -> 5, answers take longer than they should
            20 s, load 30: 5 -> 8, answers take longer than they should
            23 s, load 30: 8 -> 10, answers take longer than they should
            106 s, load 0: 10 -> 9, fewer were enough for a while
            173 s, load 0: 9 -> 8, fewer were enough for a while
            239 s, load 0: 8 -> 7, fewer were enough for a while
            306 s, load 0: 7 -> 6, fewer were enough for a while
            373 s, load 0: 6 -> 5, fewer were enough for a while
            439 s, load 0: 5 -> 4, fewer were enough for a while
            506 s, load 0: 4 -> 3, fewer were enough for a while
        "#]],
        );
    }
}
