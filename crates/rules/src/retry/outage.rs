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
    /// When the last one ended.
    ended_ns: u64,
}

impl Outage {
    /// An endpoint has answered.
    #[inline]
    pub fn over(&mut self, now_ns: u64) {
        if self.since_ns != 0 {
            *self = Self { since_ns: 0, ended_ns: now_ns };
        }
    }

    /// Nobody takes the request of `one`. How long it waits before it tries again; `None` if it is not to
    /// wait. An outage is waited for until it has lasted for `hold_ms`: whoever comes later is told so
    /// at once, so that a long one delays nobody but those who were there when it began. Who finds that
    /// there is too much to do, since all come back at once, waits until the outage has been over for as
    /// long.
    pub fn wait_ms(&mut self, hold_ms: u64, one: &Held) -> Option<u64> {
        let since_ns = match one.is_crowded {
            true if self.ended_ns == 0 => return None,
            true => self.ended_ns,
            false => {
                if self.since_ns == 0 {
                    self.since_ns = one.now_ns;
                }
                self.since_ns
            }
        };
        let most_ms = PAUSE_MS_LEAST.max((one.others + 1) * 1_000 / ASKED_PER_S);
        // The high bits, so that nobody else's use of the same draw shows.
        let by_chance_ms = (u128::from(one.random) * u128::from(most_ms / 2 + 1)) >> 64;
        let wait_ms = most_ms - by_chance_ms as u64;
        let lasted_ms = one.now_ns.saturating_sub(since_ns) / 1_000_000;
        (lasted_ms + wait_ms <= hold_ms).then_some(wait_ms)
    }
}

/// A request that finds nobody to take it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The time.
    pub now_ns: u64,
    /// How many others wait in the same way.
    pub others: u64,
    /// Whether somebody is there, but has too much to do.
    pub is_crowded: bool,
    /// Random bits.
    pub random: u64,
}
