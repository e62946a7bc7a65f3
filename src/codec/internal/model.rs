//! Rows of shared tables.

use super::{RecordError, array, decode_since, string, unsigned};
use crate::codec::cursor::Cursor;
use crate::codec::encode::Writer;
use crate::codec::schema::built_in::MODEL;
use crate::signal::model::Row;

/// The schema of rows before they had a text.
const WITHOUT_TEXT: u32 = 10;

/// Appends the value of the row's record to `out`.
pub fn encode_model(row: &Row, out: &mut Vec<u8>) {
    let mut writer = Writer::new(Some(MODEL), out);
    writer.text(&row.table);
    writer.text(&row.key);
    writer.unsigned(row.version);
    writer.long(row.time_ms);
    writer.array(&row.numbers, |writer, &number| writer.double(number));
    writer.text(&row.text);
}

/// The row in a record's value.
pub fn decode_model(value: &[u8]) -> Result<Row, RecordError> {
    decode_since("models", &[WITHOUT_TEXT], MODEL, value, |schema, cursor| {
        Ok(Row {
            table: string(cursor)?,
            key: string(cursor)?,
            version: unsigned(cursor)?,
            time_ms: cursor.long()?,
            numbers: array(cursor, Cursor::double)?,
            text: if schema == WITHOUT_TEXT { String::new() } else { string(cursor)? },
        })
    })
}
