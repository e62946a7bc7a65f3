//! How good probabilities are. All take (probability of the positive class, positive) pairs, at least one.

/// A probability counts as this far from 0 and 1 at least, so that one wrong certainty stays finite.
const CLIP: f64 = 1e-15;

/// Equal-width bins of [`ece`].
const BINS: usize = 10;

/// Mean of -ln(probability given to what happened), in nats; clipped at 1e-15.
pub fn log_loss(scores: &[(f64, bool)]) -> f64 {
    mean(scores, |p, positive| -libm::log((if positive { p } else { 1.0 - p }).clamp(CLIP, 1.0 - CLIP)))
}

/// Mean squared distance of the probability from what happened (Brier, 1950), in [0, 1].
pub fn brier(scores: &[(f64, bool)]) -> f64 {
    mean(scores, |p, positive| (p - f64::from(positive)) * (p - f64::from(positive)))
}

/// Share of rows on the right side of 0.5; 0.5 itself says positive.
pub fn accuracy(scores: &[(f64, bool)]) -> f64 {
    mean(scores, |p, positive| f64::from((p >= 0.5) == positive))
}

/// Expected calibration error (Naeini, Cooper, Hauskrecht, 2015): over ten bins of equal width, the mean
/// distance between mean probability and share of positives, weighted by rows. In [0, 1].
pub fn ece(scores: &[(f64, bool)]) -> f64 {
    let mut gaps = [0.0; BINS];
    for (p, positive) in scores {
        let bin = ((p * BINS as f64) as usize).min(BINS - 1);
        gaps[bin] += p - f64::from(*positive);
    }
    gaps.iter().map(|gap| libm::fabs(*gap)).sum::<f64>() / scores.len() as f64
}

fn mean(scores: &[(f64, bool)], loss: impl Fn(f64, bool) -> f64) -> f64 {
    scores.iter().map(|(p, positive)| loss(*p, *positive)).sum::<f64>() / scores.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [f64; 12] = [0.03, 0.97, 0.42, 0.58, 0.71, 0.13, 0.88, 0.66, 0.29, 0.52, 0.08, 0.93];
    const Y: [u8; 12] = [0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0];

    #[test]
    fn the_numbers_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1: log_loss, brier_score_loss, accuracy_score, and calibration_curve(n_bins=10) weighted
        // by the rows of each bin.
        let scores: Vec<(f64, bool)> = P.iter().zip(Y).map(|(p, y)| (*p, y == 1)).collect();
        for (got, expected) in [
            (log_loss(&scores), 0.5466732636963306),
            (brier(&scores), 0.17428333333333335),
            (accuracy(&scores), 0.75),
            (ece(&scores), 0.23833333333333337),
        ] {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }

    #[test]
    fn certainty_is_clipped_and_the_edges_have_bins() {
        assert!((log_loss(&[(1.0, false)]) - 15.0 * libm::log(10.0)).abs() < 0.01);
        assert!((log_loss(&[(0.0, true)]) - 15.0 * libm::log(10.0)).abs() < 1e-9);
        assert!(log_loss(&[(1.0, true), (0.0, false)]) < 1e-14);
        assert_eq!(ece(&[(1.0, true), (0.0, false)]), 0.0);
        assert_eq!(ece(&[(1.0, false), (0.95, true)]), 0.475);
        assert_eq!(accuracy(&[(0.5, true), (0.5, false)]), 0.5);
    }
}
