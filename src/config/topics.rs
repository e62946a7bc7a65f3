//! `[topics]`: how many partitions, how long kept, in which wire form.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::units;
use crate::event::Input;

/// `[topics]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Partitions of each input and of everything that follows them; the most shards that can share the
    /// work. Shapes state. 1 to 1024. Default 8.
    pub partitions: u32,
    /// Partitions of the market stage. Shapes state. 1 to 1024. Default: as many as `partitions`.
    pub market_partitions: Option<u32>,
    /// Copies of each partition that `topics create` asks for. 1 to 15. Default: the broker's.
    pub replication: Option<u16>,
    /// Folder with the Avro schemas. Default "schemas".
    pub schemas: PathBuf,
    pub wire: Wire,
    pub retention: Retention,
}

impl Topics {
    /// Partitions of the market stage, 1 to 1024.
    pub fn market_partitions(&self) -> u32 {
        self.market_partitions.unwrap_or(self.partitions)
    }
}

impl Default for Topics {
    fn default() -> Topics {
        Topics {
            partitions: 8,
            market_partitions: None,
            replication: None,
            schemas: PathBuf::from("schemas"),
            wire: Wire::default(),
            retention: Retention::default(),
        }
    }
}

/// `[topics.wire]`: the form of record values on the topics that the shop sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wire {
    /// Default "avro-confluent".
    pub purchases: WireForm,
    /// Default "avro-confluent".
    pub engagements: WireForm,
    /// Default "avro-confluent".
    pub feedback: WireForm,
    /// Alerts, scores, dead letters. Default "avro-confluent".
    pub outputs: WireForm,
}

impl Wire {
    pub fn input(&self, input: Input) -> WireForm {
        match input {
            Input::Purchases => self.purchases,
            Input::Engagements => self.engagements,
            Input::Feedback => self.feedback,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireForm {
    /// Avro after Confluent's header: a zero byte and the schema's id, 4 bytes.
    #[default]
    AvroConfluent,
    /// Avro and nothing else, in the newest schema of the folder.
    AvroBare,
    /// One JSON object.
    Json,
}

impl WireForm {
    pub fn name(self) -> &'static str {
        match self {
            WireForm::AvroConfluent => "avro-confluent",
            WireForm::AvroBare => "avro-bare",
            WireForm::Json => "json",
        }
    }
}

/// `[topics.retention]`: what `topics create` asks for. The service reads the broker's own values and
/// refuses what could lose data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Purchases, engagements, feedback. 1h to 3650d. Default 7d.
    #[serde(deserialize_with = "units::duration")]
    pub inputs: Duration,
    /// Journal and facts; at least as long as `inputs`, or a replay could not find its way. 1h to 3650d.
    /// Default 7d.
    #[serde(deserialize_with = "units::duration")]
    pub journal: Duration,
    /// Alerts, scores, dead letters. 1h to 3650d. Default 30d.
    #[serde(deserialize_with = "units::duration")]
    pub outputs: Duration,
    /// The fast lane, where an alert is worth something for minutes. 1m to 30d. Default 1h.
    #[serde(deserialize_with = "units::duration")]
    pub alerts_fast: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        let day = Duration::from_secs(86_400);
        Retention {
            inputs: 7 * day,
            journal: 7 * day,
            outputs: 30 * day,
            alerts_fast: Duration::from_secs(3_600),
        }
    }
}
