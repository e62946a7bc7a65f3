//! The batch on its way: sealed, at the committer, in doubt, committed or given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Apply, EARLY_EVERY, HandOver, Owned};
use crate::edge::log::{GroupConsumer, Log, LogError, Outgoing, Place};
use crate::edge::metrics::{CommitPhase, Outcome, stage_name};
use crate::edge::shard::batch::{Batch, Due};
use crate::edge::shard::commit::Report;
use crate::edge::shard::{ShardError, Stage, lead};
use crate::engine::snapshot::Snapshot;
use crate::event::TimeMs;
use crate::signal::Topic;
use crate::signal::fact::{Fact, FactRecord};

pub(super) struct Flight {
    pub batch: Arc<Batch>,
    stage: FlightStage,
    frozen: Vec<(u32, Snapshot)>,
    /// Partitions of the batch that were given up or lost since. One may be owned again by now, with a
    /// state and a committed offset that are not the batch's.
    pub left: BTreeSet<u32>,
    /// While in doubt: the committed offsets that mean that this very batch was committed.
    hoped: Option<BTreeMap<u32, u64>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FlightStage {
    Sealed,
    AtCommitter,
    InDoubt,
}

impl<L: Log, S: Stage<L>> Apply<L, S> {
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

    /// Closes every part and makes the batch of them.
    pub(super) fn seal(&mut self, now_ms: TimeMs) {
        let config = Arc::clone(&self.environment.config);
        self.number += 1;
        let is_short = now_ms - self.opened_ms < config.transaction_interval_ms;
        if is_short && self.due() == Due::AtOnce && self.may_hurry(now_ms) {
            self.hurried_ms = self.hurried_ms.max(now_ms) + EARLY_EVERY * config.transaction_interval_ms;
        }
        let mut batch = Batch {
            number: self.number,
            chunks: self.feed.take(),
            leads: Vec::new(),
            offsets: Vec::new(),
            stands_on: BTreeMap::new(),
            written_ms: Vec::new(),
        };
        let (mut records, mut entries, mut frozen) = (Vec::new(), Vec::new(), Vec::new());
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
            records.append(&mut part.records);
            entries.append(&mut part.entries);
            batch.offsets.append(&mut part.offsets);
            for fact in part.facts {
                let to = |partition, fact| facts.entry(partition).or_default().push(fact);
                fact.split(config.market_partitions, to);
            }
        }
        for (partition, facts) in facts {
            self.pack(partition, facts, now_ms, &mut records);
        }
        batch.leads = entries.iter().map(|entry| entry.place).collect();
        batch.chunks.extend([Arc::new(records), Arc::new(entries)]);
        let batch = Arc::new(batch);
        self.flight =
            Some(Flight { batch, stage: FlightStage::Sealed, frozen, left: BTreeSet::new(), hoped: None });
    }

    /// Packs facts into records of at most the entry limit.
    fn pack(&self, partition: u32, facts: Vec<Fact>, now_ms: TimeMs, records: &mut Vec<Outgoing>) {
        let bytes_max = self.environment.config.entry_bytes_max;
        let mut facts = facts.into_iter().peekable();
        while facts.peek().is_some() {
            let (mut packed, mut bytes) = (Vec::new(), 0);
            while let Some(fact) =
                facts.next_if(|fact| packed.is_empty() || bytes + fact.bytes() <= bytes_max)
            {
                bytes += fact.bytes();
                packed.push(fact);
            }
            records.push(Outgoing {
                place: Place::new(Topic::Facts, partition),
                key: Vec::new(),
                value: Some(self.environment.wire.fact(&FactRecord::Packed(packed))),
                timestamp_ms: now_ms,
            });
        }
    }

    /// Gives a sealed batch to the committer with the metadata of this moment, after the group was
    /// served and while every partition of the batch is owned.
    pub(super) fn hand_over(&mut self) -> Result<Option<HandOver<L>>, ShardError> {
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
                Ok(Some(HandOver::Submit { batch: Arc::clone(&flight.batch), metadata }))
            }
            Err(error) if error.is_final() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn commit(&mut self, leads: &BTreeMap<u32, u64>) {
        let Some(flight) = self.flight.take() else { return };
        self.stats.transaction(Outcome::Committed);
        self.stats.journal_entries += flight.batch.leads.len() as u64;
        let now_ms = self.environment.clock.now_ms();
        self.committed_ms = now_ms;
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
    pub(super) fn settle_doubt(&mut self) -> Result<(), ShardError> {
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
            Err(error) if error.is_final() => return Err(error.into()),
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
}
