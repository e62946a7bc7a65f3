//! The whole service on the simulated log, in one thread, turn by turn, in event time.
//!
//! Events are fed in chunks; then the service works until it has nothing more to do: a transaction of the
//! customer stage, those of the market stage that follow from it, the rows that come back. So what a
//! chunk causes is seen by the next one, and by no event of its own. What was consumed is deleted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::said::{Made, RecordPlace, Said, hear};
use crate::analysis::Published;
use crate::codec::{SchemaSet, WireForm};
use crate::customer::Customer;
use crate::edge::clock::Clock;
use crate::edge::log::sim::{SimConfig, SimLog, SimReader};
use crate::edge::log::{Ends, Group, Log, LogError, OwnedRecord, Place, Reader};
use crate::edge::shard::apply::Apply;
use crate::edge::shard::commit::{Committer, Report};
use crate::edge::shard::contents::MemoryContents;
use crate::edge::shard::customer::CustomerStage;
use crate::edge::shard::jobs::InlineJobs;
use crate::edge::shard::market::MarketStage;
use crate::edge::shard::shared::{Epoch, Shared, SharedReader};
use crate::edge::shard::store::SnapshotStore;
use crate::edge::shard::wire::{Wire, partition_of};
use crate::edge::shard::{Environment, ShardConfig, ShardError, Stage};
use crate::engine;
use crate::engine::snapshot::Snapshot;
use crate::event::{Event, Input, Reject, TimeMs};
use crate::signal::Topic;
use crate::signal::fact::Fact;

/// Rows of shared tables at most.
const ROWS_MAX: usize = 2_000_000;
/// Chunks between two deletions of what was consumed.
const CHUNKS_KEPT: u64 = 64;
/// Of anything that must come about within so many turns, or the service hangs.
const TURNS_MAX: u32 = 1_000_000;
/// Beyond any file.
const NEVER_MS: i64 = 1 << 60;

/// The service, live and caught up between any two calls.
pub struct Service {
    log: SimLog,
    clock: Arc<EventClock>,
    customer: Side<CustomerStage<SimLog>>,
    market: Side<MarketStage<SimLog>>,
    shared: SharedReader<SimLog>,
    epochs: Arc<Shared>,
    outputs: SimReader,
    wire: Arc<Wire>,
    partitions: u32,
    chunks: u64,
    alerts: u64,
    /// Where it is continued elsewhere: what it leaves behind.
    left: Option<Arc<LastSnapshots>>,
}

/// What a service leaves to the one that goes on.
pub struct Continued {
    /// One of each partition of both stages, at its committed position.
    pub snapshots: Vec<Snapshot>,
    pub places: Vec<Held>,
    pub offsets: Vec<(Group, Place, u64)>,
}

/// What a place still holds.
pub struct Held {
    pub place: Place,
    pub ends: Ends,
    pub records: Vec<OwnedRecord>,
}

/// A stage's shard: its apply side and its committer.
struct Side<S: Stage<SimLog>> {
    apply: Apply<SimLog, S>,
    committer: Committer<SimLog>,
}

struct EventClock(AtomicI64);

impl Clock for EventClock {
    fn now_ms(&self) -> TimeMs {
        self.0.load(Ordering::Relaxed)
    }
}

/// A backtest is not continued, so it keeps no snapshots.
struct NoSnapshots;

impl SnapshotStore for NoSnapshots {
    fn submit(&self, _snapshot: Snapshot) {}

    fn list(&self, _stage: &str, _partition: u32) -> Result<Vec<u64>, String> {
        Ok(Vec::new())
    }

    fn get(&self, stage: &str, partition: u32, position: u64) -> Result<Vec<u8>, String> {
        Err(format!("there is no snapshot of {stage} {partition} at {position}"))
    }
}

/// The snapshots cut at the end.
#[derive(Default)]
struct LastSnapshots(Mutex<Vec<Snapshot>>);

impl SnapshotStore for LastSnapshots {
    fn submit(&self, snapshot: Snapshot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
    }

    fn list(&self, _stage: &str, _partition: u32) -> Result<Vec<u64>, String> {
        Ok(Vec::new())
    }

    fn get(&self, stage: &str, partition: u32, position: u64) -> Result<Vec<u8>, String> {
        NoSnapshots.get(stage, partition, position)
    }
}

/// What the service holds and has counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub applied: [u64; Input::ALL.len()],
    pub guests: u64,
    pub duplicates: u64,
    pub alerts: u64,
    pub customers: usize,
    /// By [`Reject`].
    pub dead_letters: [u64; Reject::ALL.len()],
    pub state_bytes: usize,
}

impl Service {
    /// Starts at `now_ms` with `partitions` of every topic, and waits until all are live.
    ///
    /// # Errors
    /// When the service does not start, which is a fault of ours.
    pub fn start(now_ms: TimeMs, partitions: u32) -> Result<Service, ShardError> {
        Service::start_with(now_ms, partitions, None)
    }

    /// As [`Service::start`], one that [`Service::end`] will end.
    ///
    /// # Errors
    /// When the service does not start, which is a fault of ours.
    pub fn start_continued(now_ms: TimeMs, partitions: u32) -> Result<Service, ShardError> {
        Service::start_with(now_ms, partitions, Some(Arc::default()))
    }

    fn start_with(
        now_ms: TimeMs,
        partitions: u32,
        left: Option<Arc<LastSnapshots>>,
    ) -> Result<Service, ShardError> {
        let config = SimConfig {
            start_ms: now_ms,
            session_timeout_ms: NEVER_MS,
            transaction_timeout_ms: NEVER_MS,
            retention_check_ms: NEVER_MS,
            ..SimConfig::new(0, partitions)
        };
        let log = SimLog::new(config);
        let models = log.partitions(Topic::Models)?.unwrap_or(1);
        let clock = Arc::new(EventClock(AtomicI64::new(now_ms)));
        let epochs = Arc::new(Shared::new(Epoch::new(Published::default(), models, ROWS_MAX)));
        let wire = wire()?;
        let environment = Environment {
            log: log.clone(),
            store: match &left {
                Some(left) => Arc::clone(left) as Arc<dyn SnapshotStore>,
                None => Arc::new(NoSnapshots),
            },
            contents: Arc::<MemoryContents>::default(),
            jobs: Arc::new(InlineJobs),
            clock: clock.clone(),
            shared: Arc::clone(&epochs),
            wire: Arc::clone(&wire),
            config: Arc::new(shard_config(partitions)),
            engine: Arc::new(engine::Config::default()),
        };
        let mut outputs = log.reader()?;
        let topics = [Topic::Scores, Topic::Alerts, Topic::Recommendations];
        let of = |topic| (0..partitions).map(move |p| (Place::new(topic, p), 0));
        let moments = Place::new(Topic::Facts, Fact::churn_partition(partitions));
        let read = topics.into_iter().flat_map(of).chain([(moments, 0)]);
        outputs.assign(&read.collect::<Vec<(Place, u64)>>())?;
        let mut service = Service {
            shared: SharedReader::new(
                &log,
                Arc::clone(&environment.wire),
                Arc::clone(&environment.contents),
                Arc::clone(&epochs),
            )?,
            customer: Side::new(CustomerStage::new(environment.clone(), None), &log)?,
            market: Side::new(MarketStage::new(environment)?, &log)?,
            log,
            wire,
            clock,
            epochs,
            outputs,
            partitions,
            chunks: 0,
            alerts: 0,
            left,
        };
        for _ in 0..TURNS_MAX {
            service.turn()?;
            let live = [service.customer.apply.live().count(), service.market.apply.live().count()];
            if live == [partitions as usize; 2] {
                return Ok(service);
            }
        }
        Err(hangs("the partitions do not come live"))
    }

    /// Writes an event to its input at `now_ms`, which must not fall. The place of its record.
    ///
    /// # Errors
    /// When the log refuses the record for its size.
    pub fn feed(&mut self, event: &Event<'_>, now_ms: TimeMs) -> Result<RecordPlace, LogError> {
        let value = self.wire.event(event, &[]);
        let (input, key) = (event.input(), event.key());
        let place = Place::new(input.into(), partition_of(key, self.partitions));
        let offset = self.log.append_record(place, Some(key.as_bytes()), Some(&value), now_ms)?;
        Ok((input.index(), place.partition, offset))
    }

    /// Works at `now_ms` until nothing is left to do, and hands over what is said. The lists published meanwhile, by
    /// the record that caused each.
    ///
    /// # Errors
    /// When the service stops.
    pub fn catch_up(
        &mut self,
        now_ms: TimeMs,
        said: &mut dyn FnMut(Said<'_>),
    ) -> Result<BTreeMap<RecordPlace, Made>, ShardError> {
        let passed_ms = now_ms.saturating_sub(self.clock.now_ms()).max(0);
        self.log.advance(passed_ms.unsigned_abs());
        self.clock.0.store(self.log.now_ms(), Ordering::Relaxed);
        let mut turns = 0;
        while self.turn()? {
            turns += 1;
            if turns == TURNS_MAX {
                return Err(hangs("the service does not come to rest"));
            }
        }
        let mut made = BTreeMap::new();
        while self.outputs.poll(Duration::ZERO, &mut |record| hear(&self.wire, record, &mut made, said))? > 0
        {
        }
        self.chunks += 1;
        if self.chunks.is_multiple_of(CHUNKS_KEPT) {
            self.forget()?;
        }
        Ok(made)
    }

    /// Ends it at rest, after [`Service::catch_up`]. Nothing is left where it was not started to be continued.
    ///
    /// # Errors
    /// When the service does not come to its end, which is a fault of ours.
    pub fn end(mut self) -> Result<Option<Continued>, ShardError> {
        let Some(left) = self.left.take() else { return Ok(None) };
        self.customer.apply.drain();
        self.market.apply.drain();
        let mut turns = 0;
        while !(self.customer.apply.is_drained() && self.market.apply.is_drained()) {
            self.turn()?;
            turns += 1;
            if turns == TURNS_MAX {
                return Err(hangs("the service does not drain"));
            }
        }
        self.customer.apply.last_snapshots();
        self.market.apply.last_snapshots();
        let mut places = Vec::new();
        for topic in Topic::ALL {
            for partition in 0..self.log.partitions(topic)?.unwrap_or(0) {
                let place = Place::new(topic, partition);
                let records = self.log.all_committed(place)?;
                places.push(Held { place, ends: self.log.ends(place)?, records });
            }
        }
        let groups = [Group::Customer, Group::Market].into_iter();
        let offsets = groups.flat_map(|group| {
            self.log.offsets(group).into_iter().map(move |(place, offset)| (group, place, offset))
        });
        let offsets = offsets.collect();
        let snapshots = std::mem::take(&mut *left.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Some(Continued { snapshots, places, offsets }))
    }

    /// What it holds now.
    pub fn counts(&mut self) -> Counts {
        let stats = self.customer.apply.take_stats();
        self.alerts += stats.alerts.values().sum::<u64>();
        let mut counts = Counts { alerts: self.alerts, ..Counts::default() };
        for (_, state) in self.customer.apply.live() {
            let totals = state.partition.totals();
            for (sum, applied) in counts.applied.iter_mut().zip(totals.applied) {
                *sum += applied;
            }
            for (sum, dead) in counts.dead_letters.iter_mut().zip(totals.dead) {
                *sum += dead;
            }
            counts.guests += totals.guests;
            counts.duplicates += totals.duplicates;
            counts.customers += state.partition.customers().len();
            counts.state_bytes += state.partition.bytes().iter().map(|(_, bytes)| bytes).sum::<usize>();
        }
        for (_, state) in self.market.apply.live() {
            counts.state_bytes += state.partition.bytes().iter().map(|(_, bytes)| bytes).sum::<usize>();
        }
        let epoch = self.epochs.epoch();
        counts.state_bytes += epoch.tables.bytes() + epoch.whole.bytes();
        counts
    }

    /// Every customer's record, by partition, in no particular order.
    pub fn customers(&self) -> impl Iterator<Item = &Customer> {
        let tables = self.customer.apply.live().map(|(_, state)| state.partition.customers());
        tables.flat_map(|table| table.iter().map(|(_, customer)| customer))
    }

    /// True when anything moved.
    fn turn(&mut self) -> Result<bool, ShardError> {
        let read = self.shared.turn(Duration::ZERO)?;
        let customer = self.customer.turn()?;
        let market = self.market.turn()?;
        Ok(read > 0 || customer || market)
    }

    /// Deletes what nobody reads again: below the groups' offsets, and outputs that were read.
    fn forget(&self) -> Result<(), LogError> {
        for group in [Group::Customer, Group::Market] {
            for (place, next) in self.log.offsets(group) {
                // Who goes on shows the alerts with their verdicts.
                if place.topic == Topic::Feedback && self.left.is_some() {
                    continue;
                }
                self.log.delete_before(place, next)?;
            }
        }
        let read = [Topic::Scores, Topic::DeadLetters, Topic::Recommendations];
        let done = [Topic::Models, Topic::Alerts];
        // Who goes on needs the newest of each model and row, and shows the alerts.
        let read_again: &[Topic] = if self.left.is_some() { &[] } else { &done };
        if self.left.is_some() {
            self.log.run_retention();
        }
        for topic in read.into_iter().chain(read_again.iter().copied()) {
            for partition in 0..self.log.partitions(topic)?.unwrap_or(0) {
                let place = Place::new(topic, partition);
                self.log.delete_before(place, self.log.ends(place)?.stable)?;
            }
        }
        Ok(())
    }
}

impl<S: Stage<SimLog>> Side<S> {
    fn new(stage: S, log: &SimLog) -> Result<Side<S>, ShardError> {
        let id = format!("{:?}/backtest/0", S::GROUP);
        let committer = Committer::new(log.clone(), S::GROUP, id, Box::new(|| Duration::ZERO));
        Ok(Side { apply: Apply::new(stage, false)?, committer })
    }

    /// True when it committed a batch.
    fn turn(&mut self) -> Result<bool, ShardError> {
        let Some(hand_over) = self.apply.turn(Duration::ZERO)? else { return Ok(false) };
        self.committer.take(hand_over);
        for _ in 0..TURNS_MAX {
            match self.committer.turn(Duration::ZERO) {
                None => {}
                Some(Report::Failed { error, .. }) => return Err(error.into()),
                Some(report) => {
                    self.apply.report(report);
                    return Ok(true);
                }
            }
        }
        Err(hangs("a transaction does not end"))
    }
}

fn hangs(what: &str) -> ShardError {
    ShardError::Log(LogError::Fatal(what.to_owned()))
}

fn wire() -> Result<Arc<Wire>, ShardError> {
    let fatal = |error: crate::codec::SchemaError| ShardError::Log(LogError::Fatal(error.to_string()));
    let schemas = SchemaSet::new::<&str>([]).map_err(fatal)?;
    let inputs = [WireForm::ConfluentAvro; Input::ALL.len()];
    Ok(Arc::new(Wire::new(schemas, inputs, WireForm::Json).map_err(fatal)?))
}

/// A transaction whenever there is something, and a tick of the market stage after each with facts.
fn shard_config(partitions: u32) -> ShardConfig {
    ShardConfig {
        instance: "backtest".into(),
        transaction_interval_ms: 0,
        market_tick_ms: 0,
        snapshot_interval_ms: NEVER_MS,
        snapshot_records: u64::MAX,
        partitions,
        market_partitions: partitions,
        ..ShardConfig::default()
    }
}
