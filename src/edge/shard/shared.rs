//! What every shard of a process reads: shared tables, settings, erasures. One copy, in epochs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::wire::Wire;
use crate::analysis::models::Models;
use crate::analysis::shared::Tables;
use crate::analysis::{Published, View};
use crate::edge::log::{Log, LogError, Place, Reader, Record};
use crate::event::Control;
use crate::signal::Topic;

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
    /// Settings seen in control at all.
    pub settings: u64,
    /// By partition of models: read from a start before this offset, the tables lack versions that were
    /// compacted away; from it on they are what they were. 0 where no gap shows.
    pub whole_from: Vec<u64>,
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
            settings: 0,
            whole_from: vec![0; models_partitions as usize],
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

/// Reads `models` and `control` from their starts and publishes epochs.
pub struct SharedReader<L: Log> {
    reader: L::Reader,
    wire: Arc<Wire>,
    shared: Arc<Shared>,
    epoch: Epoch,
    places: Vec<Place>,
}

impl<L: Log> SharedReader<L> {
    /// # Errors
    /// When the log gives no reader or refuses a place.
    pub fn new(log: &L, wire: Arc<Wire>, shared: Arc<Shared>) -> Result<SharedReader<L>, LogError> {
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
        Ok(SharedReader { reader, wire, shared, epoch, places })
    }

    /// Reads what has come, waiting up to `wait` for the first, and publishes an epoch when anything
    /// changed. Returns the number of records read.
    ///
    /// # Errors
    /// When the log has an answer other than "not yet".
    pub fn turn(&mut self, wait: Duration) -> Result<usize, LogError> {
        const RECORDS_MAX: usize = 4096;
        let SharedReader { reader, wire, shared, epoch, places } = self;
        let mut read = 0;
        let mut wait = wait;
        while read < RECORDS_MAX {
            let polled = reader.poll(wait, &mut |record| epoch.record(wire, record));
            match polled {
                Ok(0) | Err(LogError::Retry(_)) => break,
                Ok(records) => read += records,
                Err(error) => return Err(error),
            }
            wait = Duration::ZERO;
        }
        let is_round = places.iter().all(|place| reader.at_end(*place));
        if read > 0 || is_round {
            epoch.rounds += u64::from(is_round);
            shared.publish(epoch.clone());
        }
        Ok(read)
    }
}

impl Epoch {
    /// Takes the next record of `control`, or of a partition of `models`.
    pub fn record(&mut self, wire: &Wire, record: Record<'_>) {
        match record.place.topic {
            Topic::Control => self.control_record(wire, record.offset, record.value),
            _ => self.model_record(wire, record),
        }
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

    fn model_record(&mut self, wire: &Wire, record: Record<'_>) {
        let at = record.place.partition as usize;
        self.models[at] = self.models[at].max(record.offset + 1);
        match record.value.map(|value| wire.read_row(value)) {
            Some(Ok(row)) => {
                // A version is one more than the last, or 1 where a row that was forgotten begins again.
                let last = self.tables.row(&row.table, &row.key).map_or(0, |row| row.version);
                if row.version > 1 && row.version != last + 1 {
                    self.whole_from[at] = record.offset + 1;
                }
                self.refused_rows += u64::from(!self.tables.put(row));
            }
            Some(Err(reason)) => {
                self.unreadable += 1;
                tracing::warn!(offset = record.offset, reason, "a model record is ignored");
            }
            None => {
                let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
                if let Some((table, key)) = key.and_then(|key| key.split_once('/')) {
                    self.tables.remove(table, key);
                }
            }
        }
    }
}
