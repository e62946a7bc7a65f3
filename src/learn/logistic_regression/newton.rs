//! The step of a Newton member: how far each weight moves for the error of a row.

use serde::{Deserialize, Serialize};

/// Running inverse of the curvature of the log loss.
///
/// After rows z with probabilities p it is (1 / variance + sum of p (1 - p) z zᵀ)⁻¹, with the variance that a weight
/// has before any row, kept by the formula of Sherman and Morrison:
/// the covariance of a static Kalman filter. It only ever shrinks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Newton {
    n: usize,
    prior_variance: f64,
    /// Row by row; symmetric.
    inverse: Box<[f64]>,
}

/// A row of a certain prediction still bends the loss by this much.
const CURVATURE_MIN: f64 = 1e-3;

impl Newton {
    /// For `n` weights.
    pub fn new(n: usize, prior_variance: f64) -> Self {
        let mut newton = Self { n, prior_variance, inverse: vec![0.0; n * n].into() };
        newton.reset();
        newton
    }

    /// Takes in a row that was given probability `p`, and writes to `gains` by how much each weight falls for an
    /// error of 1.
    pub fn gains(&mut self, z: &[f64], p: f64, gains: &mut [f64]) {
        gains.iter_mut().zip(self.times(z)).for_each(|(gain, product)| *gain = product);
        let square: f64 = gains.iter().zip(z).map(|(gain, z)| gain * z).sum();
        let divisor = 1.0 / (p * (1.0 - p)).max(CURVATURE_MIN) + square;
        // Rounding can spoil a matrix after very many rows.
        if square < 0.0 || !divisor.is_finite() {
            self.reset();
            return gains.fill(0.0);
        }
        for (row, gain) in self.inverse.chunks_exact_mut(self.n).zip(&*gains) {
            let share = gain / divisor;
            for (a, other) in row.iter_mut().zip(&*gains) {
                *a -= share * other;
            }
        }
        let left = 1.0 - square / divisor;
        gains.iter_mut().for_each(|gain| *gain *= left);
    }

    /// The inverse times `z`.
    pub fn times(&self, z: &[f64]) -> impl Iterator<Item = f64> {
        self.inverse.chunks_exact(self.n).map(move |row| row.iter().zip(z).map(|(a, z)| a * z).sum())
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.inverse)
    }

    fn reset(&mut self) {
        self.inverse.fill(0.0);
        self.inverse.iter_mut().step_by(self.n + 1).for_each(|a| *a = self.prior_variance);
    }
}
