//! A simulated log that keeps every rule of the commit protocol but one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use habitue::edge::log::GroupMetadata;
use habitue::edge::log::sim::{SimAppender, SimConsumer, SimLog, SimProducer, SimReader};
use habitue::edge::log::{
    Ends, Group, GroupConsumer, Log, LogError, Outgoing, Place, Producer, Reader, Rebalance, Record,
};
use habitue::signal::Topic;

/// A rule of PROTOCOL sections 3 to 5 that lives between the shard and its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Offsets go with every transaction; librdkafka skips an empty list, and the fence with it.
    OffsetsWithEveryBatch,
    /// The committed offset is not taken while a transaction that touches it is pending.
    WaitForPending,
    /// The metadata is of the moment of hand-over.
    MetadataAtHandOver,
    /// After an unknown outcome C is read, not guessed.
    ReadAfterUnknown,
    /// The commit call is never made again.
    CommitOnce,
    /// A group whose offset has expired begins at the journal's end.
    ExpiredIsTheEnd,
    /// ... and only once nothing is open in the journal.
    EndIsStable,
}

/// What a reader makes of a committed value: topic, offset, value.
pub type Rewrite = Arc<dyn Fn(Topic, u64, &[u8]) -> Vec<u8> + Send + Sync>;

/// The log, without one rule, and with what its producers were asked for.
#[derive(Clone)]
pub struct Rig {
    pub log: SimLog,
    without: Option<Rule>,
    rewrite: Option<Rewrite>,
    forgotten: bool,
    behind: Arc<Mutex<Option<Place>>>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
pub struct Heard {
    /// Calls of the transactional producer, by name.
    pub calls: Vec<&'static str>,
    /// Records of each transaction begun.
    pub sent: Vec<Vec<Outgoing>>,
    /// Committed offsets as they were when the last transaction began.
    before: BTreeMap<Place, u64>,
}

impl Rig {
    pub fn new(log: &SimLog, without: Option<Rule>) -> Rig {
        Rig {
            log: log.clone(),
            without,
            rewrite: None,
            forgotten: false,
            behind: Arc::default(),
            heard: Arc::default(),
        }
    }

    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    /// Of this place something is yet to be read, as the consumer says it; or of none.
    pub fn is_behind(&self, place: Option<Place>) {
        *self.behind.lock().unwrap() = place;
    }

    /// The group knows of no offset, whatever was committed.
    pub fn forgotten(self) -> Rig {
        Rig { forgotten: true, ..self }
    }

    pub fn rewriting(self, rewrite: Rewrite) -> Rig {
        Rig { rewrite: Some(rewrite), ..self }
    }

    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }
}

impl Log for Rig {
    type Consumer = RigConsumer;
    type Reader = RigReader;
    type Producer = RigProducer;
    type Appender = SimAppender;
    type Metadata = RigMetadata;

    fn consumer(&self, group: Group, member: &str) -> Result<RigConsumer, LogError> {
        let inner = Arc::new(Mutex::new(self.log.consumer(group, member)?));
        Ok(RigConsumer { rig: self.clone(), inner })
    }

    fn reader(&self) -> Result<RigReader, LogError> {
        Ok(RigReader { rig: self.clone(), inner: self.log.reader()? })
    }

    fn producer(&self, transactional_id: &str) -> Result<RigProducer, LogError> {
        let inner = self.log.producer(transactional_id)?;
        Ok(RigProducer { rig: self.clone(), id: transactional_id.to_owned(), inner })
    }

    fn appender(&self) -> Result<SimAppender, LogError> {
        self.log.appender()
    }

    fn cursor(&self, name: &str) -> Result<Option<u64>, LogError> {
        self.log.cursor(name)
    }

    fn partitions(&self, topic: Topic) -> Result<Option<u32>, LogError> {
        self.log.partitions(topic)
    }

    fn record_bytes_max(&self, topic: Topic) -> Result<usize, LogError> {
        self.log.record_bytes_max(topic)
    }
}

/// Proof of membership, and the member itself, who can give another.
#[derive(Clone)]
pub struct RigMetadata {
    taken: GroupMetadata,
    member: Arc<Mutex<SimConsumer>>,
}

pub struct RigConsumer {
    rig: Rig,
    inner: Arc<Mutex<SimConsumer>>,
}

impl RigConsumer {
    fn inner(&self) -> MutexGuard<'_, SimConsumer> {
        self.inner.lock().unwrap()
    }
}

impl GroupConsumer for RigConsumer {
    type Metadata = RigMetadata;

    fn poll(
        &mut self,
        wait: Duration,
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<Option<Rebalance>, LogError> {
        self.inner().poll(wait, each)
    }

    fn accept(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.inner().accept(partitions)
    }

    fn release(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.inner().release(partitions)
    }

    fn fetch(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.inner().fetch(from)
    }

    fn pause(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.inner().pause(places)
    }

    fn resume(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.inner().resume(places)
    }

    fn at_end(&self, place: Place) -> bool {
        *self.rig.behind.lock().unwrap() != Some(place) && self.inner().at_end(place)
    }

    fn metadata(&self) -> Result<RigMetadata, LogError> {
        Ok(RigMetadata { taken: self.inner().metadata()?, member: Arc::clone(&self.inner) })
    }

    fn committed(&self, places: &[Place], wait: Duration) -> Result<Vec<Option<u64>>, LogError> {
        let known = |offsets: &BTreeMap<Place, u64>| places.iter().map(|p| offsets.get(p).copied()).collect();
        if self.rig.forgotten {
            return Ok(vec![None; places.len()]);
        }
        let before = &self.rig.heard().before;
        if self.rig.lacks(Rule::ReadAfterUnknown) && !before.is_empty() {
            return Ok(known(before));
        }
        match self.inner().committed(places, wait) {
            Err(LogError::Retry(_)) if self.rig.lacks(Rule::WaitForPending) => {
                Ok(known(&self.rig.log.offsets(Group::Customer)))
            }
            Ok(found) if self.rig.lacks(Rule::ExpiredIsTheEnd) => {
                Ok(found.into_iter().map(|offset| Some(offset.unwrap_or(0))).collect())
            }
            other => other,
        }
    }
}

pub struct RigReader {
    rig: Rig,
    inner: SimReader,
}

impl Reader for RigReader {
    fn assign(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.inner.assign(from)
    }

    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError> {
        let Some(rewrite) = &self.rig.rewrite else { return self.inner.poll(wait, each) };
        self.inner.poll(wait, &mut |record| {
            let value = record.value.map(|value| rewrite(record.place.topic, record.offset, value));
            each(Record { value: value.as_deref(), ..record });
        })
    }

    fn ends(&mut self, place: Place) -> Result<Ends, LogError> {
        let ends = self.inner.ends(place)?;
        let stable = if self.rig.lacks(Rule::EndIsStable) { ends.high } else { ends.stable };
        Ok(Ends { stable, ..ends })
    }

    fn at_end(&self, place: Place) -> bool {
        self.inner.at_end(place)
    }
}

pub struct RigProducer {
    rig: Rig,
    id: String,
    inner: SimProducer,
}

impl Producer for RigProducer {
    type Metadata = RigMetadata;

    fn init(&mut self) -> Result<(), LogError> {
        self.rig.heard().calls.push("init");
        self.inner.init()
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let before = self.rig.log.offsets(Group::Customer);
        let mut heard = self.rig.heard();
        heard.calls.push("begin");
        heard.sent.push(Vec::new());
        heard.before = before;
        self.inner.begin()
    }

    fn send(&mut self, record: &Outgoing) -> Result<(), LogError> {
        self.rig.heard().sent.last_mut().expect("a transaction has begun").push(record.clone());
        self.inner.send(record)
    }

    fn drain(&mut self, wait: Duration) -> Result<bool, LogError> {
        self.inner.drain(wait)
    }

    fn last_offset(&self, place: Place) -> Option<u64> {
        self.inner.last_offset(place)
    }

    fn send_offsets(
        &mut self,
        group: Group,
        offsets: &[(Place, u64)],
        metadata: &RigMetadata,
    ) -> Result<(), LogError> {
        self.rig.heard().calls.push("send_offsets");
        let offsets = if self.rig.lacks(Rule::OffsetsWithEveryBatch) { &[] } else { offsets };
        if self.rig.lacks(Rule::MetadataAtHandOver) {
            let now = metadata.member.lock().unwrap().metadata()?;
            return self.inner.send_offsets(group, offsets, &now);
        }
        self.inner.send_offsets(group, offsets, &metadata.taken)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.rig.heard().calls.push("commit");
        match self.inner.commit() {
            // What a client that recovers by itself does: the second call commits what is left, nothing.
            Err(LogError::Indefinite(_)) if self.rig.lacks(Rule::CommitOnce) => {
                self.inner = self.rig.log.producer(&self.id)?;
                self.inner.init()?;
                self.inner.begin()?;
                self.inner.commit()
            }
            other => other,
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.rig.heard().calls.push("abort");
        self.inner.abort()
    }
}
