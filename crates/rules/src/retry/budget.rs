//! How many retries there may be: a share of the live traffic, and a few besides.

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// The share of the requests of the last seconds (0 to 1).
    pub share: f32,
    /// So many a second besides, so that a quiet service has some at all.
    pub floor_per_s: f32,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        // Finagle's and Linkerd's: enough for one endpoint in six to fail all at once, and in a
        // total outage a fifth more load instead of three times as much.
        Self { share: 0.2, floor_per_s: 10.0 }
    }
}

/// How long traffic counts: after this time for 1/e of what it did.
const MEMORY_S: f64 = 10.0;

/// One worker's account of one service.
///
/// Both sides are forgotten alike, so the share holds at every moment and over every span of time:
/// in any time T, at most `share` of the requests of that time and the ten seconds before it, and
/// `floor_per_s` × (T + 10 s).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    requests: f64,
    retries: f64,
    at_ns: u64,
}

impl Budget {
    /// A request comes.
    #[inline]
    pub fn live(&mut self, now_ns: u64) {
        self.forget(now_ns);
        self.requests += 1.0;
    }

    /// Takes one retry out of the budget, if there is one. `workers` share the floor.
    #[inline]
    pub fn take(&mut self, policy: &BudgetPolicy, workers: usize, now_ns: u64) -> bool {
        self.forget(now_ns);
        let floor = f64::from(policy.floor_per_s) * MEMORY_S / workers.max(1) as f64;
        let most = f64::from(policy.share) * self.requests + floor;
        let is_left = self.retries + 1.0 <= most;
        if is_left {
            self.retries += 1.0;
        }
        is_left
    }

    /// How much of the budget is used, from 0 to 1.
    #[must_use]
    pub fn used(&self, policy: &BudgetPolicy, workers: usize) -> f32 {
        let floor = f64::from(policy.floor_per_s) * MEMORY_S / workers.max(1) as f64;
        let most = f64::from(policy.share) * self.requests + floor;
        if most > 0.0 { (self.retries / most).min(1.0) as f32 } else { 1.0 }
    }

    #[inline]
    fn forget(&mut self, now_ns: u64) {
        let since_s = now_ns.saturating_sub(self.at_ns) as f64 / 1e9;
        // Adds up to the same, and is not worth an exponential for each request.
        if since_s < 0.001 {
            return;
        }
        let kept = (-since_s / MEMORY_S).exp();
        self.requests *= kept;
        self.retries *= kept;
        self.at_ns = now_ns;
    }
}
