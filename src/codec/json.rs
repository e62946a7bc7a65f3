//! Events from JSON: one object with the field names of the schema, into the same slots as Avro.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Rejected;
use super::fields::{LINES_MAX, Slot, build_line, too_many_lines};
use super::reader::{Field, Kind, LINE_FIELDS};
use crate::event::Reject;

/// Fills the slots of `fields` from one JSON object; fields that are not ours are ignored.
pub(super) fn read_json<'a>(
    value: &'a [u8],
    fields: &[Field],
    slots: &mut [Slot<'a>],
) -> Result<(), Rejected> {
    let mut json = serde_json::Deserializer::from_slice(value);
    let read = Record { fields, slots }.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| match std::str::from_utf8(value) {
        Ok(_) => Rejected::new(Reject::Malformed, error.to_string()),
        Err(error) => Rejected::new(Reject::InvalidText, error.to_string()),
    })
}

/// An object whose values go into slots.
struct Record<'f, 's, 'a> {
    fields: &'f [Field],
    slots: &'s mut [Slot<'a>],
}

impl<'a> DeserializeSeed<'a> for Record<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Record<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slot) = map.next_key_seed(Key { fields: self.fields })? {
            match slot {
                Some(slot) => self.slots[slot] = map.next_value_seed(Value(&self.fields[slot]))?,
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
struct Value<'f>(&'f Field);

impl<'a> DeserializeSeed<'a> for Value<'_> {
    type Value = Slot<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Slot<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Value<'_> {
    fn text<'a, E: Error>(&self, text: Cow<'a, str>) -> Result<Slot<'a>, E> {
        match &self.0.kind {
            Kind::Text => Ok(Slot::Text(text)),
            Kind::Symbol(symbols) => {
                let place = symbols.iter().position(|symbol| *symbol == text);
                Ok(match place.and_then(|place| u8::try_from(place).ok()) {
                    Some(place) => Slot::Symbol(place),
                    None => Slot::Bad(Box::new(Rejected::new(
                        Reject::InvalidValue,
                        format!("{text:.64?} is not known here"),
                    ))),
                })
            }
            _ => Err(E::invalid_type(serde::de::Unexpected::Str(&text), self)),
        }
    }
}

impl<'a> Visitor<'a> for Value<'_> {
    type Value = Slot<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}", self.0.kind.name(), self.0.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Slot<'a>, E> {
        Ok(Slot::Missing)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Slot<'a>, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Slot<'a>, E> {
        self.text(Cow::Owned(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Slot<'a>, E> {
        match self.0.kind {
            Kind::Long | Kind::Milliseconds => Ok(Slot::Long(value)),
            // The nearest double, as Avro promotes a long.
            Kind::Double => Ok(Slot::Double(value as f64)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Slot<'a>, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Slot<'a>, E> {
        match self.0.kind {
            Kind::Double => Ok(Slot::Double(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Slot<'a>, E> {
        match self.0.kind {
            Kind::Boolean => Ok(Slot::Boolean(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Slot<'a>, A::Error> {
        let Kind::Lines(fields) = &self.0.kind else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let mut lines = Vec::new();
        loop {
            let mut slots: [Slot<'a>; LINE_FIELDS] = Default::default();
            let Some(()) = seq.next_element_seed(Record { fields, slots: &mut slots })? else {
                return Ok(Slot::Lines(lines));
            };
            let line = if lines.len() < LINES_MAX {
                let at = |rejected: Rejected| rejected.at(&format!("[{}]", lines.len()));
                build_line(fields, &mut slots).map_err(at)
            } else {
                Err(too_many_lines())
            };
            match line {
                Ok(line) => lines.push(line),
                Err(rejected) => {
                    // What is wrong is known; the rest must still be JSON.
                    while seq.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(Slot::Bad(Box::new(rejected)));
                }
            }
        }
    }
}
