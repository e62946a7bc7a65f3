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
