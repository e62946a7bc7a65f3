//! Churn: how likely a customer is not to order again within the horizon.
//!
//! It is asked on the first order of each of a customer's days, and ever more seldom while the customer is silent:
//! moments. The answer goes out when its band changes. The moments meet in one market partition, which keeps a fair
//! sample of customers, fits BG/NBD to it by a job, learns a logistic regression from moments whose horizon is over,
//! and publishes both as one whole model: see `docs/decisions/0003-churn-learns-from-a-sample.md`.

mod bands;
mod config;
mod customer;
pub mod features;
mod market;
pub mod model;
mod reasons;
mod refit;
mod sample;
#[cfg(test)]
mod tests;

use super::Descriptor;
use crate::customer::orders::DAY_MS;

pub use bands::Published;
pub use config::Config;

pub const DESCRIPTOR: Descriptor = Descriptor {
    id: 3,
    name: "churn",
    purpose: "tells how likely a customer is not to order again, on orders and in silence",
    memory_bytes_max: 1,
    version: 1,
    customer: |_| Box::new(customer::Churn),
    market: |config, _| Box::new(market::Learning::new(&config.churn)),
    models: &[(MODEL, model::compile)],
    job: Some(refit::job),
};

/// The whole model's name.
pub const MODEL: &str = "churn";

/// Numbers of a moment's features; [`features`] says which.
pub const FEATURES: usize = 12;
