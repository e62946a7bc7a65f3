//! Those who write: a transactional producer, and a plain appender.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::broker::Writer;
use super::record::Stored;
use super::shared::Shared;
use crate::edge::log::group::GroupMetadata;
use crate::edge::log::producer_state::ProducerState;
use crate::edge::log::{Appender, Group, LogError, Outgoing, Place, Producer};

/// What one writer may hold that is not drained.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// While the disk is full, it is asked again after so long.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A transactional producer. Its records stay with it until the commit, which writes them, the offsets and
/// the ends of its places in one batch. Dropping it is a crash: what it left open ends with its timeout or
/// when its id is initialised again.
pub struct EmbeddedProducer {
    shared: Arc<Shared>,
    transactional_id: String,
    writer: Writer,
    state: ProducerState,
    queue: Queue,
    /// Drained, with their offsets.
    placed: Vec<Stored>,
    last_offsets: BTreeMap<Place, u64>,
}

/// Records that wait.
#[derive(Default)]
struct Queue {
    records: Vec<Stored>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, record: Stored) -> Result<(), LogError> {
        if self.bytes > 0 && self.bytes + record.bytes.len() > QUEUE_BYTES_MAX {
            return Err(LogError::Retry("the queue is full".to_owned()));
        }
        self.bytes += record.bytes.len();
        self.records.push(record);
        Ok(())
    }

    fn take(&mut self) -> Vec<Stored> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }

    /// Waits at most `wait` for room on the disk; true where there is.
    fn has_room(&self, shared: &Shared, wait: Duration) -> bool {
        let bytes = self.bytes as u64;
        if shared.store.room.has(bytes) {
            return true;
        }
        tracing::warn!(bytes, "the log's disk is full; what is not acknowledged waits");
        std::thread::sleep(wait.min(FULL_PAUSE));
        shared.store.room.has(bytes)
    }
}

impl EmbeddedProducer {
    pub(super) fn new(shared: Arc<Shared>, transactional_id: &str) -> EmbeddedProducer {
        EmbeddedProducer {
            shared,
            transactional_id: transactional_id.to_owned(),
            writer: Writer::default(),
            state: ProducerState::New,
            queue: Queue::default(),
            placed: Vec::new(),
            last_offsets: BTreeMap::new(),
        }
    }

    /// Gives what waits its offsets.
    fn place(&mut self) -> Result<(), LogError> {
        let now_ms = self.shared.now_ms();
        let mut broker = self.shared.broker();
        broker.check_epoch(self.writer)?;
        for mut record in self.queue.take() {
            broker.place_record(self.writer, &mut record, now_ms)?;
            self.last_offsets.insert(record.place, record.offset);
            self.placed.push(record);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LogError> {
        self.place()?;
        let (writer, mut records) = (self.writer, std::mem::take(&mut self.placed));
        let shared = &self.shared;
        let number =
            shared.write(|broker, batch| broker.commit(writer, &mut records, &shared.store, batch))?;
        shared.sync(number)
    }
}

impl Producer for EmbeddedProducer {
    type Metadata = GroupMetadata;

    fn init(&mut self) -> Result<(), LogError> {
        self.state.uninitialised()?;
        self.shared.alive()?;
        self.writer = self.shared.broker().init_producer(&self.transactional_id)?;
        self.shared.tell();
        self.state = ProducerState::Ready;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.state.ready()?;
        self.last_offsets.clear();
        self.state = ProducerState::Open;
        Ok(())
    }

    fn send(&mut self, record: &Outgoing) -> Result<(), LogError> {
        self.state.open()?;
        self.queue.push(Stored::new(record))
    }

    fn drain(&mut self, wait: Duration) -> Result<bool, LogError> {
        self.state.open()?;
        if self.queue.records.is_empty() {
            return Ok(true);
        }
        self.shared.alive().map_err(|error| self.state.after(error))?;
        if !self.queue.has_room(&self.shared, wait) {
            return Ok(false);
        }
        self.place().map_err(|error| self.state.after(error))?;
        Ok(true)
    }

    fn last_offset(&self, place: Place) -> Option<u64> {
        self.last_offsets.get(&place).copied()
    }

    fn send_offsets(
        &mut self,
        group: Group,
        offsets: &[(Place, u64)],
        metadata: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.state.open()?;
        if offsets.is_empty() {
            // As Kafka's client: nothing is sent, so nothing is checked.
            return Ok(());
        }
        let now_ms = self.shared.now_ms();
        let sent = self.shared.broker().send_offsets(self.writer, group, offsets, metadata, now_ms);
        sent.map_err(|error| self.state.after(error))
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.state.open()?;
        match self.end() {
            Ok(()) => self.state = ProducerState::Ready,
            Err(error) => return Err(self.state.after(error)),
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        match self.state.open() {
            Ok(()) | Err(LogError::Abort(_)) => {}
            Err(error) => return Err(error),
        }
        self.queue.take();
        self.placed.clear();
        let aborted = self.shared.broker().abort(self.writer);
        self.shared.tell();
        match aborted {
            Ok(()) => self.state = ProducerState::Ready,
            Err(error) => return Err(self.state.after(error)),
        }
        Ok(())
    }
}

/// Writes outside transactions. What is appended is written with the next flush.
pub struct EmbeddedAppender {
    shared: Arc<Shared>,
    queue: Queue,
    /// The last batch written that was not waited for.
    unsynced: Option<u64>,
}

impl EmbeddedAppender {
    pub(super) fn new(shared: Arc<Shared>) -> EmbeddedAppender {
        EmbeddedAppender { shared, queue: Queue::default(), unsynced: None }
    }

    fn write(&mut self, wait: Duration, cursor: Option<(&str, u64)>) -> Result<bool, LogError> {
        self.shared.alive()?;
        if !self.queue.records.is_empty() || cursor.is_some() {
            if !self.queue.has_room(&self.shared, wait) {
                return Ok(false);
            }
            let shared = &self.shared;
            let mut records = self.queue.take();
            self.unsynced = Some(shared.write(|broker, batch| {
                if let Some((name, position)) = cursor {
                    shared.store.put_cursor(batch, name, position);
                }
                broker.append(&mut records, &shared.store, batch).map(Some)
            })?);
        }
        match self.unsynced {
            Some(number) if !wait.is_zero() => self.shared.sync(number)?,
            Some(number) => return Ok(self.shared.is_synced(number)),
            None => {}
        }
        self.unsynced = None;
        Ok(true)
    }
}

impl Appender for EmbeddedAppender {
    fn append(&mut self, record: &Outgoing) -> Result<(), LogError> {
        let stored = Stored::new(record);
        self.shared.broker().check_record(&stored)?;
        self.queue.push(stored)
    }

    fn flush(&mut self, wait: Duration) -> Result<bool, LogError> {
        self.write(wait, None)
    }

    /// In the same batch as the records.
    fn flush_with_cursor(&mut self, wait: Duration, name: &str, position: u64) -> Result<bool, LogError> {
        self.write(wait, Some((name, position)))
    }

    fn cursor(&mut self, name: &str) -> Result<Option<u64>, LogError> {
        self.shared.store.cursor(name)
    }
}
