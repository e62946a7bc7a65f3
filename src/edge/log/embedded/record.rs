//! A record as it lies in the store: place in the order of the whole log, timestamp, lengths, key, value.

use xxhash_rust::xxh3::xxh3_128;

use crate::edge::log::{LogError, Outgoing, OwnedRecord, Place, Record};
use crate::event::TimeMs;

/// Length that says "null", as distinct from empty.
const NULL: u32 = u32::MAX;
/// Place in the order, timestamp, length of the key, length of the value; each little-endian.
const HEAD_BYTES: usize = 8 + 8 + 4 + 4;

/// A record with its offset, ready to be written.
#[derive(Debug)]
pub(super) struct Stored {
    pub place: Place,
    pub offset: u64,
    pub timestamp_ms: TimeMs,
    pub bytes: Vec<u8>,
}

impl Stored {
    /// The offset is given later.
    pub fn new(record: &Outgoing) -> Stored {
        Stored::of(record.place, 0, record.timestamp_ms, Some(&record.key), record.value.as_deref())
    }

    fn of(
        place: Place,
        offset: u64,
        timestamp_ms: TimeMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Stored {
        let length = |part: Option<&[u8]>| part.map_or(NULL, |part| part.len() as u32);
        let (key_bytes, value_bytes) = (key.unwrap_or_default(), value.unwrap_or_default());
        let mut bytes = Vec::with_capacity(HEAD_BYTES + key_bytes.len() + value_bytes.len());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(timestamp_ms.to_le_bytes());
        bytes.extend(length(key).to_le_bytes());
        bytes.extend(length(value).to_le_bytes());
        bytes.extend(key_bytes);
        bytes.extend(value_bytes);
        Stored { place, offset, timestamp_ms, bytes }
    }

    /// Sets its place in the order in which everything was written, whatever the topic.
    pub fn set_order(&mut self, order: u64) {
        if let Some(place) = self.bytes.first_chunk_mut::<8>() {
            *place = order.to_le_bytes();
        }
    }

    /// Key and value together, in bytes.
    pub fn content_bytes(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }
}

impl From<&OwnedRecord> for Stored {
    fn from(record: &OwnedRecord) -> Stored {
        let OwnedRecord { place, offset, timestamp_ms, key, value } = record;
        Stored::of(*place, *offset, *timestamp_ms, key.as_deref(), value.as_deref())
    }
}

/// Where a stored record stands in the order of the whole log.
pub(super) fn order_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |order| u64::from_le_bytes(*order))
}

/// A record from its stored bytes.
///
/// # Errors
/// `Fatal` where they are no record: the store's own checksums have passed, so somebody else wrote them.
pub(super) fn decode(place: Place, offset: u64, bytes: &[u8]) -> Result<Record<'_>, LogError> {
    read(place, offset, bytes)
        .ok_or_else(|| LogError::Fatal(format!("{place:?}: what lies at offset {offset} is no record")))
}

fn read(place: Place, offset: u64, bytes: &[u8]) -> Option<Record<'_>> {
    let (_order, rest) = bytes.split_first_chunk::<8>()?;
    let (timestamp, rest) = rest.split_first_chunk::<8>()?;
    let (key, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let (key, value) = (u32::from_le_bytes(*key), u32::from_le_bytes(*value));
    let (key, rest) = part(key, rest)?;
    let (value, rest) = part(value, rest)?;
    let timestamp_ms = TimeMs::from_le_bytes(*timestamp);
    rest.is_empty().then_some(Record { place, offset, timestamp_ms, key, value })
}

type Part<'a> = (Option<&'a [u8]>, &'a [u8]);

fn part(length: u32, rest: &[u8]) -> Option<Part<'_>> {
    if length == NULL {
        return Some((None, rest));
    }
    rest.split_at_checked(length as usize).map(|(part, rest)| (Some(part), rest))
}

impl Record<'_> {
    /// Two keys with the same hash would hide each other in compaction; with 128 bits none have.
    pub(super) fn key_hash(&self) -> u128 {
        xxh3_128(self.key.unwrap_or_default())
    }
}
