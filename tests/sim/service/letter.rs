//! Reads a dead letter back, by the schema and apache-avro, not by the product's code.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::types::Value;

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(include_str!("../../../schemas/dead_letter.avsc")).unwrap());

/// Index of the input and offset of the record that the letter holds.
pub fn decode(value: &[u8]) -> (usize, u64) {
    let mut datum = &value[5..];
    #[allow(deprecated)]
    let record = apache_avro::from_avro_datum(&SCHEMA, &mut datum, None).unwrap();
    let Value::Record(fields) = record else { panic!("a dead letter is a record") };
    let mut input = None;
    let mut offset = None;
    walk(&fields, &mut input, &mut offset);
    (input.expect("an input"), offset.expect("an offset"))
}

fn walk(fields: &[(String, Value)], input: &mut Option<usize>, offset: &mut Option<u64>) {
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Value::Record(inner)) => walk(inner, input, offset),
            ("input", Value::Enum(index, _)) => *input = Some(*index as usize),
            ("input" | "topic", Value::String(text)) => {
                *input = ["purchases", "engagements", "feedback"].iter().position(|name| name == text);
            }
            ("offset", Value::Long(at)) => *offset = Some(*at as u64),
            _ => {}
        }
    }
}
