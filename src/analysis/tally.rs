//! Scores and what came true, counted by bins: prequential figures in bounded memory.

use serde::{Deserialize, Serialize};

use super::Quality;

const BINS: usize = 1001;
/// Of calibration; the bins of `measure::classification::ece`.
const GAPS: usize = 10;
/// A probability counts as this far from 0 and 1 at least.
const CLIP: f64 = 1e-9;

/// Counts of labelled scores from 0 to 1. Ranking figures see a score as its nearest thousandth; log loss and
/// calibration error see it as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// By bin: negatives, positives.
    bins: Vec<[u64; 2]>,
    /// Of the log losses, and by tenth of what was said less what came true.
    loss: f64,
    gaps: [f64; GAPS],
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { bins: vec![[0; 2]; BINS], loss: 0.0, gaps: [0.0; GAPS] }
    }
}

impl Tally {
    /// A score that is missing (NaN) counts for nothing.
    pub fn add(&mut self, score: f64, is_positive: bool) {
        if score.is_nan() {
            return;
        }
        let score = score.clamp(0.0, 1.0);
        // Up to 1000.
        let bin = (score * (BINS - 1) as f64 + 0.5) as usize;
        self.bins[bin.min(BINS - 1)][usize::from(is_positive)] += 1;
        self.loss += log_loss(score, is_positive);
        let gap = ((score * GAPS as f64) as usize).min(GAPS - 1);
        self.gaps[gap] += score - f64::from(u8::from(is_positive));
    }

    /// All figures, of scores that are probabilities.
    pub fn quality(&self) -> Quality {
        let mut quality = self.ranking();
        if quality.labels > 0 {
            let labels = quality.labels as f64;
            quality.log_loss = Some(self.loss / labels);
            quality.ece = Some(self.gaps.iter().map(|gap| libm::fabs(*gap)).sum::<f64>() / labels);
        }
        quality
    }

    /// The figures of scores that only rank.
    pub fn ranking(&self) -> Quality {
        ranked(&self.bins)
    }

    /// Heap only.
    pub fn bytes(&self) -> usize {
        self.bins.len() * size_of::<[u64; 2]>()
    }
}

/// -ln of the probability given to what happened, in nats, at most 21.
pub fn log_loss(p: f64, is_positive: bool) -> f64 {
    -libm::log((if is_positive { p } else { 1.0 - p }).clamp(CLIP, 1.0))
}

/// Area under the curve (ties count half) and average precision, from negatives and positives by rising score.
pub fn ranked(labelled: &[[u64; 2]]) -> Quality {
    let (negatives, positives) = labelled.iter().fold((0, 0), |(n, p), [of_n, of_p]| (n + of_n, p + of_p));
    let mut quality = Quality { labels: negatives + positives, positives, ..Quality::default() };
    if positives == 0 || negatives == 0 {
        return quality;
    }
    let (mut pairs, mut precision, mut n_above, mut p_above) = (0.0, 0.0, 0_u64, 0_u64);
    for [of_n, of_p] in labelled.iter().rev() {
        pairs += *of_n as f64 * (p_above as f64 + 0.5 * *of_p as f64);
        n_above += of_n;
        p_above += of_p;
        if *of_p > 0 {
            precision += *of_p as f64 * p_above as f64 / (p_above + n_above) as f64;
        }
    }
    quality.auc = Some(pairs / (positives as f64 * negatives as f64));
    quality.average_precision = Some(precision / positives as f64);
    quality
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_equal_their_definitions() {
        let scores = [(0.9, true), (0.5, false), (0.5, true), (0.1, false), (0.12, false), (0.7, false)];
        let mut tally = Tally::default();
        tally.add(f64::NAN, true);
        scores.iter().for_each(|(p, y)| tally.add(*p, *y));
        let quality = tally.quality();
        assert_eq!((quality.labels, quality.positives), (6, 2));
        // Of 8 pairs, 0.9 wins 4 and 0.5 wins 2, ties 1 and loses 1.
        assert!((quality.auc.expect("both classes") - 6.5 / 8.0).abs() < 1e-12);
        let loss: f64 = scores.iter().map(|(p, y)| -libm::log(if *y { *p } else { 1.0 - p })).sum();
        assert!((quality.log_loss.expect("labels") - loss / 6.0).abs() < 1e-12);
        // Tenths of 0.1 and 0.12, of 0.5 and 0.5, of 0.7, of 0.9.
        assert!((quality.ece.expect("labels") - (0.22 + 0.0 + 0.7 + 0.1) / 6.0).abs() < 1e-12);
        assert_eq!(tally.ranking().log_loss, None);
    }
}
