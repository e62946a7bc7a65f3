//! Stepping over what a writer has and we do not: any Avro type, recursive ones included.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, UuidSchema};

use super::cursor::{Cursor, Fault};

/// A writer may nest its values without end; deeper than this is refused, not walked.
const DEPTH_MAX: usize = 256;

/// The shapes of one writer schema, by number.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    all: Vec<Shape>,
    by_name: BTreeMap<String, usize>,
}

/// How the bytes of a value are laid out, as far as stepping over them goes.
#[derive(Debug)]
enum Shape {
    /// So many bytes.
    Bytes(usize),
    Varint,
    /// A length and so many bytes.
    LengthAndBytes,
    Array {
        item: usize,
        /// The item takes no bytes, so a block of any count is stepped over at once.
        item_is_empty: bool,
    },
    /// Its keys take bytes, so no item is ever empty.
    Map {
        item: usize,
    },
    Union(Vec<usize>),
    Record(Vec<usize>),
}

/// The named types of a writer schema by full name.
pub(super) type Names<'s> = BTreeMap<String, &'s Schema>;

/// Finds every record, enum and fixed within `schema`.
pub(super) fn collect_names<'s>(schema: &'s Schema, names: &mut Names<'s>) {
    match schema {
        Schema::Ref { .. } => return,
        Schema::Array(array) => collect_names(&array.items, names),
        Schema::Map(map) => collect_names(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect_names(branch, names)),
        Schema::Record(record) => record.fields.iter().for_each(|field| collect_names(&field.schema, names)),
        _ => {}
    }
    if let Some(name) = schema.name() {
        names.insert(name.fullname(None), schema);
    }
}

/// The type itself where `schema` is a reference to a named one.
pub(super) fn resolve<'s>(schema: &'s Schema, names: &Names<'s>) -> Option<&'s Schema> {
    match schema {
        Schema::Ref { name } => names.get(&name.fullname(None)).copied(),
        other => Some(other),
    }
}

impl Shapes {
    /// The number of the shape of `schema`; None where a name in it is defined nowhere.
    pub fn add(&mut self, schema: &Schema, names: &Names<'_>) -> Option<usize> {
        let schema = resolve(schema, names)?;
        let Some(name) = schema.name().map(|name| name.fullname(None)) else {
            let shape = self.shape(schema, names)?;
            return Some(self.push(shape));
        };
        if let Some(&known) = self.by_name.get(&name) {
            return Some(known);
        }
        // The number is taken before the fields are looked at, because they may refer to it. Until then
        // it stands for something that takes bytes: a record that holds an array of itself does.
        let number = self.push(Shape::Varint);
        self.by_name.insert(name, number);
        self.all[number] = self.shape(schema, names)?;
        Some(number)
    }

    fn push(&mut self, shape: Shape) -> usize {
        self.all.push(shape);
        self.all.len() - 1
    }

    fn shape(&mut self, schema: &Schema, names: &Names<'_>) -> Option<Shape> {
        Some(match schema {
            Schema::Null => Shape::Bytes(0),
            Schema::Boolean => Shape::Bytes(1),
            Schema::Float => Shape::Bytes(4),
            Schema::Double => Shape::Bytes(8),
            Schema::Int | Schema::Long | Schema::Enum(_) => Shape::Varint,
            Schema::Date | Schema::TimeMillis | Schema::TimeMicros => Shape::Varint,
            Schema::TimestampMillis | Schema::TimestampMicros | Schema::TimestampNanos => Shape::Varint,
            Schema::LocalTimestampMillis => Shape::Varint,
            Schema::LocalTimestampMicros | Schema::LocalTimestampNanos => Shape::Varint,
            Schema::Bytes | Schema::String | Schema::BigDecimal => Shape::LengthAndBytes,
            Schema::Uuid(UuidSchema::Bytes | UuidSchema::String) => Shape::LengthAndBytes,
            Schema::Fixed(fixed) | Schema::Duration(fixed) => Shape::Bytes(fixed.size),
            Schema::Uuid(UuidSchema::Fixed(fixed)) => Shape::Bytes(fixed.size),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Shape::LengthAndBytes,
                InnerDecimalSchema::Fixed(fixed) => Shape::Bytes(fixed.size),
            },
            Schema::Array(array) => {
                let item = self.add(&array.items, names)?;
                Shape::Array { item, item_is_empty: self.is_empty(item, 0) }
            }
            Schema::Map(map) => Shape::Map { item: self.add(&map.types, names)? },
            Schema::Union(union) => Shape::Union(self.add_all(union.variants().iter(), names)?),
            Schema::Record(record) => {
                Shape::Record(self.add_all(record.fields.iter().map(|field| &field.schema), names)?)
            }
            Schema::Ref { .. } => return None,
        })
    }

    fn add_all<'s>(
        &mut self,
        schemas: impl Iterator<Item = &'s Schema>,
        names: &Names<'_>,
    ) -> Option<Vec<usize>> {
        schemas.map(|schema| self.add(schema, names)).collect()
    }

    /// True where no value of the shape takes any bytes; where not, each takes at least one.
    fn is_empty(&self, number: usize, depth: usize) -> bool {
        match &self.all[number] {
            Shape::Bytes(length) => *length == 0,
            Shape::Record(fields) => {
                depth < DEPTH_MAX && fields.iter().all(|&field| self.is_empty(field, depth + 1))
            }
            _ => false,
        }
    }

    /// Steps over one value.
    pub fn skip(&self, number: usize, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.skip_at(number, cursor, 0)
    }

    fn skip_at(&self, number: usize, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::malformed("values nested too deeply"));
        }
        match &self.all[number] {
            Shape::Bytes(length) => cursor.fixed(*length).map(|_| ()),
            Shape::Varint => cursor.long().map(|_| ()),
            Shape::LengthAndBytes => cursor.bytes().map(|_| ()),
            Shape::Array { item, item_is_empty } => {
                skip_blocks(cursor, *item_is_empty, |cursor| self.skip_at(*item, cursor, depth + 1))
            }
            Shape::Map { item } => skip_blocks(cursor, false, |cursor| {
                cursor.bytes()?;
                self.skip_at(*item, cursor, depth + 1)
            }),
            Shape::Union(branches) => {
                let branch = cursor.index(branches.len())?;
                self.skip_at(branches[branch], cursor, depth + 1)
            }
            Shape::Record(fields) => {
                fields.iter().try_for_each(|&field| self.skip_at(field, cursor, depth + 1))
            }
        }
    }
}

/// Steps over the blocks of an array or a map. Items that are not empty take at least a byte each, so
/// the walk ends with the input whatever the counts say.
fn skip_blocks<'a>(
    cursor: &mut Cursor<'a>,
    item_is_empty: bool,
    mut skip_item: impl FnMut(&mut Cursor<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    loop {
        let block = cursor.block()?;
        if block.count == 0 {
            return Ok(());
        }
        if let Some(bytes) = block.bytes {
            cursor.fixed(bytes)?;
        } else if !item_is_empty {
            for _ in 0..block.count {
                skip_item(cursor)?;
            }
        }
    }
}
