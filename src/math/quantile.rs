//! Quantiles and ranks of a stream in bounded memory.

use serde::{Deserialize, Serialize};

/// Quantiles of any finite numbers with a bounded relative error (DDSketch: Masson, Rim, Lee, 2019).
///
/// Value x falls in bucket ceil(log_g |x|), g = (1 + a) / (1 - a), apart by sign. A quantile comes back as its
/// bucket's middle, so it is off by at most the share `a` of itself. Each sign keeps at most `buckets_max`
/// buckets; beyond that the ones nearest zero are joined, and only quantiles that fall there lose the bound.
/// Sketches with equal settings merge, and the result does not depend on the order of values or merges unless
/// buckets were joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileSketch {
    relative_error: f64,
    negative: Buckets,
    n_zero: u64,
    positive: Buckets,
}

/// Magnitudes below this count as zero, above its inverse as that.
const MAGNITUDE_MIN: f64 = 1e-12;

impl QuantileSketch {
    /// `relative_error` is cut to [1e-4, 0.5], `buckets_max` to at least 2.
    pub fn new(relative_error: f64, buckets_max: usize) -> Self {
        let buckets = Buckets { buckets_max: buckets_max.max(2), ..Buckets::default() };
        Self {
            relative_error: if relative_error.is_nan() { 0.01 } else { relative_error.clamp(1e-4, 0.5) },
            negative: buckets.clone(),
            n_zero: 0,
            positive: buckets,
        }
    }

    fn log_base(&self) -> f64 {
        libm::log((1.0 + self.relative_error) / (1.0 - self.relative_error))
    }

    /// Takes in one value. NaN is refused: false.
    pub fn add(&mut self, x: f64) -> bool {
        if x.is_nan() {
            return false;
        }
        let magnitude = x.abs().min(1.0 / MAGNITUDE_MIN);
        if magnitude < MAGNITUDE_MIN {
            self.n_zero += 1;
            return true;
        }
        let index = libm::ceil(libm::log(magnitude) / self.log_base()) as i32;
        if x > 0.0 {
            self.positive.add(index, 1)
        } else {
            self.negative.add(index, 1)
        }
        true
    }

    /// Adds what `other` saw. False, and nothing done, when its settings differ.
    pub fn merge(&mut self, other: &Self) -> bool {
        let is_alike = self.relative_error == other.relative_error
            && self.positive.buckets_max == other.positive.buckets_max;
        if is_alike {
            self.n_zero += other.n_zero;
            self.positive.merge(&other.positive);
            self.negative.merge(&other.negative);
        }
        is_alike
    }

    /// Values so far.
    pub fn n(&self) -> u64 {
        self.negative.n() + self.n_zero + self.positive.n()
    }

    /// The value with at least the share `q` (0 to 1) of all values at or below it; `None` before the first.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let n = self.n();
        if n == 0 || q.is_nan() {
            return None;
        }
        let rank = (libm::ceil(q.clamp(0.0, 1.0) * n as f64) as u64).clamp(1, n);
        let n_negative = self.negative.n();
        if rank <= n_negative {
            return Some(-self.middle(self.negative.index_of_rank(n_negative + 1 - rank)));
        }
        if rank <= n_negative + self.n_zero {
            return Some(0.0);
        }
        Some(self.middle(self.positive.index_of_rank(rank - n_negative - self.n_zero)))
    }

    /// The value of a bucket that is off by the same share at both of its ends.
    fn middle(&self, index: i32) -> f64 {
        libm::exp(f64::from(index) * self.log_base()) * (1.0 - self.relative_error)
    }

    /// Own and heap size.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.positive.counts.capacity() + self.negative.counts.capacity())
    }
}

/// Counts of consecutive buckets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Buckets {
    buckets_max: usize,
    /// Index of `counts[0]`.
    first: i32,
    counts: Vec<u64>,
}

impl Buckets {
    fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, index: i32, n: u64) {
        if self.counts.is_empty() {
            self.first = index;
        }
        let last = self.first + self.counts.len() as i32 - 1;
        let lowest = index.max(last) - (self.buckets_max as i32 - 1);
        if index < self.first && self.first > lowest {
            let n_new = (self.first - index.max(lowest)) as usize;
            self.counts.reserve_exact(n_new);
            self.counts.splice(0..0, std::iter::repeat_n(0, n_new));
            self.first -= n_new as i32;
        } else if index > last {
            self.join_below(lowest);
            if self.counts.is_empty() {
                self.first = self.first.max(lowest);
            }
            let len = (index - self.first + 1) as usize;
            self.counts.reserve_exact(len - self.counts.len());
            self.counts.resize(len, 0);
        }
        self.counts[(index.max(self.first) - self.first) as usize] += n;
    }

    /// Joins all buckets below `lowest` into the bucket `lowest`.
    fn join_below(&mut self, lowest: i32) {
        if lowest <= self.first || self.counts.is_empty() {
            return;
        }
        let n_joined = ((lowest - self.first) as usize).min(self.counts.len());
        let joined: u64 = self.counts.drain(..n_joined).sum();
        self.first = lowest;
        match self.counts.first_mut() {
            Some(count) => *count += joined,
            None => self.counts.push(joined),
        }
    }

    fn merge(&mut self, other: &Self) {
        // From the top, so that joining happens once and at the right place.
        for (i, n) in other.counts.iter().enumerate().rev() {
            if *n > 0 {
                self.add(other.first + i as i32, *n);
            }
        }
    }

    /// The bucket that holds the `rank`th smallest magnitude, from 1.
    fn index_of_rank(&self, rank: u64) -> i32 {
        let mut below = 0;
        for (i, n) in self.counts.iter().enumerate() {
            below += n;
            if below >= rank {
                return self.first + i as i32;
            }
        }
        self.first + self.counts.len() as i32 - 1
    }
}

/// The share of recent scores at or below a score: a detector's output made comparable with any other's.
///
/// Scores lie in [0, 1]. They are counted by their odds s / (1 - s) on a scale of 2^-16 to 2^16 with 64 steps
/// an octave, so that both ends of the range are fine: 2 048 bins, at most .0028 wide at one half and within
/// 1.6 % of s or 1 - s elsewhere. The weight of a score halves each time `half_life_n` more have come. A
/// Fenwick tree over the bins makes both calls 11 steps. 33 KB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankEstimator {
    /// By how much the weight of the next score exceeds that of the last.
    growth: f64,
    weight_next: f64,
    total: f64,
    n: u64,
    bins: Vec<f64>,
    /// Fenwick tree over `bins`: entry i (from 1) is the sum of the i & -i bins that end with bin i.
    sums: Vec<f64>,
}

const OCTAVES: i32 = 32;
const STEPS: usize = 64;
const N_BINS: usize = OCTAVES as usize * STEPS;

impl RankEstimator {
    /// `half_life_n`: in scores; at least 1. Infinity never forgets.
    pub fn new(half_life_n: f64) -> Self {
        let half_life_n = if half_life_n.is_nan() { f64::INFINITY } else { half_life_n.max(1.0) };
        Self {
            growth: libm::exp2(1.0 / half_life_n),
            weight_next: 1.0,
            total: 0.0,
            n: 0,
            bins: vec![0.0; N_BINS],
            sums: vec![0.0; N_BINS + 1],
        }
    }

    /// In (0, 1): the weighted share of scores below `score`, its own bin counted up to its place there, with
    /// one unseen score in the middle. 0.5 before the first score and for NaN.
    pub fn rank(&self, score: f64) -> f64 {
        if score.is_nan() {
            return 0.5;
        }
        let (bin, place) = bin_of(score);
        let mut below = place * self.bins[bin];
        let mut i = bin;
        while i > 0 {
            below += self.sums[i];
            i &= i - 1;
        }
        // The unseen score weighs what the last one did.
        let unseen = self.weight_next / self.growth;
        ((below + 0.5 * unseen) / (self.total + unseen)).clamp(0.0, 1.0)
    }

    /// Takes in one score, cut to [0, 1]. NaN is refused: false.
    pub fn add(&mut self, score: f64) -> bool {
        if score.is_nan() {
            return false;
        }
        let bin = bin_of(score).0;
        self.bins[bin] += self.weight_next;
        self.total += self.weight_next;
        let mut i = bin + 1;
        while i <= N_BINS {
            self.sums[i] += self.weight_next;
            i += i & i.wrapping_neg();
        }
        self.n += 1;
        self.weight_next *= self.growth;
        if self.weight_next > 1e12 {
            self.rescale();
        }
        true
    }

    /// Scores so far.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Own and heap size; constant.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.bins.capacity() + self.sums.capacity())
    }

    /// Brings the weights back to one and builds the sums anew, which also drops what rounding left in them.
    fn rescale(&mut self) {
        for bin in &mut self.bins {
            *bin /= self.weight_next;
        }
        self.weight_next = 1.0;
        self.total = self.bins.iter().sum();
        self.sums[1..].copy_from_slice(&self.bins);
        for i in 1..=N_BINS {
            let parent = i + (i & i.wrapping_neg());
            if parent <= N_BINS {
                self.sums[parent] += self.sums[i];
            }
        }
    }
}

/// The bin of a score and its place within, 0 to 1. The octave and the step are read off the float's bits.
fn bin_of(score: f64) -> (usize, f64) {
    let score = score.clamp(0.0, 1.0);
    let scaled = score / (1.0 - score) * f64::from(1 << (OCTAVES / 2));
    if scaled < 1.0 {
        return (0, 0.0);
    }
    let octave = (scaled.to_bits() >> 52) as i32 - 1023;
    if octave >= OCTAVES {
        return (N_BINS - 1, 1.0);
    }
    let mantissa = f64::from_bits(scaled.to_bits() & ((1 << 52) - 1) | (1023 << 52));
    let steps = (mantissa - 1.0) * STEPS as f64;
    let step = steps as usize;
    (octave as usize * STEPS + step, steps - step as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::math::rng::Rng;

    proptest! {
        #[test]
        fn quantiles_are_within_the_relative_error(
            xs in proptest::collection::vec(prop_oneof![-1e6..1e6_f64, -1.0..1.0_f64, Just(0.0)], 1..200),
            q in 0.0..=1.0_f64,
            cut in 0_usize..200,
        ) {
            let (mut whole, mut left, mut right) =
                (QuantileSketch::new(0.01, 4096), QuantileSketch::new(0.01, 4096), QuantileSketch::new(0.01, 4096));
            for (i, x) in xs.iter().enumerate() {
                whole.add(*x);
                if i < cut { left.add(*x) } else { right.add(*x) };
            }
            prop_assert!(left.merge(&right));
            let mut sorted = xs.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = (libm::ceil(q * xs.len() as f64) as usize).clamp(1, xs.len());
            let expected = sorted[rank - 1];
            for got in [whole.quantile(q).unwrap(), left.quantile(q).unwrap()] {
                prop_assert!((got - expected).abs() <= 0.0101 * expected.abs() + 1e-12, "{got} {expected}");
            }
        }

        #[test]
        fn ranks_match_the_weighted_list(
            scores in proptest::collection::vec(0.0..=1.0_f64, 1..300),
            probe in 0.001..0.999_f64,
        ) {
            let mut estimator = RankEstimator::new(50.0);
            scores.iter().for_each(|s| { estimator.add(*s); });
            let weigh = |i: usize| libm::exp2((i as f64 - scores.len() as f64) / 50.0);
            let below = |bound: f64| -> f64 {
                scores.iter().enumerate().filter(|(_, s)| **s <= bound).map(|(i, _)| weigh(i)).sum()
            };
            let unseen = weigh(scores.len() - 1);
            let total = below(1.0) + unseen;
            // A probe's own bin is within 1.6 % of s and of 1 - s.
            let width = 0.017 * probe.min(1.0 - probe);
            let got = estimator.rank(probe);
            prop_assert!(got * total >= below(probe - width) + 0.4 * unseen - 1e-9);
            prop_assert!(got * total <= below(probe + width) + 0.6 * unseen + 1e-9);
        }
    }

    #[test]
    fn buckets_stay_within_their_limit_and_the_top_stays_right() {
        let mut sketch = QuantileSketch::new(0.01, 64);
        let mut rng = Rng::seeded(&[1]);
        let mut xs: Vec<f64> = (0..20_000).map(|_| libm::exp(5.0 * rng.normal())).collect();
        for x in &xs {
            sketch.add(*x);
            assert!(sketch.positive.counts.len() <= 64);
        }
        xs.sort_by(f64::total_cmp);
        let got = sketch.quantile(1.0).unwrap();
        assert!((got / xs[xs.len() - 1] - 1.0).abs() < 0.011);
        assert_eq!(sketch.n(), 20_000);
        for x in [f64::MAX, f64::MIN, 1e-300, 1e-11] {
            sketch.add(x);
        }
        assert!(sketch.bytes() < 4096 && !sketch.add(f64::NAN));
        assert!(!sketch.merge(&QuantileSketch::new(0.02, 64)));
        assert_eq!(QuantileSketch::new(0.01, 64).quantile(0.5), None);
    }

    #[test]
    fn ranks_forget_and_are_uniform_on_their_own_stream() {
        let mut estimator = RankEstimator::new(1000.0);
        let mut rng = Rng::seeded(&[2]);
        assert_eq!(estimator.rank(0.9), 0.5);
        // A million scores near 0.4, then a shift to 0.6: weights are rescaled many times on the way.
        for _ in 0..60_000 {
            estimator.add(0.4 + 0.02 * rng.normal());
        }
        assert!(estimator.rank(0.6) > 0.999);
        for _ in 0..20_000 {
            estimator.add(0.6 + 0.02 * rng.normal());
        }
        let mut ranks: Vec<f64> = (0..2000).map(|_| estimator.rank(0.6 + 0.02 * rng.normal())).collect();
        ranks.sort_by(f64::total_cmp);
        for (i, rank) in ranks.iter().enumerate() {
            assert!((rank - i as f64 / 2000.0).abs() < 0.06, "{i} {rank}");
        }
        assert_eq!(estimator.n(), 80_000);
        assert!(estimator.bytes() < 34_000 && !estimator.add(f64::NAN));
        for score in [0.0, 1.0, -3.0, 7.0, f64::INFINITY, 1e-300, 1.0 - 1e-16] {
            let rank = estimator.rank(score);
            assert!((0.0..=1.0).contains(&rank), "{score} {rank}");
            estimator.add(score);
        }
    }
}
