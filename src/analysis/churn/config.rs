//! Settings of churn that shape state.

use serde::{Deserialize, Serialize};

use crate::event::TimeMs;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who does not order for this long has churned.
    pub horizon_days: u16,
    /// The engine's: how far behind the newest an event may come and still count.
    pub lateness_ms: TimeMs,
    /// Customers that churn is learned from at most; a fair sample of all.
    pub customers_max: u32,
    /// Moments that wait for the horizon at most; beyond, the sample gives up customers.
    pub moments_max: u32,
    /// Between two fits of BG/NBD, of a sample that has not doubled meanwhile.
    pub refit_interval_ms: TimeMs,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            horizon_days: 90,
            lateness_ms: 10 * 60_000,
            customers_max: 50_000,
            moments_max: 200_000,
            refit_interval_ms: 3_600_000,
        }
    }
}

impl Config {
    pub(super) fn horizon_ms(&self) -> TimeMs {
        TimeMs::from(self.horizon_days) * super::DAY_MS
    }
}
