//! Seeded randomness: the same seed gives the same traffic on every machine and for ever, which a
//! library that may change its algorithm between versions does not promise. xoshiro256++ by
//! Blackman and Vigna, seeded through SplitMix64 as its authors advise. Not for secrets.

/// A stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut word = seed;
        let state = std::array::from_fn(|_| split_mix(&mut word));
        Self { state }
    }

    /// Another stream of the same seed: equal `lane`s give equal streams.
    pub(crate) fn lane(seed: u64, lane: u64) -> Self {
        let mut word = seed ^ lane.wrapping_mul(0xA076_1D64_78BD_642F);
        Self::new(split_mix(&mut word))
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number in `0..bound`; 0 where `bound` is 0. The bias of the multiplication is below
    /// `bound / 2^64`, nothing that traffic could show.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index into something of `len` elements.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
        low.saturating_add(i64::try_from(self.below(span)).unwrap_or(0))
    }

    /// A number in `[0, 1)` of 53 random bits.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with probability `share`.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// One of `items`; none if there are none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }

    /// `len` letters of `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).filter_map(|_| self.pick(alphabet).copied().map(char::from)).collect()
    }
}

fn split_mix(word: &mut u64) -> u64 {
    *word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *word;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_stream_and_lanes_differ() {
        let take = |mut rng: Rng| [rng.next(), rng.next(), rng.next()];
        assert_eq!(take(Rng::new(7)), take(Rng::new(7)));
        assert_eq!(take(Rng::lane(7, 1)), take(Rng::lane(7, 1)));
        assert_ne!(take(Rng::lane(7, 1)), take(Rng::lane(7, 2)));
        assert_ne!(take(Rng::new(7)), take(Rng::new(8)));
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_its_ends() {
        let mut rng = Rng::new(1);
        let seen: std::collections::BTreeSet<i64> = (0..500).map(|_| rng.between(-2, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        assert!((0..500).all(|_| rng.unit() < 1.0));
        assert_eq!(rng.below(0), 0);
        assert!(!rng.chance(0.0) && rng.chance(1.0));
    }
}
