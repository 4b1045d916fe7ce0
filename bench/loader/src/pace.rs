//! When the next request is due.

use crate::args::Arrivals;

/// Times of arrival in nanoseconds since the start, the same in every run.
pub struct Pace {
    gap: f64,
    arrivals: Arrivals,
    due: f64,
    state: u64,
}

impl Pace {
    pub fn new(rate: f64, arrivals: Arrivals) -> Self {
        Self { gap: 1e9 / rate, arrivals, due: 0.0, state: 0x2545_f491_4f6c_dd1d }
    }

    /// The next arrival, if its time has come.
    pub fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.due as u64;
        if due > now {
            return None;
        }
        self.due += self.gap
            * match self.arrivals {
                Arrivals::Even => 1.0,
                Arrivals::Poisson => -self.uniform().ln(),
            };
        Some(due)
    }

    /// In (0, 1]: never 0, whose logarithm is infinite (xorshift64*).
    fn uniform(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_hold_the_rate() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            let mut pace = Pace::new(50_000.0, arrivals);
            let started = std::iter::from_fn(|| pace.take(2_000_000_000)).count();
            assert!(started.abs_diff(100_000) < 1_000, "{arrivals:?} {started}");
        }
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut pace = Pace::new(1000.0, Arrivals::Even);
        assert_eq!(pace.take(0), Some(0));
        assert_eq!(pace.take(999_999), None);
        assert_eq!(pace.take(1_000_000), Some(1_000_000));
    }
}
