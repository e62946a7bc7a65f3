//! Records of an input topic to events.

use super::cursor::Fault;
use super::fields::{Aside, Slot, build_event};
use super::json::read_json;
use super::program::Program;
use super::reader::{FIELDS_MAX, Field, fields_of};
use super::schema::{SchemaError, SchemaSet, input_schema_id, parse_built_in};
use super::{Rejected, WireForm};
use crate::event::{Event, Input, Reject};

/// Decodes the values of one input topic. Holds what was worked out per schema, no record.
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    form: WireForm,
    /// What we want of a record.
    fields: Vec<Field>,
    programs: Programs,
}

impl Decoder {
    /// Resolves every schema of the set against the input's own.
    ///
    /// A schema whose record has the name of the input's (namespace aside) must fit, else this fails.
    /// Of any other name it may belong to another topic: it is used where it fits, and where it does
    /// not, its records are rejected as `UnknownSchema` with the reason in the detail.
    pub fn new(input: Input, form: WireForm, schemas: &SchemaSet) -> Result<Decoder, SchemaError> {
        let fields = fields_of(input)?;
        let own_id = input_schema_id(input);
        let own_schema = parse_built_in(own_id)?;
        let own_name = own_schema.name().map(|name| name.name());
        let mut programs = Programs::default();
        match form {
            WireForm::ConfluentAvro => {
                for (id, schema) in schemas.iter() {
                    let program = Program::compile(id, schema, &fields);
                    let is_ours = schema.name().map(|name| name.name()) == own_name;
                    match program {
                        Err(error) if is_ours => return Err(error),
                        program => programs.by_id.push((id, program)),
                    }
                }
            }
            WireForm::BareAvro => {
                let schema = schemas.get(own_id).unwrap_or(&own_schema);
                programs.by_id.push((own_id, Ok(Program::compile(own_id, schema, &fields)?)));
            }
            WireForm::Json => {}
        }
        Ok(Decoder { input, form, fields, programs })
    }

    /// The event in `value`, its strings borrowed from there (from JSON, where they have no escapes).
    ///
    /// Memory taken is in proportion to the value's length at most. Reasons of rejection: `Malformed`,
    /// `UnknownSchema`, `InvalidText`, `MissingField`, `NotFinite`, `InvalidValue`.
    pub fn decode<'a>(&mut self, value: &'a [u8]) -> Result<Event<'a>, Rejected> {
        let mut slots = [Slot::Missing; FIELDS_MAX];
        let mut aside = Aside::default();
        match self.form {
            WireForm::Json => read_json(value, &self.fields, &mut slots, &mut aside)?,
            WireForm::BareAvro => self.programs.find(input_schema_id(self.input))?.run(
                value,
                &self.fields,
                &mut slots,
                &mut aside,
            )?,
            WireForm::ConfluentAvro => {
                let (id, datum) = split_header(value)?;
                self.programs.find(id)?.run(datum, &self.fields, &mut slots, &mut aside)?;
            }
        }
        build_event(self.input, &self.fields, &slots, &mut aside)
    }
}

/// What was compiled, by schema id.
#[derive(Debug, Default)]
struct Programs {
    /// Ascending by id; the error is that of a schema which is another topic's.
    by_id: Vec<(u32, Result<Program, SchemaError>)>,
    /// Where the program of the record before was found: a topic seldom has more than one writer.
    last: usize,
}

impl Programs {
    #[inline]
    fn find(&mut self, id: u32) -> Result<&Program, Rejected> {
        if self.by_id.get(self.last).is_none_or(|(last, _)| *last != id) {
            let found = self.by_id.binary_search_by_key(&id, |(known, _)| *known);
            self.last = found.map_err(|_| {
                Rejected::new(Reject::UnknownSchema, format!("schema {id} is not in the configured set"))
            })?;
        }
        match &self.by_id[self.last].1 {
            Ok(program) => Ok(program),
            Err(error) => Err(Rejected::new(Reject::UnknownSchema, error.to_string())),
        }
    }
}

/// Schema id and datum of a value with the Confluent header.
pub(super) fn split_header(value: &[u8]) -> Result<(u32, &[u8]), Fault> {
    match value {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        [0, ..] => Err(Fault::malformed("the record ends within its header")),
        _ => Err(Fault::malformed("the header's first byte is not 0")),
    }
}
