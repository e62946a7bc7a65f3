//! Prequential loops and metrics behind `backtest`, and the workloads of every speed figure.

pub mod workload;
