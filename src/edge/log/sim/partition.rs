//! One partition: records in segments, which of them are visible, and what is deleted.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;

use crate::edge::log::{Ends, LogError, OwnedRecord, Place, Record};
use crate::event::TimeMs;

/// Producer number of a record that belongs to no transaction.
pub(super) const PLAIN: u32 = 0;

const SEGMENT_BYTES: usize = 1 << 20;
const SEGMENT_ENTRIES: usize = 4096;
/// How long compaction keeps the newest tombstone of a key (Kafka's `delete.retention.ms` default).
const TOMBSTONE_MS: i64 = 24 * 3600 * 1000;
/// Length that says "null", as distinct from empty.
const NULL: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Partition {
    place: Place,
    segments: VecDeque<Segment>,
    /// Entries at the front of the first segment that are already deleted.
    deleted: usize,
    low: u64,
    /// Everything below it is decided: the first record of the oldest open transaction, or `high`.
    stable: u64,
    high: u64,
    /// First offset of each open transaction, by producer number.
    open: BTreeMap<u32, u64>,
    /// Key and value bytes held.
    bytes: u64,
    /// Entries held, control records included.
    entries: u64,
    /// What was visible when it was deleted; None where it is not kept.
    archive: Option<Vec<OwnedRecord>>,
    spare: Option<Segment>,
}

/// What may be deleted from the low end. None is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Records with an older timestamp go.
    pub timestamp_min_ms: Option<TimeMs>,
    pub bytes_max: Option<u64>,
    pub records_max: Option<u64>,
}

impl Partition {
    pub fn new(place: Place, keep_deleted: bool) -> Partition {
        Partition {
            place,
            segments: VecDeque::new(),
            deleted: 0,
            low: 0,
            stable: 0,
            high: 0,
            open: BTreeMap::new(),
            bytes: 0,
            entries: 0,
            archive: keep_deleted.then(Vec::new),
            spare: None,
        }
    }

    pub fn ends(&self) -> Ends {
        Ends { low: self.low, stable: self.stable, high: self.high }
    }

    /// Writes a record; returns its offset, and whether it is the producer's first in its transaction.
    pub fn append(
        &mut self,
        producer: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: TimeMs,
    ) -> (u64, bool) {
        let offset = self.high;
        let first = producer != PLAIN && !self.open.contains_key(&producer);
        if first {
            self.open.insert(producer, offset);
        }
        self.push(Kind::Data, producer, key, value, timestamp_ms);
        (offset, first)
    }

    /// Ends a producer's transaction here with a control record. Nothing where it has none.
    pub fn finish(&mut self, producer: u32, commit: bool, now_ms: TimeMs) {
        let Some(first) = self.open.remove(&producer) else { return };
        if !commit {
            let (segment, entry) = self.seek(first);
            let mut skip = entry;
            for segment in self.segments.iter_mut().skip(segment) {
                for entry in &mut segment.entries[skip..] {
                    if entry.producer == producer && entry.kind == Kind::Data {
                        entry.kind = Kind::Aborted;
                    }
                }
                skip = 0;
            }
        }
        self.push(Kind::Control, producer, None, None, now_ms);
        self.stable = self.open.values().min().copied().unwrap_or(self.high);
    }

    /// Fails where a reader that stands at `position` would get no answer.
    pub fn check(&self, position: u64) -> Result<(), LogError> {
        if (self.low..=self.high).contains(&position) {
            return Ok(());
        }
        Err(LogError::OutOfRange { place: self.place, offset: position, low: self.low, high: self.high })
    }

    /// Hands over at most `records_max` visible records from `position` on; returns how many.
    /// Leaves `position` behind everything that was handed over or passed by.
    pub fn read(&self, position: &mut u64, records_max: usize, each: &mut dyn FnMut(Record<'_>)) -> usize {
        let (segment, mut skip) = self.seek(*position);
        let mut handed = 0;
        for segment in self.segments.iter().skip(segment) {
            for entry in &segment.entries[skip..] {
                if entry.offset >= self.stable || handed == records_max {
                    return handed;
                }
                *position = entry.offset + 1;
                if entry.kind == Kind::Data {
                    each(segment.record(entry, self.place));
                    handed += 1;
                }
            }
            skip = 0;
        }
        *position = self.stable.max(*position);
        handed
    }

    /// Deletes what lies below `offset`, at most up to the last stable offset.
    pub fn delete_before(&mut self, offset: u64) {
        let until = offset.min(self.stable);
        self.delete_while(|entry, _, _| entry.offset < until);
        self.low = self.low.max(until);
    }

    /// Deletes from the low end what is over the limits, at most up to the last stable offset.
    pub fn retain(&mut self, limits: Limits) {
        self.delete_while(|entry, bytes, entries| {
            limits.records_max.is_some_and(|max| entries > max)
                || limits.bytes_max.is_some_and(|max| bytes > max)
                || limits.timestamp_min_ms.is_some_and(|min| entry.timestamp_ms < min)
        });
    }

    /// Keeps the newest record of each key below the last stable offset, and drops old tombstones.
    pub fn compact(&mut self, now_ms: TimeMs) {
        let segments = std::mem::take(&mut self.segments);
        let mut newest: BTreeMap<&[u8], u64> = BTreeMap::new();
        let held = |deleted: usize| {
            segments.iter().enumerate().flat_map(move |(index, segment)| {
                let skip = if index == 0 { deleted } else { 0 };
                segment.entries[skip..].iter().map(move |entry| (segment, entry))
            })
        };
        for (segment, entry) in held(self.deleted) {
            if entry.kind == Kind::Data && entry.offset < self.stable {
                newest.insert(segment.key(entry).unwrap_or_default(), entry.offset);
            }
        }
        let deleted = std::mem::replace(&mut self.deleted, 0);
        (self.bytes, self.entries) = (0, 0);
        for (segment, entry) in held(deleted) {
            let record = segment.record(entry, self.place);
            let expired = record.value.is_none() && entry.timestamp_ms + TOMBSTONE_MS < now_ms;
            let is_newest = newest.get(record.key.unwrap_or_default()) == Some(&entry.offset);
            if entry.offset >= self.stable || (entry.kind == Kind::Data && is_newest && !expired) {
                self.store(
                    entry.offset,
                    entry.kind,
                    entry.producer,
                    record.key,
                    record.value,
                    entry.timestamp_ms,
                );
            } else if entry.kind == Kind::Data
                && let Some(archive) = &mut self.archive
            {
                archive.push(OwnedRecord::from(record));
            }
        }
    }

    /// Every committed record, in offset order; those deleted too where they are kept.
    pub fn committed(&self) -> Vec<OwnedRecord> {
        let mut records = self.archive.clone().unwrap_or_default();
        let mut position = self.low;
        self.read(&mut position, usize::MAX, &mut |record| records.push(OwnedRecord::from(record)));
        records.sort_by_key(|record| record.offset);
        records
    }

    /// Feeds all that a reader could ever tell apart.
    pub fn digest(&self, hash: &mut impl Hasher) {
        for end in [self.low, self.stable, self.high] {
            hash.write_u64(end);
        }
        let mut skip = self.deleted;
        for segment in &self.segments {
            for entry in &segment.entries[skip..] {
                hash.write_u64(entry.offset);
                hash.write_u8(entry.kind as u8);
                hash.write_i64(entry.timestamp_ms);
                for part in [segment.key(entry), segment.value(entry)] {
                    hash.write_u64(part.map_or(u64::MAX, |bytes| bytes.len() as u64));
                    hash.write(part.unwrap_or_default());
                }
            }
            skip = 0;
        }
    }

    fn push(
        &mut self,
        kind: Kind,
        producer: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: TimeMs,
    ) {
        let offset = self.high;
        self.high += 1;
        if self.open.is_empty() {
            self.stable = self.high;
        }
        self.store(offset, kind, producer, key, value, timestamp_ms);
    }

    fn store(
        &mut self,
        offset: u64,
        kind: Kind,
        producer: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: TimeMs,
    ) {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if self.segments.back().is_none_or(|segment| segment.is_full(bytes)) {
            self.segments.push_back(self.spare.take().unwrap_or_default());
        }
        let segment = self.segments.back_mut().expect("one was pushed where there was none");
        let start = segment.bytes.len() as u32;
        let mut put = |part: Option<&[u8]>| {
            segment.bytes.extend_from_slice(part.unwrap_or_default());
            part.map_or(NULL, |part| part.len() as u32)
        };
        let (key_bytes, value_bytes) = (put(key), put(value));
        segment.entries.push(Entry { offset, timestamp_ms, start, key_bytes, value_bytes, producer, kind });
        self.bytes += bytes as u64;
        self.entries += 1;
    }

    /// Segment and entry of the first record at `offset` or after it.
    fn seek(&self, offset: u64) -> (usize, usize) {
        let segment = self.segments.partition_point(|segment| segment.last_offset() < offset);
        let Some(found) = self.segments.get(segment) else { return (segment, 0) };
        (segment, found.entries.partition_point(|entry| entry.offset < offset))
    }

    /// Deletes from the front while `go` says so, given the entry, and the bytes and entries still held.
    fn delete_while(&mut self, go: impl Fn(&Entry, u64, u64) -> bool) {
        while let Some(segment) = self.segments.front() {
            let Some(entry) = segment.entries.get(self.deleted) else {
                self.deleted = 0;
                self.spare = self.segments.pop_front().map(Segment::emptied);
                continue;
            };
            if entry.offset >= self.stable || !go(entry, self.bytes, self.entries) {
                return;
            }
            let record = segment.record(entry, self.place);
            self.bytes -= record.key.map_or(0, <[u8]>::len) as u64;
            self.bytes -= record.value.map_or(0, <[u8]>::len) as u64;
            self.entries -= 1;
            self.low = entry.offset + 1;
            if entry.kind == Kind::Data
                && let Some(archive) = &mut self.archive
            {
                archive.push(OwnedRecord::from(record));
            }
            self.deleted += 1;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Visible once it is below the last stable offset.
    Data,
    Aborted,
    /// The mark of a commit or an abort: takes an offset, never visible.
    Control,
}

/// Where a record's key and value lie in the bytes of its segment.
#[derive(Debug)]
struct Entry {
    offset: u64,
    timestamp_ms: TimeMs,
    start: u32,
    key_bytes: u32,
    value_bytes: u32,
    producer: u32,
    kind: Kind,
}

/// Records that share one allocation.
#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Segment {
    fn is_full(&self, more_bytes: usize) -> bool {
        self.entries.len() >= SEGMENT_ENTRIES
            || (!self.entries.is_empty() && self.bytes.len() + more_bytes > SEGMENT_BYTES)
    }

    fn last_offset(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.offset)
    }

    fn emptied(mut self) -> Segment {
        self.bytes.clear();
        self.entries.clear();
        self
    }

    fn key(&self, entry: &Entry) -> Option<&[u8]> {
        let start = entry.start as usize;
        (entry.key_bytes != NULL).then(|| &self.bytes[start..start + entry.key_bytes as usize])
    }

    fn value(&self, entry: &Entry) -> Option<&[u8]> {
        let key_bytes = if entry.key_bytes == NULL { 0 } else { entry.key_bytes as usize };
        let start = entry.start as usize + key_bytes;
        (entry.value_bytes != NULL).then(|| &self.bytes[start..start + entry.value_bytes as usize])
    }

    fn record(&self, entry: &Entry, place: Place) -> Record<'_> {
        Record {
            place,
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: self.key(entry),
            value: self.value(entry),
        }
    }
}
