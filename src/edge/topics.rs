//! The topics as the protocol needs them, worked out from the configuration alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Config;
use crate::signal::Topic;

/// A topic as it should be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTopic {
    pub topic: Topic,
    /// In the cluster.
    pub name: String,
    pub partitions: u32,
    /// None: the broker's default.
    pub replication: Option<u16>,
    pub cleanup: Cleanup,
    /// None: kept for ever, by age at least.
    pub retention: Option<Duration>,
    /// Largest batch of records the topic takes, in bytes.
    pub max_message_bytes: u64,
    /// One sentence for people.
    pub why: &'static str,
    /// The shop writes it, so that its settings are the shop's choice.
    pub input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Records go when they are old.
    Delete,
    /// The newest record of each key stays.
    Compact,
}

impl Cleanup {
    /// As Kafka calls it.
    pub fn name(self) -> &'static str {
        match self {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
        }
    }
}

/// Partitions of the models topic: rows are spread by key, and every shard reads all of it.
const MODEL_PARTITIONS: u32 = 8;
/// The broker's own default: our records are capped at 512 KiB.
const MESSAGE_BYTES: u64 = 1_048_588;
/// Room for key, headers and the batch around one record.
const ENVELOPE_BYTES: u64 = 64 << 10;

/// Every topic, in the order of [`Topic::ALL`].
pub fn plan(config: &Config) -> Vec<PlannedTopic> {
    Topic::ALL.into_iter().map(|topic| planned(config, topic)).collect()
}

fn planned(config: &Config, topic: Topic) -> PlannedTopic {
    let (topics, retention) = (&config.topics, &config.topics.retention);
    let market = topics.market_partitions();
    let input_bytes = config.engine.record_bytes_max.saturating_add(ENVELOPE_BYTES).max(MESSAGE_BYTES);
    let letter_bytes =
        config.engine.dead_letter_raw_bytes.saturating_add(2 * ENVELOPE_BYTES).max(MESSAGE_BYTES);
    let (partitions, kept, bytes, why) = match topic {
        Topic::Purchases | Topic::Engagements | Topic::Feedback => {
            let why = "input, keyed by customer: partition p of each belongs to one shard";
            (topics.partitions, Some(retention.inputs), input_bytes, why)
        }
        Topic::Journal => {
            let why = "order of what was applied; a replay needs it as long as the inputs";
            (topics.partitions, Some(retention.journal), MESSAGE_BYTES, why)
        }
        Topic::Facts => {
            let why = "what crosses customers; the market stage replays it like an input";
            (market, Some(retention.journal), MESSAGE_BYTES, why)
        }
        Topic::Models => {
            let why = "shared rows and models: the newest of each is what counts";
            (MODEL_PARTITIONS, None, MESSAGE_BYTES, why)
        }
        Topic::Control => {
            let why = "settings and erasures, one order for all, read from the start";
            (1, None, MESSAGE_BYTES, why)
        }
        Topic::Owners => {
            let why = "which instance has which partition, by instance";
            (1, None, MESSAGE_BYTES, why)
        }
        Topic::Alerts | Topic::Scores | Topic::Recommendations => {
            let why = "output, in the partition of the event that caused it";
            (topics.partitions, Some(retention.outputs), MESSAGE_BYTES, why)
        }
        Topic::AlertsFast => {
            let why = "output that may repeat, ahead of the transaction";
            (topics.partitions, Some(retention.alerts_fast), MESSAGE_BYTES, why)
        }
        Topic::DeadLetters => {
            let why = "records that could not be applied, with their first bytes";
            (topics.partitions, Some(retention.outputs), letter_bytes, why)
        }
    };
    PlannedTopic {
        topic,
        name: config.kafka.topic_name(topic),
        partitions,
        replication: topics.replication,
        cleanup: match topic {
            Topic::Models | Topic::Owners => Cleanup::Compact,
            _ => Cleanup::Delete,
        },
        retention: kept,
        max_message_bytes: bytes,
        why,
        input: matches!(topic, Topic::Purchases | Topic::Engagements | Topic::Feedback),
    }
}

impl PlannedTopic {
    /// Kafka's settings of the topic, by name.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let retention_ms = match self.retention {
            Some(kept) => kept.as_millis().to_string(),
            None => "-1".to_string(),
        };
        let mut settings = BTreeMap::from([
            ("cleanup.policy".to_string(), self.cleanup.name().to_string()),
            ("max.message.bytes".to_string(), self.max_message_bytes.to_string()),
            ("retention.ms".to_string(), retention_ms),
        ]);
        if self.retention.is_none() {
            // A broker's default by size would delete what age does not.
            settings.insert("retention.bytes".to_string(), "-1".to_string());
        }
        if self.topic == Topic::Owners {
            // Every instance says every 2 s what it has: a segment that is written to is never compacted.
            settings.insert("segment.ms".to_string(), "3600000".to_string());
        }
        settings
    }

    /// How a topic that exists differs from the plan. `partitions` and `found` are what the broker says.
    pub fn compare(&self, partitions: u32, found: &BTreeMap<String, String>) -> Vec<Difference> {
        let mut differences = Vec::new();
        if partitions != self.partitions {
            // The number of an input tells the shards what they own, and the others follow it; of an
            // output there may be more than we write to.
            let spare = !self.input && !self.is_internal() && partitions > self.partitions;
            differences.push(Difference {
                setting: "partitions".to_string(),
                planned: self.partitions.to_string(),
                found: partitions.to_string(),
                harm: if spare { Harm::Noted } else { Harm::Refused },
            });
        }
        for (setting, planned) in self.settings() {
            let Some(found) = found.get(&setting).filter(|found| **found != planned) else { continue };
            let harm = self.harm(&setting, &planned, found);
            differences.push(Difference { setting, planned, found: found.clone(), harm });
        }
        differences
    }

    fn harm(&self, setting: &str, planned: &str, found: &str) -> Harm {
        let number = |text: &str| match text.parse::<i64>() {
            Ok(-1) | Err(_) => i64::MAX,
            Ok(number) => number,
        };
        match setting {
            // Deleting what must stay, or compacting what is read as a sequence, loses records.
            "cleanup.policy" => Harm::Refused,
            // Less than planned of what the protocol depends on; the outputs are the shop's choice.
            "retention.ms" | "retention.bytes" | "max.message.bytes" if number(found) < number(planned) => {
                if self.is_internal() {
                    Harm::Refused
                } else {
                    Harm::Noted
                }
            }
            _ => Harm::Noted,
        }
    }

    /// What to do about a difference with which the service does not start.
    pub fn way_out(&self, difference: &Difference) -> String {
        let (name, found, planned) = (&self.name, &difference.found, &difference.planned);
        if difference.setting != "partitions" {
            return format!(
                "`kafka-configs --alter --entity-type topics --entity-name {name} --add-config {}={planned}`",
                difference.setting
            );
        }
        match self.topic {
            Topic::Purchases | Topic::Engagements | Topic::Feedback | Topic::Journal => {
                format!("set topics.partitions to {found}, or begin anew under another kafka.topic_prefix")
            }
            Topic::Facts => {
                format!(
                    "set topics.market_partitions to {found}, or begin anew under another kafka.topic_prefix"
                )
            }
            Topic::Owners => {
                format!(
                    "stop all instances and delete {name}: it holds nothing that they do not say again; then `habitue topics create`"
                )
            }
            Topic::Models | Topic::Control => "begin anew under another kafka.topic_prefix".to_owned(),
            _ => format!("`kafka-topics --alter --topic {name} --partitions {planned}`"),
        }
    }

    fn is_internal(&self) -> bool {
        matches!(self.topic, Topic::Journal | Topic::Facts | Topic::Models | Topic::Control | Topic::Owners)
    }
}

/// One way in which a topic is not as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub setting: String,
    pub planned: String,
    pub found: String,
    pub harm: Harm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Somebody's choice; the service runs with it.
    Noted,
    /// Records could be lost or mixed: the service will not start.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned_of(text: &str, topic: Topic) -> PlannedTopic {
        let config = Config::parse(text, "test").unwrap_or_else(|refusal| panic!("{refusal}"));
        plan(&config).into_iter().find(|planned| planned.topic == topic).expect("every topic is planned")
    }

    #[test]
    fn counts_policies_and_sizes_follow_the_protocol() {
        let config = Config::parse("[topics]\npartitions = 4\nmarket_partitions = 2", "test").expect("valid");
        let rows: Vec<(&str, u32, &str, bool)> = plan(&config)
            .iter()
            .map(|p| (p.topic.name(), p.partitions, p.cleanup.name(), p.retention.is_some()))
            .collect();
        let expected = [
            ("purchases", 4, "delete", true),
            ("engagements", 4, "delete", true),
            ("feedback", 4, "delete", true),
            ("journal", 4, "delete", true),
            ("facts", 2, "delete", true),
            ("models", 8, "compact", false),
            ("control", 1, "delete", false),
            ("alerts", 4, "delete", true),
            ("alerts-fast", 4, "delete", true),
            ("scores", 4, "delete", true),
            ("dead-letters", 4, "delete", true),
            ("recommendations", 4, "delete", true),
            ("owners", 1, "compact", false),
        ];
        assert_eq!(rows, expected);
        assert_eq!(planned_of("", Topic::Purchases).max_message_bytes, (1 << 20) + (64 << 10));
        let large = planned_of("[engine]\nrecord_bytes_max = \"8 MiB\"", Topic::Purchases);
        assert_eq!(large.max_message_bytes, (8 << 20) + (64 << 10));
        assert_eq!(planned_of("", Topic::Control).settings()["retention.ms"], "-1");
    }

    #[test]
    fn what_could_lose_records_is_refused_and_the_rest_noted() {
        let journal = planned_of("", Topic::Journal);
        assert_eq!(journal.compare(8, &journal.settings()), []);
        let harm = |planned: &PlannedTopic, partitions, setting: &str, value: &str| {
            let mut found = planned.settings();
            found.insert(setting.to_string(), value.to_string());
            planned.compare(partitions, &found).iter().map(|difference| difference.harm).collect::<Vec<_>>()
        };
        assert_eq!(harm(&journal, 4, "x", ""), [Harm::Refused]);
        assert_eq!(harm(&journal, 8, "cleanup.policy", "compact"), [Harm::Refused]);
        assert_eq!(harm(&journal, 8, "retention.ms", "1000"), [Harm::Refused]);
        assert_eq!(harm(&journal, 8, "retention.ms", "-1"), [Harm::Noted]);
        let alerts = planned_of("", Topic::Alerts);
        assert_eq!(harm(&alerts, 8, "retention.ms", "1000"), [Harm::Noted]);
        assert_eq!(harm(&alerts, 9, "x", ""), [Harm::Noted]);
        assert_eq!(harm(&alerts, 7, "x", ""), [Harm::Refused]);
        let control = planned_of("", Topic::Control);
        assert_eq!(harm(&control, 1, "retention.ms", "604800000"), [Harm::Refused]);
    }
}
