//! Churn: how likely a customer is not to order again within the horizon.

pub mod model;

/// The whole model's name.
pub const MODEL: &str = "churn";

/// Numbers of a moment's features.
pub const FEATURES: usize = 8;
