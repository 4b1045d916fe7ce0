//! What one worker knows of one endpoint from the requests that it sent there itself.
//!
//! Plain numbers in a row for each endpoint: nothing is shared between workers, and nothing is
//! allocated or locked for a request. Averages forget with time and not with the count of requests,
//! so that they mean the same for busy and for quiet services.

/// How long latencies, answers and failures are remembered: after this time they count for 1/e of what
/// they did. Finagle and Linkerd, whose peak-EWMA this is, take ten seconds as well.
const MEMORY_S: f32 = 10.0;

/// What is younger has not faded yet: it adds up to the same, and is not worth an exponential for each
/// request.
const FADING_NS: u64 = 1_000_000;

/// How far towards a slower answer the average goes at once. All the way (Finagle's) makes one
/// answer in the tail of a healthy endpoint look like a slow endpoint for seconds; this needs a few.
const RISE: f32 = 0.3;

/// What became of a request at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, and not with a failure of its own.
    Answered,
    /// It answered with a failure (see [`is_failure`]), broke off, or did not answer in time.
    Failed,
    /// It took no connection.
    Refused,
    /// Nobody waits any longer: the client left, or another endpoint was faster. Says only that it
    /// took at least so long.
    Abandoned,
}

/// Whether an answer with this status is the endpoint's failure. 501 and 505 are about the request.
#[must_use]
pub const fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// What one worker knows of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests that are under way there.
    pub running: u32,
    /// Failures without an answer in between.
    pub failures_in_a_row: u32,
    /// Good answers without a failure in between.
    pub answers_in_a_row: u32,
    /// How long an answer takes, in milliseconds: quick to rise, slow to fall. Zero if unknown.
    pub(crate) peak_ms: f32,
    /// The mean of the same.
    pub(crate) mean_ms: f32,
    /// Answers and failures of late, forgotten with time.
    pub(crate) answers: f32,
    /// As above.
    pub(crate) failures: f32,
    /// The share of failures among the last few of them.
    pub(crate) failing: f32,
    /// When the last of them came.
    observed_ns: u64,
    /// When it last gave a sign of life, or began to owe one.
    pub(crate) silent_since_ns: u64,
}

impl Load {
    /// A request goes there.
    #[inline]
    pub fn begin(&mut self, now_ns: u64) {
        if self.running == 0 {
            self.silent_since_ns = now_ns;
        }
        self.running += 1;
    }

    /// A request that went there at `begun_ns` has its answer's head, or never will.
    #[inline]
    pub fn end(&mut self, begun_ns: u64, now_ns: u64, outcome: Outcome) {
        self.running = self.running.saturating_sub(1);
        let took_ms = now_ns.saturating_sub(begun_ns) as f32 / 1e6;
        match outcome {
            Outcome::Answered => {
                self.forget(now_ns);
                self.answers += 1.0;
                self.failing -= self.failing / LAST_FEW;
                self.failures_in_a_row = 0;
                self.answers_in_a_row = self.answers_in_a_row.saturating_add(1);
                self.silent_since_ns = now_ns;
                self.measure(took_ms);
            }
            Outcome::Failed | Outcome::Refused => {
                self.forget(now_ns);
                self.failures += 1.0;
                self.failing += (1.0 - self.failing) / LAST_FEW;
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.answers_in_a_row = 0;
                // A failure is often quicker than an answer, and must not make an endpoint look fast.
                if self.mean_ms > 0.0 && took_ms > self.mean_ms {
                    self.measure(took_ms);
                }
            }
            // It would have taken longer still.
            Outcome::Abandoned if took_ms > self.peak_ms => self.measure(took_ms),
            Outcome::Abandoned => {}
        }
    }

    /// Forgets what it was, as far as the time since says.
    #[inline]
    fn forget(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.observed_ns);
        if since_ns < FADING_NS {
            return;
        }
        self.observed_ns = now_ns;
        let kept = (-(since_ns as f32 / 1e9) / MEMORY_S).exp();
        self.answers *= kept;
        self.failures *= kept;
        self.peak_ms = self.mean_ms + (self.peak_ms - self.mean_ms) * kept;
    }

    #[inline]
    fn measure(&mut self, took_ms: f32) {
        if self.mean_ms == 0.0 {
            (self.peak_ms, self.mean_ms) = (took_ms, took_ms);
            return;
        }
        // The mean of the last answers: of as many as there were, up to fifty.
        let weight = 1.0 / (self.answers + self.failures).clamp(1.0, MEAN_OF);
        self.mean_ms += (took_ms - self.mean_ms) * weight;
        if took_ms > self.peak_ms {
            self.peak_ms += (took_ms - self.peak_ms) * RISE;
        }
        self.peak_ms = self.peak_ms.max(self.mean_ms);
    }

    /// The latency to reckon with, where `typical_ms` is that of the endpoints beside it. What is
    /// not known, or long ago, is taken to be typical.
    #[inline]
    pub(crate) fn latency_ms(&self, now_ns: u64, typical_ms: f32) -> f32 {
        if self.mean_ms == 0.0 {
            return typical_ms;
        }
        let since_s = now_ns.saturating_sub(self.observed_ns) as f32 / 1e9;
        // Most are asked again within a moment.
        if since_s < 0.1 {
            return self.peak_ms;
        }
        typical_ms + (self.peak_ms - typical_ms) * (-since_s / MEMORY_S).exp()
    }

    /// The share of answers among what it was asked of late, from 0 to 1. One good answer is taken
    /// for granted.
    #[inline]
    pub(crate) fn success(&self) -> f32 {
        (self.answers + 1.0) / (self.answers + self.failures + 1.0)
    }

    /// What it was asked of late, and how much of that failed.
    pub(crate) fn outcomes(&self, now_ns: u64) -> (f32, f32) {
        let since_s = now_ns.saturating_sub(self.observed_ns) as f32 / 1e9;
        let kept = (-since_s / MEMORY_S).exp();
        ((self.answers + self.failures) * kept, self.failures * kept)
    }

    /// Forgets how it was judged, as it is given another chance: what it did before it was left
    /// alone would be held against it again.
    pub fn acquit(&mut self) {
        self.failures_in_a_row = 0;
        self.answers_in_a_row = 0;
        (self.answers, self.failures, self.failing) = (0.0, 0.0, 0.0);
        (self.peak_ms, self.mean_ms) = (0.0, 0.0);
    }
}

/// How many outcomes tell how things are just now.
const LAST_FEW: f32 = 8.0;

/// How many answers a mean is made of, at most.
const MEAN_OF: f32 = 50.0;

/// The loads of all endpoints as one worker sees them, by the number of the endpoint.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    by_id: Vec<Load>,
}

impl Loads {
    /// Makes room for the endpoint `id`, before it can be picked.
    pub fn know(&mut self, id: u32) {
        let needed = id as usize + 1;
        if self.by_id.len() < needed {
            self.by_id.resize(needed, Load::default());
        }
    }

    /// That of the endpoint `id`.
    #[must_use]
    #[inline]
    pub fn at(&self, id: u32) -> Load {
        self.by_id.get(id as usize).copied().unwrap_or_default()
    }

    /// That of the endpoint `id`, to be changed.
    #[inline]
    pub fn at_mut(&mut self, id: u32) -> &mut Load {
        self.know(id);
        &mut self.by_id[id as usize]
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> &Load {
        const NOTHING: &Load = &Load {
            running: 0,
            failures_in_a_row: 0,
            answers_in_a_row: 0,
            peak_ms: 0.0,
            mean_ms: 0.0,
            answers: 0.0,
            failures: 0.0,
            failing: 0.0,
            observed_ns: 0,
            silent_since_ns: 0,
        };
        self.by_id.get(id as usize).unwrap_or(NOTHING)
    }
}
