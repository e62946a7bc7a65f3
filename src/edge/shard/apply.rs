//! The apply side of a shard: serves the group, applies records, seals batches, brings partitions back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Part};
use super::commit::Report;
use super::shared::Epoch;
use super::threads::RestoreSlot;
use super::{BEGIN_ANEW, Environment, Restored, ShardError, Stage, lead};
use crate::edge::log::{GroupConsumer, Log, LogError, Outgoing, Place, Rebalance};
use crate::edge::metrics::{CommitPhase, Outcome, ShardStats, stage_name};
use crate::engine::snapshot::Snapshot;
use crate::event::TimeMs;
use crate::signal::Topic;
use crate::signal::fact::{Fact, FactRecord};

/// A sealed batch on its way to the committer.
pub type HandOver<L> = (Arc<Batch>, <L as Log>::Metadata);

/// Records applied between two looks at the clock, at most.
const RECORDS_A_TURN: u64 = 512;
/// A full batch that waits longer than this for the committer pauses its partitions, because pausing
/// throws away what was read ahead.
const PAUSE_AFTER_MS: TimeMs = 1_000;

/// Owner of the group consumer and of all state of a shard.
pub struct Apply<L: Log, S: Stage<L>> {
    environment: Environment<L>,
    stage: S,
    consumer: L::Consumer,
    owned: BTreeMap<u32, Owned<L, S>>,
    /// The open batch, by partition, and the epoch that it sees.
    parts: BTreeMap<u32, Part>,
    epoch: Arc<Epoch>,
    opened_ms: TimeMs,
    flight: Option<Flight>,
    number: u64,
    leaving: Option<Leaving>,
    blocked_since_ms: Option<TimeMs>,
    paused: bool,
    draining: bool,
    restore_threads: bool,
    stats: ShardStats,
}

enum Owned<L: Log, S: Stage<L>> {
    /// The committed offset has yet to be learned.
    Asking,
    Restoring(RestoreSlot<S::Restore>),
    Live(Box<Live<L, S>>),
}

struct Live<L: Log, S: Stage<L>> {
    state: S::State,
    committed: u64,
    snapshot_ms: TimeMs,
    records_since_snapshot: u64,
}

struct Flight {
    batch: Arc<Batch>,
    stage: FlightStage,
    frozen: Vec<(u32, Snapshot)>,
    /// Partitions of the batch that were given up or lost since. One may be owned again by now, with a
    /// state and a committed offset that are not the batch's.
    left: BTreeSet<u32>,
    /// While in doubt: the committed offsets that mean that this very batch was committed.
    hoped: Option<BTreeMap<u32, u64>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FlightStage {
    Sealed,
    AtCommitter,
    InDoubt,
}

struct Leaving {
    partitions: Vec<u32>,
    deadline_ms: TimeMs,
}

impl<L: Log, S: Stage<L>> Apply<L, S> {
    /// Joins the group. `restore_threads`: restores run on threads of their own, else inside `turn`.
    ///
    /// # Errors
    /// When the log gives no consumer.
    pub fn new(stage: S, restore_threads: bool) -> Result<Apply<L, S>, ShardError> {
        let environment = stage.environment().clone();
        let consumer = environment.log.consumer(S::GROUP, &environment.config.instance)?;
        Ok(Apply {
            epoch: environment.shared.epoch(),
            environment,
            stage,
            consumer,
            owned: BTreeMap::new(),
            parts: BTreeMap::new(),
            opened_ms: 0,
            flight: None,
            number: 0,
            leaving: None,
            blocked_since_ms: None,
            paused: false,
            draining: false,
            restore_threads,
            stats: ShardStats::new(S::GROUP),
        })
    }

    /// One bounded piece of work, waiting at most `wait` for the log. Some is for the committer.
    ///
    /// # Errors
    /// When a guard refuses a partition, or the log is broken beyond use.
    pub fn turn(&mut self, wait: Duration) -> Result<Option<HandOver<L>>, ShardError> {
        let now_ms = self.environment.clock.now_ms();
        self.settle_doubt()?;
        self.bring_back(now_ms)?;
        self.poll(wait, now_ms)?;
        self.quiet();
        self.leave(now_ms)?;
        if self.is_due(now_ms) {
            self.seal(now_ms);
        }
        self.hand_over()
    }

    /// What the committer says of the batch at hand.
    pub fn report(&mut self, report: Report) {
        let Some(flight) = &mut self.flight else { return };
        match report {
            Report::Committed { number, leads, phases } if number == flight.batch.number => {
                self.stats.commit_phase(CommitPhase::Drain, phases.drain);
                self.stats.commit_phase(CommitPhase::Offsets, phases.offsets);
                self.stats.commit_phase(CommitPhase::Commit, phases.commit);
                // The exact times, where the histograms have buckets.
                tracing::debug!(
                    stage = stage_name(S::GROUP),
                    number,
                    drain_us = phases.drain.as_micros() as u64,
                    offsets_us = phases.offsets.as_micros() as u64,
                    commit_us = phases.commit.as_micros() as u64,
                    "committed"
                );
                self.commit(&leads);
            }
            Report::Failed { number, error, leads } if number == flight.batch.number => {
                tracing::warn!(number, %error, "a transaction failed");
                if !matches!(error, LogError::Abort(_)) {
                    self.stats.transaction(Outcome::Indefinite);
                }
                flight.stage = FlightStage::InDoubt;
                flight.hoped = leads;
            }
            _ => {}
        }
    }

    /// Stops reading; what is open is still committed. See [`Apply::is_drained`].
    pub fn drain(&mut self) {
        self.draining = true;
    }

    pub fn is_drained(&self) -> bool {
        self.draining && self.flight.is_none() && self.parts.is_empty()
    }

    /// Once drained: a snapshot of every partition that has moved since its last, so that the next start
    /// follows no journal.
    pub fn last_snapshots(&mut self) {
        for owned in self.owned.values_mut() {
            let Owned::Live(live) = owned else { continue };
            if live.records_since_snapshot > 0 {
                live.records_since_snapshot = 0;
                let mut snapshot = self.stage.freeze(&live.state);
                snapshot.identity.position = live.committed;
                self.environment.store.submit(snapshot);
            }
        }
    }

    /// Partitions that are live, and those still on their way with their progress.
    pub fn live(&self) -> impl Iterator<Item = (u32, &S::State)> {
        self.owned.iter().filter_map(|(partition, owned)| match owned {
            Owned::Live(live) => Some((*partition, &live.state)),
            _ => None,
        })
    }

    pub fn restoring(&self) -> impl Iterator<Item = (u32, f64)> + '_ {
        self.owned.iter().filter_map(|(partition, owned)| match owned {
            Owned::Asking => Some((*partition, 0.0)),
            Owned::Restoring(slot) => Some((*partition, slot.progress())),
            Owned::Live(_) => None,
        })
    }

    /// Takes what was counted since the last call.
    pub fn take_stats(&mut self) -> ShardStats {
        std::mem::replace(&mut self.stats, ShardStats::new(S::GROUP))
    }

    fn poll(&mut self, wait: Duration, now_ms: TimeMs) -> Result<(), ShardError> {
        if self.is_full() && self.flight.is_some() {
            let since_ms = *self.blocked_since_ms.get_or_insert(now_ms);
            if now_ms - since_ms < PAUSE_AFTER_MS {
                return Ok(());
            }
            if !self.paused {
                self.consumer.pause(&self.places())?;
                self.paused = true;
            }
        } else {
            self.blocked_since_ms = None;
            if self.paused {
                self.consumer.resume(&self.places())?;
                self.paused = false;
            }
        }
        let mut wait = wait;
        let applied_before = self.applied();
        while self.applied() < applied_before + RECORDS_A_TURN {
            let before = self.applied();
            let rebalance = self.poll_once(wait)?;
            if let Some(rebalance) = rebalance {
                self.rebalance(rebalance, now_ms)?;
            }
            if self.applied() == before || self.is_full() {
                break;
            }
            wait = Duration::ZERO;
        }
        if applied_before == 0 && self.applied() > 0 {
            self.opened_ms = now_ms;
        }
        Ok(())
    }

    fn poll_once(&mut self, wait: Duration) -> Result<Option<Rebalance>, ShardError> {
        let Apply { consumer, owned, parts, epoch, stage, leaving, draining, stats, environment, .. } = self;
        let result = consumer.poll(wait, &mut |record| {
            let partition = record.place.partition;
            let is_leaving = leaving.as_ref().is_some_and(|leaving| leaving.partitions.contains(&partition));
            if *draining || is_leaving {
                return;
            }
            // Records of a partition that was given up meanwhile are the next owner's.
            let Some(Owned::Live(live)) = owned.get_mut(&partition) else { return };
            let part = open_part(parts, epoch, environment, stage, live, partition);
            stage.record(&mut live.state, record, epoch, part, stats);
        });
        match result {
            Ok(rebalance) => Ok(rebalance),
            Err(LogError::OutOfRange { place, offset, low, high }) => {
                let reason = format!(
                    "{:?} is to be read at offset {offset}, but the log holds {low}..{high}; restore the topic, or {BEGIN_ANEW}",
                    place.topic
                );
                Err(ShardError::Refused { group: S::GROUP, partition: place.partition, reason })
            }
            Err(LogError::Fatal(reason)) => Err(LogError::Fatal(reason).into()),
            Err(error) => {
                tracing::debug!(%error, "the log has nothing for now");
                Ok(None)
            }
        }
    }

    fn rebalance(&mut self, rebalance: Rebalance, now_ms: TimeMs) -> Result<(), ShardError> {
        match rebalance {
            Rebalance::Assigned(partitions) => {
                self.consumer.accept(&partitions)?;
                for partition in partitions {
                    self.owned.insert(partition, Owned::Asking);
                }
            }
            Rebalance::Revoked(partitions) => {
                let deadline_ms = now_ms + self.environment.config.revoke_budget_ms;
                self.leaving = Some(Leaving { partitions, deadline_ms });
            }
            Rebalance::Lost(partitions) => {
                self.leaving = None;
                self.give_up(&partitions)?;
            }
        }
        Ok(())
    }

    /// Answers a revocation as soon as what was applied is committed, or the budget is spent.
    fn leave(&mut self, now_ms: TimeMs) -> Result<(), ShardError> {
        let Some(leaving) = &self.leaving else { return Ok(()) };
        let of_them = |partition: &u32| leaving.partitions.contains(partition);
        let in_flight =
            self.flight.as_ref().is_some_and(|flight| flight.batch.partitions().any(|p| of_them(&p)));
        let open = self.parts.keys().any(of_them);
        if (open || in_flight) && now_ms < leaving.deadline_ms {
            return Ok(());
        }
        let partitions = leaving.partitions.clone();
        self.leaving = None;
        self.give_up(&partitions)
    }

    fn give_up(&mut self, partitions: &[u32]) -> Result<(), ShardError> {
        for partition in partitions {
            self.owned.remove(partition);
            self.parts.remove(partition);
            if let Some(flight) = &mut self.flight {
                flight.left.insert(*partition);
            }
        }
        self.consumer.release(partitions)?;
        Ok(())
    }

    /// Asks for committed offsets, drives restores, and puts those that are done to work.
    fn bring_back(&mut self, now_ms: TimeMs) -> Result<(), ShardError> {
        let waiting: Vec<u32> =
            self.owned.iter().filter(|(_, o)| !matches!(o, Owned::Live(_))).map(|(p, _)| *p).collect();
        for partition in waiting {
            let place = lead(S::GROUP, partition);
            let Some(owned) = self.owned.get_mut(&partition) else { continue };
            match owned {
                Owned::Asking => match self.consumer.committed(&[place], Duration::from_millis(100)) {
                    Ok(committed) => {
                        let restore = self.stage.restore(partition, committed.first().copied().flatten());
                        *owned = Owned::Restoring(RestoreSlot::new(restore, self.restore_threads));
                    }
                    Err(LogError::Fatal(reason)) => return Err(LogError::Fatal(reason).into()),
                    Err(_) => {}
                },
                Owned::Restoring(slot) => {
                    if let Some(restored) = slot.turn()? {
                        self.go_live(partition, restored, now_ms)?;
                    }
                }
                Owned::Live(_) => {}
            }
        }
        Ok(())
    }

    fn go_live(
        &mut self,
        partition: u32,
        restored: Restored<S::State>,
        now_ms: TimeMs,
    ) -> Result<(), ShardError> {
        let positions = self.stage.positions(&restored.state);
        self.consumer.fetch(&positions)?;
        if !self.paused {
            // A place that an earlier owner of the state paused would stay so.
            let places: Vec<Place> = positions.iter().map(|(place, _)| *place).collect();
            self.consumer.resume(&places)?;
        }
        self.stats.restores += 1;
        let live = Live {
            state: restored.state,
            committed: restored.committed,
            snapshot_ms: now_ms,
            records_since_snapshot: 0,
        };
        self.owned.insert(partition, Owned::Live(Box::new(live)));
        Ok(())
    }

    fn quiet(&mut self) {
        if self.draining || self.is_full() {
            return;
        }
        let Apply { consumer, owned, parts, epoch, stage, leaving, environment, .. } = self;
        if parts.is_empty() {
            *epoch = environment.shared.epoch();
        }
        for (partition, owned) in owned.iter_mut() {
            let Owned::Live(live) = owned else { continue };
            if leaving.as_ref().is_some_and(|leaving| leaving.partitions.contains(partition)) {
                continue;
            }
            let at_end = |place: Place| consumer.at_end(place);
            if let Some(part) = parts.get_mut(partition) {
                stage.quiet(&mut live.state, &at_end, epoch, part);
                continue;
            }
            let mut part = Part::default();
            stage.open(&mut live.state, epoch, &mut part);
            stage.quiet(&mut live.state, &at_end, epoch, &mut part);
            if part.applied > 0 {
                if parts.is_empty() {
                    self.opened_ms = environment.clock.now_ms();
                }
                parts.insert(*partition, part);
            }
        }
    }

    fn is_full(&self) -> bool {
        let bytes: usize = self.parts.values().map(|part| part.bytes).sum();
        bytes >= self.environment.config.batch_bytes_max || self.parts.values().any(|part| part.full)
    }

    fn is_due(&self, now_ms: TimeMs) -> bool {
        if self.flight.is_some() || self.parts.is_empty() {
            return false;
        }
        self.draining
            || self.leaving.is_some()
            || self.is_full()
            || now_ms - self.opened_ms >= self.environment.config.transaction_interval_ms
    }

    /// Closes every part and makes the batch of them.
    fn seal(&mut self, now_ms: TimeMs) {
        let config = Arc::clone(&self.environment.config);
        self.number += 1;
        let mut batch = Batch {
            number: self.number,
            records: Vec::new(),
            entries: Vec::new(),
            offsets: Vec::new(),
            stands_on: BTreeMap::new(),
            written_ms: Vec::new(),
        };
        let mut frozen = Vec::new();
        let mut facts: BTreeMap<u32, Vec<Fact>> = BTreeMap::new();
        for (partition, mut part) in std::mem::take(&mut self.parts) {
            let Some(Owned::Live(live)) = self.owned.get_mut(&partition) else { continue };
            self.stage.close(&mut live.state, &self.epoch, &mut part);
            live.records_since_snapshot += part.applied;
            let is_old = now_ms - live.snapshot_ms >= config.snapshot_interval_ms;
            let is_leaving = self.leaving.as_ref().is_some_and(|l| l.partitions.contains(&partition));
            let is_due = is_old || live.records_since_snapshot >= config.snapshot_records;
            if is_due || is_leaving || self.draining {
                live.snapshot_ms = now_ms;
                live.records_since_snapshot = 0;
                frozen.push((partition, self.stage.freeze(&live.state)));
            }
            batch.stands_on.insert(partition, live.committed);
            batch.written_ms.append(&mut part.written_ms);
            batch.records.append(&mut part.records);
            batch.entries.append(&mut part.entries);
            batch.offsets.append(&mut part.offsets);
            for fact in part.facts {
                facts.entry(fact.partition(config.market_partitions)).or_default().push(fact);
            }
        }
        for (partition, facts) in facts {
            self.pack(partition, facts, now_ms, &mut batch.records);
        }
        let batch = Arc::new(batch);
        self.flight =
            Some(Flight { batch, stage: FlightStage::Sealed, frozen, left: BTreeSet::new(), hoped: None });
    }

    /// Packs facts into records of at most the entry limit.
    fn pack(&self, partition: u32, facts: Vec<Fact>, now_ms: TimeMs, records: &mut Vec<Outgoing>) {
        // A fact takes about 64 bytes, with long entity names a few hundred.
        let at_once = (self.environment.config.entry_bytes_max / 1024).max(1) * 4;
        let mut facts = facts.into_iter().peekable();
        while facts.peek().is_some() {
            let packed = FactRecord::Packed(facts.by_ref().take(at_once).collect());
            records.push(Outgoing {
                place: Place::new(Topic::Facts, partition),
                key: Vec::new(),
                value: Some(self.environment.wire.fact(&packed)),
                timestamp_ms: now_ms,
            });
        }
    }

    /// Gives a sealed batch to the committer with the metadata of this moment, after the group was
    /// served and while every partition of the batch is owned.
    fn hand_over(&mut self) -> Result<Option<HandOver<L>>, ShardError> {
        let Some(flight) = &mut self.flight else { return Ok(None) };
        if flight.stage != FlightStage::Sealed {
            return Ok(None);
        }
        if !flight.left.is_empty() {
            self.start_over();
            return Ok(None);
        }
        match self.consumer.metadata() {
            Ok(metadata) => {
                flight.stage = FlightStage::AtCommitter;
                Ok(Some((Arc::clone(&flight.batch), metadata)))
            }
            Err(LogError::Fatal(reason)) => Err(LogError::Fatal(reason).into()),
            Err(_) => Ok(None),
        }
    }

    fn commit(&mut self, leads: &BTreeMap<u32, u64>) {
        let Some(flight) = self.flight.take() else { return };
        self.stats.transaction(Outcome::Committed);
        self.stats.journal_entries += flight.batch.entries.len() as u64;
        let now_ms = self.environment.clock.now_ms();
        for written_ms in &flight.batch.written_ms {
            let took_ms = u64::try_from(now_ms - written_ms).unwrap_or(0);
            self.stats.event_to_commit.observe(Duration::from_millis(took_ms));
        }
        for (partition, next) in leads.iter().filter(|(partition, _)| !flight.left.contains(partition)) {
            if let Some(Owned::Live(live)) = self.owned.get_mut(partition) {
                live.committed = *next;
            }
        }
        for (partition, mut snapshot) in flight.frozen {
            if let Some(next) = leads.get(&partition) {
                snapshot.identity.position = *next;
                self.environment.store.submit(snapshot);
            }
        }
    }

    /// A failed batch is definite by now; the committed offsets say which way. Offsets that have moved are
    /// not enough: another owner may have moved them before this member heard of its loss. They must be
    /// this batch's own.
    fn settle_doubt(&mut self) -> Result<(), ShardError> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        if flight.stage != FlightStage::InDoubt {
            return Ok(());
        }
        let kept: Vec<(u32, u64)> = flight
            .batch
            .stands_on
            .iter()
            .filter(|(partition, _)| !flight.left.contains(partition))
            .map(|(partition, stands_on)| (*partition, *stands_on))
            .collect();
        if kept.is_empty() {
            self.flight = None;
            return Ok(());
        }
        let places: Vec<Place> = kept.iter().map(|(partition, _)| lead(S::GROUP, *partition)).collect();
        let committed = match self.consumer.committed(&places, Duration::from_millis(100)) {
            Ok(committed) => committed,
            Err(LogError::Fatal(reason)) => return Err(LogError::Fatal(reason).into()),
            Err(_) => return Ok(()),
        };
        let now: BTreeMap<u32, u64> = kept
            .iter()
            .zip(committed)
            .map(|((partition, stands_on), committed)| (*partition, committed.unwrap_or(*stands_on)))
            .collect();
        if kept.iter().all(|(partition, stands_on)| now[partition] == *stands_on) && flight.left.is_empty() {
            flight.stage = FlightStage::Sealed;
            self.stats.transaction(Outcome::Retried);
        } else if flight
            .hoped
            .as_ref()
            .is_some_and(|hoped| now.iter().all(|(p, next)| hoped.get(p) == Some(next)))
        {
            self.commit(&now);
        } else {
            self.start_over();
        }
        Ok(())
    }

    /// Drops the flight and all state that went into it, and restores.
    fn start_over(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        self.stats.transaction(Outcome::Aborted);
        for partition in flight.batch.partitions().filter(|partition| !flight.left.contains(partition)) {
            self.parts.remove(&partition);
            if let Some(owned) = self.owned.get_mut(&partition) {
                *owned = Owned::Asking;
            }
        }
    }

    fn applied(&self) -> u64 {
        self.parts.values().map(|part| part.applied).sum()
    }

    fn places(&self) -> Vec<Place> {
        let live = self.live().map(|(_, state)| self.stage.positions(state));
        live.flatten().map(|(place, _)| place).collect()
    }
}

/// The partition's part of the open batch. The first record of a batch pins the epoch.
fn open_part<'a, L: Log, S: Stage<L>>(
    parts: &'a mut BTreeMap<u32, Part>,
    epoch: &mut Arc<Epoch>,
    environment: &Environment<L>,
    stage: &mut S,
    live: &mut Live<L, S>,
    partition: u32,
) -> &'a mut Part {
    if parts.is_empty() {
        *epoch = environment.shared.epoch();
    }
    parts.entry(partition).or_insert_with(|| {
        let mut part = Part::default();
        stage.open(&mut live.state, epoch, &mut part);
        part
    })
}
