//! Events from JSON: one object with the field names of the schema, into the same slots as Avro.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::Rejected;
use super::fields::{Aside, LINES_MAX, Slot, build_line, too_many_lines};
use super::reader::{Field, Kind, LINE_FIELDS};
use crate::event::Reject;

/// Fills the slots of `fields` from one JSON object; fields that are not ours are ignored.
pub(super) fn read_json<'a>(
    value: &'a [u8],
    fields: &[Field],
    slots: &mut [Slot<'a>],
    aside: &mut Aside<'a>,
) -> Result<(), Rejected> {
    let mut rejected = None;
    let mut json = serde_json::Deserializer::from_slice(value);
    let record = Record { fields, slots, aside, rejected: &mut rejected };
    let read = record.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| match std::str::from_utf8(value) {
        Ok(_) => Rejected::new(Reject::Malformed, error.to_string()),
        Err(error) => Rejected::new(Reject::InvalidText, error.to_string()),
    })?;
    rejected.map_or(Ok(()), Err)
}

/// An object whose values go into slots.
struct Record<'s, 'a> {
    fields: &'s [Field],
    slots: &'s mut [Slot<'a>],
    aside: &'s mut Aside<'a>,
    /// The first value that is JSON and yet nothing we take. The rest must still be JSON.
    rejected: &'s mut Option<Rejected>,
}

impl<'a> DeserializeSeed<'a> for Record<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Record<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slot) = map.next_key_seed(Key { fields: self.fields })? {
            match slot {
                Some(slot) => {
                    let field = &self.fields[slot];
                    let value = Value { field, aside: self.aside, rejected: self.rejected };
                    self.slots[slot] = map.next_value_seed(value)?;
                }
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// The name of a field, to the number of its slot.
struct Key<'f> {
    fields: &'f [Field],
}

impl<'a> DeserializeSeed<'a> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let is_it = |field: &Field| field.name == name || field.aliases.iter().any(|alias| alias == name);
        Ok(self.fields.iter().position(is_it))
    }
}

/// The value of a field, of its kind or null.
struct Value<'s, 'a> {
    field: &'s Field,
    aside: &'s mut Aside<'a>,
    rejected: &'s mut Option<Rejected>,
}

impl<'a> DeserializeSeed<'a> for Value<'_, 'a> {
    type Value = Slot<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Slot<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Value<'_, 'a> {
    /// Of an enum: the place of the symbol.
    fn symbol<E: Error>(self, text: &str) -> Result<Slot<'a>, E> {
        let Kind::Symbol(symbols) = &self.field.kind else {
            return Err(E::invalid_type(Unexpected::Str(text), &self));
        };
        let place = symbols.iter().position(|symbol| symbol == text);
        Ok(match place.and_then(|place| u8::try_from(place).ok()) {
            Some(place) => Slot::Symbol(place),
            None => {
                let known = symbols.join(", ");
                self.reject(Rejected::new(Reject::InvalidValue, format!("{text:.64?} is none of {known}")))
            }
        })
    }

    fn reject(self, rejected: Rejected) -> Slot<'a> {
        self.rejected.get_or_insert(rejected.at(&self.field.name));
        Slot::Missing
    }

    /// The lines one by one; ends early at the first that is not taken.
    fn read_lines<A: SeqAccess<'a>>(self, fields: &[Field], seq: &mut A) -> Result<Slot<'a>, A::Error> {
        // A name that comes twice counts once, with its last value.
        self.aside.lines.clear();
        loop {
            let mut slots = [Slot::Missing; LINE_FIELDS];
            let record = Record { fields, slots: &mut slots, aside: self.aside, rejected: self.rejected };
            let Some(()) = seq.next_element_seed(record)? else { return Ok(Slot::Lines) };
            let count = self.aside.lines.len();
            let line = if count < LINES_MAX {
                build_line(fields, &slots, self.aside).map_err(|rejected| rejected.at(&format!("[{count}]")))
            } else {
                Err(too_many_lines())
            };
            match line {
                Ok(line) => self.aside.lines.push(line),
                Err(rejected) => return Ok(self.reject(rejected)),
            }
        }
    }
}

impl<'a> Visitor<'a> for Value<'_, 'a> {
    type Value = Slot<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}", self.field.kind.name(), self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Slot<'a>, E> {
        Ok(Slot::Missing)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Slot<'a>, E> {
        match self.field.kind {
            Kind::Text => Ok(Slot::Text(text)),
            _ => self.symbol(text),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Slot<'a>, E> {
        match self.field.kind {
            Kind::Text => {
                self.aside.unescaped.push(text.to_owned());
                Ok(Slot::Unescaped(self.aside.unescaped.len() - 1))
            }
            _ => self.symbol(text),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Slot<'a>, E> {
        match self.field.kind {
            Kind::Long | Kind::Milliseconds => Ok(Slot::Long(value)),
            // The nearest double, as Avro promotes a long.
            Kind::Double => Ok(Slot::Double(value as f64)),
            _ => Err(E::invalid_type(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Slot<'a>, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Slot<'a>, E> {
        match self.field.kind {
            Kind::Double => Ok(Slot::Double(value)),
            _ => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Slot<'a>, E> {
        match self.field.kind {
            Kind::Boolean => Ok(Slot::Boolean(value)),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Slot<'a>, A::Error> {
        let Kind::Lines(fields) = &self.field.kind else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        };
        let slot = self.read_lines(fields, &mut seq)?;
        // After a line that was not taken there may be more, which must still be JSON.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(slot)
    }
}
