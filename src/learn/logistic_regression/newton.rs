//! The step of a Newton member: how far each weight moves for the error of a row.

use serde::{Deserialize, Serialize};

/// Running inverse of the curvature of the log loss.
///
/// After rows z with probabilities p it is (I + sum of p (1 - p) z zᵀ)⁻¹, kept by the formula of Sherman and Morrison:
/// the covariance of a static Kalman filter, from a normal prior of variance 1. It only ever shrinks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Newton {
    /// Row by row; symmetric.
    inverse: Box<[f64]>,
    /// Of the row last taken in.
    gains: Box<[f64]>,
}

/// A row of a certain prediction still bends the loss by this much.
const CURVATURE_MIN: f64 = 1e-3;

impl Newton {
    /// For `n` weights.
    pub fn new(n: usize) -> Self {
        let mut inverse: Box<[f64]> = vec![0.0; n * n].into();
        reset(&mut inverse, n);
        Self { inverse, gains: vec![0.0; n].into() }
    }

    /// Takes in a row that was given probability `p`; by how much each weight falls for an error of 1.
    pub fn gains(&mut self, z: &[f64], p: f64) -> &[f64] {
        let Self { inverse, gains } = self;
        let n = gains.len();
        gains.fill(0.0);
        for (row, z) in inverse.chunks_exact(n).zip(z) {
            gains.iter_mut().zip(row).for_each(|(gain, a)| *gain += a * z);
        }
        let square: f64 = gains.iter().zip(z).map(|(gain, z)| gain * z).sum();
        let divisor = 1.0 / (p * (1.0 - p)).max(CURVATURE_MIN) + square;
        // Rounding can spoil a matrix after very many rows.
        if square < 0.0 || !divisor.is_finite() {
            reset(inverse, n);
            gains.fill(0.0);
            return gains;
        }
        let scale = 1.0 / divisor;
        for (row, gain) in inverse.chunks_exact_mut(n).zip(&*gains) {
            row.iter_mut().zip(&*gains).for_each(|(a, other)| *a -= gain * other * scale);
        }
        let left = 1.0 - square * scale;
        gains.iter_mut().for_each(|gain| *gain *= left);
        gains
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.inverse) + size_of_val(&*self.gains)
    }

    /// The inverse times `x`.
    #[cfg(test)]
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let product = |row: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum();
        self.inverse.chunks_exact(self.gains.len()).map(product).collect()
    }
}

/// To the identity.
fn reset(inverse: &mut [f64], n: usize) {
    inverse.fill(0.0);
    inverse.iter_mut().step_by(n + 1).for_each(|a| *a = 1.0);
}
