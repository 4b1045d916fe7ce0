//! How long a client may make us wait within a body: not too long at once, nor on the whole.

/// Time that a client may take before its rate counts: slow starts are no attack.
const GRACE_MS: u64 = 10_000;

/// The time that one transfer has waited for its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    idle_ms: u64,
    /// Bytes a second that the client must reach on the whole; zero is any.
    rate: u64,
    waited_ms: u64,
    since_ms: Option<u64>,
}

impl Pace {
    pub(crate) fn new(idle_ms: u64, rate: u64) -> Self {
        Self { idle_ms, rate, waited_ms: 0, since_ms: None }
    }

    /// The transfer waits for the client again, after `bytes` so far: for how long at most.
    pub(crate) fn wait(&mut self, now_ms: u64, bytes: u64) -> u64 {
        self.go_on(now_ms);
        self.since_ms = Some(now_ms);
        if self.rate == 0 {
            return self.idle_ms;
        }
        // The time in which so many bytes had to come is what the client has earned.
        let earned_ms = bytes.saturating_mul(1000) / self.rate;
        let left_ms = GRACE_MS.saturating_add(earned_ms).saturating_sub(self.waited_ms);
        self.idle_ms.min(left_ms)
    }

    /// The transfer waits for something else now.
    pub(crate) fn go_on(&mut self, now_ms: u64) {
        if let Some(since_ms) = self.since_ms.take() {
            self.waited_ms += now_ms - since_ms;
        }
    }

    /// Whether the current wait alone is too long; if not, the rate was too low.
    pub(crate) fn is_idle(&self, now_ms: u64) -> bool {
        self.since_ms.is_none_or(|since_ms| now_ms - since_ms >= self.idle_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_trickles_is_cut_off_and_a_steady_one_is_not() {
        // One byte every 4 s, far below 240 a second: the grace of 10 s runs out in the third wait.
        let mut pace = Pace::new(30_000, 240);
        assert_eq!(
            [pace.wait(0, 0), pace.wait(4_000, 1), pace.wait(8_000, 2)],
            [10_000, 6_004, 2_008]
        );
        assert!(!pace.is_idle(10_008));

        // 2,400 bytes every 5 s: may go on for ever.
        let (mut pace, mut now_ms) = (Pace::new(30_000, 240), 0);
        for pieces in 0..1000 {
            assert!(pace.wait(now_ms, pieces * 2_400) > 5_000);
            now_ms += 5_000;
        }
    }

    #[test]
    fn waits_for_others_do_not_count() {
        let mut pace = Pace::new(30_000, 240);
        pace.wait(0, 0);
        pace.go_on(1_000);
        assert_eq!(pace.wait(500_000, 0), 9_000);
        assert!(pace.is_idle(530_000));
    }
}
