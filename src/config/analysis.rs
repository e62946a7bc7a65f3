//! `[analysis.*]`: one table for each analysis.

use std::time::Duration;

use serde::Deserialize;

use super::units;

/// `[analysis]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analysis {
    pub anomaly: Anomaly,
}

/// `[analysis.anomaly]`: payments that a fraud desk should look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Anomaly {
    /// Whether payments are judged at all; they are learned from all the same. Published. Default true.
    pub enabled: bool,
    /// Risk from which on a payment raises an alert. Published. 0 to 1000. Default 700.
    pub alert_risk_min: u16,
    /// After an alert the customer raises no other for this long, in event time. Published. 0s to 30d.
    /// Default 10m.
    #[serde(deserialize_with = "units::duration")]
    pub alert_cooldown: Duration,
    /// Whether every payment's risk goes to the scores topic. Published. Default true.
    pub publish_scores: bool,
    /// Time after which a verdict on a terminal or card weighs half. Shapes state. 1h to 3650d.
    /// Default 7d.
    #[serde(deserialize_with = "units::duration")]
    pub entity_risk_half_life: Duration,
    /// Payments that wait for their verdict in each market partition; beyond it the oldest is dropped.
    /// Shapes state. 100 to 10 000 000. Default 500 000.
    pub waiting_payments_max: u32,
}

impl Default for Anomaly {
    fn default() -> Anomaly {
        Anomaly {
            enabled: true,
            alert_risk_min: 700,
            alert_cooldown: Duration::from_secs(600),
            publish_scores: true,
            entity_risk_half_life: Duration::from_secs(7 * 86_400),
            waiting_payments_max: 500_000,
        }
    }
}
