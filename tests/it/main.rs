//! Everything that needs no broker, in one binary.
#![allow(clippy::unwrap_used)]

mod churn;
mod codec;
mod conformance;
mod isolation_forest;
mod item_to_item;
mod logistic_regression;
mod market;
mod partition;
mod tabular;
mod tidy;

#[cfg(feature = "service")]
mod api;
#[cfg(feature = "service")]
mod backtest;
#[cfg(feature = "service")]
mod bg_nbd;
#[cfg(feature = "service")]
mod cli;
#[cfg(feature = "service")]
mod config;
#[cfg(feature = "service")]
mod demo;
#[cfg(feature = "service")]
mod embedded;
#[cfg(feature = "service")]
mod evaluate;
#[cfg(feature = "service")]
mod folder;
#[cfg(feature = "service")]
mod http;
#[cfg(feature = "service")]
mod metrics;
#[cfg(feature = "service")]
mod orders;
#[cfg(feature = "service")]
mod repurchase;
#[cfg(feature = "service")]
mod sessions;

#[cfg(feature = "service")]
#[path = "../log/mod.rs"]
mod log;
