//! Anomaly: payments that a fraud desk should look at.
//!
//! In its first form: the customer's own amount and velocity baselines, an isolation forest that the
//! partition learns, and the confirmed-fraud share of the terminal and the instrument. A verdict
//! changes the shares of the payment's entities within about two transactions.

mod customer;
mod market;
mod risk;

use serde::{Deserialize, Serialize};

use super::{Descriptor, parsed};
use crate::event::TimeMs;

pub const DESCRIPTOR: Descriptor = Descriptor {
    id: 1,
    name: "anomaly",
    purpose: "scores every payment and raises alerts on those that stand out",
    memory_bytes_max: 13,
    version: 4,
    customer: |config| Box::new(customer::Anomaly::new(&config.anomaly)),
    market: |config, _| Box::new(market::EntityRisk::new(&config.anomaly)),
    models: &[],
    job: None,
};

/// The shared table of entity risk; see [`market`] for its numbers.
pub const ENTITY_RISK: &str = "entity_risk";

/// Settings that shape state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Half-life of a verdict's weight in an entity's fraud share.
    pub entity_half_life_ms: TimeMs,
    /// Entities kept by a market partition at most.
    pub entities_max: u32,
    /// Payments that wait for a verdict in a market partition at most; the oldest goes first.
    pub waiting_max: u32,
    /// Seed of the isolation forests.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config { entity_half_life_ms: 7 * 86_400_000, entities_max: 200_000, waiting_max: 500_000, seed: 1 }
    }
}

/// Settings that change what is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    pub enabled: bool,
    /// An alert goes out from this risk on, 0 to 1000.
    pub risk_min: u16,
    /// After an alert the same customer raises no other for this long, unless the risk is higher by 100.
    pub cooldown_ms: TimeMs,
    /// Whether every payment's score goes out, or alerts only.
    pub scores: bool,
}

impl Default for Published {
    fn default() -> Published {
        Published { enabled: true, risk_min: 700, cooldown_ms: 10 * 60_000, scores: true }
    }
}

impl Published {
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "enabled" => self.enabled = parsed("anomaly", name, value)?,
            "risk_min" => self.risk_min = parsed("anomaly", name, value)?,
            "cooldown_ms" => self.cooldown_ms = parsed("anomaly", name, value)?,
            "scores" => self.scores = parsed("anomaly", name, value)?,
            _ => return Err(format!("there is no setting anomaly.{name}")),
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        vec![
            ("enabled", self.enabled.to_string()),
            ("risk_min", self.risk_min.to_string()),
            ("cooldown_ms", self.cooldown_ms.to_string()),
            ("scores", self.scores.to_string()),
        ]
    }
}
