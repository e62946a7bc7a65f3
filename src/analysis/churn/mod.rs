//! Churn: how likely a customer is not to order again within the horizon.
//!
//! It is asked on the first order of each of a customer's days, and ever more seldom while the customer is silent.
//! The answer goes out when its band changes.

mod bands;
mod customer;
pub mod features;
pub mod model;
mod reasons;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Frozen, MarketOutput, MarketSide, Quality};
use crate::event::TimeMs;
use crate::signal::fact::Fact;

pub use bands::Published;

pub const DESCRIPTOR: Descriptor = Descriptor {
    id: 3,
    name: "churn",
    purpose: "tells how likely a customer is not to order again, on orders and in silence",
    memory_bytes_max: 1,
    version: 1,
    customer: |_| Box::new(customer::Churn),
    market: |_, _| Box::new(Silent),
};

/// The whole model's name.
pub const MODEL: &str = "churn";

/// Numbers of a moment's features; [`features`] says which.
pub const FEATURES: usize = 12;

/// Settings that shape state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub horizon_days: u16,
}

impl Default for Config {
    fn default() -> Config {
        Config { horizon_days: 90 }
    }
}

/// A market side that does nothing.
struct Silent;

impl MarketSide for Silent {
    fn fold(&mut self, _fact: &Fact, _output: &mut MarketOutput) {}

    fn tick(&mut self, _time_ms: TimeMs, _output: &mut MarketOutput) {}

    fn freeze(&self) -> Frozen {
        Box::new(Vec::new)
    }

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }

    fn quality(&self) -> Quality {
        Quality::default()
    }
}
