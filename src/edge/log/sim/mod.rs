//! The log in memory: one process, a seed, a clock of its own, and faults.
//!
//! It behaves as Apache Kafka does where the service can tell: offsets with gaps, transactions with
//! fencing and a last stable offset, a cooperative group with generations, retention and compaction.
//! The same conformance suite runs on both (`tests/log`). Nothing in it sleeps: `wait` is ignored, and
//! time moves only when the driver calls [`SimLog::advance`]. With one driving thread a run is a pure
//! function of the configuration and of the calls.
//!
//! `each`, the callback of both `poll`s, runs while the log is locked: it must not call the log.

mod broker;
mod consumer;
mod faults;
mod fetcher;
mod partition;
mod producer;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::{Arc, Mutex};

use xxhash_rust::xxh3::Xxh3;

use self::broker::{Broker, Shared, lock};
pub use self::consumer::{SimConsumer, SimReader};
pub use self::faults::{Failure, Failures, Faults, Operation, Strike};
pub use self::producer::{SimAppender, SimProducer};
use super::group::GroupMetadata;
use super::{Ends, Group, Log, LogError, OwnedRecord, Place};
use crate::event::TimeMs;
use crate::signal::Topic;

/// A simulated log. Clones are the same log.
#[derive(Debug, Clone)]
pub struct SimLog {
    broker: Shared,
}

/// How a simulated log is set up.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Of all that is random in it.
    pub seed: u64,
    /// Those that exist.
    pub topics: BTreeMap<Topic, TopicConfig>,
    pub faults: Faults,
    /// What the clock shows at first.
    pub start_ms: TimeMs,
    /// A member that does not call for so long is removed from its group.
    pub session_timeout_ms: i64,
    /// A transaction that is open for so long is aborted, and its producer fenced.
    pub transaction_timeout_ms: i64,
    /// Committed offsets expire after so long: those of the lead topic once the group has been empty for
    /// that time too, those of other topics always. None: never.
    pub offset_retention_ms: Option<i64>,
    /// Retention and compaction run when so much time has passed.
    pub retention_check_ms: i64,
    /// Most records that one poll hands over.
    pub poll_records_max: usize,
    /// Most records in flight of one producer or appender, while faults are on.
    pub queue_records_max: usize,
    /// Keep what retention and compaction delete, for [`SimLog::all_committed`]. Memory then only grows.
    pub keep_deleted: bool,
}

/// One topic of a simulated log. What may be deleted is deleted up to the last stable offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub partitions: u32,
    /// Records whose timestamp is older go when retention runs.
    pub retention_ms: Option<i64>,
    /// Key and value bytes of a partition; the oldest records over it go when retention runs.
    pub retention_bytes: Option<u64>,
    /// Records of a partition, control records included; the oldest over it go at once.
    pub retention_records: Option<u64>,
    /// Largest key and value together.
    pub record_bytes_max: usize,
    /// When retention runs, only the newest record of each key stays.
    pub compacted: bool,
}

impl Default for TopicConfig {
    /// One partition, kept for ever, records up to 1 MiB.
    fn default() -> TopicConfig {
        TopicConfig {
            partitions: 1,
            retention_ms: None,
            retention_bytes: None,
            retention_records: None,
            record_bytes_max: 1 << 20,
            compacted: false,
        }
    }
}

impl SimConfig {
    /// All topics with the product's defaults: `partitions` each, models 8 and compacted, control 1, owners 1
    /// and compacted; nothing is deleted, nothing fails.
    pub fn new(seed: u64, partitions: u32) -> SimConfig {
        let config = |topic| match topic {
            Topic::Models => TopicConfig { partitions: 8, compacted: true, ..TopicConfig::default() },
            Topic::Control => TopicConfig::default(),
            Topic::Owners => TopicConfig { compacted: true, ..TopicConfig::default() },
            _ => TopicConfig { partitions, ..TopicConfig::default() },
        };
        SimConfig {
            seed,
            topics: Topic::ALL.into_iter().map(|topic| (topic, config(topic))).collect(),
            faults: Faults::default(),
            start_ms: 1_700_000_000_000,
            session_timeout_ms: 6_000,
            transaction_timeout_ms: 3_000,
            offset_retention_ms: None,
            retention_check_ms: 300_000,
            poll_records_max: 512,
            queue_records_max: 100_000,
            keep_deleted: false,
        }
    }
}

impl Log for SimLog {
    type Consumer = SimConsumer;
    type Reader = SimReader;
    type Producer = SimProducer;
    type Appender = SimAppender;
    type Metadata = GroupMetadata;

    fn consumer(&self, group: Group, member: &str) -> Result<SimConsumer, LogError> {
        let lead = group.lead();
        if lock(&self.broker).topic_config(lead).is_none() {
            return Err(LogError::Fatal(format!("topic {} does not exist", lead.name())));
        }
        Ok(SimConsumer::new(self.broker.clone(), group, member))
    }

    fn reader(&self) -> Result<SimReader, LogError> {
        Ok(SimReader::new(self.broker.clone()))
    }

    fn producer(&self, transactional_id: &str) -> Result<SimProducer, LogError> {
        Ok(SimProducer::new(self.broker.clone(), transactional_id))
    }

    fn appender(&self) -> Result<SimAppender, LogError> {
        Ok(SimAppender::new(self.broker.clone()))
    }

    fn cursor(&self, name: &str) -> Result<Option<u64>, LogError> {
        Ok(lock(&self.broker).cursors.get(name).copied())
    }

    fn partitions(&self, topic: Topic) -> Result<Option<u32>, LogError> {
        Ok(lock(&self.broker).topic_config(topic).map(|config| config.partitions))
    }

    fn record_bytes_max(&self, topic: Topic) -> Result<usize, LogError> {
        let broker = lock(&self.broker);
        let config = broker.topic_config(topic);
        config
            .map(|config| config.record_bytes_max)
            .ok_or_else(|| LogError::Fatal(format!("topic {} does not exist", topic.name())))
    }
}

/// For the driver of a simulation: time, administration, faults.
impl SimLog {
    pub fn new(config: SimConfig) -> SimLog {
        SimLog { broker: Arc::new(Mutex::new(Broker::new(config))) }
    }

    pub fn now_ms(&self) -> TimeMs {
        lock(&self.broker).now_ms
    }

    /// Moves the clock and does what is then due: timeouts, expiry, retention. Members that should live
    /// must poll between steps shorter than the session.
    pub fn advance(&self, time_ms: u64) {
        lock(&self.broker).advance(time_ms as i64);
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.broker).dice.set(faults);
    }

    /// Makes the next call of `operation`, by whomever, fail. Several are taken in order.
    pub fn fail_next(&self, operation: Operation, strike: Strike) {
        lock(&self.broker).dice.order(operation, strike);
    }

    /// Writes a record at once, past faults and appender; the key may be null. Returns the offset;
    /// `Abort` where the record is too large or the place does not exist.
    pub fn append_record(
        &self,
        place: Place,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: TimeMs,
    ) -> Result<u64, LogError> {
        lock(&self.broker).append(place, key, value, timestamp_ms)
    }

    /// Deletes what lies below `offset`, at most up to the last stable offset.
    pub fn delete_before(&self, place: Place, offset: u64) -> Result<(), LogError> {
        lock(&self.broker).partition_mut(place).map(|partition| partition.delete_before(offset))
    }

    /// Runs retention and compaction of all topics now.
    pub fn run_retention(&self) {
        lock(&self.broker).retain();
    }

    /// Takes a member out of its group, as its session's end or an administrator would; false where there
    /// is none of the name.
    pub fn remove_member(&self, group: Group, member: &str) -> bool {
        let mut broker = lock(&self.broker);
        let now_ms = broker.now_ms;
        broker.group(group).remove(member, now_ms)
    }

    /// Begins a round in the group for no reason. Partitions stay where they are and the generation goes
    /// up; `scatter` deals them anew, beginning with that member (modulo their number).
    pub fn rebalance(&self, group: Group, scatter: Option<u64>) {
        lock(&self.broker).group(group).rebalance(scatter);
    }

    /// Lets the open transaction of an id run into its timeout; false where it has none.
    pub fn expire_transaction(&self, transactional_id: &str) -> bool {
        let mut broker = lock(&self.broker);
        let number = broker.producer_number(transactional_id);
        let open = number.filter(|number| broker.open_producers().contains(number));
        open.map(|number| broker.fence(number)).is_some()
    }

    /// Forgets committed offsets of a group, as their expiry does.
    pub fn forget_offsets(&self, group: Group, places: &[Place]) {
        lock(&self.broker).group(group).offsets.expire(TimeMs::MAX, |place| places.contains(place));
    }
}

/// For oracles: what the log holds, seen from above. No faults here.
impl SimLog {
    /// Every record that is committed and below the last stable offset, in offset order; with
    /// `keep_deleted` those deleted since, too.
    pub fn all_committed(&self, place: Place) -> Result<Vec<OwnedRecord>, LogError> {
        Ok(lock(&self.broker).partition(place)?.committed())
    }

    pub fn ends(&self, place: Place) -> Result<Ends, LogError> {
        Ok(lock(&self.broker).partition(place)?.ends())
    }

    /// Committed offsets; those pending in a transaction are not among them.
    pub fn offsets(&self, group: Group) -> BTreeMap<Place, u64> {
        lock(&self.broker).group_ref(group).offsets.committed()
    }

    /// Goes up with each completed round, and when the group becomes empty.
    pub fn generation(&self, group: Group) -> u32 {
        lock(&self.broker).group_ref(group).generation
    }

    /// Members by name, in order.
    pub fn members(&self, group: Group) -> Vec<String> {
        lock(&self.broker).group_ref(group).member_names()
    }

    /// Who holds which lead partition; one that is being moved is still with its old owner.
    pub fn owners(&self, group: Group) -> BTreeMap<u32, String> {
        lock(&self.broker).group_ref(group).owners()
    }

    /// Hash of everything that a client could ever tell apart; equal after equal runs.
    pub fn digest(&self) -> u64 {
        let broker = lock(&self.broker);
        let mut hash = Xxh3::new();
        hash.write_i64(broker.now_ms);
        broker.partitions().for_each(|partition| partition.digest(&mut hash));
        for group in [Group::Customer, Group::Market] {
            broker.group_ref(group).digest(&mut hash);
        }
        hash.finish()
    }
}
