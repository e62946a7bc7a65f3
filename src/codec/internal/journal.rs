//! Journal entries.

use super::{RecordError, array, decode, number, unsigned};
use crate::codec::cursor::{Cursor, Fault};
use crate::codec::encode::Writer;
use crate::codec::schema::built_in::JOURNAL;
use crate::event::{Input, Reject};
use crate::signal::journal::{Decision, Entry, Positions, Step};

/// Appends the value of the entry's record to `out`.
pub fn encode_journal(entry: &Entry, out: &mut Vec<u8>) {
    let mut writer = Writer::new(Some(JOURNAL), out);
    writer.long(entry.partition);
    writer.unsigned(entry.fold_version);
    writer.array(&entry.steps, write_step);
    entry.positions.inputs.iter().for_each(|&position| writer.unsigned(position));
    writer.unsigned(entry.positions.control);
    writer.array(&entry.positions.models, |writer, &position| writer.unsigned(position));
    writer.unsigned(entry.chain);
}

/// The entry in a record's value.
pub fn decode_journal(value: &[u8]) -> Result<Entry, RecordError> {
    decode("journal", JOURNAL, value, |cursor| {
        Ok(Entry {
            partition: number(cursor)?,
            fold_version: unsigned(cursor)?,
            steps: array(cursor, read_step)?,
            positions: Positions {
                inputs: [unsigned(cursor)?, unsigned(cursor)?, unsigned(cursor)?],
                control: unsigned(cursor)?,
                models: array(cursor, unsigned)?,
            },
            chain: unsigned(cursor)?,
        })
    })
}

/// The branches of the union, in the order of the schema.
mod branch {
    pub const RUN: i64 = 0;
    pub const TICK: i64 = 1;
    pub const IDLE: i64 = 2;
    pub const ACTIVE: i64 = 3;
    pub const CONTROL: i64 = 4;
    pub const UNDECODABLE: i64 = 5;
    pub const REMEMBER: i64 = 6;
}

fn write_step(writer: &mut Writer<'_>, step: &Step) {
    match step {
        Step::Run { input, from, to } => {
            writer.long(branch::RUN);
            writer.length(input.index());
            writer.unsigned(*from);
            writer.unsigned(*to);
        }
        Step::Tick { time_ms } => {
            writer.long(branch::TICK);
            writer.long(*time_ms);
        }
        Step::Idle { input } => {
            writer.long(branch::IDLE);
            writer.length(input.index());
        }
        Step::Active { input } => {
            writer.long(branch::ACTIVE);
            writer.length(input.index());
        }
        Step::Control { offset } => {
            writer.long(branch::CONTROL);
            writer.unsigned(*offset);
        }
        Step::Decision(Decision::Undecodable { reason }) => {
            writer.long(branch::UNDECODABLE);
            writer.length(*reason as usize);
        }
        Step::Decision(Decision::Remember { analysis, customer, memory }) => {
            writer.long(branch::REMEMBER);
            writer.long(*analysis);
            writer.fixed(&customer.to_be_bytes());
            writer.bytes(memory);
        }
    }
}

fn read_step(cursor: &mut Cursor<'_>) -> Result<Step, Fault> {
    Ok(match cursor.long()? {
        branch::RUN => Step::Run { input: input(cursor)?, from: unsigned(cursor)?, to: unsigned(cursor)? },
        branch::TICK => Step::Tick { time_ms: cursor.long()? },
        branch::IDLE => Step::Idle { input: input(cursor)? },
        branch::ACTIVE => Step::Active { input: input(cursor)? },
        branch::CONTROL => Step::Control { offset: unsigned(cursor)? },
        branch::UNDECODABLE => {
            let reason = Reject::ALL[cursor.index(Reject::ALL.len())?];
            Step::Decision(Decision::Undecodable { reason })
        }
        branch::REMEMBER => Step::Decision(Decision::Remember {
            analysis: number(cursor)?,
            customer: cursor.array().map(u128::from_be_bytes)?,
            memory: cursor.bytes()?.to_vec(),
        }),
        _ => return Err(Fault::malformed("a step that its schema does not have")),
    })
}

fn input(cursor: &mut Cursor<'_>) -> Result<Input, Fault> {
    Ok(Input::ALL[cursor.index(Input::ALL.len())?])
}
