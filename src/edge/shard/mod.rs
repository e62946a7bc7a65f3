//! A shard: the threads around the deterministic partitions, to the letter of the commit protocol.
//!
//! [`apply::Apply`] owns the group consumer and the state and is the only writer; [`commit::Committer`]
//! owns the transactional producer. Batches go over with depth one. Both are written as `turn()`s that
//! never block longer than they are told, so that production runs them on two threads
//! ([`threads`]) and the simulation interleaves them from a seed.

pub mod apply;
pub mod batch;
pub mod commit;
pub mod contents;
pub mod cursor;
pub mod customer;
pub mod jobs;
pub mod market;
pub mod shared;
pub mod store;
pub mod threads;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use crate::edge::clock::Clock;
use crate::edge::log::{Group, Log, LogError, Place, Record};
use crate::edge::metrics::ShardStats;
use crate::engine;
use crate::engine::snapshot::Snapshot;
use crate::event::TimeMs;
use crate::signal::Topic;
use batch::Part;
use contents::Contents;
use jobs::Jobs;
use shared::{Epoch, Shared};
use store::SnapshotStore;
use wire::Wire;

/// Settings of a shard that shape neither state nor what is published.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Fixed by the operator: a restart under the same name ends its own open transaction at once.
    pub instance: String,
    /// Distance between commits, 5 to 1000 ms.
    pub transaction_interval_ms: TimeMs,
    /// Output of one transaction at most, in bytes.
    pub batch_bytes_max: usize,
    /// A journal entry, a record of packed facts and a job's result at most, in bytes.
    pub entry_bytes_max: usize,
    /// A whole model's content in its record at most, in bytes; a larger one goes into the object store.
    pub inline_bytes_max: usize,
    pub snapshot_interval_ms: TimeMs,
    pub snapshot_records: u64,
    /// Snapshots kept per partition.
    pub snapshots_kept: usize,
    /// An input at its end for this long no longer holds back the watermark.
    pub idle_after_ms: TimeMs,
    /// Distance between ticks while nothing comes.
    pub tick_interval_ms: TimeMs,
    /// Distance between ticks of the market stage while facts arrive.
    pub market_tick_ms: TimeMs,
    /// Time to finish after a partition is asked back.
    pub revoke_budget_ms: TimeMs,
    /// A record larger than this is a dead letter.
    pub record_bytes_max: usize,
    /// Partitions of the inputs and of the facts topic.
    pub partitions: u32,
    pub market_partitions: u32,
}

impl Default for ShardConfig {
    fn default() -> ShardConfig {
        ShardConfig {
            instance: "habitue".into(),
            transaction_interval_ms: 50,
            batch_bytes_max: 4 << 20,
            entry_bytes_max: 512 << 10,
            inline_bytes_max: 512 << 10,
            snapshot_interval_ms: 30_000,
            snapshot_records: 250_000,
            snapshots_kept: 2,
            idle_after_ms: 5_000,
            tick_interval_ms: 1_000,
            market_tick_ms: 50,
            revoke_budget_ms: 5_000,
            record_bytes_max: 1 << 20,
            partitions: 8,
            market_partitions: 8,
        }
    }
}

/// What a shard stands in.
pub struct Environment<L: Log> {
    pub log: L,
    pub store: Arc<dyn SnapshotStore>,
    pub contents: Arc<dyn Contents>,
    pub jobs: Arc<dyn Jobs>,
    pub clock: Arc<dyn Clock>,
    pub shared: Arc<Shared>,
    pub wire: Arc<Wire>,
    pub config: Arc<ShardConfig>,
    pub engine: Arc<engine::Config>,
}

impl<L: Log> Clone for Environment<L> {
    fn clone(&self) -> Environment<L> {
        Environment {
            log: self.log.clone(),
            store: Arc::clone(&self.store),
            contents: Arc::clone(&self.contents),
            jobs: Arc::clone(&self.jobs),
            clock: Arc::clone(&self.clock),
            shared: Arc::clone(&self.shared),
            wire: Arc::clone(&self.wire),
            config: Arc::clone(&self.config),
            engine: Arc::clone(&self.engine),
        }
    }
}

/// Why a shard stops. Everything else is mended and costs time only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// A guard refuses; the text names partition, offsets and the way out.
    #[error("partition {partition} of {group:?} is refused: {reason}")]
    Refused { group: Group, partition: u32, reason: String },
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The way out where nothing else helps, as the guards' refusals name it.
pub const BEGIN_ANEW: &str = "begin anew: stop all instances; delete the snapshots, the topics journal and \
    facts, and the offsets of both consumer groups; `habitue topics create` makes the topics again; inputs are \
    then read from their start, and what was published is published again under the same ids";

/// What differs between the customer stage and the market stage.
pub trait Stage<L: Log>: Send {
    /// One live partition and its positions.
    type State: Send + 'static;
    /// Brings a partition back, a turn at a time.
    type Restore: Restore<State = Self::State> + 'static;

    const GROUP: Group;

    fn environment(&self) -> &Environment<L>;
    /// A batch is open for this long at most; one that is urgent for the transaction interval.
    fn interval_ms(&self) -> TimeMs {
        self.environment().config.transaction_interval_ms
    }
    /// `committed` is the group's offset of the lead partition, C.
    fn restore(&self, partition: u32, committed: Option<u64>) -> Self::Restore;
    /// Where the live partition reads on.
    fn positions(&self, state: &Self::State) -> Vec<(Place, u64)>;
    /// Before the first record of a batch: take what must be taken from the epoch.
    fn open(&mut self, state: &mut Self::State, epoch: &Epoch, part: &mut Part);
    fn record(
        &mut self,
        state: &mut Self::State,
        record: Record<'_>,
        epoch: &Epoch,
        part: &mut Part,
        stats: &mut ShardStats,
    );
    /// Nothing has come for a while, or some inputs are at their end; may add steps.
    fn quiet(
        &mut self,
        state: &mut Self::State,
        at_end: &dyn Fn(Place) -> bool,
        epoch: &Epoch,
        part: &mut Part,
        stats: &mut ShardStats,
    );
    /// A part is held: tries again what holds it.
    fn settle(&mut self, _state: &mut Self::State, _part: &mut Part) {}
    /// Ends the partition's part of a batch: adds the journal entry, and the offsets to commit.
    fn close(&mut self, state: &mut Self::State, epoch: &Epoch, part: &mut Part);
    /// A snapshot of the state as of the batch just closed.
    fn freeze(&self, state: &Self::State) -> Snapshot;
}

/// A restore in progress.
pub trait Restore: Send {
    type State;

    /// Does a bounded piece of work, waiting at most `wait` for the log. Some when done.
    fn turn(&mut self, wait: Duration) -> Result<Option<Restored<Self::State>>, ShardError>;
    /// 0 to 1, for people.
    fn progress(&self) -> f64;
}

/// A partition that is back.
pub struct Restored<S> {
    pub state: S,
    /// C: the next offset of the lead partition.
    pub committed: u64,
}

/// Journal place of a customer partition, facts place of a market partition.
pub fn lead(group: Group, partition: u32) -> Place {
    Place::new(group.lead(), partition)
}

/// The topics whose partitions a customer shard reads beside the journal.
pub const INPUT_TOPICS: [Topic; 3] = [Topic::Purchases, Topic::Engagements, Topic::Feedback];
