//! Control records, which an operator may also write by hand as JSON.

use serde::Deserialize;

use super::{RecordError, decode, string};
use crate::codec::cursor::Fault;
use crate::codec::encode::Writer;
use crate::codec::schema::built_in::CONTROL;
use crate::event::Control;

/// Appends the value of the control record to `out`, as Avro.
pub fn encode_control(control: &Control, out: &mut Vec<u8>) {
    let mut writer = Writer::new(Some(CONTROL), out);
    match control {
        Control::Setting { name, value } => {
            writer.long(branch::SETTING);
            writer.text(name);
            writer.text(value);
        }
        Control::Erase { customer } => {
            writer.long(branch::ERASE);
            writer.text(customer);
        }
    }
}

/// The control record in a value: JSON where it begins with a brace, else Avro.
///
/// In JSON: `{"setting": {"name": "…", "value": "…"}}` or `{"erase": {"customer": "…"}}`.
pub fn decode_control(value: &[u8]) -> Result<Control, RecordError> {
    if value.starts_with(b"{") {
        return match serde_json::from_slice(value) {
            Ok(ControlJson::Setting { name, value }) => Ok(Control::Setting { name, value }),
            Ok(ControlJson::Erase { customer }) => Ok(Control::Erase { customer }),
            Err(error) => Err(RecordError::Malformed { topic: "control", what: error.to_string(), left: 0 }),
        };
    }
    decode("control", CONTROL, value, |cursor| match cursor.long()? {
        branch::SETTING => Ok(Control::Setting { name: string(cursor)?, value: string(cursor)? }),
        branch::ERASE => Ok(Control::Erase { customer: string(cursor)? }),
        _ => Err(Fault::malformed("a content that its schema does not have")),
    })
}

/// The branches of a record's content, in the order of the schema.
mod branch {
    pub const SETTING: i64 = 0;
    pub const ERASE: i64 = 1;
}

/// Unknown fields are refused: a misspelt one must not pass for a decision.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ControlJson {
    Setting { name: String, value: String },
    Erase { customer: String },
}
