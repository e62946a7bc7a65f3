//! Running scalers: what they know of a feature is what the stream has shown of it so far.

use serde::{Deserialize, Serialize};

use super::{Learner, Scaler};
use crate::math::moments::{MAGNITUDE_MAX, Moments};

/// Running z-score of each feature: (x - mean) / standard deviation.
///
/// - Input: a row of features; NaN is missing and neither learned nor changed.
/// - Output: deviations from the mean in units of the population standard deviation, taken as 1 below 1e-12.
/// - Cost: constant time and 24 bytes a feature.
/// - Source: Welford (1962); the causal form of anomaly benchmarks and of River's `StandardScaler`.
/// - Differs: a magnitude beyond 1e150 counts as that, so that every result is finite.
/// - Checked: `math::moments` against two passes; here against the definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardScaler {
    features: Box<[Moments]>,
    n_learned: u64,
}

impl StandardScaler {
    pub fn new(n_features: usize) -> Self {
        Self { features: vec![Moments::default(); n_features].into(), n_learned: 0 }
    }
}

impl Scaler for StandardScaler {
    fn learn_one(&mut self, x: &[f64]) {
        for (moments, x) in self.features.iter_mut().zip(x) {
            moments.add(*x);
        }
        self.n_learned += 1;
    }

    fn scale_one(&self, x: &[f64], scaled: &mut Vec<f64>) {
        scaled.clear();
        scaled.extend(self.features.iter().enumerate().map(|(i, moments)| {
            let deviation = moments.standard_deviation();
            (value(x, i) - moments.mean()) / if deviation < 1e-12 { 1.0 } else { deviation }
        }));
    }
}

impl Learner for StandardScaler {
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.features)
    }

    fn bytes_max(&self) -> usize {
        self.bytes()
    }

    fn n_learned(&self) -> u64 {
        self.n_learned
    }
}

/// Running min-max of each feature: (x - min) / (max - min).
///
/// - Input: a row of features; NaN is missing and neither learned nor changed.
/// - Output: 0 to 1 for a value within what was learned, outside for one beyond. A range of 0, or of a feature
///   never seen, is taken as 1.
/// - Cost: constant time and 16 bytes a feature.
/// - Source: the usual definition, causal as in River's `MinMaxScaler`.
/// - Differs: a magnitude beyond 1e150 counts as that, so that every result is finite.
/// - Checked: here against the definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinMaxScaler {
    /// Least and greatest value; the first above the second before any.
    features: Box<[(f64, f64)]>,
    n_learned: u64,
}

impl MinMaxScaler {
    pub fn new(n_features: usize) -> Self {
        Self { features: vec![(MAGNITUDE_MAX, -MAGNITUDE_MAX); n_features].into(), n_learned: 0 }
    }
}

impl Scaler for MinMaxScaler {
    fn learn_one(&mut self, x: &[f64]) {
        for (i, (min, max)) in self.features.iter_mut().enumerate() {
            // The float's own min and max pass NaN by.
            *min = min.min(value(x, i));
            *max = max.max(value(x, i));
        }
        self.n_learned += 1;
    }

    fn scale_one(&self, x: &[f64], scaled: &mut Vec<f64>) {
        scaled.clear();
        scaled.extend(self.features.iter().enumerate().map(|(i, (min, max))| {
            let is_seen = min <= max;
            let (low, range) = if is_seen { (*min, max - min) } else { (0.0, 1.0) };
            let share = (value(x, i) - low) / if range > 0.0 { range } else { 1.0 };
            share.clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX)
        }));
    }
}

impl Learner for MinMaxScaler {
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.features)
    }

    fn bytes_max(&self) -> usize {
        self.bytes()
    }

    fn n_learned(&self) -> u64 {
        self.n_learned
    }
}

/// A feature's value within the magnitudes that can be computed with; NaN when the row does not have it.
fn value(x: &[f64], i: usize) -> f64 {
    x.get(i).copied().unwrap_or(f64::NAN).clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column_without_nan(rows: &[[f64; 2]], i: usize) -> Vec<f64> {
        rows.iter().map(|row| row[i]).filter(|x| !x.is_nan()).collect()
    }

    proptest! {
        #[test]
        fn scaled_rows_match_the_definitions(
            rows in proptest::collection::vec(
                (prop_oneof![4 => -1e3..1e3_f64, 1 => Just(f64::NAN)], -5.0..5.0_f64), 1..60),
        ) {
            let rows: Vec<[f64; 2]> = rows.into_iter().map(|(a, b)| [a, b]).collect();
            let (mut standard, mut min_max) = (StandardScaler::new(2), MinMaxScaler::new(2));
            rows.iter().for_each(|row| { standard.learn_one(row); min_max.learn_one(row); });
            let last = rows[rows.len() - 1];
            let (mut z, mut share) = (vec![9.0; 7], Vec::new());
            standard.scale_one(&last, &mut z);
            min_max.scale_one(&last, &mut share);
            for i in 0..2 {
                let column = column_without_nan(&rows, i);
                if last[i].is_nan() {
                    prop_assert!(z[i].is_nan() && share[i].is_nan());
                    continue;
                }
                let n = column.len() as f64;
                let mean = column.iter().sum::<f64>() / n;
                let sd = libm::sqrt(column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n);
                let expected = (last[i] - mean) / if sd < 1e-12 { 1.0 } else { sd };
                prop_assert!((z[i] - expected).abs() < 1e-6, "{} {expected}", z[i]);
                let min = column.iter().copied().fold(f64::INFINITY, f64::min);
                let max = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let range = if max > min { max - min } else { 1.0 };
                prop_assert!((share[i] - (last[i] - min) / range).abs() < 1e-12);
            }
        }
    }
}
