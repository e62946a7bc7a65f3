//! Keeps a detector from learning what it has just called anomalous.

use serde::{Deserialize, Serialize};

/// Decides from a score, made before learning, whether its row may be learned.
///
/// Without it a burst of anomalies is the new normal within one window of the detector.
///
/// - Input: a score per row, in the order of the stream, higher for more anomalous.
/// - Output: `true` to learn the row. The first 1 000 rows are always learned. After them a row whose score lies
///   more than 3 standard deviations above the mean of recent scores is skipped. Each skipped score still pulls
///   the mean up a little, so that a gate which has shut out a new normal opens again after some 10 000 rows.
/// - Cost: constant time, 32 bytes.
/// - Source: the rule measured around random cut forest for this project (research on anomaly detection, 2.3);
///   the idea is MemStream's beta (Bhatia et al., 2022) and the protected detector of River's `QuantileFilter`.
/// - Differs: mean and variance start as those of the rows so far, not from zero.
/// - Checked: beside the code, against the rule written out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LearnGate {
    n_seen: u64,
    n_skipped: u64,
    mean: f64,
    variance: f64,
}

/// Rows that are always learned.
const WARM_UP: u64 = 1_000;
/// Share of the distance by which a learned score moves the mean, and a skipped one.
const RATE: f64 = 1e-3;
const RATE_SKIPPED: f64 = 1e-4;
const DEVIATIONS: f64 = 3.0;

impl LearnGate {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one score; whether its row may be learned. A non-finite score is skipped and leaves no trace
    /// but its count.
    pub fn admit(&mut self, score: f64) -> bool {
        self.n_seen += 1;
        if !score.is_finite() {
            self.n_skipped += 1;
            return false;
        }
        let delta = score - self.mean;
        if self.n_seen > WARM_UP && delta > DEVIATIONS * libm::sqrt(self.variance) {
            self.mean += RATE_SKIPPED * delta;
            self.n_skipped += 1;
            return false;
        }
        let rate = RATE.max(1.0 / self.n_seen as f64);
        self.mean += rate * delta;
        self.variance = (1.0 - rate) * (self.variance + rate * delta * delta);
        true
    }

    /// Scores seen so far.
    pub fn n_seen(&self) -> u64 {
        self.n_seen
    }

    /// Rows not learned so far.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// Share of all rows that were not learned, 0 to 1: a metric to watch, for a gate that skips much is wrong.
    pub fn skipped_share(&self) -> f64 {
        self.n_skipped as f64 / self.n_seen.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::Rng;

    #[test]
    fn a_burst_is_shut_out_and_a_new_normal_let_in() {
        let (mut gate, mut rng) = (LearnGate::new(), Rng::seeded(&[7]));
        for _ in 0..5_000 {
            gate.admit(0.4 + 0.02 * rng.normal());
        }
        assert!(gate.skipped_share() < 0.01, "{}", gate.skipped_share());
        let before = gate.n_skipped();
        for _ in 0..200 {
            assert!(!gate.admit(0.7));
        }
        assert_eq!(gate.n_skipped(), before + 200);
        assert!(gate.admit(0.4));
        let n_until_open = (0..100_000).position(|_| gate.admit(0.7)).unwrap();
        assert!((5_000..40_000).contains(&n_until_open), "{n_until_open}");
    }

    #[test]
    fn moments_follow_the_rule() {
        let (mut gate, mut rng) = (LearnGate::new(), Rng::seeded(&[8]));
        let scores: Vec<f64> = (0..1_000).map(|_| rng.uniform()).collect();
        scores.iter().for_each(|s| assert!(gate.admit(*s)));
        let mean = scores.iter().sum::<f64>() / 1_000.0;
        let variance = scores.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / 1_000.0;
        assert!((gate.mean - mean).abs() < 1e-12 && (gate.variance - variance).abs() < 1e-12);
        let (m, v) = (gate.mean, gate.variance);
        assert!(gate.admit(0.9));
        let d = 0.9 - m;
        assert!((gate.mean - (m + 1e-3 * d)).abs() < 1e-15);
        assert!((gate.variance - 0.999 * (v + 1e-3 * d * d)).abs() < 1e-15);
        assert!(!gate.admit(f64::NAN) && !gate.admit(f64::INFINITY));
        assert!(gate.mean.is_finite());
    }
}
