//! Which settings shape state and which are published, by path.

use super::{Config, show_bytes, show_duration};

impl Config {
    /// The settings that shape state, in a fixed order. Their text is part of the fold version; where
    /// it differs from a partition's journal, the partition is refused.
    pub fn shaping(&self) -> Vec<(&'static str, String)> {
        let (engine, anomaly, recommend) = (&self.engine, &self.analysis.anomaly, &self.analysis.recommend);
        let churn = &self.analysis.churn;
        vec![
            ("topics.partitions", self.topics.partitions.to_string()),
            ("topics.market_partitions", self.topics.market_partitions().to_string()),
            ("engine.lateness", show_duration(engine.lateness)),
            ("engine.event_time_min", engine.event_time_min_ms.to_string()),
            ("engine.customers_per_partition_max", engine.customers_per_partition_max.to_string()),
            ("engine.customer_retention", show_duration(engine.customer_retention)),
            ("engine.session_gap", show_duration(engine.session_gap)),
            ("engine.dead_letter_raw_bytes", show_bytes(engine.dead_letter_raw_bytes)),
            ("engine.record_bytes_max", show_bytes(engine.record_bytes_max)),
            ("analysis.anomaly.entity_risk_half_life", show_duration(anomaly.entity_risk_half_life)),
            ("analysis.anomaly.waiting_payments_max", anomaly.waiting_payments_max.to_string()),
            ("analysis.recommend.half_life", show_duration(recommend.half_life)),
            ("analysis.recommend.items_max", recommend.items_max.to_string()),
            ("analysis.churn.horizon_days", churn.horizon_days.to_string()),
            ("analysis.churn.customers_max", churn.customers_max.to_string()),
            ("analysis.churn.moments_max", churn.moments_max.to_string()),
            ("analysis.churn.refit_interval", show_duration(churn.refit_interval)),
        ]
    }
}

/// Options that are published, by the name of their record in the control topic.
pub const PUBLISHED: [(&str, &str); 10] = [
    ("anomaly.enabled", "analysis.anomaly.enabled"),
    ("anomaly.risk_min", "analysis.anomaly.alert_risk_min"),
    ("anomaly.cooldown_ms", "analysis.anomaly.alert_cooldown"),
    ("anomaly.scores", "analysis.anomaly.publish_scores"),
    ("recommend.enabled", "analysis.recommend.enabled"),
    ("recommend.items", "analysis.recommend.list_items"),
    ("recommend.interval_ms", "analysis.recommend.list_interval"),
    ("churn.enabled", "analysis.churn.enabled"),
    ("churn.medium_permille", "analysis.churn.medium_permille"),
    ("churn.high_permille", "analysis.churn.high_permille"),
];
