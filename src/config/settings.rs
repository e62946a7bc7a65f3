//! Which settings shape state and which are published, as (path, canonical value) pairs.

use super::{Config, show_bytes, show_duration};

impl Config {
    /// The settings that shape state, in a fixed order. Their text is part of the fold version; where
    /// it differs from a partition's journal, the partition is refused.
    pub fn shaping(&self) -> Vec<(&'static str, String)> {
        let (engine, anomaly) = (&self.engine, &self.analysis.anomaly);
        vec![
            ("topics.partitions", self.topics.partitions.to_string()),
            ("topics.market_partitions", self.topics.market_partitions().to_string()),
            ("engine.lateness", show_duration(engine.lateness)),
            ("engine.event_time_min", engine.event_time_min_ms.to_string()),
            ("engine.customers_per_partition_max", engine.customers_per_partition_max.to_string()),
            ("engine.customer_retention", show_duration(engine.customer_retention)),
            ("engine.session_gap", show_duration(engine.session_gap)),
            ("engine.record_bytes_max", show_bytes(engine.record_bytes_max)),
            ("analysis.anomaly.enabled", anomaly.enabled.to_string()),
            ("analysis.anomaly.entity_risk_half_life", show_duration(anomaly.entity_risk_half_life)),
            ("analysis.anomaly.waiting_payments_max", anomaly.waiting_payments_max.to_string()),
        ]
    }

    /// The settings that change only what is published: what the first instance writes to the control
    /// topic, and what a setting record there is named and valued like.
    pub fn published(&self) -> Vec<(&'static str, String)> {
        let anomaly = &self.analysis.anomaly;
        vec![
            ("analysis.anomaly.alert_risk_min", anomaly.alert_risk_min.to_string()),
            ("analysis.anomaly.alert_cooldown", show_duration(anomaly.alert_cooldown)),
            ("analysis.anomaly.publish_scores", anomaly.publish_scores.to_string()),
        ]
    }
}
