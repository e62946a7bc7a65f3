//! The log on Apache Kafka, by librdkafka. What its calls mean is fixed in [`crate::edge::log`];
//! why its settings are what they are stands in [`config`].

mod admin;
mod complaint;
pub mod config;
mod consumer;
mod cursor;
mod ends;
mod error;
mod names;
mod producer;
mod reader;

pub use admin::{Created, TopicFacts, TopicPlan};
pub use config::{Compression, KafkaConfig, Protocol, Security};
pub use consumer::KafkaConsumer;
pub use producer::{KafkaAppender, KafkaProducer};
pub use reader::KafkaReader;

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;

use crate::edge::log::{Group, Log, LogError};
use crate::signal::Topic;
use cursor::Cursor;
use names::Names;

/// The log of one Kafka cluster. Clones share configuration; each client made from it connects by itself.
#[derive(Clone)]
pub struct KafkaLog {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub config: KafkaConfig,
    pub names: Names,
}

impl KafkaLog {
    /// Checks the configuration; connects to nothing yet.
    ///
    /// Fails with `Fatal` when a topic is unknown or named twice, or when `client` sets a property on
    /// which exactly-once rests.
    pub fn new(config: KafkaConfig) -> Result<KafkaLog, LogError> {
        config.check()?;
        let names = Names::new(&config.topic_prefix, &config.topics)?;
        Ok(KafkaLog { shared: Arc::new(Shared { config, names }) })
    }

    /// The topic's name in Kafka.
    pub fn topic_name(&self, topic: Topic) -> &str {
        self.shared.names.of(topic)
    }

    /// The consumer group's name in Kafka.
    pub fn group_name(&self, group: Group) -> String {
        self.shared.config.group_name(group)
    }
}

impl Log for KafkaLog {
    type Consumer = KafkaConsumer;
    type Reader = KafkaReader;
    type Producer = KafkaProducer;
    type Appender = KafkaAppender;
    type Metadata = Arc<ConsumerGroupMetadata>;

    fn consumer(&self, group: Group, member: &str) -> Result<KafkaConsumer, LogError> {
        KafkaConsumer::new(self.shared.clone(), group, member)
    }

    fn reader(&self) -> Result<KafkaReader, LogError> {
        KafkaReader::new(self.shared.clone())
    }

    fn producer(&self, transactional_id: &str) -> Result<KafkaProducer, LogError> {
        KafkaProducer::new(self.shared.clone(), transactional_id)
    }

    fn appender(&self) -> Result<KafkaAppender, LogError> {
        KafkaAppender::new(self.shared.clone())
    }

    fn cursor(&self, name: &str) -> Result<Option<u64>, LogError> {
        Cursor::open(&self.shared, name)?.read()
    }

    fn partitions(&self, topic: Topic) -> Result<Option<u32>, LogError> {
        admin::partitions(&self.shared, topic)
    }

    fn record_bytes_max(&self, topic: Topic) -> Result<usize, LogError> {
        let facts = self.describe_topics(&[topic])?;
        match facts.first().and_then(|facts| facts.record_bytes_max) {
            Some(bytes) => Ok(bytes),
            None => Err(LogError::Fatal(format!("topic {} does not exist", self.topic_name(topic)))),
        }
    }
}

/// librdkafka's log lines go to tracing under the target `librdkafka`, its statistics nowhere.
pub(crate) fn forward_log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        // What librdkafka calls an error is as a rule a connection that it will make again.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Context of the clients that need no callbacks of their own.
pub(crate) struct PlainContext;

impl ClientContext for PlainContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn stats_raw(&self, _json: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        complaint::complain(&error, reason);
    }
}
