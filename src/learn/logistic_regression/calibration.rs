//! Recalibrates probabilities where that pays, and leaves them alone where it does not.

use serde::{Deserialize, Serialize};

use super::logistic;
use super::newton::Newton;

/// A probability rescaled by Platt's method, learned online, and the probability itself, weighed against each other
/// by their log loss.
///
/// The rescaled log-odds are slope times log-odds plus intercept, learned by Newton's steps from 1 and 0. They begin
/// with a tenth of the weight. By Bayes' rule that costs 0.1 nats in all where the given probabilities are right,
/// and what is given back at each row costs 0.0001: so what is calibrated stays calibrated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Calibration {
    slope: f64,
    intercept: f64,
    newton: Newton,
    /// What the rescaled probability weighs.
    share: f64,
}

const FIRST_SHARE: f64 = 0.1;
/// What goes back to the first shares at each row.
const SHARED: f64 = 1e-4;
/// Prior variance of slope and intercept: about forty rows of even odds.
const PRIOR_VARIANCE: f64 = 0.1;
const LOG_ODDS_MAX: f64 = 12.0;

impl Default for Calibration {
    fn default() -> Self {
        Self { slope: 1.0, intercept: 0.0, newton: Newton::new(2, PRIOR_VARIANCE), share: FIRST_SHARE }
    }
}

impl Calibration {
    pub fn calibrated(&self, p: f64) -> f64 {
        p + self.share * (self.rescaled(log_odds(p)) - p)
    }

    /// Takes in the label of a row that was given probability `p`.
    pub fn learn(&mut self, p: f64, y: bool) {
        let log_odds = log_odds(p);
        let rescaled = self.rescaled(log_odds);
        let of_label = |p: f64| if y { p } else { 1.0 - p };
        let (kept, changed) = ((1.0 - self.share) * of_label(p), self.share * of_label(rescaled));
        self.share = changed / (kept + changed);
        self.share += SHARED * (FIRST_SHARE - self.share);
        let error = rescaled - f64::from(y);
        let gains = self.newton.gains(&[log_odds, 1.0], rescaled);
        self.slope -= error * gains[0];
        self.intercept -= error * gains[1];
    }

    /// Heap only.
    pub fn bytes(&self) -> usize {
        self.newton.bytes()
    }

    /// A falling line would turn the ranking round.
    fn rescaled(&self, log_odds: f64) -> f64 {
        let margin = self.slope.max(0.0) * log_odds + self.intercept;
        logistic(margin.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX))
    }
}

fn log_odds(p: f64) -> f64 {
    libm::log(p / (1.0 - p)).clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX)
}
