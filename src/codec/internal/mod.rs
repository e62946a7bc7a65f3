//! The topics that we write for ourselves: journal, facts, models, control.
//!
//! Each value is a Confluent header with the built-in schema id of its topic and an Avro datum of that
//! schema. The id says exactly which fields follow, so there is nothing to resolve: a changed schema
//! gets another id and a reader of its own beside the old one.

mod control;
mod fact;
mod journal;
mod model;

pub use control::{decode_control, encode_control};
pub use fact::{decode_fact, encode_fact};
pub use journal::{decode_journal, encode_journal};
pub use model::{decode_model, encode_model};

use super::cursor::{Cursor, Fault};
use super::decoder::split_header;

/// Why a record of an internal topic cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("a record of the {topic} topic has schema {found}; this build reads {known}")]
    UnknownSchema { topic: &'static str, found: u32, known: u32 },
    #[error("a record of the {topic} topic is damaged: {what}, {left} bytes before its end")]
    Malformed { topic: &'static str, what: String, left: usize },
}

/// The whole datum of `value`, read by `read`; the header must name schema `known`.
fn decode<'a, T>(
    topic: &'static str,
    known: u32,
    value: &'a [u8],
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Fault>,
) -> Result<T, RecordError> {
    decode_since(topic, &[], known, value, |_, cursor| read(cursor))
}

/// As [`decode`], of a topic that has records of `older` schemas too; `read` is told which one it is.
fn decode_since<'a, T>(
    topic: &'static str,
    older: &[u32],
    known: u32,
    value: &'a [u8],
    read: impl FnOnce(u32, &mut Cursor<'a>) -> Result<T, Fault>,
) -> Result<T, RecordError> {
    let malformed = |fault: Fault, left| RecordError::Malformed { topic, what: fault.what.to_owned(), left };
    let (found, datum) = split_header(value).map_err(|fault| malformed(fault, value.len()))?;
    if found != known && !older.contains(&found) {
        return Err(RecordError::UnknownSchema { topic, found, known });
    }
    let mut cursor = Cursor::new(datum);
    let record = read(found, &mut cursor).and_then(|record| cursor.end().map(|()| record));
    record.map_err(|fault| malformed(fault, cursor.remaining()))
}

/// An array of items that take at least a byte each.
fn array<'a, T>(
    cursor: &mut Cursor<'a>,
    mut read: impl FnMut(&mut Cursor<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut items = Vec::new();
    loop {
        let block = cursor.block()?;
        if block.count == 0 {
            return Ok(items);
        }
        for _ in 0..block.count {
            items.push(read(cursor)?);
        }
    }
}

/// A long within the range of `T`.
fn number<T: TryFrom<i64>>(cursor: &mut Cursor<'_>) -> Result<T, Fault> {
    T::try_from(cursor.long()?).map_err(|_| Fault::malformed("a number out of its range"))
}

/// 64 bits without a sign, written as the long of the same bits.
fn unsigned(cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
    cursor.long().map(i64::cast_unsigned)
}

fn string(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    cursor.text().map(str::to_owned)
}
