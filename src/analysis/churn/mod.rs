//! Churn: how likely a customer is not to order again within the horizon.
//!
//! The customer side tells moments: the first order of a day, and looks in silence. They meet in one market
//! partition, which keeps a fair sample of customers, fits BG/NBD to it by a job, learns a logistic regression from
//! moments whose horizon is over, and publishes both as one whole model: see `docs/decisions/0003-churn-learns-from-a-sample.md`.

mod config;
mod customer;
mod market;
pub mod model;
mod refit;
mod sample;
#[cfg(test)]
mod tests;

use super::Descriptor;
use crate::event::TimeMs;

pub use config::Config;

pub const DESCRIPTOR: Descriptor = Descriptor {
    id: 3,
    name: "churn",
    purpose: "tells how likely a customer is not to order again within the horizon",
    memory_bytes_max: 0,
    version: 1,
    customer: |_| Box::new(customer::Churn),
    market: |config, _| Box::new(market::Learning::new(&config.churn)),
    models: &[(MODEL, model::compile)],
    job: Some(refit::job),
};

/// The whole model's name.
pub const MODEL: &str = "churn";

/// Numbers of a moment's features.
pub const FEATURES: usize = 8;

const DAY_MS: TimeMs = 86_400_000;
