//! `[analysis.*]`: one table for each analysis.

use std::time::Duration;

use serde::Deserialize;

use super::units;

/// `[analysis]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analysis {
    pub anomaly: Anomaly,
    pub recommend: Recommend,
    pub churn: Churn,
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

/// `[analysis.recommend]`: what a customer may want next.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recommend {
    /// Whether what is taken after what is learned, and lists go out. Published. Default true. A list costs several
    /// times as much as an event without one.
    pub enabled: bool,
    /// Items of a list. Published. 1 to 10. Default 10.
    pub list_items: u16,
    /// Between two lists of a customer who neither buys nor fills a cart, in event time. Published. 0s to 1d.
    /// Default 30s.
    #[serde(deserialize_with = "units::duration")]
    pub list_interval: Duration,
    /// Time after which what was taken after what weighs half. Shapes state. 1h to 3650d. Default 60d.
    #[serde(deserialize_with = "units::duration")]
    pub half_life: Duration,
    /// Items that each market partition knows; beyond it the one that is taken least is dropped. Shapes state.
    /// 1 000 to 10 000 000. Default 100 000.
    pub items_max: u32,
}

impl Default for Recommend {
    fn default() -> Recommend {
        Recommend {
            enabled: true,
            list_items: 10,
            list_interval: Duration::from_secs(30),
            half_life: Duration::from_secs(60 * 86_400),
            items_max: 100_000,
        }
    }
}

/// `[analysis.churn]`: how likely a customer is not to order again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    /// Whether scores go out; moments are learned from all the same. Published. Default true.
    pub enabled: bool,
    /// The bands medium and high begin at these probabilities, in thousandths. Published. 0 to 1000. Default 333 and
    /// 667.
    pub medium_permille: u16,
    pub high_permille: u16,
    /// Who does not order for so many days has churned. Shapes state. 1 to 730. Default 90.
    pub horizon_days: u16,
    /// Customers that churn is learned from: a fair sample, where there are more. Shapes state. 1 000 to 200 000.
    /// Default 50 000.
    pub customers_max: u32,
    /// Order days and looks in silence of those customers that wait until the horizon is over; beyond it the sample
    /// gives up customers. Shapes state. 1 000 to 5 000 000. Default 200 000.
    pub moments_max: u32,
    /// Between two fits of BG/NBD to the sample. Shapes state. 1m to 30d. Default 1h.
    #[serde(deserialize_with = "units::duration")]
    pub refit_interval: Duration,
}

impl Default for Churn {
    fn default() -> Churn {
        Churn {
            enabled: true,
            medium_permille: 333,
            high_permille: 667,
            horizon_days: 90,
            customers_max: 50_000,
            moments_max: 200_000,
            refit_interval: Duration::from_secs(3_600),
        }
    }
}
