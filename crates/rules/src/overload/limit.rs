//! How many requests a service answers at once without queueing: found out, not configured.
//!
//! A gradient (Netflix's concurrency-limits, 2018): as long as answers take as long as they do
//! when there is little to do, the limit grows; when they take longer, requests queue somewhere
//! behind it, and it shrinks in proportion. What they take when there is little to do is measured
//! whenever there is little to do. If there never is, a short breather is made every ten seconds, by
//! all workers in the same moment, since the queue behind them is one (Envoy's `minRTT`, with a
//! fraction of its cost).

/// How the limit is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitPolicy {
    /// Where it starts, for the service as a whole.
    pub first: u32,
    /// It never falls below this, for each worker.
    pub least: u32,
    /// It never rises above this, for the service as a whole.
    pub most: u32,
    /// So many times the latency without queueing is no sign of a queue.
    pub tolerance: f32,
}

impl Default for LimitPolicy {
    fn default() -> Self {
        Self {
            // Most services have less than that to do; the others are found within two seconds.
            first: 100,
            // With fewer, one slow request would stop all others.
            least: 4,
            most: 10_000,
            // Between Netflix's 1.5 and 2.0: latencies differ by the kind of request.
            tolerance: 1.5,
        }
    }
}

/// The shortest and the longest time to judge by, and the fewest answers.
const WINDOW_NS: u64 = 50_000_000;
const WINDOW_MOST_NS: u64 = 1_000_000_000;
const ANSWERS_LEAST: u32 = 20;

/// How far a step goes to where the gradient points.
const SMOOTHING: f32 = 0.2;

/// The smallest gradient: one bad window halves nothing that was good.
const GRADIENT_LEAST: f32 = 0.5;

/// While answers have never been slow, the limit grows by this factor when it is reached.
const START_GROWTH: f32 = 1.5;

/// How often a breather is made, if there never is little to do.
const BREATHER_EVERY_NS: u64 = 10_000_000_000;

/// How much of what the service can do is asked of it then.
const BREATHER_SHARE: f32 = 0.6;

/// How long it lasts, in times of the current latency: half of it is not measured, since what was
/// queued has to be answered first.
const BREATHER_LATENCIES: f32 = 4.0;

/// The shortest one, so that enough answers are seen.
const BREATHER_MS_LEAST: f32 = 60.0;

/// How much of the way to what a breather shows is gone, by all workers together. The rest is left to
/// the next one, if it was no chance.
const BREATHER_WEIGHT: f32 = 0.7;

/// What all workers know together of one service. The engine keeps it and lends it; two that write it
/// in the same moment do no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Common {
    /// What an answer takes when there is little to do; zero if unknown.
    pub base_ms: f32,
    /// When the last breather began, ...
    pub breather_ns: u64,
    /// ... and how long it was to last.
    pub breather_ms: f32,
}

impl Common {
    fn breather_end_ns(&self) -> u64 {
        self.breather_ns + (f64::from(self.breather_ms) * 1e6) as u64
    }

    fn is_breather(&self, now_ns: u64) -> bool {
        now_ns < self.breather_end_ns()
    }

    /// Whether what a breather is made for can be measured by now.
    fn is_drained(&self, now_ns: u64) -> bool {
        now_ns >= self.breather_ns + (f64::from(self.breather_ms) * 0.5e6) as u64
    }
}

/// One worker's limit towards one service.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    policy: LimitPolicy,
    workers: f32,
    least: f32,
    most: f32,
    limit: f32,
    /// What an answer takes now.
    mean_ms: f32,
    window: Window,
    /// Whether answers have ever been slow.
    has_been_slow: bool,
    /// Whether the limit was reached since the last breather.
    is_pressed: bool,
    /// The last breather that this worker has learnt from.
    known_breather_ns: u64,
    /// Whether the window is of a breather.
    in_breather: bool,
    /// The limit as it was then.
    limit_then: f32,
}

/// What was seen since the limit was last looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since_ns: u64,
    answers: u32,
    sum_ms: f32,
    running_most: u32,
    is_reached: bool,
}

impl Window {
    fn mean_ms(&self) -> f32 {
        self.sum_ms / self.answers.max(1) as f32
    }
}

impl Limiter {
    pub(super) fn new(policy: LimitPolicy, workers: usize) -> Self {
        let workers = workers.max(1) as f32;
        let least = policy.least.max(1) as f32;
        let most = (policy.most as f32 / workers).max(least);
        Self {
            policy,
            workers,
            least,
            most,
            limit: (policy.first as f32 / workers).clamp(least, most),
            mean_ms: 0.0,
            window: Window::default(),
            has_been_slow: false,
            is_pressed: false,
            known_breather_ns: 0,
            in_breather: false,
            limit_then: f32::INFINITY,
        }
    }

    /// How many may be under way.
    #[inline]
    pub(super) fn limit(&self, now_ns: u64, common: &Common) -> u32 {
        if common.is_breather(now_ns) {
            let enough = self.limit * common.base_ms / self.mean_ms.max(common.base_ms);
            return (enough * BREATHER_SHARE).max(self.least) as u32;
        }
        self.limit as u32
    }

    /// The same, without breathers.
    pub(super) fn settled(&self) -> u32 {
        self.limit as u32
    }

    /// Somebody has to wait.
    pub(super) fn reached(&mut self) {
        self.window.is_reached = true;
        self.is_pressed = true;
    }

    /// An answer has come, while `running` were under way.
    #[inline]
    pub(super) fn record(&mut self, now_ns: u64, took_ms: f32, running: u32, common: &mut Common) {
        if self.known_breather_ns != common.breather_ns {
            if !common.is_drained(now_ns) {
                return;
            }
            self.see_breather(now_ns, common);
        }
        let window = &mut self.window;
        if window.answers == 0 {
            window.since_ns = now_ns;
        }
        window.answers += 1;
        window.sum_ms += took_ms;
        window.running_most = window.running_most.max(running);
        if self.in_breather {
            return;
        }
        let lasted_ns = now_ns - window.since_ns;
        let is_full = window.answers >= ANSWERS_LEAST && lasted_ns >= WINDOW_NS;
        if is_full || lasted_ns >= WINDOW_MOST_NS {
            self.step(common);
            self.begin_breather(now_ns, common);
        }
    }

    /// Another worker, or this one, has begun a breather: measures until its end, and then learns.
    fn see_breather(&mut self, now_ns: u64, common: &mut Common) {
        if !self.in_breather {
            (self.in_breather, self.window) = (true, Window::default());
        }
        if common.is_breather(now_ns) {
            return;
        }
        self.in_breather = false;
        let window = std::mem::take(&mut self.window);
        if window.answers > 0 {
            let weight = 1.0 - (1.0 - BREATHER_WEIGHT).powf(1.0 / self.workers);
            common.base_ms += (window.mean_ms() - common.base_ms) * weight;
        }
        self.limit_then = self.limit;
        self.is_pressed = false;
        self.known_breather_ns = common.breather_ns;
    }

    /// Moves the limit by what the window shows.
    fn step(&mut self, common: &mut Common) {
        let window = std::mem::take(&mut self.window);
        let mean_ms = window.mean_ms();
        self.mean_ms = mean_ms;
        let is_used = window.running_most as f32 * 2.0 >= self.limit;
        let base_ms = &mut common.base_ms;
        if *base_ms == 0.0 {
            *base_ms = mean_ms;
        } else if mean_ms < *base_ms {
            *base_ms += (mean_ms - *base_ms) * 0.2 / self.workers;
        } else if !is_used {
            // Nothing queues for want of a place, so this is what it takes.
            *base_ms += (mean_ms - *base_ms) * 0.1 / self.workers;
        }
        let gradient = (self.policy.tolerance * *base_ms / mean_ms).clamp(GRADIENT_LEAST, 1.0);
        // Where the limit cannot grow, nothing shows but a breather whether it is too large already.
        let is_bounded = self.limit >= self.most && self.policy.tolerance.is_finite();
        self.has_been_slow |= (gradient < 1.0 || is_bounded) && window.is_reached;
        if !is_used {
            return;
        }
        let next = if self.has_been_slow {
            // A little more than the gradient says, so that it finds out when there is more.
            let next = self.limit * gradient + self.limit.sqrt();
            self.limit + (next - self.limit) * SMOOTHING
        } else if window.is_reached {
            self.limit * START_GROWTH
        } else {
            self.limit
        };
        self.limit = next.clamp(self.least, self.most);
    }

    /// Makes a breather if it is time: every ten seconds under pressure; at the first sign of a
    /// queue; and when the limit has fallen by a third, since the service may just have become slower.
    fn begin_breather(&mut self, now_ns: u64, common: &mut Common) {
        let since_ns = now_ns.saturating_sub(common.breather_end_ns());
        let is_first = self.has_been_slow && common.breather_ns == 0;
        let has_fallen = self.limit < self.limit_then * 0.67 && self.limit_then.is_finite();
        let is_time = self.is_pressed && self.has_been_slow && since_ns > BREATHER_EVERY_NS;
        if is_time || is_first || has_fallen {
            common.breather_ns = now_ns;
            common.breather_ms = (self.mean_ms * BREATHER_LATENCIES).max(BREATHER_MS_LEAST);
        }
    }
}
