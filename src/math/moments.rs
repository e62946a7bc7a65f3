//! Count, mean and variance of a stream, over all of it or fading with event time.

use serde::{Deserialize, Serialize};

use super::decay::{HalfLife, Landmark};

/// Values beyond this count as this, so that their squares can be summed without overflow.
pub const MAGNITUDE_MAX: f64 = 1e150;

/// Count, mean and variance of all values so far (Welford, 1962; merging after Chan, Golub, LeVeque, 1979).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    n: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    m2: f64,
}

impl Moments {
    /// Takes in one value. NaN is refused: false. Beyond [`MAGNITUDE_MAX`] a value is cut to it.
    pub fn add(&mut self, x: f64) -> bool {
        if x.is_nan() {
            return false;
        }
        let x = x.clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
        self.n += 1;
        let delta = x - self.mean;
        self.mean += delta / self.n as f64;
        self.m2 += delta * (x - self.mean);
        true
    }

    /// As if all that `other` saw had been added here.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let n = self.n + other.n;
        let delta = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        self.mean += delta * share;
        self.m2 += other.m2 + delta * delta * self.n as f64 * share;
        self.n = n;
    }

    pub fn n(&self) -> u64 {
        self.n
    }

    /// 0 before the first value.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Of the population (divided by n), at least 0; 0 for fewer than two values.
    pub fn variance(&self) -> f64 {
        if self.n < 2 { 0.0 } else { (self.m2 / self.n as f64).max(0.0) }
    }

    /// Square root of [`Self::variance`]; the processor's own, which rounds correctly everywhere.
    pub fn standard_deviation(&self) -> f64 {
        self.variance().sqrt()
    }
}

/// Weight, mean and variance in which each value's weight halves every half-life of event time. 32 bytes.
///
/// Values may come in any order of their times: the result is the same up to rounding (see [`super::decay`]).
/// The half-life is an argument, the same one at every call.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DecayedMoments {
    landmark: Landmark,
    /// In weights of the landmark, like `m2`.
    weight: f64,
    mean: f64,
    m2: f64,
}

impl DecayedMoments {
    /// Takes in one value at `time_ms`. NaN is refused: false. Beyond [`MAGNITUDE_MAX`] a value is cut to it.
    pub fn add(&mut self, half_life: HalfLife, time_ms: i64, x: f64) -> bool {
        if x.is_nan() {
            return false;
        }
        let x = x.clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
        let (weight, factor) = self.landmark.weigh(half_life, time_ms, self.weight == 0.0);
        self.weight *= factor;
        self.m2 *= factor;
        let total = self.weight + weight;
        if total > 0.0 {
            let delta = x - self.mean;
            self.mean += delta * (weight / total);
            self.m2 += weight * delta * (x - self.mean);
            self.weight = total;
        }
        true
    }

    /// The number of values, each faded to what it weighs at `now_ms`.
    pub fn n_at(&self, half_life: HalfLife, now_ms: i64) -> f64 {
        self.weight * self.landmark.seen_at(half_life, now_ms)
    }

    /// The weighted mean, which does not depend on when one looks; 0 before the first value.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Of the population, at least 0; 0 before the first value.
    pub fn variance(&self) -> f64 {
        if self.weight > 0.0 { (self.m2 / self.weight).max(0.0) } else { 0.0 }
    }

    /// Square root of [`Self::variance`].
    pub fn standard_deviation(&self) -> f64 {
        libm::sqrt(self.variance())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mean and variance by definition, in two passes.
    fn batch(weighted: &[(f64, f64)]) -> (f64, f64) {
        let total: f64 = weighted.iter().map(|(w, _)| w).sum();
        let mean = weighted.iter().map(|(w, x)| w * x).sum::<f64>() / total;
        (mean, weighted.iter().map(|(w, x)| w * (x - mean) * (x - mean)).sum::<f64>() / total)
    }

    fn near(got: f64, expected: f64, scale: f64) -> bool {
        (got - expected).abs() <= 1e-9 * scale.max(1.0)
    }

    proptest! {
        #[test]
        fn moments_match_two_passes(
            xs in proptest::collection::vec(-1e3..1e3_f64, 1..80),
            offset in -1e6..1e6_f64,
            cut in 0_usize..80,
        ) {
            let xs: Vec<f64> = xs.iter().map(|x| x + offset).collect();
            let (mean, variance) = batch(&xs.iter().map(|x| (1.0, *x)).collect::<Vec<_>>());
            let (mut whole, mut left, mut right) = <(Moments, Moments, Moments)>::default();
            for (i, x) in xs.iter().enumerate() {
                whole.add(*x);
                if i < cut { left.add(*x) } else { right.add(*x) };
            }
            left.merge(&right);
            for got in [whole, left] {
                prop_assert_eq!(got.n(), xs.len() as u64);
                prop_assert!(near(got.mean(), mean, offset.abs()));
                prop_assert!((got.variance() - variance).abs() <= 1e-6 * variance.max(1.0));
            }
        }

        #[test]
        fn decayed_moments_match_two_passes_in_any_order(
            events in proptest::collection::vec((0_i64..2_000_000, -1e3..1e3_f64), 1..60),
            half_life_ms in 10_000_i64..900_000,
            turn in 0_usize..60,
        ) {
            let half_life = HalfLife::from_ms(half_life_ms);
            let now = events.iter().map(|e| e.0).max().unwrap();
            let weigh = |t: i64| libm::exp2((t - now) as f64 / half_life_ms as f64);
            let weighted: Vec<_> = events.iter().map(|(t, x)| (weigh(*t), *x)).collect();
            let (mean, variance) = batch(&weighted);
            let total: f64 = weighted.iter().map(|(w, _)| w).sum();
            let mut turned = events.clone();
            turned.rotate_left(turn % events.len());
            let mut got = DecayedMoments::default();
            for (t, x) in &turned {
                got.add(half_life, *t, *x);
            }
            prop_assert!(near(got.mean(), mean, 1e3), "{} {mean}", got.mean());
            prop_assert!(near(got.variance(), variance, 1e6), "{} {variance}", got.variance());
            prop_assert!(near(got.n_at(half_life, now), total, total));
        }
    }

    #[test]
    fn nan_is_refused_and_the_huge_stays_finite() {
        let (mut moments, mut decayed) = (Moments::default(), DecayedMoments::default());
        let half_life = HalfLife::from_days(1);
        assert!(!moments.add(f64::NAN) && !decayed.add(half_life, 0, f64::NAN));
        assert_eq!((moments, decayed.variance()), (Moments::default(), 0.0));
        for (i, x) in [f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, 0.0].into_iter().enumerate() {
            moments.add(x);
            decayed.add(half_life, i as i64, x);
        }
        assert!(moments.variance().is_finite() && moments.mean().is_finite());
        assert!(decayed.variance().is_finite() && decayed.mean().is_finite());
    }
}
