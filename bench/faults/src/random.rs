//! Chance from a seed: SplitMix64.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Above 0, up to 1.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// With a mean of 1: half of them below 0.88, one in a hundred above 2.8.
    pub fn lognormal(&mut self) -> f64 {
        const SIGMA: f64 = 0.5;
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        (SIGMA * normal - SIGMA * SIGMA / 2.0).exp()
    }

    /// Gaps between arrivals that know nothing of each other, with a mean of 1.
    pub fn gap(&mut self) -> f64 {
        -self.unit().ln()
    }
}
