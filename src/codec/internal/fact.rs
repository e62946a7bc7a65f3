//! Packed facts, market ticks, results of jobs.

use super::{RecordError, array, decode_since, number, string, unsigned};
use crate::codec::cursor::{Cursor, Fault};
use crate::codec::encode::Writer;
use crate::codec::schema::built_in::FACT;
use crate::signal::fact::{Before, ChurnMoment, Fact, FactRecord};

/// The schemas before there were facts of items, of churn and jobs, and of payments through entities: each new branch
/// stands last.
const OLDER: &[u32] = &[9, 12, 14, 18];
/// From this one on a fact has several pairs where it had one.
const SEVERAL_PAIRS: u32 = 18;

/// Appends the value of the facts record to `out`.
pub fn encode_fact(record: &FactRecord, out: &mut Vec<u8>) {
    let mut writer = Writer::new(Some(FACT), out);
    match record {
        FactRecord::Packed(facts) => {
            writer.long(content::PACKED);
            writer.array(facts, write_fact);
        }
        FactRecord::Tick { time_ms } => {
            writer.long(content::TICK);
            writer.long(*time_ms);
        }
        FactRecord::Job { analysis, job, result } => {
            writer.long(content::JOB);
            writer.long(i64::from(*analysis));
            writer.unsigned(*job);
            writer.bytes(result);
        }
    }
}

/// What stands in a record's value.
pub fn decode_fact(value: &[u8]) -> Result<FactRecord, RecordError> {
    decode_since("facts", OLDER, FACT, value, |schema, cursor| match cursor.long()? {
        content::PACKED => array(cursor, |cursor| read_fact(schema, cursor)).map(FactRecord::Packed),
        content::TICK => Ok(FactRecord::Tick { time_ms: cursor.long()? }),
        content::JOB => Ok(FactRecord::Job {
            analysis: number(cursor)?,
            job: unsigned(cursor)?,
            result: cursor.bytes()?.to_vec(),
        }),
        _ => Err(Fault::malformed("a content that its schema does not have")),
    })
}

/// The branches of a record's content, in the order of the schema.
mod content {
    pub const PACKED: i64 = 0;
    pub const TICK: i64 = 1;
    pub const JOB: i64 = 2;
}

/// The branches of a fact, in the order of the schema.
mod branch {
    pub const PAYMENT: i64 = 0;
    pub const VERDICT: i64 = 1;
    pub const ENTITY_VERDICT: i64 = 2;
    pub const ITEM: i64 = 3;
    pub const PAIRS: i64 = 4;
    pub const POPULAR: i64 = 5;
    pub const CHURN: i64 = 6;
    pub const ENTITY_PAYMENT: i64 = 7;
}

fn write_fact(writer: &mut Writer<'_>, fact: &Fact) {
    match fact {
        Fact::Payment { event, time_ms, risk, entities } => {
            writer.long(branch::PAYMENT);
            writer.unsigned(*event);
            writer.long(*time_ms);
            writer.long(*risk);
            writer.array(entities, |writer, entity| writer.text(entity));
        }
        Fact::Verdict { event, time_ms, fraud } => {
            writer.long(branch::VERDICT);
            writer.unsigned(*event);
            writer.long(*time_ms);
            writer.boolean(*fraud);
        }
        Fact::EntityVerdict { entity, time_ms, fraud } => {
            writer.long(branch::ENTITY_VERDICT);
            writer.text(entity);
            writer.long(*time_ms);
            writer.boolean(*fraud);
        }
        Fact::EntityPayment { entity, time_ms } => {
            writer.long(branch::ENTITY_PAYMENT);
            writer.text(entity);
            writer.long(*time_ms);
        }
        Fact::Item { item, time_ms, before } => {
            writer.long(branch::ITEM);
            writer.text(item);
            writer.long(*time_ms);
            write_before(writer, before);
        }
        Fact::Pairs { right, time_ms, lefts } => {
            writer.long(branch::PAIRS);
            writer.long(*right);
            writer.long(*time_ms);
            write_before(writer, lefts);
        }
        Fact::Popular { partition, items, repeats } => {
            writer.long(branch::POPULAR);
            writer.long(*partition);
            writer.array(items, |writer, (hash, weight)| {
                writer.long(*hash);
                writer.double(*weight);
            });
            writer.array(repeats, |writer, weight| writer.double(*weight));
        }
        Fact::Churn(moment) => {
            writer.long(branch::CHURN);
            writer.unsigned(moment.customer);
            writer.long(moment.partition);
            writer.long(moment.time_ms);
            writer.boolean(moment.is_order);
            writer.long(moment.repeats);
            writer.long(moment.first_day);
            writer.long(moment.last_day);
            writer.array(&moment.features, |writer, feature| writer.float(*feature));
            writer.float(moment.probability);
        }
    }
}

fn write_before(writer: &mut Writer<'_>, before: &Before) {
    writer.array(before.items(), |writer, (hash, place)| {
        writer.long(*hash);
        writer.long(*place);
    });
}

fn read_before(cursor: &mut Cursor<'_>) -> Result<Before, Fault> {
    let items = array(cursor, |cursor| Ok((number(cursor)?, number(cursor)?)))?;
    Ok(items.into_iter().collect())
}

fn read_fact(schema: u32, cursor: &mut Cursor<'_>) -> Result<Fact, Fault> {
    Ok(match cursor.long()? {
        branch::PAYMENT => Fact::Payment {
            event: unsigned(cursor)?,
            time_ms: cursor.long()?,
            risk: number(cursor)?,
            entities: array(cursor, string)?,
        },
        branch::VERDICT => {
            Fact::Verdict { event: unsigned(cursor)?, time_ms: cursor.long()?, fraud: cursor.boolean()? }
        }
        branch::ENTITY_VERDICT => {
            Fact::EntityVerdict { entity: string(cursor)?, time_ms: cursor.long()?, fraud: cursor.boolean()? }
        }
        branch::ENTITY_PAYMENT => Fact::EntityPayment { entity: string(cursor)?, time_ms: cursor.long()? },
        branch::ITEM => {
            Fact::Item { item: string(cursor)?, time_ms: cursor.long()?, before: read_before(cursor)? }
        }
        branch::PAIRS if schema >= SEVERAL_PAIRS => {
            Fact::Pairs { right: number(cursor)?, time_ms: cursor.long()?, lefts: read_before(cursor)? }
        }
        branch::PAIRS => {
            let (left, right) = (number(cursor)?, number(cursor)?);
            let lefts = [(left, number(cursor)?)].into_iter().collect();
            Fact::Pairs { right, time_ms: cursor.long()?, lefts }
        }
        branch::POPULAR => Fact::Popular {
            partition: number(cursor)?,
            items: array(cursor, |cursor| Ok((number(cursor)?, cursor.double()?)))?,
            repeats: array(cursor, |cursor| cursor.double())?,
        },
        branch::CHURN => Fact::Churn(ChurnMoment {
            customer: unsigned(cursor)?,
            partition: number(cursor)?,
            time_ms: cursor.long()?,
            is_order: cursor.boolean()?,
            repeats: number(cursor)?,
            first_day: number(cursor)?,
            last_day: number(cursor)?,
            features: array(cursor, Cursor::float)?,
            probability: cursor.float()?,
        }),
        _ => return Err(Fault::malformed("a fact that its schema does not have")),
    })
}
