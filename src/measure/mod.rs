//! Prequential loops and metrics behind `backtest` and `evaluate`, and the workloads of every speed figure.

pub mod churn;
pub mod classification;
pub mod labels;
pub mod lists;
pub mod orders;
pub mod prequential;
pub mod ranking;
pub mod regression;
pub mod rows;
pub mod sessions;
pub mod table;
pub mod workload;
