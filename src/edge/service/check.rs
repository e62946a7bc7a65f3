//! Whether a service could start here, asked piece by piece; nothing is changed.

use std::path::Path;
use std::time::Duration;

use super::home::kafka_log;
use super::{ServiceError, guards, settings};
use crate::config::Config;
use crate::edge::connect::embedded_config;
use crate::edge::kafka::KafkaLog;
use crate::edge::log::embedded::EmbeddedLog;
use crate::edge::log::{Log, Producer};
use crate::signal::Topic;

/// One piece, and what was found; an error says the way out.
pub struct Checked {
    pub what: &'static str,
    pub found: Result<String, ServiceError>,
}

/// Asks everything, whatever the first answers are; of a broker that does not answer only that.
pub fn check(config: &Config) -> Vec<Checked> {
    let mut checks = Vec::new();
    let mut say = |what, found| checks.push(Checked { what, found });
    say("schemas", settings::wire(config).map(|_| "fit the topics".to_owned()));
    say("snapshots", takes_a_file("snapshots.folder", &config.snapshots.folder));
    if config.has_embedded_log() {
        say("log", embedded(config));
        return checks;
    }
    let log = match kafka_log(config).and_then(|log| broker(&log).map(|found| (log, found))) {
        Ok((log, found)) => {
            say("broker", Ok(found));
            log
        }
        Err(error) => {
            say("broker", Err(error));
            return checks;
        }
    };
    let as_planned = |()| "are there, as planned".to_owned();
    let topics = guards::topics(&log, config);
    let are_there = topics.is_ok();
    say("topics", topics.map(as_planned));
    if are_there {
        let keys = guards::keys(&log, config.topics.partitions);
        say("keys", keys.map(|()| "are spread as murmur2 gives".to_owned()));
    }
    say("transactions", transactions(&log, config));
    checks
}

fn broker(log: &KafkaLog) -> Result<String, ServiceError> {
    let count = log.partitions(Topic::Purchases)?;
    Ok(count
        .map_or_else(|| "answers".to_owned(), |count| format!("answers; purchases has {count} partitions")))
}

/// A transaction of our group's ids can be begun and aborted: the account may write transactionally.
fn transactions(log: &KafkaLog, config: &Config) -> Result<String, ServiceError> {
    let mut producer = log.producer(&format!("validate-{}", config.service.instance))?;
    producer.init()?;
    producer.begin()?;
    producer.drain(Duration::from_millis(100))?;
    producer.abort()?;
    Ok("may be begun".to_owned())
}

/// The folder takes a file, or the nearest one above it, in which it will be made.
fn takes_a_file(option: &str, folder: &Path) -> Result<String, ServiceError> {
    let refuse = |folder: &Path, error: std::io::Error| {
        ServiceError::Configuration(format!("{option}: {}: {error}", folder.display()))
    };
    let whole = std::path::absolute(folder).map_err(|error| refuse(folder, error))?;
    let there = whole.ancestors().find(|above| above.exists()).unwrap_or(&whole);
    let probe = there.join(format!(".validate-{}", std::process::id()));
    let written = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    written.map_err(|error| refuse(there, error))?;
    let what = if there == whole { "can be written" } else { "will be made" };
    Ok(format!("{} {what}", folder.display()))
}

fn embedded(config: &Config) -> Result<String, ServiceError> {
    let folder = &config.log.folder;
    if !folder.exists() {
        return takes_a_file("log.folder", folder);
    }
    let log = EmbeddedLog::open(embedded_config(config));
    let opened = log.map(|_| format!("{} can be opened", folder.display()));
    opened.map_err(|error| ServiceError::Guard(error.to_string()))
}
