//! What the market stage publishes of churn.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::models::Form;
use crate::customer::orders::day_of;
use crate::event::TimeMs;
use crate::learn::bg_nbd::{Parameters, Summary};
use crate::learn::{Classifier, LogisticRegression};

/// The whole model of [`super::MODEL`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    /// The horizon that both sides below are about.
    pub horizon_days: u16,
    /// In days.
    pub bg_nbd: Parameters,
    /// None until both together have told churn better than BG/NBD alone.
    pub logistic: Option<LogisticRegression>,
}

impl Model {
    /// Of no order within the horizon, 0 to 1. `features` are those of a [`crate::signal::fact::ChurnMoment`].
    pub fn probability(&self, summary: &Summary, features: &[f32]) -> f64 {
        let bg_nbd = self.bg_nbd.probability_of_no_order(summary, f64::from(self.horizon_days));
        let learned = self
            .logistic
            .as_ref()
            .map(|logistic| logistic.predict_one(&row(&self.bg_nbd, self.horizon_days, summary, features)));
        learned.map_or(bg_nbd, |learned| mean(bg_nbd, learned))
    }
}

/// The scoring form of a published content. It is the learner itself: 2 KB, of which a form that only scores would
/// need 1.
pub(super) fn compile(content: &[u8]) -> Result<Form, String> {
    let model: Model = postcard::from_bytes(content).map_err(|error| error.to_string())?;
    if !model.bg_nbd.is_valid() || model.horizon_days == 0 {
        return Err(format!("{:?} over {} days", model.bg_nbd, model.horizon_days));
    }
    Ok(Arc::new(model))
}

/// What both say together. What is learned from labels knows last season only, and what is fitted to orders knows no
/// other features: on a year of a gift shop's orders the mean was better than either, on order days and in silence.
pub(super) fn mean(bg_nbd: f64, logistic: f64) -> f64 {
    0.5 * (bg_nbd + logistic)
}

/// BG/NBD's view of a customer at a moment, in whole days: orders count by day.
pub fn summary(repeats: u32, first_day: u16, last_day: u16, time_ms: TimeMs) -> Summary {
    let days = |to: u16| f64::from(to.saturating_sub(first_day));
    // An order that comes late is of a day before the last one.
    Summary::new(repeats, days(last_day), days(day_of(time_ms).max(last_day)))
}

/// What logistic regression sees: BG/NBD's log-odds, then the features.
pub fn row(bg_nbd: &Parameters, horizon_days: u16, summary: &Summary, features: &[f32]) -> Vec<f64> {
    let p = bg_nbd.probability_of_no_order(summary, f64::from(horizon_days)).clamp(1e-9, 1.0 - 1e-9);
    let log_odds = libm::log(p / (1.0 - p));
    std::iter::once(log_odds).chain(features.iter().map(|x| f64::from(*x))).collect()
}
