//! Waiting for a service that is not there for a moment.

/// No request asks sooner whether somebody is back: most restarts take longer.
const PAUSE_MS_LEAST: u64 = 50;

/// So many times a second all that wait together ask whether somebody is back, at each worker. They also
/// come back at that rate, and not all at once.
const ASKED_PER_S: u64 = 1_000;

/// One worker's account of the time during which no endpoint of a service takes connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outage {
    /// Zero if there is none.
    since_ns: u64,
}

impl Outage {
    /// An endpoint has answered.
    #[inline]
    pub fn over(&mut self) {
        self.since_ns = 0;
    }

    /// Nobody takes connections. How long the request waits before it tries again, beside `others` that
    /// do so already; `None` if the outage has lasted for `hold_ms` by then. Whoever comes later is told
    /// so at once, so that a long outage delays nobody but those who were there when it began.
    pub fn wait_ms(&mut self, hold_ms: u64, now_ns: u64, others: u64, random: u64) -> Option<u64> {
        if self.since_ns == 0 {
            self.since_ns = now_ns;
        }
        let most_ms = PAUSE_MS_LEAST.max((others + 1) * 1_000 / ASKED_PER_S);
        // The high bits, so that nobody else's use of the same draw shows.
        let by_chance_ms = (u128::from(random) * u128::from(most_ms / 2 + 1)) >> 64;
        let wait_ms = most_ms - by_chance_ms as u64;
        let lasted_ms = now_ns.saturating_sub(self.since_ns) / 1_000_000;
        (lasted_ms + wait_ms <= hold_ms).then_some(wait_ms)
    }
}
