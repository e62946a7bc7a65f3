//! Recalibrates probabilities where that pays, and leaves them alone where it does not.

use serde::{Deserialize, Serialize};

use crate::math::logistic::logistic;

/// A probability, and what a learned curve makes of it, weighed against each other by their log loss.
///
/// The curve bends log-odds: it is linear between knots and never falls (isotonic: Zadrozny, Elkan, 2002; in pieces:
/// Lucena, "Spline-Based Probability Calibration", 2018). It begins as the identity, and with a tenth of the weight. By
/// Bayes' rule that costs 0.11 nats in all where the given probabilities are right, and what is given back at each row
/// costs 0.0001 a row: so what is calibrated stays calibrated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Calibration {
    pub(super) knots: Box<[Knot]>,
    /// What the curve weighs.
    share: f64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Knot {
    pub(super) log_odds: f64,
    /// How much the log loss of the rows beside it bends, which is how hard it has become to move.
    curvature: f64,
}

/// Knots stand every half from -8 to 8.
const LOG_ODDS_MAX: f64 = 8.0;
const SPACING: f64 = 0.5;
const KNOTS: usize = 33;
/// Curvature of a knot before any row, and of a row at least; a row of even odds has a quarter.
const FIRST_CURVATURE: f64 = 1.0;
const CURVATURE_MIN: f64 = 1e-3;
const FIRST_SHARE: f64 = 0.1;
/// What goes back to the first shares at each row.
const SHARED: f64 = 1e-4;

impl Default for Calibration {
    fn default() -> Self {
        let knot = |at| Knot { log_odds: SPACING * at as f64 - LOG_ODDS_MAX, curvature: FIRST_CURVATURE };
        Self { knots: (0..KNOTS).map(knot).collect(), share: FIRST_SHARE }
    }
}

impl Calibration {
    pub fn calibrated(&self, p: f64) -> f64 {
        p + self.share * (self.on_curve(place(p)) - p)
    }

    /// Takes in the label of a row that was given probability `p`.
    pub fn learn(&mut self, p: f64, y: bool) {
        let place = place(p);
        let curved = self.on_curve(place);
        let of_label = |p: f64| if y { p } else { 1.0 - p };
        let (kept, bent) = ((1.0 - self.share) * of_label(p), self.share * of_label(curved));
        self.share = bent / (kept + bent);
        self.share += SHARED * (FIRST_SHARE - self.share);
        self.bend(place, curved, y);
    }

    /// Heap only.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.knots)
    }

    fn on_curve(&self, (at, part): (usize, f64)) -> f64 {
        let (below, above) = (self.knots[at].log_odds, self.knots[at + 1].log_odds);
        let [p] = logistic(&[below + part * (above - below)]);
        p
    }

    /// Newton's step on each of the two knots beside a row; then what falls is made level.
    fn bend(&mut self, (at, part): (usize, f64), curved: f64, y: bool) {
        let (error, curvature) = (curved - f64::from(y), (curved * (1.0 - curved)).max(CURVATURE_MIN));
        for (knot, near) in self.knots[at..at + 2].iter_mut().zip([1.0 - part, part]) {
            knot.curvature += curvature * near;
            knot.log_odds -= error * near / knot.curvature;
        }
        let [below, above] = [self.knots[at], self.knots[at + 1]];
        let (mut low, mut high) = (below.log_odds, above.log_odds);
        if low > high {
            let level = low + (high - low) * above.curvature / (below.curvature + above.curvature);
            (low, high) = (level, level);
        }
        let least = at.checked_sub(1).map_or(f64::NEG_INFINITY, |before| self.knots[before].log_odds);
        let most = self.knots.get(at + 2).map_or(f64::INFINITY, |after| after.log_odds);
        self.knots[at].log_odds = low.clamp(least, most);
        self.knots[at + 1].log_odds = high.clamp(least, most);
    }
}

/// The knot below a probability's log-odds, and which part of the way to the next it lies.
fn place(p: f64) -> (usize, f64) {
    let log_odds = libm::log(p / (1.0 - p)).clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX);
    let way = (log_odds + LOG_ODDS_MAX) / SPACING;
    let at = (way as usize).min(KNOTS - 2);
    (at, way - at as f64)
}
