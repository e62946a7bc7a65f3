//! All input and output. Nothing outside this module and `main` touches a socket, a file, a clock or a thread.

pub mod backtest;
pub mod cli;
pub mod clock;
pub mod connect;
pub mod csv_file;
pub mod demo;
pub mod evaluate;
pub mod event_files;
pub mod http;
pub mod inbox;
pub mod ingest;
pub mod kafka;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod owners;
pub mod recent;
pub mod service;
pub mod session_file;
pub mod shard;
pub mod tap;
pub mod topics;
pub mod version;
