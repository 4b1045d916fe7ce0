//! Latencies in buckets that are at most 1/64 (1.6 %) wide, whatever their magnitude.

const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; bucket(u64::MAX) + 1], total: 0, max: 0 }
    }

    pub fn add(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// The upper end of the bucket that `share` of all values do not exceed.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_end(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    (u64::from(shift) * STEPS + (value >> shift)) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let step = bucket - shift * STEPS;
    (step << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_narrow_bucket() {
        let powers = (0..63).map(|bit| 1_u64 << bit);
        for value in (0..2000).chain(powers.flat_map(|power| [power - 1, power, power + power / 3]))
        {
            let upper = upper_end(bucket(value));
            assert!(upper >= value && upper - value <= value / 64, "{value} {upper}");
        }
    }

    #[test]
    fn quantiles_are_within_a_bucket() {
        let mut histogram = Histogram::new();
        (1..=100_000).for_each(|value| histogram.add(value));
        for (share, exact) in [(0.5, 50_000), (0.99, 99_000), (1.0, 100_000)] {
            let found = histogram.quantile(share);
            assert!(found >= exact && found - exact <= exact / 64, "{share} {found}");
        }
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert_eq!(Histogram::new().quantile(0.99), 0);
    }
}
