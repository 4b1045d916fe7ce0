//! Repeatable chance: the same seed always throws the same numbers, on every machine and with every compiler.

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// SplitMix64: one addition and three mixes, and neighbouring seeds (article 7, article 8) have nothing in common.
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..sides`.
    pub fn below(&mut self, sides: usize) -> usize {
        (self.throw() % sides as u64) as usize
    }

    /// One of `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.throw() % (high - low + 1) as u64) as i64
    }

    /// A number in `low..high`, to a thousandth: enough for drawing.
    pub fn span(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.below(1000) as f64 / 1000.0)
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_numbers() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            [dice.below(1_000), dice.below(1_000), dice.below(1_000)]
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut dice = Dice::new(1);
        let seen: std::collections::BTreeSet<i64> = (0..200).map(|_| dice.between(-1, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-1, 0, 1, 2]);
    }
}
