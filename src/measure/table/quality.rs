//! How good the scores of a run were.

use serde::Serialize;

use super::Task;
use crate::measure::{classification, ranking, regression};

/// The numbers that apply to a task; ranks are None where only one class was met.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Quality {
    Anomaly {
        n: usize,
        positives: usize,
        auc: Option<f64>,
        average_precision: Option<f64>,
    },
    Classification {
        n: usize,
        positives: usize,
        auc: Option<f64>,
        average_precision: Option<f64>,
        log_loss: f64,
        brier: f64,
        accuracy: f64,
        ece: f64,
    },
    Regression {
        n: usize,
        mae: f64,
        rmse: f64,
    },
}

impl Quality {
    /// Of (score, label) pairs, at least one; a label is 0 or 1 but for regression.
    pub fn of(task: Task, scored: &[(f64, f64)]) -> Quality {
        let n = scored.len();
        if task == Task::Regression {
            return Quality::Regression { n, mae: regression::mae(scored), rmse: regression::rmse(scored) };
        }
        let mut scores: Vec<(f64, bool)> =
            scored.iter().map(|(score, label)| (*score, *label > 0.5)).collect();
        let positives = scores.iter().filter(|(_, positive)| *positive).count();
        let (auc, average_precision) = ranking::quality(&mut scores).unzip();
        if task == Task::Anomaly {
            return Quality::Anomaly { n, positives, auc, average_precision };
        }
        Quality::Classification {
            n,
            positives,
            auc,
            average_precision,
            log_loss: classification::log_loss(&scores),
            brier: classification::brier(&scores),
            accuracy: classification::accuracy(&scores),
            ece: classification::ece(&scores),
        }
    }
}
