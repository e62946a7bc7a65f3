//! Keys and values of what is about records. Every key begins with a letter of its kind; numbers in keys are
//! big-endian, so that they sort.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::edge::log::{Group, LogError, Place};
use crate::signal::Topic;

/// Of the layout of keys and values; another one is refused.
pub(super) const FORMAT: u8 = 1;
pub(super) const FORMAT_KEY: &[u8] = b"f";
/// The place in the order of the whole log that was given last.
pub(super) const ORDER_KEY: &[u8] = b"r";

/// Of a record, in its topic's keyspace.
pub(super) fn record_key(place: Place, offset: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&place.partition.to_be_bytes());
    key[4..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a record's key.
pub(super) fn offset_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

pub(super) fn partitions_key(topic: Topic) -> Vec<u8> {
    key(b'n', topic.name(), &[])
}

pub(super) fn place_key(place: Place) -> Vec<u8> {
    key(b'p', place.topic.name(), &place.partition.to_be_bytes())
}

pub(super) fn segment_prefix(place: Place) -> Vec<u8> {
    key(b's', place.topic.name(), &place.partition.to_be_bytes())
}

pub(super) fn segment_key(place: Place, first: u64) -> Vec<u8> {
    let mut key = segment_prefix(place);
    key.extend(first.to_be_bytes());
    key
}

pub(super) fn offset_prefix(group: Group) -> Vec<u8> {
    key(b'o', group.lead().name(), &[])
}

pub(super) fn offset_key(group: Group, place: Place) -> Vec<u8> {
    let mut key = offset_prefix(group);
    key.extend(place.partition.to_be_bytes());
    key.extend(place.topic.name().as_bytes());
    key
}

/// The place in a key of [`offset_key`].
pub(super) fn place_of_offset(key: &[u8]) -> Option<Place> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (partition, name) = key.get(end + 1..)?.split_first_chunk::<4>()?;
    let topic = Topic::ALL.into_iter().find(|topic| topic.name().as_bytes() == name)?;
    Some(Place::new(topic, u32::from_be_bytes(*partition)))
}

pub(super) fn cursor_key(name: &str) -> Vec<u8> {
    key(b'c', name, &[])
}

/// A zero ends the name, so that no name is the beginning of another.
fn key(kind: u8, name: &str, rest: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], rest].concat()
}

pub(super) fn number(value: &[u8]) -> u64 {
    value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(super) fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, LogError> {
    postcard::to_stdvec(value).map_err(|error| LogError::Fatal(format!("the log's state: {error}")))
}

pub(super) fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, LogError> {
    postcard::from_bytes(value).map_err(|error| {
        LogError::Fatal(format!("the log's folder is damaged: a state is unreadable: {error}"))
    })
}
