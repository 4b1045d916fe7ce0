//! What is counted, and what it comes to.

use std::fmt::Write;

/// Names of the priorities, in order.
pub const PRIORITIES: [&str; 3] = ["critical", "normal", "sheddable"];

/// What was counted of requests that began within a span of time.
#[derive(Clone, Debug)]
pub struct Tally {
    from_ns: u64,
    end_ns: u64,
    /// By priority. A request that its client sends again counts once.
    came: [u64; 3],
    /// What came to the door, with what clients sent again.
    arrived: u64,
    answered: [u64; 3],
    failed: [u64; 3],
    shed: [u64; 3],
    latencies_ns: Vec<u64>,
    sent: u64,
    retries: u64,
    hedges: u64,
    worked_ns: u64,
    wasted_ns: u64,
    /// Good answers in each second of the run, by when they were given.
    by_second: Vec<u64>,
}

impl Tally {
    pub(crate) fn new(from_ns: u64, end_ns: u64) -> Self {
        Self {
            from_ns,
            end_ns,
            came: [0; 3],
            arrived: 0,
            answered: [0; 3],
            failed: [0; 3],
            shed: [0; 3],
            latencies_ns: Vec::new(),
            sent: 0,
            retries: 0,
            hedges: 0,
            worked_ns: 0,
            wasted_ns: 0,
            by_second: Vec::new(),
        }
    }

    fn counts(&self, at_ns: u64) -> bool {
        (self.from_ns..self.end_ns).contains(&at_ns)
    }

    pub(crate) fn came(&mut self, begun_ns: u64, priority: usize) {
        self.came[priority] += u64::from(self.counts(begun_ns));
        self.arrived += u64::from(self.counts(begun_ns));
    }

    /// The client will send it again: what failed so far does not count, nor that it came.
    pub(crate) fn came_again(&mut self, begun_ns: u64, priority: usize) {
        self.came[priority] -= u64::from(self.counts(begun_ns));
    }

    pub(crate) fn answered(&mut self, begun_ns: u64, now_ns: u64, priority: usize) {
        let second = (now_ns / 1_000_000_000) as usize;
        if self.by_second.len() <= second {
            self.by_second.resize(second + 1, 0);
        }
        self.by_second[second] += 1;
        if self.counts(begun_ns) {
            self.answered[priority] += 1;
            self.latencies_ns.push(now_ns - begun_ns);
        }
    }

    pub(crate) fn failed(&mut self, begun_ns: u64, priority: usize, is_shed: bool) {
        let count = if is_shed { &mut self.shed } else { &mut self.failed };
        count[priority] += u64::from((self.from_ns..self.end_ns).contains(&begun_ns));
    }

    pub(crate) fn sent(&mut self, now_ns: u64) {
        self.sent += u64::from(self.counts(now_ns));
    }

    /// A request is sent again by the door.
    pub fn retry(&mut self, now_ns: u64) {
        self.retries += u64::from(self.counts(now_ns));
    }

    /// A request is sent a second time, beside the first.
    pub fn hedge(&mut self, now_ns: u64) {
        self.hedges += u64::from(self.counts(now_ns));
    }

    pub(crate) fn worked(&mut self, now_ns: u64, for_ns: u64) {
        self.worked_ns += if self.counts(now_ns) { for_ns } else { 0 };
    }

    pub(crate) fn wasted(&mut self, now_ns: u64, took_ns: u64) {
        self.wasted_ns += if self.counts(now_ns) { took_ns } else { 0 };
    }

    /// What it comes to.
    pub fn figures(mut self) -> Figures {
        let last = (self.end_ns / 1_000_000_000) as usize;
        self.by_second.resize(self.by_second.len().max(last + 1), 0);
        self.latencies_ns.sort_unstable();
        let at = |share: f64| {
            let place = (self.latencies_ns.len() as f64 * share).ceil() as usize;
            self.latencies_ns.get(place.saturating_sub(1)).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
        };
        let sum = |counts: [u64; 3]| counts.iter().sum::<u64>() as f64;
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        let came = sum(self.came);
        let seconds = (self.end_ns - self.from_ns) as f64 / 1e9;
        let served =
            |priority: usize| share(self.answered[priority] as f64, self.came[priority] as f64);
        Figures {
            requests: self.came.iter().sum(),
            goodput_per_s: sum(self.answered) / seconds,
            errors: share(sum(self.failed), came),
            shed: share(sum(self.shed), came),
            served: [served(0), served(1), served(2)],
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            arrived: self.arrived,
            retries: share(self.retries as f64, self.arrived as f64),
            hedges: share(self.hedges as f64, self.arrived as f64),
            wasted: share(self.wasted_ns as f64, self.worked_ns as f64),
            by_second: self.by_second,
        }
    }
}

/// What a run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Requests that clients wanted answered.
    pub requests: u64,
    /// Requests that came to the door: more, if clients send them again.
    pub arrived: u64,
    /// Answers in time, a second.
    pub goodput_per_s: f64,
    /// The share of requests that failed, or were answered too late; not those that were shed.
    pub errors: f64,
    /// The share of requests that were refused at the door.
    pub shed: f64,
    /// The share of requests that were answered in time, by priority.
    pub served: [f64; 3],
    /// Half of the answers took no longer.
    pub p50_ms: f64,
    /// 99 % of the answers took no longer.
    pub p99_ms: f64,
    /// 99.9 % of the answers took no longer.
    pub p999_ms: f64,
    /// Attempts behind a failed one, for each request at the door.
    pub retries: f64,
    /// Attempts beside a slow one, for each request at the door.
    pub hedges: f64,
    /// The share of the endpoints' work whose result nobody took.
    pub wasted: f64,
    /// Answers in each second of the run.
    pub by_second: Vec<u64>,
}

impl Figures {
    /// The worse of two runs, figure by figure.
    #[must_use]
    pub fn worse(self, other: &Self) -> Self {
        let less = f64::min;
        // What was never answered has no latency, which is worse than any.
        let more = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        let served = [0, 1, 2].map(|at| less(self.served[at], other.served[at]));
        Self {
            goodput_per_s: less(self.goodput_per_s, other.goodput_per_s),
            errors: more(self.errors, other.errors),
            shed: more(self.shed, other.shed),
            served,
            p50_ms: more(self.p50_ms, other.p50_ms),
            p99_ms: more(self.p99_ms, other.p99_ms),
            p999_ms: more(self.p999_ms, other.p999_ms),
            retries: more(self.retries, other.retries),
            hedges: more(self.hedges, other.hedges),
            wasted: more(self.wasted, other.wasted),
            ..self
        }
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        let numbers = [
            ("goodput_per_s", self.goodput_per_s),
            ("errors", self.errors),
            ("shed", self.shed),
            ("p50_ms", self.p50_ms),
            ("p99_ms", self.p99_ms),
            ("p999_ms", self.p999_ms),
            ("retries", self.retries),
            ("hedges", self.hedges),
            ("wasted", self.wasted),
            ("served_critical", self.served[0]),
            ("served_normal", self.served[1]),
            ("served_sheddable", self.served[2]),
        ];
        write!(out, "\"requests\":{}", self.requests).expect("a string takes all");
        for (name, number) in numbers {
            match number.is_finite() {
                true => write!(out, ",\"{name}\":{number:.6}"),
                false => write!(out, ",\"{name}\":null"),
            }
            .expect("a string takes all");
        }
        out.push('}');
        out
    }
}
