//! Prequential loops and metrics behind `backtest` and `evaluate`, and the workloads of every speed figure.

pub mod classification;
pub mod labels;
<<<<<<< HEAD
pub mod lists;
=======
pub mod orders;
>>>>>>> 84e453781c78c7f5e7dd92c41eed8d91a8dfe4d8
pub mod prequential;
pub mod ranking;
pub mod regression;
pub mod rows;
pub mod sessions;
pub mod table;
pub mod workload;
