//! A second attempt before the first has answered, when that takes unusually long.
//!
//! Dean and Barroso, "The Tail at Scale", 2013: a few percent more requests, and the slow tail of one
//! endpoint is no longer the tail of the service.

/// When a request is hedged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgePolicy {
    /// When it has taken longer than this share of the requests do (0 to 1).
    pub percentile: f32,
    /// No sooner than this.
    pub least_ms: f32,
}

impl Default for HedgePolicy {
    fn default() -> Self {
        Self { percentile: 0.95, least_ms: 5.0 }
    }
}

/// Buckets for each doubling: an answer is off by less than 13 %.
const PER_DOUBLING: usize = 8;

/// From an eighth of a millisecond up to two minutes.
const DOUBLINGS: usize = 20;

const BUCKETS: usize = PER_DOUBLING * DOUBLINGS;

/// The lowest that is told apart.
const LOWEST_MS: f32 = 0.125;

/// What is remembered: the last one to two thousand requests.
const REMEMBERED_MAX: u32 = 2_048;

/// How many requests must have been seen before a percentile is known.
const NEEDED: u32 = 100;

/// After how many requests the percentile is looked up again.
const LOOKED_UP_EVERY: u32 = 32;

/// A percentile of a stream of latencies, as it has been of late. 400 bytes, a few nanoseconds each.
#[derive(Clone, Debug)]
pub struct Percentile {
    share: f32,
    counts: [u16; BUCKETS],
    total: u32,
    since_lookup: u32,
    known_ms: f32,
}

impl Percentile {
    /// Of this share, from 0 to 1.
    #[must_use]
    pub const fn new(share: f32) -> Self {
        Self { share, counts: [0; BUCKETS], total: 0, since_lookup: 0, known_ms: 0.0 }
    }

    /// Takes a latency.
    #[inline]
    pub fn record(&mut self, took_ms: f32) {
        self.counts[bucket(took_ms)] += 1;
        self.total += 1;
        if self.total >= REMEMBERED_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.since_lookup += 1;
        if self.since_lookup >= LOOKED_UP_EVERY {
            self.since_lookup = 0;
            self.known_ms = self.find();
        }
    }

    /// The percentile in milliseconds, rounded up; `None` as long as too little is known.
    #[must_use]
    #[inline]
    pub fn ms(&self) -> Option<f32> {
        (self.total >= NEEDED).then_some(self.known_ms)
    }

    fn find(&self) -> f32 {
        let wanted = self.total as f32 * self.share;
        let mut seen = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += f32::from(*count);
            if seen >= wanted {
                return upper_ms(at);
            }
        }
        upper_ms(BUCKETS - 1)
    }
}

/// The exponent of a float and the first bits of its fraction are a logarithm already.
fn bucket(took_ms: f32) -> usize {
    let scaled = (took_ms / LOWEST_MS).max(1.0);
    let steps = (scaled.to_bits() >> 20) - (1.0_f32.to_bits() >> 20);
    (steps as usize).min(BUCKETS - 1)
}

fn upper_ms(bucket: usize) -> f32 {
    let bits = (1.0_f32.to_bits() >> 20) + bucket as u32 + 1;
    f32::from_bits(bits << 20) * LOWEST_MS
}

impl HedgePolicy {
    /// How long to wait for the first attempt; `None` is until it answers.
    #[must_use]
    pub fn wait_ms(&self, latencies: &Percentile) -> Option<f32> {
        latencies.ms().map(|ms| ms.max(self.least_ms))
    }
}
