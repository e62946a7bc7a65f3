//! The log in a folder: durable, of one process, with nothing else to install.
//!
//! It behaves as Apache Kafka does where the service can tell, offsets with gaps and groups with generations
//! included; the same conformance suite runs on both (`tests/log`). What is committed or flushed is on disk
//! (fdatasync, shared by all who wait) before the call returns and before anybody can read it. A kill loses
//! what was not acknowledged, and nothing else; a full disk makes writers wait.
//!
//! Store: the LSM tree of fjall. It reads about as fast as the records were written, and needs memory for what
//! is not in tables yet (16 MiB a topic at most) and a cache of 32 MiB, whatever the folder holds.

mod broker;
mod consumer;
mod fetcher;
mod folder;
mod mark;
mod meta;
mod partition;
mod producer;
mod record;
mod retention;
mod room;
mod shared;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::broker::Broker;
pub use self::consumer::{EmbeddedConsumer, EmbeddedReader};
use self::folder::Owned;
pub use self::producer::{EmbeddedAppender, EmbeddedProducer};
use self::record::Stored;
use self::shared::Shared;
use self::store::Store;
use super::group::GroupMetadata;
use super::{Ends, Group, Log, LogError, OwnedRecord, Place};
use crate::event::TimeMs;
use crate::signal::Topic;

/// An embedded log. Clones are the same log; the folder is given up with the last of them.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

/// How an embedded log is set up.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    pub folder: PathBuf,
    /// What a second process is told who owns the folder.
    pub owner: String,
    pub topics: BTreeMap<Topic, TopicConfig>,
    /// A member that does not call for so long is removed from its group.
    pub session_timeout_ms: i64,
    /// A transaction that is open for so long is aborted, and its producer fenced.
    pub transaction_timeout_ms: i64,
    /// Old records are looked for so often.
    pub retention_check_ms: i64,
    /// Nothing is written while less than this is free on the disk.
    pub free_bytes_min: u64,
}

/// One topic. What may be deleted is deleted by whole segments of about 4 MiB, up to the last stable offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub partitions: u32,
    /// A segment goes when its newest record is older. None: kept for ever.
    pub retention_ms: Option<i64>,
    /// Key and value bytes of a partition; the oldest segments over it go.
    pub retention_bytes: Option<u64>,
    /// Largest key and value together.
    pub record_bytes_max: usize,
    /// Only the newest record of each key stays.
    pub compacted: bool,
    /// Compaction leaves what is younger, so that versions can be compared for so long.
    pub compaction_lag_ms: i64,
}

impl TopicConfig {
    /// Kept for ever, records up to 1 MiB.
    pub fn new(partitions: u32) -> TopicConfig {
        TopicConfig {
            partitions,
            retention_ms: None,
            retention_bytes: None,
            record_bytes_max: 1 << 20,
            compacted: false,
            compaction_lag_ms: 0,
        }
    }
}

/// Why a folder cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by {owner}; one process at a time owns a log: stop it, or name another folder", folder.display())]
    InUse { folder: PathBuf, owner: String },
    #[error(
        "{}: topic {topic} was made with {found} partitions, the configuration wants {wanted}; a customer's events would lie in two: set {found}, or name a new folder",
        folder.display()
    )]
    Partitions { folder: PathBuf, topic: &'static str, found: u32, wanted: u32 },
    #[error("{0}")]
    Failed(String),
}

impl EmbeddedLog {
    /// Takes the folder and opens its log; makes both where they are missing.
    ///
    /// # Errors
    /// The folder belongs to another process, was made with other partitions, or cannot be read.
    pub fn open(config: EmbeddedConfig) -> Result<EmbeddedLog, OpenError> {
        let owned = Owned::take(&config.folder, &config.owner)?;
        let store = Store::open(&config.folder, config.free_bytes_min).map_err(OpenError::Failed)?;
        let failed = |error: LogError| OpenError::Failed(error.to_string());
        let found = store.partitions().map_err(failed)?;
        for (topic, wanted) in &config.topics {
            let wanted = wanted.partitions;
            if let Some(&found) = found.get(topic).filter(|found| **found != wanted) {
                let folder = config.folder.clone();
                return Err(OpenError::Partitions { folder, topic: topic.name(), found, wanted });
            }
        }
        let mut batch = store.batch();
        for (topic, wanted) in &config.topics {
            store.put_partitions(&mut batch, *topic, wanted.partitions);
        }
        store.write(batch).and_then(|()| store.sync()).map_err(failed)?;
        let broker = Broker::new(config, &store).map_err(failed)?;
        let shared = Shared::new(broker, store, owned);
        Ok(EmbeddedLog { shared: shared.map_err(|error| OpenError::Failed(error.to_string()))? })
    }

    /// Returns once the last clone is gone and the store closed with it, or after `wait`. What a closed store still
    /// writes would miss a folder that is removed too early.
    pub fn closed(self, wait: Duration) {
        let shared = Arc::downgrade(&self.shared);
        drop(self);
        let begun = Instant::now();
        while shared.strong_count() > 0 && begun.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes over what another log holds, offsets included: ends and records of places, and groups' committed
    /// offsets. For a log that is empty.
    ///
    /// # Errors
    /// `Fatal` where a place does not exist or has something; what the store says.
    pub fn adopt(
        &self,
        held: &[(Place, Ends, &[OwnedRecord])],
        offsets: &[(Group, Place, u64)],
    ) -> Result<(), LogError> {
        let shared = &self.shared;
        let number = shared.write(|broker, batch| {
            for (place, ends, records) in held {
                let mut stored: Vec<Stored> = records.iter().map(Stored::from).collect();
                broker.adopt(*place, *ends, &mut stored, &shared.store, batch)?;
            }
            for (group, place, offset) in offsets {
                broker.adopt_offset(*group, *place, *offset);
                shared.store.put_offset(batch, *group, *place, *offset);
            }
            Ok(None)
        })?;
        shared.sync(number)
    }

    /// Deletes what lies below `offset`, at most up to the last stable offset.
    ///
    /// # Errors
    /// `Fatal` where there is no such place.
    pub fn delete_before(&self, place: Place, offset: u64) -> Result<(), LogError> {
        retention::cut(&self.shared, place, offset)
    }

    /// Deletes and compacts as the topics are configured, as of `now_ms` of wall time. It happens by itself
    /// every [`EmbeddedConfig::retention_check_ms`].
    ///
    /// # Errors
    /// What the store says.
    pub fn run_retention(&self, now_ms: TimeMs) -> Result<(), LogError> {
        self.shared.retain(now_ms)
    }
}

impl Log for EmbeddedLog {
    type Consumer = EmbeddedConsumer;
    type Reader = EmbeddedReader;
    type Producer = EmbeddedProducer;
    type Appender = EmbeddedAppender;
    type Metadata = GroupMetadata;

    fn consumer(&self, group: Group, member: &str) -> Result<EmbeddedConsumer, LogError> {
        self.shared.broker().topic(group.lead())?;
        Ok(EmbeddedConsumer::new(Arc::clone(&self.shared), group, member))
    }

    fn reader(&self) -> Result<EmbeddedReader, LogError> {
        Ok(EmbeddedReader::new(Arc::clone(&self.shared)))
    }

    fn producer(&self, transactional_id: &str) -> Result<EmbeddedProducer, LogError> {
        Ok(EmbeddedProducer::new(Arc::clone(&self.shared), transactional_id))
    }

    fn appender(&self) -> Result<EmbeddedAppender, LogError> {
        Ok(EmbeddedAppender::new(Arc::clone(&self.shared)))
    }

    fn cursor(&self, name: &str) -> Result<Option<u64>, LogError> {
        self.shared.store.cursor(name)
    }

    fn partitions(&self, topic: Topic) -> Result<Option<u32>, LogError> {
        Ok(self.shared.broker().config.topics.get(&topic).map(|topic| topic.partitions))
    }

    fn record_bytes_max(&self, topic: Topic) -> Result<usize, LogError> {
        Ok(self.shared.broker().topic(topic)?.record_bytes_max)
    }
}
