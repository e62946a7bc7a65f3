//! Any record of our topics as JSON, for people and for HTTP: not on the path of an event.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use serde_json::{Map, Value, json};

use super::schema::parse_built_in;
use super::{SchemaSet, WireForm, built_in};
use crate::signal::Topic;

/// The form and the built-in schema of a topic's values, where it is one of those that only we write; None for
/// topics whose form is configured.
pub fn internal_form(topic: Topic) -> Option<WireForm> {
    match topic {
        Topic::Journal | Topic::Facts | Topic::Models | Topic::Control => Some(WireForm::ConfluentAvro),
        Topic::Owners => Some(WireForm::Json),
        _ => None,
    }
}

/// A value as JSON: field names of the schema, bytes as hexadecimal text, enums as their symbols.
///
/// # Errors
/// Words for people: no header, an unknown schema, bytes that are no record of it.
pub fn show(topic: Topic, form: WireForm, value: &[u8], schemas: &SchemaSet) -> Result<Value, String> {
    match form {
        WireForm::Json => serde_json::from_slice(value).map_err(|error| format!("no JSON: {error}")),
        WireForm::BareAvro => {
            let id = schema_of(topic).ok_or("it has no schema")?;
            let own = parse_built_in(id).map_err(|error| error.to_string())?;
            read(schemas.get(id).unwrap_or(&own), value)
        }
        WireForm::ConfluentAvro => {
            let header = value.split_first_chunk::<5>().filter(|(header, _)| header[0] == 0);
            let (header, datum) = header.ok_or("no header of a schema's id")?;
            let id = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
            if internal_form(topic).is_some() {
                // Ids of our own topics are not those of a registry.
                return read(&parse_built_in(id).map_err(|error| error.to_string())?, datum);
            }
            read(schemas.get(id).ok_or_else(|| format!("schema {id} is not known"))?, datum)
        }
    }
}

/// None of what is always JSON.
fn schema_of(topic: Topic) -> Option<u32> {
    Some(match topic {
        Topic::Purchases => built_in::PURCHASE,
        Topic::Engagements => built_in::ENGAGEMENT,
        Topic::Feedback => built_in::FEEDBACK,
        Topic::Journal => built_in::JOURNAL,
        Topic::Facts => built_in::FACT,
        Topic::Models => built_in::MODEL,
        Topic::Control => built_in::CONTROL,
        Topic::Alerts | Topic::AlertsFast => built_in::ALERT,
        Topic::Scores => built_in::SCORE,
        Topic::DeadLetters => built_in::DEAD_LETTER,
        Topic::Recommendations => built_in::RECOMMENDATION,
        Topic::Owners => return None,
    })
}

fn read(schema: &Schema, mut datum: &[u8]) -> Result<Value, String> {
    let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
    reader.read_value(&mut datum).map(to_json).map_err(|error| error.to_string())
}

fn to_json(value: Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => json!(value),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => json!(value),
        Avro::Long(value)
        | Avro::TimeMicros(value)
        | Avro::TimestampMillis(value)
        | Avro::TimestampMicros(value)
        | Avro::LocalTimestampMillis(value)
        | Avro::LocalTimestampMicros(value) => json!(value),
        // The shortest digits of a float, not those of the double nearest to it.
        Avro::Float(value) => value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value)),
        Avro::Double(value) => json!(value),
        Avro::String(text) | Avro::Enum(_, text) => Value::String(text),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => Value::String(hexadecimal(&bytes)),
        Avro::Union(_, inner) => to_json(*inner),
        Avro::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        Avro::Map(entries) => {
            // Sorted, so that the same record always reads the same.
            let entries: std::collections::BTreeMap<_, _> = entries.into_iter().collect();
            Value::Object(entries.into_iter().map(|(name, value)| (name, to_json(value))).collect())
        }
        Avro::Record(fields) => Value::Object(
            fields.into_iter().map(|(name, value)| (name, to_json(value))).collect::<Map<_, _>>(),
        ),
        other => Value::String(format!("{other:?}")),
    }
}

/// Two digits a byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
