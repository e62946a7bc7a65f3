//! Wire formats: Avro (with and without the Confluent header) and JSON to and from events and signals.
//!
//! [`Decoder`] reads the shop's records, [`encode_signal`] and its sisters write ours, and [`internal`]
//! does both for the topics that only we read. The schemas are the files of `schemas/`. No other module
//! knows how a value looks in bytes.

mod cursor;
mod decoder;
mod encode;
mod event_json;
mod fields;
pub mod internal;
mod json;
mod json_out;
mod program;
mod reader;
mod schema;
mod shape;
mod show;

pub use decoder::Decoder;
pub use encode::{encode_event, encode_signal, signal_schema_id};
pub use event_json::event_json;
pub use internal::{
    RecordError, decode_control, decode_fact, decode_journal, decode_model, encode_control, encode_fact,
    encode_journal, encode_model,
};
pub use json_out::encode_signal_json;
pub use schema::{BUILT_IN, BuiltIn, SchemaError, SchemaSet, built_in};
pub use show::{hexadecimal, internal_form, show};

use serde::{Deserialize, Serialize};

pub use crate::event::Rejected;

use crate::event::Reject;
use crate::signal::Signal;

/// How the values of a topic are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireForm {
    /// A zero byte, the schema's id as four bytes (most significant first), then the Avro datum.
    #[default]
    ConfluentAvro,
    /// The Avro datum alone. Read with the schema that the set has under the input's built-in id.
    BareAvro,
    /// One JSON object with the field names of the schema.
    Json,
}

impl Rejected {
    const DETAIL_BYTES_MAX: usize = 256;

    /// Cuts `detail` to its largest length: it may quote the value, which may be megabytes.
    fn new(reason: Reject, detail: impl Into<String>) -> Rejected {
        let mut detail = detail.into();
        if detail.len() > Self::DETAIL_BYTES_MAX {
            let whole_characters =
                (0..=Self::DETAIL_BYTES_MAX).rev().find(|&end| detail.is_char_boundary(end));
            detail.truncate(whole_characters.unwrap_or(0));
        }
        Rejected { reason, detail }
    }

    /// The same, found in the field `name`.
    #[cold]
    fn at(self, name: &str) -> Rejected {
        Rejected::new(self.reason, format!("{name}: {}", self.detail))
    }
}

/// Appends the signal to `out` in the given form, with the built-in schema id where the form has one.
pub fn encode_signal_as(signal: &Signal, form: WireForm, out: &mut Vec<u8>) {
    match form {
        WireForm::ConfluentAvro => encode_signal(signal, Some(signal_schema_id(signal)), out),
        WireForm::BareAvro => encode_signal(signal, None, out),
        WireForm::Json => encode_signal_json(signal, out),
    }
}
