//! Logs that the service can run on, from the configuration.

use super::{ServiceError, guards};
use crate::config::Config;
use crate::edge::connect::{embedded_config, kafka_config};
use crate::edge::kafka::KafkaLog;
use crate::edge::log::Log;
use crate::edge::log::embedded::EmbeddedLog;

/// The log on Kafka, its topics not looked at yet.
pub(super) fn kafka_log(config: &Config) -> Result<KafkaLog, ServiceError> {
    let refuse = |error: String| ServiceError::Configuration(error);
    let kafka = kafka_config(config).map_err(|error| refuse(error.to_string()))?;
    KafkaLog::new(kafka).map_err(|error| refuse(error.to_string()))
}

/// The log in the configured folder.
pub(super) fn embedded_log(config: &Config) -> Result<EmbeddedLog, ServiceError> {
    EmbeddedLog::open(embedded_config(config)).map_err(|error| ServiceError::Guard(error.to_string()))
}

/// As [`embedded_log`], of one that was written before: it is not made.
pub(super) fn existing_log(config: &Config) -> Result<EmbeddedLog, ServiceError> {
    let folder = &config.log.folder;
    if folder.exists() {
        return embedded_log(config);
    }
    let folder = folder.display();
    Err(ServiceError::Guard(format!(
        "log.folder: {folder} is not there: name the service's file with --config"
    )))
}

/// A log that the service can run on.
pub(super) trait Home: Log {
    /// Refuses topics that are missing, or differ so that records could be lost or mixed.
    ///
    /// # Errors
    /// `Guard` names every topic and the way out; `Broker` where nobody answers.
    fn guard_topics(&self, config: &Config) -> Result<(), ServiceError>;
}

impl Home for KafkaLog {
    fn guard_topics(&self, config: &Config) -> Result<(), ServiceError> {
        guards::topics(self, config)
    }
}

impl Home for EmbeddedLog {
    /// It was opened with the topics that are planned, or not at all.
    fn guard_topics(&self, _config: &Config) -> Result<(), ServiceError> {
        Ok(())
    }
}
