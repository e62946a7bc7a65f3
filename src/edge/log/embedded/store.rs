//! What lies in the folder: records by place and offset, the state of each place, committed offsets, cursors.
//!
//! One keyspace a topic holds records, under partition and offset in big-endian order, so that a place is a
//! range. What is about them lies in the keyspace `meta` and is written in the same atomic batch. A batch is
//! in the operating system's hands or lost as a whole; it is on disk once [`Store::sync`] has returned.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, UserValue};

use super::mark::Mark;
use super::meta;
use super::partition::{PlaceState, Segment};
use super::record::{Stored, decode};
use super::room::Room;
use crate::edge::log::{Group, LogError, Place};
use crate::signal::Topic;

/// Written but not in a table yet, of one topic: it is read back at start-up.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// All write-ahead files together: a few memtables, so that one quiet topic holds up no other.
const JOURNAL_BYTES: u64 = 256 << 20;
/// Blocks of records kept in memory.
const CACHE_BYTES: u64 = 32 << 20;
/// Keys removed in one batch.
const REMOVED_AT_ONCE: usize = 1_000;

pub(super) struct Store {
    database: Database,
    mark: Mark,
    /// The place in the order of the whole log that was written last.
    order: AtomicU64,
    /// By the topic's number.
    records: Vec<Keyspace>,
    meta: Keyspace,
    pub room: Room,
}

/// Written as a whole or not at all.
pub(super) struct Batch {
    batch: OwnedWriteBatch,
    /// As [`Store::put_order`].
    order: u64,
}

/// What a store knew of a place when it was closed or killed.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub state: PlaceState,
    /// In rising order.
    pub sealed: Vec<Segment>,
}

/// Records of a place in order, each with its offset, and where to go on.
pub(super) struct Chunk {
    pub records: Vec<(u64, UserValue)>,
    pub next: u64,
}

impl Store {
    /// Opens or makes the folder's store. The caller owns the folder.
    ///
    /// # Errors
    /// Words for people: what is damaged or of another version.
    pub fn open(folder: &Path, free_bytes_min: u64) -> Result<Store, String> {
        let refuse = |error: fjall::Error| format!("{}: {error}", folder.display());
        let database = Database::builder(folder.join("store"))
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(refuse)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = |name: &str| database.keyspace(name, options).map_err(refuse);
        let records = Topic::ALL.iter().map(|topic| keyspace(topic.name())).collect::<Result<_, _>>()?;
        let meta = keyspace("meta")?;
        let room = Room::new(PathBuf::from(folder), free_bytes_min);
        let mark = Mark::open(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let store = Store { database, records, meta, room, mark, order: AtomicU64::new(0) };
        store.check_format().map_err(|error| format!("{}: {error}", folder.display()))?;
        let order = store.order().map_err(|error| error.to_string())?;
        store.mark.check(order).map_err(|error| format!("{}: {error}", folder.display()))?;
        store.order.store(order, Ordering::Relaxed);
        Ok(store)
    }

    fn check_format(&self) -> Result<(), String> {
        let found = self.meta.get(meta::FORMAT_KEY).map_err(|error| error.to_string())?;
        match found {
            None => {
                let written = self.meta.insert(meta::FORMAT_KEY, &[meta::FORMAT][..]);
                written.map_err(|error| error.to_string())
            }
            Some(found) if *found == [meta::FORMAT] => Ok(()),
            Some(found) => Err(format!(
                "the log has format {found:?}, this version reads {}; use the version that wrote it",
                meta::FORMAT
            )),
        }
    }

    pub fn batch(&self) -> Batch {
        Batch { batch: self.database.batch(), order: 0 }
    }

    /// Makes a batch visible to later reads. Not on disk before [`Store::sync`].
    ///
    /// # Errors
    /// `Fatal`: nothing can be written any more; a new start finds what was synced before.
    pub fn write(&self, batch: Batch) -> Result<(), LogError> {
        batch.batch.commit().map_err(broken)?;
        self.order.fetch_max(batch.order, Ordering::Relaxed);
        Ok(())
    }

    /// Returns once everything written before is on disk.
    ///
    /// # Errors
    /// `Fatal`, as [`Store::write`].
    pub fn sync(&self) -> Result<(), LogError> {
        let order = self.order.load(Ordering::Relaxed);
        self.database.persist(PersistMode::SyncData).map_err(broken)?;
        self.mark.put(order);
        Ok(())
    }

    /// Partitions of each topic as the folder was made; None where it is new.
    pub fn partitions(&self) -> Result<BTreeMap<Topic, u32>, LogError> {
        let mut found = BTreeMap::new();
        for topic in Topic::ALL {
            if let Some(value) = self.meta.get(meta::partitions_key(topic)).map_err(broken)? {
                found.insert(topic, meta::number(&value) as u32);
            }
        }
        Ok(found)
    }

    /// What is known of a place; positions of records that were written are never given again.
    pub fn find(&self, place: Place) -> Result<Found, LogError> {
        let mut found = Found::default();
        if let Some(value) = self.meta.get(meta::place_key(place)).map_err(broken)? {
            found.state = meta::read(&value)?;
        }
        for guard in self.meta.prefix(meta::segment_prefix(place)) {
            found.sealed.push(meta::read(&guard.value().map_err(broken)?)?);
        }
        Ok(found)
    }

    /// Committed offsets of a group.
    pub fn offsets(&self, group: Group) -> Result<Vec<(Place, u64)>, LogError> {
        let mut offsets = Vec::new();
        for guard in self.meta.prefix(meta::offset_prefix(group)) {
            let (key, value) = guard.into_inner().map_err(broken)?;
            offsets.extend(meta::place_of_offset(&key).map(|place| (place, meta::number(&value))));
        }
        Ok(offsets)
    }

    /// The place in the order of the whole log that was given last.
    pub fn order(&self) -> Result<u64, LogError> {
        Ok(self.meta.get(meta::ORDER_KEY).map_err(broken)?.map_or(0, |value| meta::number(&value)))
    }

    /// How far something outside has come, by a name that it chose.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, LogError> {
        Ok(self.meta.get(meta::cursor_key(name)).map_err(broken)?.map(|value| meta::number(&value)))
    }

    /// Records of `from..to`, at most so many and about so many bytes.
    pub fn read(
        &self,
        place: Place,
        from: u64,
        to: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Chunk, LogError> {
        let mut chunk = Chunk { records: Vec::new(), next: to };
        let mut bytes = 0;
        for guard in self.range(place, from, to) {
            let (key, value) = guard.into_inner().map_err(broken)?;
            let offset = meta::offset_of(&key);
            if chunk.records.len() == records_max || bytes >= bytes_max {
                chunk.next = offset;
                break;
            }
            bytes += value.len();
            chunk.records.push((offset, value));
        }
        Ok(chunk)
    }

    /// Removes the records of `from..to`, a part at a time.
    pub fn remove(&self, place: Place, from: u64, to: u64) -> Result<(), LogError> {
        let keyspace = &self.records[place.topic as usize];
        let mut keys = self.range(place, from, to).map(|guard| guard.key().map_err(broken));
        loop {
            let mut batch = self.batch();
            for key in keys.by_ref().take(REMOVED_AT_ONCE) {
                batch.batch.remove_weak(keyspace, key?);
            }
            if batch.batch.is_empty() {
                return Ok(());
            }
            self.write(batch)?;
        }
    }

    /// Of a compacted place: removes each record below `to` that was written before `until_ms` and is not
    /// the newest of its key. Returns how many records are left.
    pub fn compact(
        &self,
        place: Place,
        to: u64,
        until_ms: i64,
        tombstones_until_ms: i64,
    ) -> Result<u64, LogError> {
        let keyspace = &self.records[place.topic as usize];
        let mut newest: HashMap<u128, u64> = HashMap::new();
        for guard in self.range(place, 0, to) {
            let (key, value) = guard.into_inner().map_err(broken)?;
            newest.insert(decode(place, 0, &value)?.key_hash(), meta::offset_of(&key));
        }
        let mut kept = 0;
        let mut batch = self.batch();
        for guard in self.range(place, 0, to) {
            let (key, value) = guard.into_inner().map_err(broken)?;
            let record = decode(place, meta::offset_of(&key), &value)?;
            let is_newest = newest.get(&record.key_hash()) == Some(&record.offset);
            let until_ms = if !is_newest {
                until_ms
            } else if record.value.is_none() {
                tombstones_until_ms
            } else {
                i64::MIN
            };
            if record.timestamp_ms >= until_ms {
                kept += 1;
                continue;
            }
            batch.batch.remove_weak(keyspace, key);
            if batch.batch.len() == REMOVED_AT_ONCE {
                self.write(std::mem::replace(&mut batch, self.batch()))?;
            }
        }
        self.write(batch)?;
        Ok(kept)
    }

    fn range(&self, place: Place, from: u64, to: u64) -> fjall::Iter {
        let keyspace = &self.records[place.topic as usize];
        keyspace.range(meta::record_key(place, from)..meta::record_key(place, to))
    }
}

/// For whoever writes a batch; the names say what.
impl Store {
    pub fn put_record(&self, batch: &mut Batch, record: &Stored) {
        let keyspace = &self.records[record.place.topic as usize];
        batch.batch.insert(keyspace, meta::record_key(record.place, record.offset), &record.bytes);
    }

    pub fn put_state(&self, batch: &mut Batch, place: Place, state: &PlaceState) -> Result<(), LogError> {
        batch.batch.insert(&self.meta, meta::place_key(place), meta::bytes(state)?);
        Ok(())
    }

    pub fn put_segment(&self, batch: &mut Batch, place: Place, segment: &Segment) -> Result<(), LogError> {
        batch.batch.insert(&self.meta, meta::segment_key(place, segment.first), meta::bytes(segment)?);
        Ok(())
    }

    pub fn drop_segment(&self, batch: &mut Batch, place: Place, first: u64) {
        batch.batch.remove(&self.meta, meta::segment_key(place, first));
    }

    pub fn put_offset(&self, batch: &mut Batch, group: Group, place: Place, offset: u64) {
        batch.batch.insert(&self.meta, meta::offset_key(group, place), &offset.to_le_bytes()[..]);
    }

    pub fn put_order(&self, batch: &mut Batch, order: u64) {
        batch.order = order;
        batch.batch.insert(&self.meta, meta::ORDER_KEY, &order.to_le_bytes()[..]);
    }

    pub fn put_partitions(&self, batch: &mut Batch, topic: Topic, partitions: u32) {
        let value = u64::from(partitions).to_le_bytes();
        batch.batch.insert(&self.meta, meta::partitions_key(topic), &value[..]);
    }

    pub fn put_cursor(&self, batch: &mut Batch, name: &str, position: u64) {
        batch.batch.insert(&self.meta, meta::cursor_key(name), &position.to_le_bytes()[..]);
    }
}

/// The store has failed: it takes nothing any more, and a new start is the way out.
fn broken(error: fjall::Error) -> LogError {
    LogError::Fatal(format!(
        "the log's store has failed ({error}); what was acknowledged is on disk: start anew"
    ))
}
