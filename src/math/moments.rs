//! Count, mean and variance of a stream.

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mean and variance by definition, in two passes.
    fn batch(xs: &[f64]) -> (f64, f64) {
        let mean = xs.iter().sum::<f64>() / xs.len() as f64;
        (mean, xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / xs.len() as f64)
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
            let (mean, variance) = batch(&xs);
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
    }

    #[test]
    fn nan_is_refused_and_the_huge_stays_finite() {
        let mut moments = Moments::default();
        assert!(!moments.add(f64::NAN));
        assert_eq!(moments, Moments::default());
        for x in [f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, 0.0] {
            moments.add(x);
        }
        assert!(moments.variance().is_finite() && moments.mean().is_finite());
    }
}
