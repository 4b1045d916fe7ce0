//! How long to wait before a process that failed is started again.

use std::time::Duration;

/// Before the first new try. Short: most deaths happen once.
const FIRST: Duration = Duration::from_millis(250);

/// No wait is longer, so a service whose database came back is itself back within half a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// An instance that was ready for this long has proved itself: its next failure counts as the first.
const STABLE: Duration = Duration::from_secs(30);

/// So has one that was ready so many times as long as it would have to wait: it is there most of the
/// time, and its service would be short of instances if it waited ever longer. Who is killed from
/// outside every few seconds is no crash loop.
const PROVED_BY: u32 = 4;

/// Counts failures in a row; each doubles the wait.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    in_a_row: u32,
    random: u64,
}

impl Backoff {
    /// `seed` is what makes the waits of instances that died together differ.
    pub(super) fn new(seed: u64) -> Self {
        Self { in_a_row: 0, random: seed }
    }

    /// The wait behind one more failure, but for chance.
    fn middle(&self) -> Duration {
        FIRST.saturating_mul(1 << self.in_a_row.min(16)).min(LONGEST)
    }

    /// Forgets failures if an instance that was ready for `time` has proved itself.
    pub(super) fn prove(&mut self, time: Duration) {
        if time >= STABLE.min(self.middle() * PROVED_BY) {
            self.reset();
        }
    }

    /// Counts one failure: how long to wait. Varies by a quarter around the doubled value.
    pub(super) fn next(&mut self) -> Duration {
        let middle = self.middle();
        self.in_a_row = self.in_a_row.saturating_add(1);
        // SplitMix64: even neighbouring seeds give unrelated numbers.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = f64::from((mixed ^ (mixed >> 31)) as u32) / f64::from(u32::MAX);
        middle.mul_f64(0.75 + share / 2.0)
    }

    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    pub(super) fn reset(&mut self) {
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_stay_within_a_quarter() {
        for seed in 0..1_000 {
            let mut backoff = Backoff::new(seed);
            let mut middle = FIRST;
            for _ in 0..50 {
                let wait = backoff.next();
                assert!(wait >= middle * 3 / 4 && wait <= middle * 5 / 4, "{wait:?}");
                middle = (middle * 2).min(LONGEST);
            }
            backoff.reset();
            assert!(backoff.next() <= FIRST * 5 / 4);
        }
    }

    #[test]
    fn who_is_there_most_of_the_time_does_not_wait_ever_longer() {
        let waits = |lives: Duration| {
            let mut backoff = Backoff::new(7);
            let waits = (0..50).map(|_| {
                backoff.prove(lives);
                backoff.next()
            });
            waits.max().expect("fifty")
        };
        assert!(waits(Duration::from_millis(100)) > LONGEST / 2);
        assert!(waits(Duration::from_secs(3)) < Duration::from_secs(3) / 2);
        assert!(waits(Duration::from_secs(10)) < Duration::from_secs(10) / 2);
        assert!(waits(STABLE) < Duration::from_secs(10));
    }

    #[test]
    fn instances_that_die_together_come_back_apart() {
        let mut waits: Vec<_> = (0..100).map(|seed| Backoff::new(seed).next()).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 90, "{}", waits.len());
        assert!(waits[waits.len() - 1] - waits[0] > FIRST / 4);
    }
}
