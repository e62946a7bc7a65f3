//! What the clients of one embedded log share in memory: ends, transactions, groups.
//!
//! A record gets its offset when its producer drains, is written when its transaction commits, and can be read
//! once it is on disk and no earlier write is open. An aborted record is never written: its offset is a gap.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::partition::Partition;
use super::record::Stored;
use super::store::{Batch, Store};
use super::{EmbeddedConfig, TopicConfig};
use crate::edge::log::group::{GroupMetadata, GroupState};
use crate::edge::log::{Ends, Group, LogError, Place};
use crate::event::TimeMs;
use crate::signal::Topic;

pub(super) struct Broker {
    pub config: EmbeddedConfig,
    /// By the topic's number.
    topics: Vec<Vec<Partition>>,
    producers: BTreeMap<String, u32>,
    /// Producer number is the index.
    transactions: Vec<Transactional>,
    groups: [GroupState; 2],
    /// Number of the write begun last.
    writes: u64,
    /// Place in the order of the whole log that was given last.
    order: u64,
    /// Places that changed without a record; the next batch has their states.
    dirty: BTreeSet<Place>,
    /// Written and not on disk yet, by the number of their batch.
    unsynced: VecDeque<(u64, Closing)>,
}

/// One transactional id.
#[derive(Default)]
struct Transactional {
    /// Of the producer that may write; older ones are fenced.
    epoch: u32,
    open: Option<Open>,
}

struct Open {
    write: u64,
    started_ms: TimeMs,
    places: BTreeSet<Place>,
    groups: BTreeSet<Group>,
    offsets: Vec<(Group, Place, u64)>,
    /// Its end is being written; nothing can abort it any more.
    is_ending: bool,
}

/// What is to be done in memory when a batch is on disk.
pub(super) struct Closing {
    write: u64,
    places: BTreeSet<Place>,
    /// The transaction that ends, with the groups it touches.
    producer: Option<(u32, BTreeSet<Group>)>,
}

/// Who writes: the number of a transactional id and the epoch of its producer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Writer {
    pub number: u32,
    pub epoch: u32,
}

impl Broker {
    /// Finds again what the store holds.
    pub fn new(config: EmbeddedConfig, store: &Store) -> Result<Broker, LogError> {
        let mut topics = Vec::new();
        for topic in Topic::ALL {
            let count = config.topics.get(&topic).map_or(0, |topic| topic.partitions);
            let partition = |number| {
                let place = Place::new(topic, number);
                let found = store.find(place)?;
                // What was cut off and not yet removed when the process ended.
                store.remove(place, 0, found.state.low)?;
                Ok(Partition::new(place, found.state, found.sealed))
            };
            topics.push((0..count).map(partition).collect::<Result<Vec<_>, LogError>>()?);
        }
        let mut groups = [Group::Customer, Group::Market].map(|group| {
            let partitions = config.topics.get(&group.lead()).map_or(0, |topic| topic.partitions);
            GroupState::new(group, partitions, 0)
        });
        for group in [Group::Customer, Group::Market] {
            let offsets = store.offsets(group)?;
            groups[group as usize].offsets.send(u32::MAX, &offsets, 0);
            groups[group as usize].offsets.finish(u32::MAX, true);
        }
        Ok(Broker {
            config,
            topics,
            producers: BTreeMap::new(),
            transactions: Vec::new(),
            groups,
            writes: 0,
            order: store.order()?,
            dirty: BTreeSet::new(),
            unsynced: VecDeque::new(),
        })
    }

    pub fn group(&mut self, group: Group) -> &mut GroupState {
        &mut self.groups[group as usize]
    }

    pub fn group_ref(&self, group: Group) -> &GroupState {
        &self.groups[group as usize]
    }

    pub fn topic(&self, topic: Topic) -> Result<&TopicConfig, LogError> {
        let found = self.config.topics.get(&topic);
        found.ok_or_else(|| LogError::Fatal(format!("topic {} does not exist", topic.name())))
    }

    pub fn partition(&self, place: Place) -> Result<&Partition, LogError> {
        let found = self.topics[place.topic as usize].get(place.partition as usize);
        found.ok_or_else(|| LogError::Fatal(format!("{place:?} does not exist")))
    }

    pub fn partition_mut(&mut self, place: Place) -> Result<&mut Partition, LogError> {
        let found = self.topics[place.topic as usize].get_mut(place.partition as usize);
        found.ok_or_else(|| LogError::Fatal(format!("{place:?} does not exist")))
    }

    /// `Abort` where the record is larger than its topic takes, or its place does not exist.
    pub fn check_record(&self, record: &Stored) -> Result<(), LogError> {
        let Stored { place, .. } = record;
        self.partition(*place).map_err(|error| LogError::Abort(error.to_string()))?;
        let (bytes, max) = (record.content_bytes(), self.topic(place.topic)?.record_bytes_max);
        if bytes <= max {
            return Ok(());
        }
        Err(LogError::Abort(format!("{place:?}: record of {bytes} bytes, {max} are allowed")))
    }

    /// A new producer under the id: ends its open transaction and fences older producers. `Retry` while
    /// the end of a transaction is being written.
    pub fn init_producer(&mut self, transactional_id: &str) -> Result<Writer, LogError> {
        let count = self.transactions.len() as u32;
        let number = *self.producers.entry(transactional_id.to_owned()).or_insert(count);
        if number == count {
            self.transactions.push(Transactional::default());
        }
        if self.transactions[number as usize].open.as_ref().is_some_and(|open| open.is_ending) {
            return Err(LogError::Retry(format!("a transaction of {transactional_id} is being committed")));
        }
        self.fence(number);
        Ok(Writer { number, epoch: self.transactions[number as usize].epoch })
    }

    pub fn check_epoch(&self, writer: Writer) -> Result<(), LogError> {
        let current = self.transactions[writer.number as usize].epoch;
        if current == writer.epoch {
            return Ok(());
        }
        Err(LogError::Fatal(format!("producer of epoch {} is fenced by epoch {current}", writer.epoch)))
    }

    /// Gives a record its offset in a transaction.
    pub fn place_record(
        &mut self,
        writer: Writer,
        record: &mut Stored,
        now_ms: TimeMs,
    ) -> Result<(), LogError> {
        self.check_record(record)?;
        let open = self.open(writer.number, now_ms);
        open.places.insert(record.place);
        let write = open.write;
        record.offset = self.partition_mut(record.place)?.give(write);
        Ok(())
    }

    /// Adds offsets to a transaction, after the check of the generation.
    pub fn send_offsets(
        &mut self,
        writer: Writer,
        group: Group,
        offsets: &[(Place, u64)],
        metadata: &GroupMetadata,
        now_ms: TimeMs,
    ) -> Result<(), LogError> {
        self.check_epoch(writer)?;
        self.group_ref(group).check(metadata)?;
        let open = self.open(writer.number, now_ms);
        open.groups.insert(group);
        open.offsets.extend(offsets.iter().map(|&(place, offset)| (group, place, offset)));
        self.group(group).offsets.send(writer.number, offsets, now_ms);
        Ok(())
    }

    /// Fills a batch with the end of a transaction. From here on only the batch decides.
    pub fn commit(
        &mut self,
        writer: Writer,
        records: &mut [Stored],
        store: &Store,
        batch: &mut Batch,
    ) -> Result<Option<Closing>, LogError> {
        self.check_epoch(writer)?;
        self.write_records(records, store, batch)?;
        let Some(open) = self.transactions[writer.number as usize].open.as_mut() else { return Ok(None) };
        open.is_ending = true;
        let (places, groups, write) = (open.places.clone(), open.groups.clone(), open.write);
        for (group, place, offset) in std::mem::take(&mut open.offsets) {
            store.put_offset(batch, group, place, offset);
        }
        for &place in &places {
            self.partition_mut(place)?.mark();
        }
        self.dirty.extend(&places);
        self.write_states(store, batch)?;
        Ok(Some(Closing { write, places, producer: Some((writer.number, groups)) }))
    }

    /// Fills a batch with records outside transactions.
    pub fn append(
        &mut self,
        records: &mut [Stored],
        store: &Store,
        batch: &mut Batch,
    ) -> Result<Closing, LogError> {
        self.writes += 1;
        let write = self.writes;
        let mut places = BTreeSet::new();
        for record in records.iter_mut() {
            record.offset = self.partition_mut(record.place)?.give(write);
            places.insert(record.place);
        }
        self.write_records(records, store, batch)?;
        self.dirty.extend(&places);
        self.write_states(store, batch)?;
        Ok(Closing { write, places, producer: None })
    }

    fn write_records(
        &mut self,
        records: &mut [Stored],
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), LogError> {
        for record in records {
            self.order += 1;
            record.set_order(self.order);
            store.put_record(batch, record);
            let place = record.place;
            let partition = self.topics[place.topic as usize].get_mut(place.partition as usize);
            let (Some(partition), Some(config)) = (partition, self.config.topics.get(&place.topic)) else {
                continue;
            };
            let bytes = record.content_bytes() as u64;
            if let Some(full) = partition.account(record.offset, bytes, record.timestamp_ms, config) {
                store.put_segment(batch, place, &full)?;
            }
        }
        Ok(())
    }

    /// Writes the states of all places that have changed, in the batch that is written next.
    pub fn write_states(&mut self, store: &Store, batch: &mut Batch) -> Result<(), LogError> {
        store.put_order(batch, self.order);
        for place in std::mem::take(&mut self.dirty) {
            store.put_state(batch, place, &self.partition(place)?.state())?;
        }
        Ok(())
    }

    /// Batch `number` is written: `closing` waits until it is on disk.
    pub fn written(&mut self, number: u64, closing: Closing) {
        self.unsynced.push_back((number, closing));
    }

    /// Batches up to `number` are on disk: what was in them can be read.
    pub fn synced(&mut self, number: u64) {
        while self.unsynced.front().is_some_and(|(batch, _)| *batch <= number) {
            let Some((_, closing)) = self.unsynced.pop_front() else { break };
            self.close(&closing, true);
        }
    }

    /// Fills a batch with what a place of another log holds. `Fatal` where the place has something.
    pub fn adopt(
        &mut self,
        place: Place,
        ends: Ends,
        records: &mut [Stored],
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), LogError> {
        self.partition_mut(place)?.adopt(ends)?;
        self.write_records(records, store, batch)?;
        self.dirty.insert(place);
        self.write_states(store, batch)
    }

    pub fn adopt_offset(&mut self, group: Group, place: Place, offset: u64) {
        let offsets = &mut self.group(group).offsets;
        offsets.send(u32::MAX, &[(place, offset)], 0);
        offsets.finish(u32::MAX, true);
    }

    /// Ends a transaction without a trace but gaps.
    pub fn abort(&mut self, writer: Writer) -> Result<(), LogError> {
        self.check_epoch(writer)?;
        self.drop_open(writer.number);
        Ok(())
    }

    /// Members that are silent and transactions that are open for too long go.
    pub fn expire(&mut self, now_ms: TimeMs) {
        let (session_ms, timeout_ms) = (self.config.session_timeout_ms, self.config.transaction_timeout_ms);
        for group in &mut self.groups {
            group.expire_members(now_ms, session_ms);
        }
        for number in 0..self.transactions.len() {
            let open = self.transactions[number].open.as_ref();
            if open.is_some_and(|open| !open.is_ending && open.started_ms + timeout_ms <= now_ms) {
                self.fence(number as u32);
            }
        }
    }

    /// Moves the low end of a place up. Returns the segments that went with it.
    pub fn cut(&mut self, place: Place, low: u64) -> Result<Option<Vec<u64>>, LogError> {
        let gone = self.partition_mut(place)?.cut(low);
        if gone.is_some() {
            self.dirty.insert(place);
        }
        Ok(gone)
    }

    fn fence(&mut self, number: u32) {
        self.transactions[number as usize].epoch += 1;
        self.drop_open(number);
    }

    fn drop_open(&mut self, number: u32) {
        let Some(open) = self.transactions[number as usize].open.take() else { return };
        for &place in &open.places {
            if let Ok(partition) = self.partition_mut(place) {
                partition.mark();
            }
        }
        self.dirty.extend(&open.places);
        let Open { write, places, groups, .. } = open;
        self.close(&Closing { write, places, producer: Some((number, groups)) }, false);
    }

    fn close(&mut self, closing: &Closing, commit: bool) {
        for &place in &closing.places {
            if let Ok(partition) = self.partition_mut(place) {
                partition.close(closing.write);
            }
        }
        let Some((number, groups)) = &closing.producer else { return };
        for &group in groups {
            self.group(group).offsets.finish(*number, commit);
        }
        self.transactions[*number as usize].open = None;
    }

    fn open(&mut self, number: u32, started_ms: TimeMs) -> &mut Open {
        let writes = &mut self.writes;
        self.transactions[number as usize].open.get_or_insert_with(|| {
            *writes += 1;
            Open {
                write: *writes,
                started_ms,
                places: BTreeSet::new(),
                groups: BTreeSet::new(),
                offsets: Vec::new(),
                is_ending: false,
            }
        })
    }
}
