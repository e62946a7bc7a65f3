//! How well a cohort's future was told: by the model, and by rules that need none.

use serde::Serialize;

use super::Cohort;
use crate::learn::bg_nbd::Parameters;
use crate::measure::regression::{mae, rmse};
use crate::measure::table::{Quality, Task};

/// Who orders nothing in the window is the positive class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rated {
    #[serde(flatten)]
    pub churn: Quality,
    /// Where a number of orders is predicted, too.
    #[serde(flatten)]
    pub orders: Option<Count>,
}

/// Predicted numbers of orders in the window against the true ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Count {
    pub mae: f64,
    pub rmse: f64,
    /// Sum predicted by sum true; None where nobody ordered.
    pub total_ratio: Option<f64>,
}

/// Each customer's chance of no order in the window, and how good these chances and the expected numbers are.
/// The cohort has a customer.
pub fn bg_nbd(cohort: &Cohort, parameters: &Parameters) -> (Vec<f64>, Rated) {
    let chance = |customer| parameters.probability_of_no_order(customer, cohort.horizon);
    let number = |customer| parameters.expected_orders(customer, cohort.horizon);
    let chances: Vec<f64> = cohort.summaries.iter().map(chance).collect();
    let orders = count(cohort, cohort.summaries.iter().map(number));
    let churn = churn(cohort, Task::Classification, chances.iter().copied());
    (chances, Rated { churn, orders: Some(orders) })
}

/// Rules to be beaten. `recency`: who ordered last longest ago churns first. `frequency`: who has the fewest orders.
/// `rate`: each goes on at its own rate of repeat orders so far. `no_skill`: the true share of churn and the true
/// mean number of orders, the same for everybody. The cohort has a customer.
pub fn baselines(cohort: &Cohort) -> Vec<(&'static str, Rated)> {
    let n = cohort.len();
    let silences = cohort.summaries.iter().map(|customer| customer.age() - customer.recency());
    let fewest = cohort.n_before.iter().map(|n_orders| -f64::from(*n_orders));
    let rates = cohort.summaries.iter().map(|customer| {
        let rate = f64::from(customer.n_repeats()) / customer.age();
        if rate.is_finite() { rate * cohort.horizon } else { 0.0 }
    });
    let share = (0..n).filter(|at| cohort.churned(*at)).count() as f64 / n as f64;
    let mean = cohort.n_after.iter().map(|n_orders| f64::from(*n_orders)).sum::<f64>() / n as f64;
    let ranks = |scores: &mut dyn Iterator<Item = f64>| churn(cohort, Task::Anomaly, scores);
    vec![
        ("recency", Rated { churn: ranks(&mut { silences }), orders: None }),
        ("frequency", Rated { churn: ranks(&mut { fewest }), orders: None }),
        (
            "rate",
            Rated { churn: ranks(&mut rates.clone().map(|rate| -rate)), orders: Some(count(cohort, rates)) },
        ),
        (
            "no_skill",
            Rated {
                churn: churn(cohort, Task::Classification, std::iter::repeat_n(share, n)),
                orders: Some(count(cohort, std::iter::repeat_n(mean, n))),
            },
        ),
    ]
}

fn churn(cohort: &Cohort, task: Task, scores: impl Iterator<Item = f64>) -> Quality {
    let labelled = scores.enumerate().map(|(at, score)| (score, f64::from(cohort.churned(at))));
    Quality::of(task, &labelled.collect::<Vec<_>>())
}

fn count(cohort: &Cohort, predicted: impl Iterator<Item = f64>) -> Count {
    let pairs: Vec<(f64, f64)> = predicted.zip(cohort.n_after.iter().map(|n| f64::from(*n))).collect();
    let (sum, truth) = pairs.iter().fold((0.0, 0.0), |(p, t), (predicted, y)| (p + predicted, t + y));
    Count { mae: mae(&pairs), rmse: rmse(&pairs), total_ratio: (truth > 0.0).then(|| sum / truth) }
}
