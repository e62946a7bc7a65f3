//! Rows of shared tables, and whole models.

use super::{RecordError, array, decode_since, number, string, unsigned};
use crate::codec::cursor::{Cursor, Fault};
use crate::codec::encode::Writer;
use crate::codec::schema::built_in::MODEL;
use crate::signal::model::{Content, ModelRecord, Row, Stored, Whole};

/// The schemas of rows before they had a text, before there were whole models beside them, and before rows had shares.
const WITHOUT_TEXT: u32 = 10;
const ROWS_ONLY: u32 = 13;
const WITHOUT_SHARES: u32 = 15;

/// Appends the value of the model's record to `out`.
pub fn encode_model(record: &ModelRecord, out: &mut Vec<u8>) {
    let mut writer = Writer::new(Some(MODEL), out);
    match record {
        ModelRecord::Row(row) => {
            writer.long(branch::ROW);
            write_row(&mut writer, row);
        }
        ModelRecord::Whole(whole) => {
            writer.long(branch::WHOLE);
            write_whole(&mut writer, whole);
        }
    }
}

/// What stands in a record's value.
pub fn decode_model(value: &[u8]) -> Result<ModelRecord, RecordError> {
    decode_since("models", &[WITHOUT_TEXT, ROWS_ONLY, WITHOUT_SHARES], MODEL, value, |schema, cursor| {
        if schema < WITHOUT_SHARES {
            return read_row(cursor, schema).map(ModelRecord::Row);
        }
        match cursor.long()? {
            branch::ROW => read_row(cursor, schema).map(ModelRecord::Row),
            branch::WHOLE => read_whole(cursor).map(ModelRecord::Whole),
            _ => Err(Fault::malformed("a content that its schema does not have")),
        }
    })
}

/// The branches of a record's content, in the order of the schema.
mod branch {
    pub const ROW: i64 = 0;
    pub const WHOLE: i64 = 1;
}

/// Where a whole model's bytes are, in the order of the schema.
mod place {
    pub const INLINE: i64 = 0;
    pub const STORED: i64 = 1;
}

fn write_row(writer: &mut Writer<'_>, row: &Row) {
    writer.text(&row.table);
    writer.text(&row.key);
    writer.unsigned(row.version);
    writer.long(row.time_ms);
    writer.array(&row.numbers, |writer, &number| writer.double(number));
    writer.text(&row.text);
    writer.array(&row.shares, |writer, (hash, share)| {
        writer.long(*hash);
        writer.float(*share);
    });
}

fn read_row(cursor: &mut Cursor<'_>, schema: u32) -> Result<Row, Fault> {
    Ok(Row {
        table: string(cursor)?,
        key: string(cursor)?,
        version: unsigned(cursor)?,
        time_ms: cursor.long()?,
        numbers: array(cursor, Cursor::double)?,
        text: if schema > WITHOUT_TEXT { string(cursor)? } else { String::new() },
        shares: if schema > WITHOUT_SHARES {
            array(cursor, |cursor| Ok((number(cursor)?, cursor.float()?)))?
        } else {
            Vec::new()
        },
    })
}

fn write_whole(writer: &mut Writer<'_>, whole: &Whole) {
    writer.text(&whole.name);
    writer.unsigned(whole.version);
    writer.long(whole.time_ms);
    match &whole.content {
        Content::Inline(bytes) => {
            writer.long(place::INLINE);
            writer.bytes(bytes);
        }
        Content::Stored(stored) => {
            writer.long(place::STORED);
            writer.text(&stored.path);
            writer.unsigned(stored.length);
            writer.unsigned(stored.checksum);
        }
    }
}

fn read_whole(cursor: &mut Cursor<'_>) -> Result<Whole, Fault> {
    Ok(Whole {
        name: string(cursor)?,
        version: unsigned(cursor)?,
        time_ms: cursor.long()?,
        content: match cursor.long()? {
            place::INLINE => Content::Inline(cursor.bytes()?.to_vec()),
            place::STORED => Content::Stored(Stored {
                path: string(cursor)?,
                length: unsigned(cursor)?,
                checksum: unsigned(cursor)?,
            }),
            _ => return Err(Fault::malformed("a place that its schema does not have")),
        },
    })
}
