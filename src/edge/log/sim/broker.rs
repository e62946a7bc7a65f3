//! All that the clients of one simulated log share: topics, transactions, groups, clock and dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::faults::Dice;
use super::partition::{Limits, PLAIN, Partition};
use super::{SimConfig, TopicConfig};
use crate::edge::log::group::{GroupMetadata, GroupState};
use crate::edge::log::{Group, LogError, Outgoing, Place};
use crate::event::TimeMs;
use crate::signal::Topic;

/// Longest time between the decision on a transaction and its last mark.
const SLOW_MARKS_MS: usize = 200;

pub(super) type Shared = Arc<Mutex<Broker>>;

/// A test that panicked while it held the lock has left nothing half done: calls are short and checked.
pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Broker> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(super) struct Broker {
    pub config: SimConfig,
    pub now_ms: TimeMs,
    pub dice: Dice,
    /// By the topic's number.
    topics: Vec<Option<TopicState>>,
    /// Producer number is index + 1.
    transactions: Vec<Transactional>,
    producers: BTreeMap<String, u32>,
    pub cursors: BTreeMap<String, u64>,
    /// Ends of transactions that are decided and not yet written everywhere.
    marks: Vec<Mark>,
    groups: [GroupState; 2],
    retained_ms: TimeMs,
}

#[derive(Debug)]
struct TopicState {
    config: TopicConfig,
    partitions: Vec<Partition>,
}

/// One transactional id.
#[derive(Debug, Default)]
struct Transactional {
    /// Of the producer that may write; older ones are fenced.
    epoch: u32,
    open: Option<Open>,
}

/// An open transaction: what its end must be written to.
#[derive(Debug)]
struct Open {
    started_ms: TimeMs,
    places: BTreeSet<Place>,
    groups: BTreeSet<Group>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    producer: u32,
    commit: bool,
    target: Target,
    due_ms: TimeMs,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Place(Place),
    Group(Group),
}

impl Broker {
    pub fn new(config: SimConfig) -> Broker {
        let now_ms = config.start_ms;
        let topic_state = |topic: Topic| {
            let topic_config = config.topics.get(&topic)?.clone();
            let partition = |number| Partition::new(Place::new(topic, number), config.keep_deleted);
            let partitions = (0..topic_config.partitions).map(partition).collect();
            Some(TopicState { config: topic_config, partitions })
        };
        let mut topics: Vec<Option<TopicState>> = Vec::new();
        topics.resize_with(Topic::ALL.len(), || None);
        Topic::ALL.into_iter().for_each(|topic| topics[topic as usize] = topic_state(topic));
        let lead = |group: Group| config.topics.get(&group.lead()).map_or(0, |topic| topic.partitions);
        let groups =
            [Group::Customer, Group::Market].map(|group| GroupState::new(group, lead(group), now_ms));
        let dice = Dice::new(config.seed, config.faults.clone());
        Broker {
            config,
            now_ms,
            dice,
            topics,
            transactions: Vec::new(),
            producers: BTreeMap::new(),
            cursors: BTreeMap::new(),
            marks: Vec::new(),
            groups,
            retained_ms: now_ms,
        }
    }

    pub fn group(&mut self, group: Group) -> &mut GroupState {
        &mut self.groups[group as usize]
    }

    pub fn group_ref(&self, group: Group) -> &GroupState {
        &self.groups[group as usize]
    }

    pub fn topic_config(&self, topic: Topic) -> Option<&TopicConfig> {
        self.topics[topic as usize].as_ref().map(|state| &state.config)
    }

    pub fn partition(&self, place: Place) -> Result<&Partition, LogError> {
        let state = self.topics[place.topic as usize].as_ref();
        let found = state.and_then(|state| state.partitions.get(place.partition as usize));
        found.ok_or_else(|| LogError::Fatal(format!("{place:?} does not exist")))
    }

    pub fn partition_mut(&mut self, place: Place) -> Result<&mut Partition, LogError> {
        let state = self.topics[place.topic as usize].as_mut();
        let found = state.and_then(|state| state.partitions.get_mut(place.partition as usize));
        found.ok_or_else(|| LogError::Fatal(format!("{place:?} does not exist")))
    }

    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.topics.iter().flatten().flat_map(|state| &state.partitions)
    }

    /// Writes outside transactions; returns the offset. `Abort` where the record is refused.
    pub fn append(
        &mut self,
        place: Place,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: TimeMs,
    ) -> Result<u64, LogError> {
        let (partition, records_max) = self.writable(place, key, value)?;
        let (offset, _) = partition.append(PLAIN, key, value, timestamp_ms);
        if records_max.is_some() {
            partition.retain(Limits { records_max, ..Limits::default() });
        }
        Ok(offset)
    }

    /// A new producer under the id: ends its open transaction and fences older producers.
    /// Returns the producer's number and its epoch.
    pub fn init_producer(&mut self, transactional_id: &str) -> (u32, u32) {
        let count = self.transactions.len() as u32;
        let producer = *self.producers.entry(transactional_id.to_owned()).or_insert(count + 1);
        if producer > count {
            self.transactions.push(Transactional::default());
        }
        self.fence(producer);
        self.write_marks(|mark| mark.producer == producer);
        (producer, self.transactions[producer as usize - 1].epoch)
    }

    /// Writes inside a transaction; returns the offset. `Fatal` when fenced, `Abort` where refused.
    pub fn produce(&mut self, producer: u32, epoch: u32, record: &Outgoing) -> Result<u64, LogError> {
        self.check_epoch(producer, epoch)?;
        if !self.marks.is_empty() {
            self.write_marks(|mark| mark.producer == producer);
        }
        let (key, value) = (Some(&record.key[..]), record.value.as_deref());
        let (partition, records_max) = self.writable(record.place, key, value)?;
        let (offset, first) = partition.append(producer, key, value, record.timestamp_ms);
        if records_max.is_some() {
            partition.retain(Limits { records_max, ..Limits::default() });
        }
        if first {
            self.open(producer).places.insert(record.place);
        }
        Ok(offset)
    }

    /// Adds offsets to a transaction, after the check of the generation.
    pub fn send_offsets(
        &mut self,
        producer: u32,
        epoch: u32,
        group: Group,
        offsets: &[(Place, u64)],
        metadata: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.check_epoch(producer, epoch)?;
        self.group(group).check(metadata)?;
        self.write_marks(|mark| mark.producer == producer);
        self.open(producer).groups.insert(group);
        let now_ms = self.now_ms;
        self.group(group).offsets.send(producer, offsets, now_ms);
        Ok(())
    }

    /// Ends a producer's transaction. `Fatal` when fenced.
    pub fn end(&mut self, producer: u32, epoch: u32, commit: bool) -> Result<(), LogError> {
        self.check_epoch(producer, epoch)?;
        self.decide(producer, commit);
        Ok(())
    }

    /// Producers with an open transaction, oldest id first.
    pub fn open_producers(&self) -> Vec<u32> {
        let open = |&producer: &u32| self.transactions[producer as usize - 1].open.is_some();
        (1..=self.transactions.len() as u32).filter(open).collect()
    }

    pub fn producer_number(&self, transactional_id: &str) -> Option<u32> {
        self.producers.get(transactional_id).copied()
    }

    /// What a transaction's timeout does: aborts it, and fences its producer.
    pub fn fence(&mut self, producer: u32) {
        self.transactions[producer as usize - 1].epoch += 1;
        self.decide(producer, false);
    }

    /// Moves the clock, and does what is due.
    pub fn advance(&mut self, time_ms: i64) {
        self.now_ms += time_ms;
        let now_ms = self.now_ms;
        self.write_marks(|mark| mark.due_ms <= now_ms);
        for producer in self.open_producers() {
            let open = self.transactions[producer as usize - 1].open.as_ref();
            if open.is_some_and(|open| open.started_ms + self.config.transaction_timeout_ms <= now_ms) {
                self.fence(producer);
            }
        }
        let (session_ms, offsets_ms) = (self.config.session_timeout_ms, self.config.offset_retention_ms);
        for group in &mut self.groups {
            group.expire_members(now_ms, session_ms);
            if let Some(retention_ms) = offsets_ms {
                group.expire_offsets(now_ms, retention_ms);
            }
        }
        if self.retained_ms + self.config.retention_check_ms <= now_ms {
            self.retained_ms = now_ms;
            self.retain();
        }
    }

    /// Deletes and compacts as the topics are configured.
    pub fn retain(&mut self) {
        let now_ms = self.now_ms;
        for state in self.topics.iter_mut().flatten() {
            let limits = Limits {
                timestamp_min_ms: state.config.retention_ms.map(|retention_ms| now_ms - retention_ms),
                bytes_max: state.config.retention_bytes,
                records_max: state.config.retention_records,
            };
            for partition in &mut state.partitions {
                partition.retain(limits);
                if state.config.compacted {
                    partition.compact(now_ms);
                }
            }
        }
    }

    /// Called at the start of every client's call: lets happen what happens without a client.
    pub fn stir(&mut self) {
        if !self.marks.is_empty() && self.dice.below(4) == 0 {
            let index = self.dice.below(self.marks.len());
            let mark = self.marks.swap_remove(index);
            self.write_mark(mark);
        }
        if !self.dice.on() {
            return;
        }
        let faults = self.dice.faults();
        let (timeout, loss) = (faults.transaction_timeout, faults.member_loss);
        let (rebalance, retention) = (faults.rebalance, faults.retention);
        if self.dice.chance(retention) {
            self.retain();
        }
        if self.dice.chance(timeout) {
            let open = self.open_producers();
            if !open.is_empty() {
                let index = self.dice.below(open.len());
                self.fence(open[index]);
            }
        }
        if self.dice.chance(loss) {
            let group = self.dice.below(2);
            let names = self.groups[group].member_names();
            if !names.is_empty() {
                let name = &names[self.dice.below(names.len())];
                self.groups[group].remove(name, self.now_ms);
            }
        }
        if self.dice.chance(rebalance) {
            let group = self.dice.below(2);
            let scatter = self.dice.chance(0.5).then(|| self.dice.next());
            self.groups[group].rebalance(scatter);
        }
    }

    /// The partition to write to, and its limit of records where it has one.
    fn writable(
        &mut self,
        place: Place,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(&mut Partition, Option<u64>), LogError> {
        let state = self.topics[place.topic as usize].as_mut();
        let found = state
            .and_then(|state| Some((state.partitions.get_mut(place.partition as usize)?, &state.config)));
        let Some((partition, config)) = found else {
            return Err(LogError::Abort(format!("{place:?} does not exist")));
        };
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if bytes > config.record_bytes_max {
            let max = config.record_bytes_max;
            return Err(LogError::Abort(format!("{place:?}: record of {bytes} bytes, {max} are allowed")));
        }
        Ok((partition, config.retention_records))
    }

    fn check_epoch(&self, producer: u32, epoch: u32) -> Result<(), LogError> {
        let current = self.transactions[producer as usize - 1].epoch;
        if current == epoch {
            return Ok(());
        }
        Err(LogError::Fatal(format!("producer {producer} of epoch {epoch} is fenced by epoch {current}")))
    }

    fn open(&mut self, producer: u32) -> &mut Open {
        let started_ms = self.now_ms;
        self.transactions[producer as usize - 1].open.get_or_insert_with(|| Open {
            started_ms,
            places: BTreeSet::new(),
            groups: BTreeSet::new(),
        })
    }

    /// Ends the open transaction, if there is one, and writes its marks: at once, or one at a time.
    fn decide(&mut self, producer: u32, commit: bool) {
        let Some(open) = self.transactions[producer as usize - 1].open.take() else { return };
        let slow = self.dice.on() && {
            let probability = self.dice.faults().slow_marks;
            self.dice.chance(probability)
        };
        let places = open.places.into_iter().map(Target::Place);
        for target in places.chain(open.groups.into_iter().map(Target::Group)) {
            let mut mark = Mark { producer, commit, target, due_ms: self.now_ms };
            if slow {
                mark.due_ms += self.dice.below(SLOW_MARKS_MS) as i64;
                self.marks.push(mark);
            } else {
                self.write_mark(mark);
            }
        }
    }

    fn write_marks(&mut self, which: impl Fn(&Mark) -> bool) {
        for mark in self.marks.extract_if(.., |mark| which(mark)).collect::<Vec<_>>() {
            self.write_mark(mark);
        }
    }

    fn write_mark(&mut self, mark: Mark) {
        let now_ms = self.now_ms;
        match mark.target {
            Target::Group(group) => self.group(group).offsets.finish(mark.producer, mark.commit),
            Target::Place(place) => {
                if let Ok(partition) = self.partition_mut(place) {
                    partition.finish(mark.producer, mark.commit, now_ms);
                }
            }
        }
    }
}
