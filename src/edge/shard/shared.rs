//! What every shard of a process reads: shared tables, settings, erasures. One copy, in epochs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::contents::{Contents, fetch};
use super::wire::Wire;
use crate::analysis::anomaly::ENTITY_RISK;
use crate::analysis::models::{About, Models, compile};
use crate::analysis::shared::Tables;
use crate::analysis::{Published, View};
use crate::edge::log::{Log, LogError, OwnedRecord, Place, Reader, Record};
use crate::event::Control;
use crate::signal::Topic;
use crate::signal::model::{Content, ModelRecord, Row, Whole};

/// Everything shared at one position of `models` and `control`; a batch pins one.
#[derive(Debug, Clone)]
pub struct Epoch {
    pub tables: Tables,
    pub whole: Models,
    pub published: Published,
    /// What `published` was before control was read.
    defaults: Published,
    /// Customers to forget, by the control record's offset, in offset order.
    pub erasures: Arc<Vec<(u64, String)>>,
    /// Next offset of control.
    pub control: u64,
    /// Next offsets of models, by partition.
    pub models: Vec<u64>,
    /// How often everything was read to its end.
    pub rounds: u64,
    /// Rows taken that batches are to see at once: of the entities of verdicts.
    pub causes: u64,
    /// Settings seen in control at all.
    pub settings: u64,
    /// By partition of models: read from a start before this offset, the tables lack versions that were
    /// compacted away; from it on they are what they were. 0 where no gap shows.
    pub whole_from: Vec<u64>,
    /// Models whose newest record could not be used: their content is gone, damaged or of another build. What
    /// batches saw of them cannot be known before the next version.
    pub lost: BTreeSet<String>,
    /// Records that could not be read, and rows refused for want of room.
    pub unreadable: u64,
    pub refused_rows: u64,
}

impl Epoch {
    /// Nothing read yet. `published` are the defaults that control changes.
    pub fn new(published: Published, models_partitions: u32, rows_max: usize) -> Epoch {
        Epoch {
            tables: Tables::new(rows_max),
            whole: Models::default(),
            defaults: published.clone(),
            published,
            erasures: Arc::default(),
            control: 0,
            models: vec![0; models_partitions as usize],
            rounds: 0,
            causes: 0,
            settings: 0,
            whole_from: vec![0; models_partitions as usize],
            lost: BTreeSet::new(),
            unreadable: 0,
            refused_rows: 0,
        }
    }

    /// Nothing read yet, with room for as much as this one.
    pub fn anew(&self) -> Epoch {
        let partitions = u32::try_from(self.models.len()).unwrap_or(0);
        Epoch::new(self.defaults.clone(), partitions, self.tables.rows_max())
    }

    /// What judgements look at.
    pub fn view(&self) -> View<'_> {
        View { tables: &self.tables, models: &self.whole, published: &self.published }
    }

    /// Whether at least as much was read as these positions say.
    pub fn has_reached(&self, control: u64, models: &[u64]) -> bool {
        self.control >= control && models.iter().zip(&self.models).all(|(wanted, read)| read >= wanted)
    }
}

/// The current epoch, for all threads of a process.
#[derive(Debug)]
pub struct Shared(RwLock<Arc<Epoch>>);

impl Shared {
    pub fn new(epoch: Epoch) -> Shared {
        Shared(RwLock::new(Arc::new(epoch)))
    }

    pub fn epoch(&self) -> Arc<Epoch> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, epoch: Epoch) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epoch);
    }
}

/// The store that holds a model's content does not answer: the record is to be taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet(pub String);

/// Reads `models` and `control` from their starts and publishes epochs.
pub struct SharedReader<L: Log> {
    reader: L::Reader,
    wire: Arc<Wire>,
    contents: Arc<dyn Contents>,
    shared: Arc<Shared>,
    epoch: Epoch,
    places: Vec<Place>,
    /// Read and not taken yet: the content of the first cannot be fetched for the moment.
    waiting: VecDeque<OwnedRecord>,
    refusals: u64,
}

impl<L: Log> SharedReader<L> {
    /// # Errors
    /// When the log gives no reader or refuses a place.
    pub fn new(
        log: &L,
        wire: Arc<Wire>,
        contents: Arc<dyn Contents>,
        shared: Arc<Shared>,
    ) -> Result<SharedReader<L>, LogError> {
        let epoch = (*shared.epoch()).clone();
        let models = 0..u32::try_from(epoch.models.len()).unwrap_or(0);
        let mut places = vec![Place::new(Topic::Control, 0)];
        places.extend(models.map(|partition| Place::new(Topic::Models, partition)));
        let mut reader = log.reader()?;
        let mut from = Vec::new();
        for place in &places {
            from.push((*place, reader.ends(*place)?.low));
        }
        reader.assign(&from)?;
        let (waiting, refusals) = (VecDeque::new(), 0);
        Ok(SharedReader { reader, wire, contents, shared, epoch, places, waiting, refusals })
    }

    /// Reads what has come, waiting up to `wait` for the first, and publishes an epoch when anything
    /// changed. Returns the number of records taken. While a content cannot be fetched nothing behind its record is
    /// taken: what a batch saw stays a matter of positions.
    ///
    /// # Errors
    /// When the log has an answer other than "not yet".
    pub fn turn(&mut self, wait: Duration) -> Result<usize, LogError> {
        const RECORDS_MAX: usize = 4096;
        let mut taken = self.take_waiting(wait);
        let mut wait = wait;
        while self.waiting.is_empty() && taken < RECORDS_MAX {
            let SharedReader { reader, wire, contents, epoch, waiting, .. } = self;
            let polled = reader.poll(wait, &mut |record| {
                let is_stalled = !waiting.is_empty();
                if is_stalled || epoch.record(wire, &**contents, record).is_err() {
                    waiting.push_back(OwnedRecord::from(record));
                }
            });
            match polled {
                Ok(0) | Err(LogError::Retry(_)) => break,
                Ok(records) => taken += records - waiting.len(),
                Err(error) => return Err(error),
            }
            wait = Duration::ZERO;
        }
        let is_round = self.waiting.is_empty() && self.places.iter().all(|place| self.reader.at_end(*place));
        if taken > 0 || is_round {
            self.epoch.rounds += u64::from(is_round);
            self.shared.publish(self.epoch.clone());
        }
        Ok(taken)
    }

    /// Takes what waits, as far as it can be taken now.
    fn take_waiting(&mut self, wait: Duration) -> usize {
        let mut taken = 0;
        while let Some(record) = self.waiting.front() {
            match self.epoch.record(&self.wire, &*self.contents, record.as_record()) {
                Ok(()) => {
                    self.waiting.pop_front();
                    self.refusals = 0;
                    taken += 1;
                }
                Err(NotYet(reason)) => {
                    self.refusals += 1;
                    if self.refusals.is_power_of_two() {
                        tracing::warn!(reason, self.refusals, "a model's content cannot be fetched yet");
                    }
                    std::thread::sleep(wait);
                    break;
                }
            }
        }
        taken
    }
}

impl Epoch {
    /// Takes the next record of `control`, or of a partition of `models`.
    ///
    /// # Errors
    /// When a content cannot be fetched for the moment; nothing has changed then.
    pub fn record(&mut self, wire: &Wire, contents: &dyn Contents, record: Record<'_>) -> Result<(), NotYet> {
        match record.place.topic {
            Topic::Control => self.control_record(wire, record.offset, record.value),
            _ => self.model_record(wire, contents, record)?,
        }
        Ok(())
    }

    /// Whether what batches saw at these positions of models, and from there on, is known.
    pub fn is_whole_at(&self, models: &[u64]) -> bool {
        self.lost.is_empty() && models.iter().zip(&self.whole_from).all(|(at, whole_from)| at >= whole_from)
    }

    fn control_record(&mut self, wire: &Wire, offset: u64, value: Option<&[u8]>) {
        self.control = self.control.max(offset + 1);
        match value.map(|value| wire.read_control(value)) {
            Some(Ok(Control::Setting { name, value })) => match self.published.set(&name, &value) {
                Ok(()) => self.settings += 1,
                Err(reason) => {
                    self.unreadable += 1;
                    tracing::warn!(offset, reason, "a setting in control is ignored");
                }
            },
            Some(Ok(Control::Erase { customer })) => {
                Arc::make_mut(&mut self.erasures).push((offset, customer));
            }
            Some(Err(reason)) => {
                self.unreadable += 1;
                tracing::warn!(offset, reason, "a record of control is ignored");
            }
            None => {}
        }
    }

    fn model_record(
        &mut self,
        wire: &Wire,
        contents: &dyn Contents,
        record: Record<'_>,
    ) -> Result<(), NotYet> {
        let place = (record.place.partition as usize, record.offset);
        match record.value.map(|value| wire.read_model(value)) {
            Some(Ok(ModelRecord::Row(row))) => self.row(row, place),
            Some(Ok(ModelRecord::Whole(whole))) => self.whole_model(whole, contents, place)?,
            Some(Err(reason)) => {
                self.unreadable += 1;
                tracing::warn!(offset = record.offset, reason, "a model record is ignored");
            }
            None => {
                let key = record.key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
                match key.split_once('/') {
                    Some((table, key)) => self.tables.remove(table, key),
                    None => self.whole.remove(key),
                }
            }
        }
        let (at, offset) = place;
        self.models[at] = self.models[at].max(offset + 1);
        Ok(())
    }

    fn row(&mut self, row: Row, place: (usize, u64)) {
        let last = self.tables.row(&row.table, &row.key).map_or(0, |row| row.version);
        self.look_for_gap(row.version, last, place);
        self.causes += u64::from(row.table == ENTITY_RISK);
        self.refused_rows += u64::from(!self.tables.put(row));
    }

    fn whole_model(
        &mut self,
        whole: Whole,
        contents: &dyn Contents,
        place: (usize, u64),
    ) -> Result<(), NotYet> {
        let Whole { name, version, time_ms, content } = whole;
        let bytes = match content {
            Content::Inline(bytes) => Ok(bytes),
            Content::Stored(stored) => fetch(contents, &stored).map_err(NotYet)?,
        };
        let compiled = bytes.and_then(|bytes| Ok((compile(&name, &bytes)?, bytes.len())));
        match compiled {
            Ok((form, bytes)) => {
                let last = self.whole.about(&name).map_or(0, |about| about.version);
                self.look_for_gap(version, last, place);
                if self.lost.remove(&name) {
                    self.whole_from[place.0] = place.1 + 1;
                }
                self.whole.put(&name, About { version, time_ms, bytes }, form);
            }
            Err(reason) => {
                self.unreadable += 1;
                tracing::warn!(model = name, version, reason, "a model cannot be used; the one before stays");
                self.lost.insert(name);
            }
        }
        Ok(())
    }

    /// A version is one more than the last, or 1 where what was forgotten begins again.
    fn look_for_gap(&mut self, version: u64, last: u64, (at, offset): (usize, u64)) {
        if version > 1 && version != last + 1 {
            self.whole_from[at] = offset + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::churn::{MODEL, model::Model};
    use crate::codec::{SchemaSet, WireForm};
    use crate::edge::shard::contents::{MemoryContents, stored};
    use crate::learn::bg_nbd::Parameters;

    /// Does not answer.
    struct Down;

    impl Contents for Down {
        fn put(&self, _path: &str, _bytes: &[u8]) -> Result<(), String> {
            Err("down".into())
        }

        fn get(&self, _path: &str) -> Result<Option<Vec<u8>>, String> {
            Err("down".into())
        }

        fn prune(&self, _folder: &str, _kept: usize) -> Result<(), String> {
            Err("down".into())
        }
    }

    fn wire() -> Wire {
        let schemas = SchemaSet::new::<&str>([]).expect("the built-in ones are right");
        Wire::new(schemas, [WireForm::ConfluentAvro; 3], WireForm::ConfluentAvro).expect("they fit")
    }

    fn content() -> Vec<u8> {
        let model = Model { horizon_days: 90, bg_nbd: Parameters::typical(200.0), logistic: None };
        postcard::to_allocvec(&model).expect("plain data")
    }

    /// Offers the record of this version, at an offset of twice that, of partition 0 of models.
    fn offer(
        epoch: &mut Epoch,
        contents: &dyn Contents,
        version: u64,
        content: Content,
    ) -> Result<(), NotYet> {
        let whole = Whole { name: MODEL.into(), version, time_ms: 0, content };
        let (wire, place) = (wire(), Place::new(Topic::Models, 0));
        let value = wire.model(&ModelRecord::Whole(whole));
        let (key, value) = (Some(MODEL.as_bytes()), Some(&*value));
        epoch.record(&wire, contents, Record { place, offset: version * 2, timestamp_ms: 0, key, value })
    }

    #[test]
    fn a_content_that_cannot_be_had_is_asked_for_again_or_leaves_the_version_before() {
        let mut epoch = Epoch::new(Published::default(), 1, 10);
        let held = MemoryContents::default();
        let version = |epoch: &Epoch| epoch.whole.get::<Model>(MODEL).map(|(_, version)| version);
        let pointer = |version| stored(MODEL, version, (Place::new(Topic::Facts, 0), 7), &content());
        let there = pointer(1);
        held.put(&there.path, &content()).expect("put");
        let asked = offer(&mut epoch, &Down, 1, Content::Stored(there.clone()));
        assert_eq!(asked, Err(NotYet("down".into())));
        assert_eq!((version(&epoch), epoch.models[0]), (None, 0), "nothing has changed");
        assert_eq!(offer(&mut epoch, &held, 1, Content::Stored(there)), Ok(()));
        assert_eq!((version(&epoch), epoch.models[0], epoch.unreadable), (Some(1), 3, 0));
        assert!(epoch.is_whole_at(&[0]));
        // Gone, and one that is no model: counted, and the first stays. What batches saw is not known.
        assert_eq!(offer(&mut epoch, &held, 2, Content::Stored(pointer(2))), Ok(()));
        assert_eq!(offer(&mut epoch, &held, 3, Content::Inline(b"rubbish".to_vec())), Ok(()));
        assert_eq!((version(&epoch), epoch.models[0], epoch.unreadable), (Some(1), 7, 2));
        assert!(!epoch.is_whole_at(&[7]));
        // From the next one on it is known again.
        assert_eq!(offer(&mut epoch, &held, 4, Content::Inline(content())), Ok(()));
        assert_eq!(version(&epoch), Some(4));
        assert!(!epoch.is_whole_at(&[8]) && epoch.is_whole_at(&[9]));
        // As is a version after those that were compacted away.
        assert_eq!(offer(&mut epoch, &held, 8, Content::Inline(content())), Ok(()));
        assert!(!epoch.is_whole_at(&[16]) && epoch.is_whole_at(&[17]));
        let gone = Record {
            place: Place::new(Topic::Models, 0),
            offset: 20,
            timestamp_ms: 0,
            key: Some(MODEL.as_bytes()),
            value: None,
        };
        assert_eq!(epoch.record(&wire(), &held, gone), Ok(()));
        assert_eq!((version(&epoch), epoch.whole.bytes()), (None, 0));
    }
}
