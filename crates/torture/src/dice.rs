//! Random numbers that are the same for the same seed, on every machine and in every version (SplitMix64).

use std::ops::RangeInclusive;

/// A source of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in this range.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// A size in this range, each power of two as likely as the next.
    pub(crate) fn size(&mut self, range: RangeInclusive<usize>) -> usize {
        let (low, high) = (range.start().max(&1).ilog2(), range.end().max(&1).ilog2());
        let power = 1 << self.within(u64::from(low)..=u64::from(high));
        let size = power + usize::try_from(self.within(0..=power as u64 - 1)).unwrap_or_default();
        size.clamp(*range.start(), *range.end())
    }

    /// Whether something that happens so many times in a hundred happens now.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.within(0..=99) < percent
    }

    /// One of these, each as likely as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut left = self.within(1..=choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if left <= *weight {
                return *choice;
            }
            left -= weight;
        }
        choices[0].1
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_decides_everything() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            (0..100).map(|_| dice.within(1..=6)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
        assert!((1..=6).all(|face| rolls(7).contains(&face)));
    }

    #[test]
    fn sizes_stay_in_their_range() {
        let mut dice = Dice::new(1);
        let sizes: Vec<usize> = (0..1000).map(|_| dice.size(3..=5000)).collect();
        assert!(sizes.iter().all(|size| (3..=5000).contains(size)));
        assert!(sizes.iter().any(|size| *size < 10) && sizes.iter().any(|size| *size > 2500));
    }
}
