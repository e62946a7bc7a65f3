//! Prequential loops and metrics behind `backtest`, and the workloads of every speed figure.

pub mod labels;
pub mod prequential;
pub mod ranking;
pub mod rows;
pub mod sessions;
pub mod workload;
