//! Configuration: one TOML file, checked whole before anything starts.
//!
//! [`Config::read`] reports every fault of a file at once, each with file, line, column and the words
//! that were probably meant. An option that is left out has the default of `deploy/habitue.toml`, which
//! lists them all.
//!
//! An option is of one of three kinds, and its docstring says which: *shapes state* (part of the fold
//! version: a change is refused for a partition that has a journal), *published* (first written to the
//! control topic, afterwards changed there while the service runs) and, where nothing is said, *local*
//! to the process and free to change with a restart.

mod analysis;
mod check;
mod document;
mod engine;
mod kafka;
mod log;
mod mapping;
mod report;
mod service;
mod settings;
mod suggest;
mod topics;
mod units;

use std::path::Path;

use serde::Deserialize;

pub use analysis::{Analysis, Anomaly};
pub use engine::Engine;
pub use kafka::{Kafka, Mechanism, Protocol, Secret, SecretError, Security};
pub use log::Log;
pub use mapping::{
    EngagementColumns, FeedbackColumns, Label, Legitimate, Mapping, MoneyUnit, NegativeQuantity,
    PurchaseColumns, Rows as SelectedRows, Sessions, TimeUnit,
};
pub use report::{Problem, Refusal};
pub use service::{LogFormat, LogLevel, Logging, Service, Snapshots};
pub use settings::PUBLISHED;
pub use suggest::nearest;
pub use topics::{Retention, Topics, Wire, WireForm};
pub use units::{parse_moment, parse_time, show_bytes, show_day, show_duration};

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub service: Service,
    pub kafka: Kafka,
    pub log: Log,
    pub topics: Topics,
    pub engine: Engine,
    pub snapshots: Snapshots,
    pub analysis: Analysis,
}

impl Config {
    /// True where no Kafka is configured: the log is the one in `log.folder`.
    pub fn has_embedded_log(&self) -> bool {
        self.kafka.brokers.is_empty()
    }

    /// Reads and checks a file. Touches nothing else: secrets stay references, folders unopened.
    pub fn read(file: &Path) -> Result<Config, Refusal> {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => Config::parse(&text, &name),
            Err(error) => Err(Refusal::unreadable(&name, &error)),
        }
    }

    /// Checks a text; `file` is what the report calls it. The refusal holds every problem found, in
    /// the order of the text.
    pub fn parse(text: &str, file: &str) -> Result<Config, Refusal> {
        let document = document::Document::parse(text).map_err(|faults| Refusal::new(file, text, faults))?;
        let read = document.read::<Config>();
        let mut faults = read.faults;
        // One statement an option: a value out of its range need not also break a relation.
        for finding in check::findings(&read.value) {
            if !faults.iter().any(|fault| fault.spoils(&finding.paths)) {
                faults.push(document.locate(finding));
            }
        }
        if faults.is_empty() { Ok(read.value) } else { Err(Refusal::new(file, text, faults)) }
    }

    /// Paths of all options of the tables that stand in `text`: "engine.lateness". For the test that
    /// holds the default file complete.
    pub fn option_paths(text: &str) -> Result<Vec<String>, Refusal> {
        let document =
            document::Document::parse(text).map_err(|faults| Refusal::new("options", text, faults))?;
        Ok(document.read::<Config>().options)
    }
}
