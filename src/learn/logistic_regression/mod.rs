//! Logistic regression that needs no learning rate and says probabilities that hold.

use serde::{Deserialize, Serialize};

use self::calibration::Calibration;
use self::newton::Newton;
use super::{Classifier, Learner};
use crate::math::logistic::logistic;
use crate::math::moments::Moments;

mod calibration;
mod newton;

/// Online logistic regression: five members that differ in how they step, weighed by how well each has predicted.
///
/// No single learning rate fits all streams: a large one follows drift and never settles, a small one settles and is
/// left behind. So five members learn from every row, standardised by what the stream has shown of each feature, and
/// the probability is their mean. At last it is recalibrated where that has paid.
///
/// - Input: rows of `n_features` numbers of any scale. NaN is missing and counts as the mean.
/// - Output: probability of the positive class, in (0, 1). 0.5 before the first row.
/// - Cost: O(features) to predict. To learn also, plus O(features²) while there are no more than
///   [`NEWTON_FEATURES_MAX`]. 96 bytes a feature and, up to the same number, 8 (features + 1)² more.
/// - Source: two members step along the gradient over the squared length of the row, quickly and more quickly, and so
///   follow drift (normalised least mean squares: Nagumo, Noda, 1967; Ross, Mineiro, Langford, "Normalized Online
///   Learning", 2013). Two take the steps of AdaGrad (Duchi, Hazan, Singer, 2011). One takes Newton's, which come
///   close to the batch solution in one pass (de Vilmarest, Wintenberger, "Stochastic Online Optimization using
///   Kalman Recursion", 2021). Mixing over a grid of rates does as well as the best of them, whatever it is (van
///   Erven, Koolen, "MetaGrad", 2016), and as the best between drifts (Zhang, Lu, Zhou, "Adaptive Online Learning in
///   Dynamic Environments", 2018). By Bayes' rule on probabilities that costs ln 5 nats in all (Vovk, 1990); a
///   thousandth given back to all at each row lets the lead change (Herbster, Warmuth, "Tracking the Best Expert",
///   1998). Recalibration by an isotonic curve (Zadrozny, Elkan, 2002), online: `calibration.rs`.
/// - Differs: a value beyond five standard deviations counts as five, or a heavy tail would carry the margin away.
///   Newton's member has a normal prior of variance 1 a weight. The others have no L2 penalty: at 1e-5 it changed
///   nothing on ten tables, at 1e-3 it was worse on five.
/// - Limits: a label that comes late is compared with what would be said now. Where labels resemble the one before,
///   as on Elec2, the quick members then look better than they were: with a delay of 48 rows log loss is .68, where
///   River's best rate has .48. On the other tables a delay changes little.
/// - Checked: `tests/it/conformance.rs` (contract), `logistic_regression.rs` there (River 0.26.1 on real tables);
///   the price of mixing, Newton's steps against the batch solution, and the calibration beside the code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogisticRegression {
    n_learned: u64,
    features: Box<[Feature]>,
    /// One a feature, and last the intercept.
    coefficients: Box<[Coefficient]>,
    newton: Option<Newton>,
    /// What each member weighs in the mean; they sum to 1.
    shares: [f64; MEMBERS],
    /// Mean squared length of the standardised rows, the 1 of the intercept included.
    mean_square: f64,
    calibration: Calibration,
    /// The row last learned, standardised, with the 1 of the intercept.
    z: Box<[f64]>,
}

/// What the stream has shown of a feature.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Feature {
    moments: Moments,
    /// 1 over the standard deviation; 0 while the feature has not varied.
    scale: f64,
}

/// Up to this many features there is a Newton member: beyond, its square would be too large.
pub const NEWTON_FEATURES_MAX: usize = 128;

/// Rates of the normalised members: how far at most a row's own margin moves for an error of 1.
const RATES: [f64; 2] = [1.0, 3.0];
/// Rates of the AdaGrad members.
const ADAGRAD_RATES: [f64; 2] = [0.1, 0.5];
const MEMBERS: usize = RATES.len() + ADAGRAD_RATES.len() + 1;
const NEWTON: usize = MEMBERS - 1;

/// What goes back to equal shares at each row.
const SHARED: f64 = 1e-3;
/// As far as standard deviations and margins go, and as small as a probability gets that a share suffers from.
const DEVIATIONS_MAX: f64 = 5.0;
const MARGIN_MAX: f64 = 20.0;
const PROBABILITY_MIN: f64 = 1e-6;

/// A feature's weight in each member, and the sums of squared gradients of AdaGrad.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Coefficient {
    weights: [f64; MEMBERS],
    squares: [f64; ADAGRAD_RATES.len()],
}

impl LogisticRegression {
    pub fn new(n_features: usize) -> Self {
        let newton = (n_features <= NEWTON_FEATURES_MAX).then(|| Newton::new(n_features + 1));
        let members = if newton.is_some() { MEMBERS } else { NEWTON };
        let mut shares = [0.0; MEMBERS];
        shares[..members].fill(1.0 / members as f64);
        Self {
            n_learned: 0,
            features: vec![Feature::default(); n_features].into(),
            coefficients: vec![Coefficient::default(); n_features + 1].into(),
            newton,
            shares,
            mean_square: 0.0,
            calibration: Calibration::default(),
            z: vec![1.0; n_features + 1].into(),
        }
    }

    /// Learns the features of a row, and says what each member thinks of it.
    fn take_in(&mut self, x: &[f64]) -> [f64; MEMBERS] {
        self.n_learned += 1;
        let cells = x.iter().copied().chain(std::iter::repeat(f64::NAN));
        for ((feature, z), x) in self.features.iter_mut().zip(&mut self.z).zip(cells) {
            feature.learn(x);
            *z = feature.standardised(x);
        }
        let mut margins = [0.0; MEMBERS];
        for (coefficient, z) in self.coefficients.iter().zip(&self.z) {
            coefficient.add(*z, &mut margins);
        }
        probabilities(&margins)
    }

    fn mean(&self, probabilities: &[f64; MEMBERS]) -> f64 {
        self.shares.iter().zip(probabilities).map(|(share, p)| share * p).sum()
    }

    /// Bayes' rule on the shares, and a little back to all.
    fn weigh(&mut self, probabilities: &[f64; MEMBERS], y: bool) {
        let members = if self.newton.is_some() { MEMBERS } else { NEWTON };
        let shares = &mut self.shares[..members];
        for (share, p) in shares.iter_mut().zip(probabilities) {
            *share *= (if y { *p } else { 1.0 - p }).max(PROBABILITY_MIN);
        }
        let sum: f64 = shares.iter().sum();
        for share in shares {
            *share = *share / sum * (1.0 - SHARED) + SHARED / members as f64;
        }
    }

    /// One step of every member.
    fn step(&mut self, probabilities: &[f64; MEMBERS], y: bool) {
        let square: f64 = self.z.iter().map(|z| z * z).sum();
        self.mean_square += (square - self.mean_square) / self.n_learned as f64;
        let errors = probabilities.map(|p| p - f64::from(y));
        let length = square.max(self.mean_square);
        let steps: [f64; RATES.len()] = std::array::from_fn(|member| RATES[member] / length * errors[member]);
        for (coefficient, z) in self.coefficients.iter_mut().zip(&self.z) {
            let (weights, squares) = (&mut coefficient.weights, &mut coefficient.squares);
            for (weight, step) in weights.iter_mut().zip(&steps) {
                *weight -= step * z;
            }
            for (at, rate) in ADAGRAD_RATES.iter().enumerate() {
                let gradient = errors[RATES.len() + at] * z;
                squares[at] += gradient * gradient;
                weights[RATES.len() + at] -= rate * gradient / (squares[at] + f64::MIN_POSITIVE).sqrt();
            }
        }
        if let Some(newton) = &mut self.newton {
            let gains = newton.gains(&self.z, probabilities[NEWTON]);
            for (coefficient, gain) in self.coefficients.iter_mut().zip(gains) {
                coefficient.weights[NEWTON] -= errors[NEWTON] * gain;
            }
        }
    }
}

impl Classifier for LogisticRegression {
    fn predict_one(&self, x: &[f64]) -> f64 {
        let (intercept, coefficients) = self.coefficients.split_last().expect("there is always an intercept");
        let mut margins = intercept.weights;
        // A row that is too short lacks features that are missing, which add nothing.
        for ((feature, coefficient), x) in self.features.iter().zip(coefficients).zip(x) {
            coefficient.add(feature.standardised(*x), &mut margins);
        }
        self.calibration.calibrated(self.mean(&probabilities(&margins)))
    }

    fn learn_one(&mut self, x: &[f64], y: bool) {
        let probabilities = self.take_in(x);
        self.calibration.learn(self.mean(&probabilities), y);
        self.weigh(&probabilities, y);
        self.step(&probabilities, y);
    }
}

impl Feature {
    fn learn(&mut self, x: f64) {
        if self.moments.add(x) {
            let deviation = self.moments.standard_deviation();
            self.scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        }
    }

    /// In standard deviations; a missing value is the mean, and so is any of a feature that has not varied.
    fn standardised(&self, x: f64) -> f64 {
        let z = (x - self.moments.mean()) * self.scale;
        if z.is_nan() { 0.0 } else { z.clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX) }
    }
}

impl Coefficient {
    fn add(&self, z: f64, margins: &mut [f64; MEMBERS]) {
        for (margin, weight) in margins.iter_mut().zip(&self.weights) {
            *margin += weight * z;
        }
    }
}

/// What each member says.
fn probabilities(margins: &[f64; MEMBERS]) -> [f64; MEMBERS] {
    logistic(&margins.map(|margin| margin.clamp(-MARGIN_MAX, MARGIN_MAX)))
}

impl Learner for LogisticRegression {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.features)
            + size_of_val(&*self.coefficients)
            + size_of_val(&*self.z)
            + self.newton.as_ref().map_or(0, Newton::bytes)
            + self.calibration.bytes()
    }

    /// Everything is allocated at the start.
    fn bytes_max(&self) -> usize {
        self.bytes()
    }

    fn n_learned(&self) -> u64 {
        self.n_learned
    }
}

#[cfg(test)]
mod tests;
