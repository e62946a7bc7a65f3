//! The apply side of a shard: serves the group, applies records, seals batches, brings partitions back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Chunk, Due, Part};
use super::shared::Epoch;
use super::threads::RestoreSlot;
use super::{BEGIN_ANEW, Environment, Restored, ShardError, Stage, lead};
use crate::edge::log::{GroupConsumer, Log, LogError, Place, Rebalance};
use crate::edge::metrics::ShardStats;
use crate::event::TimeMs;

mod feed;
mod flight;

use feed::Feed;
use flight::Flight;

/// What goes to the committer.
#[derive(Debug)]
pub enum HandOver<L: Log> {
    /// Records of the open batch of this number, to be sent at once.
    Feed { number: u64, chunks: Vec<Chunk> },
    /// What was fed will not be committed.
    Drop,
    /// A sealed batch, whole, what was fed of it included.
    Submit { batch: Arc<Batch>, metadata: L::Metadata },
}

/// Records applied between two looks at the clock, at most.
const RECORDS_A_TURN: u64 = 512;
/// A batch is fed for this long, or its interval, before it is sealed. A broker refuses a producer's next
/// transaction until the marks of the last are written, and librdkafka then asks again after 20 ms: the wait
/// passes while the batch is open instead of while it is drained.
const FED_MS: TimeMs = 20;
/// Causes shorten one batch in so many transaction intervals, so that a stream of them costs throughput little. A few
/// may be shortened in a row: one cause passes through a shard more than once.
const EARLY_EVERY: TimeMs = 2;
const EARLY_IN_A_ROW: TimeMs = 3;
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
    feed: Feed,
    epoch: Arc<Epoch>,
    opened_ms: TimeMs,
    /// When the batch before was committed.
    committed_ms: TimeMs,
    /// When the batches that were sealed early will have had their share of time, [`EARLY_EVERY`] intervals each.
    hurried_ms: TimeMs,
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
            feed: Feed::default(),
            opened_ms: 0,
            committed_ms: 0,
            hurried_ms: 0,
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
        self.settle();
        self.leave(now_ms)?;
        if self.is_due(now_ms) {
            self.seal(now_ms);
        }
        if self.feed.take_drop() {
            return Ok(Some(HandOver::Drop));
        }
        let hand_over = self.hand_over()?;
        Ok(hand_over.or_else(|| self.feed(now_ms)))
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
        if self.is_full() && (self.flight.is_some() || self.is_held()) {
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
            Err(error) if error.is_final() => Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "the log could not be polled; it is polled again");
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
            self.feed.give_up(*partition);
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
                    Err(error) if error.is_final() => return Err(error.into()),
                    Err(_) => {}
                },
                // The epoch of an open batch may be older than what the partition has seen before: it must not see less.
                Owned::Restoring(_) if !self.parts.is_empty() => {}
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
        // Records of all places stand in one queue: behind a backlog lie records of places that were at their end
        // when it began, so that one end tells nothing before all are reached.
        let is_caught_up = self.places().into_iter().all(|place| self.consumer.at_end(place));
        let Apply { consumer, owned, parts, epoch, stage, leaving, environment, stats, .. } = self;
        if parts.is_empty() {
            *epoch = environment.shared.epoch();
        }
        for (partition, owned) in owned.iter_mut() {
            let Owned::Live(live) = owned else { continue };
            if leaving.as_ref().is_some_and(|leaving| leaving.partitions.contains(partition)) {
                continue;
            }
            let at_end = |place: Place| is_caught_up && consumer.at_end(place);
            if let Some(part) = parts.get_mut(partition) {
                stage.quiet(&mut live.state, &at_end, epoch, part, stats);
                continue;
            }
            let mut part = Part::default();
            stage.open(&mut live.state, epoch, &mut part);
            stage.quiet(&mut live.state, &at_end, epoch, &mut part, stats);
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

    fn is_held(&self) -> bool {
        self.parts.values().any(|part| part.is_held)
    }

    /// Lets the stage try again what holds a part.
    fn settle(&mut self) {
        for (partition, part) in self.parts.iter_mut().filter(|(_, part)| part.is_held) {
            if let Some(Owned::Live(live)) = self.owned.get_mut(partition) {
                self.stage.settle(&mut live.state, part);
            }
        }
    }

    fn is_due(&self, now_ms: TimeMs) -> bool {
        if self.flight.is_some() || self.parts.is_empty() || self.is_held() {
            return false;
        }
        if self.draining || self.leaving.is_some() || self.is_full() {
            return true;
        }
        let shortest_ms = self.environment.config.transaction_interval_ms;
        let interval_ms = match self.due() {
            Due::AtOnce if self.may_hurry(now_ms) => 0,
            Due::AtOnce | Due::AtInterval => shortest_ms,
            Due::AtStage => self.stage.interval_ms(),
        };
        now_ms - self.opened_ms >= interval_ms && now_ms - self.committed_ms >= shortest_ms.min(FED_MS)
    }

    fn due(&self) -> Due {
        self.parts.values().map(|part| part.due).max().unwrap_or_default()
    }

    /// Whether the open batch may be shorter than the transaction interval for the sake of a cause.
    fn may_hurry(&self, now_ms: TimeMs) -> bool {
        let interval_ms = self.environment.config.transaction_interval_ms;
        self.hurried_ms - now_ms < EARLY_IN_A_ROW * EARLY_EVERY * interval_ms
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
