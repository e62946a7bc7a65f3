//! What we want of a record: the fields of our own schema, by number.

use apache_avro::Schema;
use apache_avro::schema::{RecordField, RecordSchema};

use super::schema::{SchemaError, input_schema_id, parse_built_in};
use crate::event::Input;

/// The most fields that an input record has.
pub(super) const FIELDS_MAX: usize = 12;
/// The fields of a line.
pub(super) const LINE_FIELDS: usize = 4;

/// A field of our schema. Its place in the schema is the number of its slot.
#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    /// Names it had before.
    pub aliases: Vec<String>,
    pub kind: Kind,
    /// It has no default: every writer must have it.
    pub required: bool,
}

/// What a field holds once it is read; a null is read as nothing.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Long,
    Milliseconds,
    Double,
    Boolean,
    /// The place of the symbol among these.
    Symbol(Vec<String>),
    /// An array of records.
    Lines(Vec<Field>),
}

impl Kind {
    /// The kind in words, for a schema's error.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Text => "a string",
            Kind::Long => "a long",
            Kind::Milliseconds => "a long in milliseconds",
            Kind::Double => "a double",
            Kind::Boolean => "a boolean",
            Kind::Symbol(_) => "an enum",
            Kind::Lines(_) => "an array of records",
        }
    }
}

/// The fields of the input's built-in schema, in its order.
pub(super) fn fields_of(input: Input) -> Result<Vec<Field>, SchemaError> {
    let id = input_schema_id(input);
    match parse_built_in(id)? {
        Schema::Record(record) => fields(id, &record),
        _ => Err(SchemaError::NotARecord { id }),
    }
}

fn fields(id: u32, record: &RecordSchema) -> Result<Vec<Field>, SchemaError> {
    record.fields.iter().map(|field| reader_field(id, field)).collect()
}

fn reader_field(id: u32, field: &RecordField) -> Result<Field, SchemaError> {
    let value = match &field.schema {
        Schema::Union(union) => union.variants().iter().find(|branch| !matches!(branch, Schema::Null)),
        other => Some(other),
    };
    let kind = match value {
        Some(Schema::String) => Kind::Text,
        Some(Schema::Long) => Kind::Long,
        Some(Schema::TimestampMillis) => Kind::Milliseconds,
        Some(Schema::Double) => Kind::Double,
        Some(Schema::Boolean) => Kind::Boolean,
        Some(Schema::Enum(symbols)) => Kind::Symbol(symbols.symbols.clone()),
        Some(Schema::Array(array)) => match &*array.items {
            Schema::Record(line) => Kind::Lines(fields(id, line)?),
            other => return Err(unusable(id, field, other)),
        },
        other => return Err(unusable(id, field, other.unwrap_or(&Schema::Null))),
    };
    let required = field.default.is_none();
    Ok(Field { name: field.name.clone(), aliases: field.aliases.clone(), kind, required })
}

fn unusable(id: u32, field: &RecordField, found: &Schema) -> SchemaError {
    let (field, found) = (field.name.clone(), describe(found));
    SchemaError::WrongType { id, field, found, wanted: "anything an event holds" }
}

/// A schema in a word or two, for errors.
pub(super) fn describe(schema: &Schema) -> String {
    match schema.name() {
        Some(name) => format!("the named type {}", name.fullname(None)),
        None => format!("{:?}", apache_avro::schema::SchemaKind::from(schema)),
    }
}
