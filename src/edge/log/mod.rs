//! The log as the shards see it: topics of partitions, one consumer group with a lead topic,
//! transactional producers that are fenced by generation, and plain readers.
//!
//! Three implementations: [`crate::edge::kafka`], [`embedded`] (durable, in a folder of one process) and
//! [`sim`] (in memory, seeded, with faults); the meaning of every method is fixed by one conformance suite
//! that runs on all. Nothing here blocks longer than the timeout it is given, so that a simulation can own
//! time.

pub mod embedded;
mod group;
mod places;
mod producer_state;
pub mod sim;

pub use self::group::GroupMetadata;

use std::time::Duration;

use crate::event::TimeMs;
use crate::signal::Topic;

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub topic: Topic,
    pub partition: u32,
}

impl Place {
    pub const fn new(topic: Topic, partition: u32) -> Place {
        Place { topic, partition }
    }
}

/// A record as it lies in the log; borrowed from the client's buffer, so copy what must stay.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub place: Place,
    /// Not dense: transactions leave control records between.
    pub offset: u64,
    /// The log's own timestamp (wall time of the writer), not event time.
    pub timestamp_ms: TimeMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// A record copied out of the client's buffer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnedRecord {
    pub place: Place,
    pub offset: u64,
    pub timestamp_ms: TimeMs,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> OwnedRecord {
        OwnedRecord {
            place: record.place,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        }
    }
}

impl OwnedRecord {
    /// As the log gave it.
    pub fn as_record(&self) -> Record<'_> {
        let OwnedRecord { place, offset, timestamp_ms, key, value } = self;
        Record {
            place: *place,
            offset: *offset,
            timestamp_ms: *timestamp_ms,
            key: key.as_deref(),
            value: value.as_deref(),
        }
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub place: Place,
    pub key: Vec<u8>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Wall time.
    pub timestamp_ms: TimeMs,
}

/// What the group tells a member. Each must be answered by the consumer's method of that name, at
/// the member's leisure but within the session: the group waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// New lead partitions. Answer with [`GroupConsumer::accept`].
    Assigned(Vec<u32>),
    /// Asked back: finish, commit, then answer with [`GroupConsumer::release`].
    Revoked(Vec<u32>),
    /// Taken away already: commit nothing. Answer with [`GroupConsumer::release`].
    Lost(Vec<u32>),
}

/// Why an operation of the log failed, by what the caller must do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Nothing happened; the same call may be made again.
    #[error("try again: {0}")]
    Retry(String),
    /// The transaction must be aborted; the producer lives on. A stale generation is one of these.
    #[error("abort the transaction: {0}")]
    Abort(String),
    /// Nobody knows whether it happened: make it definite with a new producer under the same id.
    #[error("outcome unknown: {0}")]
    Indefinite(String),
    /// Another producer with the same id has begun, or the client is broken beyond use.
    #[error("fenced or fatal: {0}")]
    Fatal(String),
    /// Another member has joined the group under this one's name, and has taken over. As final as `Fatal`.
    #[error(
        "another process has begun under this service.instance, and has taken over: each process needs a name of its \
         own, and one that is started again the name that it had"
    )]
    Replaced,
    /// A position lies outside what the log holds.
    #[error("{place:?}: offset {offset} is outside {low}..{high}")]
    OutOfRange { place: Place, offset: u64, low: u64, high: u64 },
}

impl LogError {
    /// The client is of no more use.
    pub fn is_final(&self) -> bool {
        matches!(self, LogError::Fatal(_) | LogError::Replaced)
    }
}

/// Low and high end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// First offset still held.
    pub low: u64,
    /// First offset not readable under read_committed (last stable offset).
    pub stable: u64,
    /// One past the last record written, open transactions included.
    pub high: u64,
}

/// Which consumer group: its lead topic decides who owns what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Lead topic: journal.
    Customer,
    /// Lead topic: facts.
    Market,
}

impl Group {
    pub fn lead(self) -> Topic {
        match self {
            Group::Customer => Topic::Journal,
            Group::Market => Topic::Facts,
        }
    }
}

/// A log. Cheap to clone; clones share the connection's configuration, not the connection.
pub trait Log: Clone + Send + Sync + 'static {
    type Consumer: GroupConsumer<Metadata = Self::Metadata>;
    type Reader: Reader;
    type Producer: Producer<Metadata = Self::Metadata>;
    type Appender: Appender;
    /// Proof of membership of one generation, taken from the consumer, checked at commit.
    type Metadata: Clone + Send + 'static;

    /// A member of the group, subscribed to its lead topic. `member` is stable over restarts.
    fn consumer(&self, group: Group, member: &str) -> Result<Self::Consumer, LogError>;
    /// Reads committed records only, belongs to no group.
    fn reader(&self) -> Result<Self::Reader, LogError>;
    /// Not yet initialised: call [`Producer::init`] before anything else.
    fn producer(&self, transactional_id: &str) -> Result<Self::Producer, LogError>;
    /// Writes outside transactions: the fast lane, ticks, control.
    fn appender(&self) -> Result<Self::Appender, LogError>;
    /// How far something outside has come, by a name that it chose; as stored by
    /// [`Appender::flush_with_cursor`]. None for an unknown name.
    fn cursor(&self, name: &str) -> Result<Option<u64>, LogError>;
    /// Number of partitions of a topic; None where it does not exist.
    fn partitions(&self, topic: Topic) -> Result<Option<u32>, LogError>;
    /// Largest record the topic takes, in bytes.
    fn record_bytes_max(&self, topic: Topic) -> Result<usize, LogError>;
}

pub trait GroupConsumer: Send {
    type Metadata;

    /// Serves the group, and hands over at most a few records through `each`, waiting up to `wait`
    /// for the first. A rebalance is returned once and then waits for its answer. What was handed over
    /// before an error, or before the rebalance, stays handed over.
    fn poll(
        &mut self,
        wait: Duration,
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<Option<Rebalance>, LogError>;
    /// Answers `Assigned`: the member now owns the lead partitions. The lead topic itself is never
    /// fetched until [`GroupConsumer::fetch`] names it.
    fn accept(&mut self, partitions: &[u32]) -> Result<(), LogError>;
    /// Answers `Revoked` and `Lost`: gives up the lead partitions and all that was fetched with them.
    fn release(&mut self, partitions: &[u32]) -> Result<(), LogError>;
    /// Begins to read places at offsets, of any topic, each in a partition that is owned. Moves those
    /// that are read already; what is paused stays paused. A place that is `OutOfRange` is not read again
    /// until it is fetched anew.
    fn fetch(&mut self, from: &[(Place, u64)]) -> Result<(), LogError>;
    /// Holds back and lets go. May throw away what was read ahead, never loses it.
    fn pause(&mut self, places: &[Place]) -> Result<(), LogError>;
    fn resume(&mut self, places: &[Place]) -> Result<(), LogError>;
    /// True when everything committed in the place so far has been handed over.
    fn at_end(&self, place: Place) -> bool;
    /// For [`Producer::send_offsets`]: valid for the generation of this moment.
    fn metadata(&self) -> Result<Self::Metadata, LogError>;
    /// The group's committed offsets. `Retry` while a transaction that touches them is pending.
    fn committed(&self, places: &[Place], wait: Duration) -> Result<Vec<Option<u64>>, LogError>;
}

pub trait Reader: Send {
    /// Replaces what is read.
    fn assign(&mut self, from: &[(Place, u64)]) -> Result<(), LogError>;
    /// Hands over at most a few records, waiting up to `wait` for the first.
    /// Returns how many; 0 where nothing has come.
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError>;
    fn ends(&mut self, place: Place) -> Result<Ends, LogError>;
    /// True when everything committed in an assigned place so far has been handed over.
    fn at_end(&self, place: Place) -> bool;
}

/// A transactional producer.
pub trait Producer: Send {
    type Metadata;

    /// Ends whatever an earlier producer of the same id left open, and fences it.
    fn init(&mut self) -> Result<(), LogError>;
    fn begin(&mut self) -> Result<(), LogError>;
    /// Queues a record. `Retry` when the queue is full: drain, then again.
    fn send(&mut self, record: &Outgoing) -> Result<(), LogError>;
    /// Waits up to `wait` until nothing is in flight; true when so. An error is a record refused.
    fn drain(&mut self, wait: Duration) -> Result<bool, LogError>;
    /// The offset of the last record of this transaction written to the place; known once drained.
    fn last_offset(&self, place: Place) -> Option<u64>;
    /// Adds the next offsets to read to the transaction. Never call it with an empty list: that
    /// skips the check of the generation.
    fn send_offsets(
        &mut self,
        group: Group,
        offsets: &[(Place, u64)],
        metadata: &Self::Metadata,
    ) -> Result<(), LogError>;
    /// Call only when drained. Never again after an error: make it definite instead.
    fn commit(&mut self) -> Result<(), LogError>;
    fn abort(&mut self) -> Result<(), LogError>;
}

/// A plain producer.
pub trait Appender: Send {
    /// Queues a record, which is on its way at the latest with the next flush.
    fn append(&mut self, record: &Outgoing) -> Result<(), LogError>;
    /// Waits up to `wait` until all that was appended is durable; true when so. Zero only sends.
    fn flush(&mut self, wait: Duration) -> Result<bool, LogError>;
    /// As a flush, and stores how far something outside has come: never without the records before it. Where it
    /// is false, neither is known to be stored.
    fn flush_with_cursor(&mut self, wait: Duration, name: &str, position: u64) -> Result<bool, LogError>;
    /// As [`Log::cursor`], by the client that moves it.
    fn cursor(&mut self, name: &str) -> Result<Option<u64>, LogError>;
}
