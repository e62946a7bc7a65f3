//! Which schemas are known: the built-in ones, and those of the writers that came before, come after,
//! or are not ours.

use std::collections::BTreeMap;

use apache_avro::Schema;

use crate::event::Input;

/// A schema of `schemas/`, compiled into the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Reserved: internal topics carry it in their header, and outputs do where no other is configured.
    /// A changed schema gets a new id, the old one keeps its text.
    pub id: u32,
    /// Of the file, without `.avsc`.
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! built_ins {
    ($($id:literal $constant:ident $name:literal)*) => {
        /// Reserved schema ids by schema.
        pub mod built_in {
            $(pub const $constant: u32 = $id;)*
        }
        /// Every built-in schema, in the order of the ids.
        pub const BUILT_IN: &[BuiltIn] = &[
            $(BuiltIn {
                id: $id,
                name: $name,
                text: include_str!(concat!("../../schemas/", $name, ".avsc")),
            },)*
        ];
    };
}

built_ins! {
    1 PURCHASE "purchase"
    2 ENGAGEMENT "engagement"
    3 FEEDBACK "feedback"
    4 ALERT "alert"
    5 SCORE "score"
    6 RECOMMENDATION "recommendation"
    7 DEAD_LETTER "dead_letter"
    8 JOURNAL "journal"
    11 CONTROL "control"
    17 MODEL "model"
    19 FACT "fact"
}

/// The built-in schema id of an input's records.
pub(super) fn input_schema_id(input: Input) -> u32 {
    match input {
        Input::Purchases => built_in::PURCHASE,
        Input::Engagements => built_in::ENGAGEMENT,
        Input::Feedback => built_in::FEEDBACK,
    }
}

/// What is wrong with a writer's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("schema {id} cannot be read: {message}")]
    Unreadable { id: u32, message: String },
    #[error("schema {id} is given twice with different texts")]
    Duplicate { id: u32 },
    #[error("schema {id} is not a record")]
    NotARecord { id: u32 },
    #[error("schema {id} has no field {field}, which every record of the topic needs")]
    MissingField { id: u32, field: String },
    #[error("schema {id}: field {field} is {found}, which cannot be read as {wanted}")]
    WrongType { id: u32, field: String, found: String, wanted: &'static str },
    #[error("schema {id} refers to a type that it does not define, in field {field}")]
    UndefinedName { id: u32, field: String },
}

/// Writers' schemas by id.
#[derive(Debug, Clone)]
pub struct SchemaSet {
    by_id: BTreeMap<u32, Schema>,
}

impl SchemaSet {
    /// The built-in schemas and the given ones, as pairs of id and JSON text. A given schema takes the
    /// place of the built-in one of its id: registries count from 1 too. The internal topics are not
    /// touched by that.
    ///
    /// Fails where a text is no Avro schema, or an id is given twice with different schemas.
    pub fn new<T: AsRef<str>>(schemas: impl IntoIterator<Item = (u32, T)>) -> Result<SchemaSet, SchemaError> {
        let mut given = BTreeMap::new();
        for (id, text) in schemas {
            let schema = parse(id, text.as_ref())?;
            if given.insert(id, schema.clone()).is_some_and(|before| before != schema) {
                return Err(SchemaError::Duplicate { id });
            }
        }
        let mut by_id = BTreeMap::new();
        for schema in BUILT_IN {
            by_id.insert(schema.id, parse(schema.id, schema.text)?);
        }
        by_id.append(&mut given);
        Ok(SchemaSet { by_id })
    }

    /// The ids that are known, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.by_id.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Schema)> {
        self.by_id.iter().map(|(&id, schema)| (id, schema))
    }

    pub(super) fn get(&self, id: u32) -> Option<&Schema> {
        self.by_id.get(&id)
    }
}

fn parse(id: u32, text: &str) -> Result<Schema, SchemaError> {
    Schema::parse_str(text).map_err(|error| SchemaError::Unreadable { id, message: error.to_string() })
}

/// The schema of a built-in id as this build has it, whatever a set says.
pub(super) fn parse_built_in(id: u32) -> Result<Schema, SchemaError> {
    let schema = BUILT_IN.iter().find(|schema| schema.id == id);
    let text = schema.map(|schema| schema.text).unwrap_or_default();
    parse(id, text)
}
