//! The market stage on a log: facts in, rows of shared tables and whole models out, ticks of its own in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Due, Part};
use super::contents;
use super::cursor::Cursor;
use super::jobs::Attended;
use super::shared::Epoch;
use super::{BEGIN_ANEW, Environment, Restore, Restored, ShardError, Stage};
use crate::analysis::MarketOutput;
use crate::analysis::anomaly::ENTITY_RISK;
use crate::edge::log::{Appender, Group, Log, LogError, Outgoing, Place, Reader, Record};
use crate::edge::metrics::ShardStats;
use crate::engine::MarketPartition;
use crate::engine::snapshot::{Opened, Snapshot};
use crate::event::TimeMs;
use crate::signal::Topic;
use crate::signal::fact::{Fact, FactRecord};
use crate::signal::model::{Content, ModelRecord, Stored, Whole};

/// A live market partition.
pub struct MarketState {
    pub partition: MarketPartition,
    /// Next offset of facts.
    pub next: u64,
    /// Wall time at which the last tick was written, or would have been had nothing brought it forward, and what
    /// came since.
    ticked_ms: TimeMs,
    heard: Heard,
    jobs: Attended,
    /// Of jobs, still to be written: not while records are handed over, when a log may hold its lock.
    results: VecDeque<FactRecord>,
    /// Whole models that are published and not yet in the batch, in order; where the content of each is to be put.
    outbox: VecDeque<(Whole, Option<Stored>)>,
    /// Wall time from which the store may be asked again.
    retry_ms: TimeMs,
    /// What was evicted up to the last tick.
    evicted: Vec<(&'static str, u64)>,
}

impl MarketState {
    fn new(partition: MarketPartition, next: u64) -> MarketState {
        MarketState {
            evicted: partition.evicted(),
            partition,
            next,
            ticked_ms: 0,
            heard: Heard::Facts,
            jobs: Attended::default(),
            results: VecDeque::new(),
            outbox: VecDeque::new(),
            retry_ms: 0,
        }
    }

    fn count_evicted(&mut self, stats: &mut ShardStats) {
        let evicted = self.partition.evicted();
        for ((what, now), (_, before)) in evicted.iter().zip(&self.evicted) {
            *stats.evictions.entry(what).or_default() += now - before;
        }
        self.evicted = evicted;
    }
}

/// What came since the last tick was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Nothing,
    Facts,
    /// A verdict on an entity: the next tick is brought forward, the one after it is not.
    Cause,
}

impl Heard {
    fn of(fact: &FactRecord) -> Heard {
        let is_cause = |fact: &Fact| matches!(fact, Fact::EntityVerdict { .. });
        match fact {
            FactRecord::Tick { .. } => Heard::Nothing,
            FactRecord::Packed(facts) if facts.iter().any(is_cause) => Heard::Cause,
            _ => Heard::Facts,
        }
    }
}

/// Between two attempts to put a content.
const RETRY_AFTER_MS: TimeMs = 100;

/// The market stage of one shard.
pub struct MarketStage<L: Log> {
    environment: Environment<L>,
    ticker: L::Appender,
    /// Some of what was appended may not be written yet.
    is_unflushed: bool,
    output: MarketOutput,
    models_partitions: u32,
}

impl<L: Log> MarketStage<L> {
    /// # Errors
    /// When the log gives no appender for the ticks.
    pub fn new(environment: Environment<L>) -> Result<MarketStage<L>, LogError> {
        let ticker = environment.log.appender()?;
        let models_partitions = u32::try_from(environment.shared.epoch().models.len()).unwrap_or(1);
        let output = MarketOutput::default();
        Ok(MarketStage { environment, ticker, is_unflushed: false, output, models_partitions })
    }

    fn push_model(&self, record: &ModelRecord, part: &mut Part) {
        let key = record.record_key().into_bytes();
        let partition = super::wire::partition_of_bytes(&key, self.models_partitions);
        part.push(Outgoing {
            place: Place::new(Topic::Models, partition),
            value: Some(self.environment.wire.model(record)),
            key,
            timestamp_ms: self.environment.clock.now_ms(),
        });
    }

    /// Where the content belongs; None where it fits into its record.
    fn stored(&self, whole: &Whole, tick: (Place, u64)) -> Option<Stored> {
        let Content::Inline(bytes) = &whole.content else { return None };
        let is_large = bytes.len() > self.environment.config.inline_bytes_max;
        is_large.then(|| contents::stored(&whole.name, whole.version, tick, bytes))
    }

    fn put(&self, whole: &Whole, stored: Option<&Stored>) -> Result<(), String> {
        let (Content::Inline(bytes), Some(stored)) = (&whole.content, stored) else { return Ok(()) };
        self.environment.contents.put(&stored.path, bytes)?;
        if let Err(reason) = self.environment.contents.prune(&contents::folder(&whole.name), contents::KEPT) {
            tracing::warn!(model = whole.name, reason, "old contents of a model are still there");
        }
        Ok(())
    }

    /// Adds a record to facts, outside the transaction. Whoever folds it takes it for what it is, twice or not.
    fn append(&mut self, partition: u32, record: &FactRecord) -> bool {
        let record = Outgoing {
            place: Place::new(Topic::Facts, partition),
            key: Vec::new(),
            value: Some(self.environment.wire.fact(record)),
            timestamp_ms: self.environment.clock.now_ms(),
        };
        self.is_unflushed = true;
        self.ticker.append(&record).is_ok()
    }

    /// Keeps the appender going, without waiting. What it loses is written again: ticks go on, and a job whose result
    /// does not come is done anew.
    fn flush(&mut self) {
        if self.is_unflushed {
            self.is_unflushed = match self.ticker.flush(Duration::ZERO) {
                Ok(is_done) => !is_done,
                Err(error) => {
                    tracing::debug!(%error, "a tick or a job's result may be lost");
                    true
                }
            };
        }
    }
}

impl<L: Log> Stage<L> for MarketStage<L> {
    type State = MarketState;
    type Restore = MarketRestore<L>;

    const GROUP: Group = Group::Market;

    fn environment(&self) -> &Environment<L> {
        &self.environment
    }

    fn restore(&self, partition: u32, committed: Option<u64>) -> MarketRestore<L> {
        MarketRestore { environment: self.environment.clone(), number: partition, committed, follow: None }
    }

    /// Only a tick publishes: a batch without one has time.
    fn interval_ms(&self) -> TimeMs {
        let config = &self.environment.config;
        config.transaction_interval_ms.max(config.market_tick_ms)
    }

    fn positions(&self, state: &MarketState) -> Vec<(Place, u64)> {
        vec![(Place::new(Topic::Facts, state.partition.number()), state.next)]
    }

    fn open(&mut self, _state: &mut MarketState, _epoch: &Epoch, _part: &mut Part) {}

    fn record(
        &mut self,
        state: &mut MarketState,
        record: Record<'_>,
        _epoch: &Epoch,
        part: &mut Part,
        stats: &mut ShardStats,
    ) {
        state.next = record.offset + 1;
        part.applied += 1;
        let fact = match self.environment.wire.read_fact(record.value.unwrap_or_default()) {
            Ok(fact) => fact,
            Err(reason) => {
                tracing::error!(
                    partition = record.place.partition,
                    record.offset,
                    reason,
                    "a fact is unreadable"
                );
                return;
            }
        };
        let is_tick = matches!(fact, FactRecord::Tick { .. });
        state.heard = state.heard.max(Heard::of(&fact));
        let (folded, began) = (state.partition.facts(), Instant::now());
        state.partition.apply(&fact, &mut self.output);
        stats.apply.observe(began.elapsed());
        stats.facts += state.partition.facts() - folded;
        self.output.facts.drain(..).for_each(|fact| part.fact(fact));
        for (analysis, is_awaited) in self.output.answers.drain(..) {
            stats.jobs_answered.entry(analysis).or_default()[usize::from(is_awaited)] += 1;
        }
        if !self.output.rows.is_empty() || !self.output.models.is_empty() {
            part.due = part.due.max(Due::AtInterval);
        }
        for row in std::mem::take(&mut self.output.rows) {
            if row.table == ENTITY_RISK {
                part.due = Due::AtOnce;
            }
            self.push_model(&ModelRecord::Row(row), part);
        }
        for whole in std::mem::take(&mut self.output.models) {
            *stats.models_published.entry(whole.name.clone()).or_default() += 1;
            let stored = self.stored(&whole, (record.place, record.offset));
            state.outbox.push_back((whole, stored));
        }
        self.settle(state, part);
        if is_tick {
            state.count_evicted(stats);
            let limits = (self.environment.clock.now_ms(), self.environment.config.entry_bytes_max);
            let awaited = state.partition.jobs();
            state.results.extend(state.jobs.attend(awaited, &*self.environment.jobs, limits, stats));
        }
    }

    /// Sends published models on, in order; one whose content cannot be put yet holds the batch.
    fn settle(&mut self, state: &mut MarketState, part: &mut Part) {
        let now_ms = self.environment.clock.now_ms();
        while let Some((whole, stored)) = state.outbox.front() {
            if now_ms < state.retry_ms {
                break;
            }
            if let Err(reason) = self.put(whole, stored.as_ref()) {
                tracing::warn!(
                    model = whole.name,
                    whole.version,
                    reason,
                    "a model's content cannot be stored; it is tried again"
                );
                state.retry_ms = now_ms + RETRY_AFTER_MS;
                break;
            }
            let Some((whole, stored)) = state.outbox.pop_front() else { break };
            let content = stored.map_or(whole.content, Content::Stored);
            self.push_model(&ModelRecord::Whole(Whole { content, ..whole }), part);
        }
        part.is_held = !state.outbox.is_empty();
    }

    /// Writes results of jobs, and the partition's tick. A tick that a former owner writes as well does no harm: a tick is
    /// input like any other.
    fn quiet(
        &mut self,
        state: &mut MarketState,
        _at_end: &dyn Fn(Place) -> bool,
        _epoch: &Epoch,
        _part: &mut Part,
        _stats: &mut ShardStats,
    ) {
        self.flush();
        let number = state.partition.number();
        while let Some(result) = state.results.front()
            && self.append(number, result)
        {
            state.results.pop_front();
        }
        let config = Arc::clone(&self.environment.config);
        let now_ms = self.environment.clock.now_ms();
        let interval_ms = match state.heard {
            Heard::Nothing => config.tick_interval_ms,
            Heard::Facts => config.market_tick_ms,
            Heard::Cause => 0,
        };
        if now_ms - state.ticked_ms < interval_ms {
            return;
        }
        if self.append(state.partition.number(), &FactRecord::Tick { time_ms: now_ms }) {
            state.ticked_ms = now_ms.max(state.ticked_ms + config.market_tick_ms);
            state.heard = Heard::Nothing;
        }
    }

    fn close(&mut self, state: &mut MarketState, _epoch: &Epoch, part: &mut Part) {
        part.offsets.extend(self.positions(state));
    }

    fn freeze(&self, state: &MarketState) -> Snapshot {
        state.partition.freeze(0)
    }
}

/// Newest good snapshot, then the facts up to the group's offset, in silence.
pub struct MarketRestore<L: Log> {
    environment: Environment<L>,
    number: u32,
    committed: Option<u64>,
    follow: Option<Follow<L>>,
}

struct Follow<L: Log> {
    partition: MarketPartition,
    facts: Cursor<L>,
    from: u64,
    next: u64,
    to: u64,
}

impl<L: Log> MarketRestore<L> {
    fn refuse(&self, reason: String) -> ShardError {
        ShardError::Refused { group: Group::Market, partition: self.number, reason }
    }

    fn begin(&self) -> Result<Follow<L>, ShardError> {
        let place = Place::new(Topic::Facts, self.number);
        let ends = self.environment.log.reader()?.ends(place)?;
        let store = &self.environment.store;
        let listed = store.list("market", self.number).unwrap_or_else(|reason| {
            tracing::warn!(
                partition = self.number,
                reason,
                "snapshots cannot be listed; folding facts again"
            );
            Vec::new()
        });
        let Some(committed) = self.committed else {
            if !listed.is_empty() {
                return Err(self.refuse(format!(
                    "there are snapshots at facts offsets {listed:?} but the group has committed none; restore its offsets, or {BEGIN_ANEW}"
                )));
            }
            return self.from(
                MarketPartition::new(self.number, &self.environment.engine),
                ends.low,
                ends.low,
            );
        };
        if committed > ends.high || committed < ends.low {
            return Err(self.refuse(format!(
                "the group has committed facts offset {committed}, but facts hold {}..{}; {BEGIN_ANEW}",
                ends.low, ends.high
            )));
        }
        for position in listed.into_iter().filter(|position| (ends.low..=committed).contains(position)) {
            match self.open(position) {
                Ok(partition) => return self.from(partition, position, committed),
                Err(reason) => {
                    tracing::warn!(partition = self.number, position, reason, "a snapshot is not usable");
                }
            }
        }
        if ends.low > 0 {
            return Err(self.refuse(format!(
                "there is no good snapshot at or after facts offset {}, where facts begin; restore one, or {BEGIN_ANEW}",
                ends.low
            )));
        }
        self.from(MarketPartition::new(self.number, &self.environment.engine), 0, committed)
    }

    fn open(&self, position: u64) -> Result<MarketPartition, String> {
        let bytes = self.environment.store.get("market", self.number, position)?;
        let opened = Opened::read(&bytes).map_err(|error| error.to_string())?;
        opened.expect_position(position).map_err(|error| error.to_string())?;
        MarketPartition::restore(&opened, self.number, &self.environment.engine)
            .map_err(|error| error.to_string())
    }

    fn from(&self, partition: MarketPartition, from: u64, to: u64) -> Result<Follow<L>, ShardError> {
        let place = Place::new(Topic::Facts, self.number);
        let facts = Cursor::open(&self.environment.log, place, from)?;
        Ok(Follow { partition, facts, from, next: from, to })
    }

    /// True when C is reached.
    fn follow(&self, follow: &mut Follow<L>, wait: Duration) -> Result<bool, ShardError> {
        const RECORDS_A_TURN: usize = 2_000;
        let mut output = MarketOutput::default();
        for _ in 0..RECORDS_A_TURN {
            if follow.next >= follow.to {
                return Ok(true);
            }
            let Some(record) = follow.facts.peek(wait)? else {
                // Only markers lie between the last record and C.
                return Ok(follow.facts.is_at_end());
            };
            if record.offset >= follow.to {
                return Ok(true);
            }
            follow.next = record.offset + 1;
            // One that cannot be read now could not be read then, and was counted then.
            if let Ok(fact) = self.environment.wire.read_fact(record.value.as_deref().unwrap_or_default()) {
                follow.partition.apply(&fact, &mut output);
            }
            output.clear();
            follow.facts.pop();
        }
        Ok(false)
    }
}

impl<L: Log> Restore for MarketRestore<L> {
    type State = MarketState;

    fn turn(&mut self, wait: Duration) -> Result<Option<Restored<MarketState>>, ShardError> {
        let Some(mut follow) = self.follow.take() else {
            match self.begin() {
                Ok(follow) => self.follow = Some(follow),
                // Nothing has begun: the log may be asked again.
                Err(ShardError::Log(LogError::Retry(_))) => {}
                Err(error) => return Err(error),
            }
            return Ok(None);
        };
        if !self.follow(&mut follow, wait)? {
            self.follow = Some(follow);
            return Ok(None);
        }
        let Follow { partition, to, .. } = follow;
        Ok(Some(Restored { state: MarketState::new(partition, to), committed: to }))
    }

    fn progress(&self) -> f64 {
        self.follow.as_ref().map_or(0.0, |follow| {
            let all = (follow.to - follow.from).max(1) as f64;
            (follow.next - follow.from) as f64 / all
        })
    }
}
