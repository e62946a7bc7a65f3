//! A writer's schema, resolved once against ours by name, as a list of steps for the hot path.

use apache_avro::Schema;
use apache_avro::schema::{RecordSchema, UuidSchema};

use super::Rejected;
use super::cursor::{Cursor, Fault};
use super::fields::{Aside, LINES_MAX, Slot, build_line, too_many_lines};
use super::reader::{Field, Kind, LINE_FIELDS, describe};
use super::schema::SchemaError;
use super::shape::{Names, Shapes, collect_names, resolve};
use crate::event::Reject;

/// Reads the records of one writer schema into the slots of our fields.
#[derive(Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
    /// Of what the writer has and we do not.
    shapes: Shapes,
}

/// One field of the writer, in the writer's order.
#[derive(Debug)]
enum Step {
    Skip(usize),
    Read { slot: usize, read: Read },
}

/// How a value is read, the promotion included.
#[derive(Debug)]
enum Read {
    Null,
    Int,
    Long,
    IntAsDouble,
    LongAsDouble,
    Float,
    Double,
    Boolean,
    Text,
    /// A union of null and a string, the usual optional field; holds the branch that is null.
    OptionalText(usize),
    /// For each symbol of the writer, its place among ours.
    Symbol(Vec<Option<u8>>),
    Lines(Vec<Step>),
    /// By branch; None cannot be read as our type.
    Union(Vec<Option<Read>>),
}

const UNKNOWN_SYMBOL: Fault = Fault { reason: Reject::InvalidValue, what: "a symbol that is not known here" };
const UNEXPECTED_BRANCH: Fault =
    Fault { reason: Reject::InvalidValue, what: "a type that is not expected here" };

/// What the compilation of one schema shares.
struct Compiler<'s> {
    id: u32,
    names: Names<'s>,
    shapes: Shapes,
}

impl Program {
    /// Resolves the writer's schema `id` against our `fields`, by name, then by alias.
    ///
    /// Fails where a required field is missing or a field's type cannot become ours.
    pub fn compile(id: u32, schema: &Schema, fields: &[Field]) -> Result<Program, SchemaError> {
        let Schema::Record(record) = schema else { return Err(SchemaError::NotARecord { id }) };
        let mut names = Names::new();
        collect_names(schema, &mut names);
        let mut compiler = Compiler { id, names, shapes: Shapes::default() };
        let steps = compiler.steps(record, fields)?;
        Ok(Program { steps, shapes: compiler.shapes })
    }

    /// Reads one whole record; what the writer does not have stays as it is in `slots`.
    pub fn run<'a>(
        &self,
        record: &'a [u8],
        fields: &[Field],
        slots: &mut [Slot<'a>],
        aside: &mut Aside<'a>,
    ) -> Result<(), Rejected> {
        let mut cursor = Cursor::new(record);
        self.walk(&self.steps, fields, &mut cursor, slots, aside)?;
        Ok(cursor.end()?)
    }

    fn walk<'a>(
        &self,
        steps: &[Step],
        fields: &[Field],
        cursor: &mut Cursor<'a>,
        slots: &mut [Slot<'a>],
        aside: &mut Aside<'a>,
    ) -> Result<(), Rejected> {
        for step in steps {
            let (slot, read) = match step {
                Step::Read { slot, read } => (*slot, read),
                Step::Skip(shape) => {
                    self.shapes.skip(*shape, cursor)?;
                    continue;
                }
            };
            match read.of(cursor) {
                Ok(Some(value)) => slots[slot] = value,
                Ok(None) => {
                    let value = self.read_nested(read, &fields[slot], cursor, aside);
                    slots[slot] = value.map_err(|rejected| rejected.at(&fields[slot].name))?;
                }
                Err(fault) => return Err(Rejected::from(fault).at(&fields[slot].name)),
            }
        }
        Ok(())
    }

    /// What [`Read::of`] leaves: lines and unions.
    fn read_nested<'a>(
        &self,
        read: &Read,
        field: &Field,
        cursor: &mut Cursor<'a>,
        aside: &mut Aside<'a>,
    ) -> Result<Slot<'a>, Rejected> {
        let mut read = read;
        if let Read::Union(branches) = read {
            read = branches[cursor.index(branches.len())?].as_ref().ok_or(UNEXPECTED_BRANCH)?;
        }
        match (read, &field.kind) {
            (Read::Lines(steps), Kind::Lines(fields)) => self.lines(steps, fields, cursor, aside),
            // A union holds no union, so there is a value now.
            _ => Ok(read.of(cursor)?.unwrap_or_default()),
        }
    }

    fn lines<'a>(
        &self,
        steps: &[Step],
        fields: &[Field],
        cursor: &mut Cursor<'a>,
        aside: &mut Aside<'a>,
    ) -> Result<Slot<'a>, Rejected> {
        loop {
            let block = cursor.block()?;
            if block.count == 0 {
                return Ok(Slot::Lines);
            }
            // A line takes a byte at the least, so a count of more than what is left is a lie.
            let count = usize::try_from(block.count).unwrap_or(usize::MAX);
            if count > cursor.remaining() {
                return Err(Fault::malformed("more lines than bytes").into());
            }
            if aside.lines.len() + count > LINES_MAX {
                return Err(too_many_lines());
            }
            // Most orders are small; a large one grows as it proves to be there.
            aside.lines.reserve(count.min(8));
            for _ in 0..count {
                let mut slots = [Slot::Missing; LINE_FIELDS];
                let line = self
                    .walk(steps, fields, cursor, &mut slots, aside)
                    .and_then(|()| build_line(fields, &slots, aside))
                    .map_err(|rejected| rejected.at(&format!("[{}]", aside.lines.len())))?;
                aside.lines.push(line);
            }
        }
    }
}

impl Read {
    /// The value; None, with nothing read, where lines or a union come.
    #[inline(always)]
    fn of<'a>(&self, cursor: &mut Cursor<'a>) -> Result<Option<Slot<'a>>, Fault> {
        Ok(Some(match self {
            Read::Null => Slot::Missing,
            Read::Text => Slot::Text(cursor.text()?),
            Read::OptionalText(null) => match cursor.index(2)? {
                branch if branch == *null => Slot::Missing,
                _ => Slot::Text(cursor.text()?),
            },
            Read::Int => Slot::Long(cursor.int()?.into()),
            Read::Long => Slot::Long(cursor.long()?),
            Read::IntAsDouble => Slot::Double(cursor.int()?.into()),
            // Avro's own promotion: the nearest double.
            Read::LongAsDouble => Slot::Double(cursor.long()? as f64),
            Read::Float => Slot::Double(cursor.float()?.into()),
            Read::Double => Slot::Double(cursor.double()?),
            Read::Boolean => Slot::Boolean(cursor.boolean()?),
            Read::Symbol(symbols) => match symbols[cursor.index(symbols.len())?] {
                Some(place) => Slot::Symbol(place),
                None => return Err(UNKNOWN_SYMBOL),
            },
            Read::Lines(_) | Read::Union(_) => return Ok(None),
        }))
    }
}

impl<'s> Compiler<'s> {
    fn steps(&mut self, record: &'s RecordSchema, fields: &[Field]) -> Result<Vec<Step>, SchemaError> {
        let mut found = vec![false; fields.len()];
        let mut steps = Vec::with_capacity(record.fields.len());
        for theirs in &record.fields {
            let Some(slot) = slot_of(&theirs.name, record, fields) else {
                let shape = self.shapes.add(&theirs.schema, &self.names);
                steps.push(Step::Skip(shape.ok_or_else(|| self.undefined(&theirs.name))?));
                continue;
            };
            found[slot] = true;
            steps.push(Step::Read { slot, read: self.read(&theirs.schema, &fields[slot])? });
        }
        match fields.iter().zip(found).find(|(field, found)| field.required && !found) {
            Some((field, _)) => Err(SchemaError::MissingField { id: self.id, field: field.name.clone() }),
            None => Ok(steps),
        }
    }

    fn undefined(&self, field: &str) -> SchemaError {
        SchemaError::UndefinedName { id: self.id, field: field.to_owned() }
    }

    /// A union needs one branch that can be read, besides null; the others are refused as they come.
    fn read(&mut self, theirs: &'s Schema, ours: &Field) -> Result<Read, SchemaError> {
        let resolved = resolve(theirs, &self.names).ok_or_else(|| self.undefined(&ours.name))?;
        let Schema::Union(union) = resolved else { return self.read_one(theirs, ours) };
        let branches = union.variants();
        if let (Kind::Text, [Schema::Null, Schema::String] | [Schema::String, Schema::Null]) =
            (&ours.kind, branches)
        {
            return Ok(Read::OptionalText(usize::from(matches!(branches[1], Schema::Null))));
        }
        let reads: Vec<_> = branches.iter().map(|branch| self.read_one(branch, ours)).collect();
        if !reads.iter().any(|read| matches!(read, Ok(read) if !matches!(read, Read::Null))) {
            // Of the branches' errors the last says most: null, the usual first, has none.
            return reads
                .into_iter()
                .rfind(Result::is_err)
                .unwrap_or_else(|| Err(self.wrong_type(theirs, ours)));
        }
        Ok(Read::Union(reads.into_iter().map(Result::ok).collect()))
    }

    fn read_one(&mut self, theirs: &'s Schema, ours: &Field) -> Result<Read, SchemaError> {
        let resolved = resolve(theirs, &self.names).ok_or_else(|| self.undefined(&ours.name))?;
        Ok(match (&ours.kind, resolved) {
            (_, Schema::Null) => Read::Null,
            (Kind::Text, Schema::String | Schema::Bytes) => Read::Text,
            (Kind::Text, Schema::Uuid(UuidSchema::String | UuidSchema::Bytes)) => Read::Text,
            (Kind::Long | Kind::Milliseconds, Schema::Int) => Read::Int,
            (Kind::Long | Kind::Milliseconds, Schema::Long) => Read::Long,
            // Micros and nanos are longs too, and reading them as millis would be wrong a thousandfold.
            (Kind::Milliseconds, Schema::TimestampMillis) => Read::Long,
            (Kind::Double, Schema::Int) => Read::IntAsDouble,
            (Kind::Double, Schema::Long) => Read::LongAsDouble,
            (Kind::Double, Schema::Float) => Read::Float,
            (Kind::Double, Schema::Double) => Read::Double,
            (Kind::Boolean, Schema::Boolean) => Read::Boolean,
            (Kind::Symbol(ours), Schema::Enum(theirs)) => {
                let place = |symbol| ours.iter().position(|known| known == symbol);
                Read::Symbol(
                    theirs.symbols.iter().map(|s| place(s).and_then(|p| u8::try_from(p).ok())).collect(),
                )
            }
            (Kind::Lines(fields), Schema::Array(array)) => match resolve(&array.items, &self.names) {
                Some(Schema::Record(line)) => Read::Lines(self.steps(line, fields)?),
                _ => return Err(self.wrong_type(&array.items, ours)),
            },
            _ => return Err(self.wrong_type(theirs, ours)),
        })
    }

    fn wrong_type(&self, theirs: &Schema, ours: &Field) -> SchemaError {
        let (found, wanted) = (describe(theirs), ours.kind.name());
        SchemaError::WrongType { id: self.id, field: ours.name.clone(), found, wanted }
    }
}

/// Which of our fields the writer's field `name` is: the one of that name, else the one that had it
/// before, unless the writer has the new name too.
fn slot_of(name: &str, writer: &RecordSchema, fields: &[Field]) -> Option<usize> {
    let by_name = fields.iter().position(|field| field.name == name);
    by_name.or_else(|| {
        let had_it = |field: &Field| field.aliases.iter().any(|alias| alias == name);
        let slot = fields.iter().position(had_it)?;
        let renamed = writer.fields.iter().any(|theirs| theirs.name == fields[slot].name);
        (!renamed).then_some(slot)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let field = |name: &str, alias: &str| Field {
            name: name.to_owned(),
            aliases: vec![alias.to_owned()],
            kind: Kind::Text,
            required: true,
        };
        vec![field("order", "basket"), field("item", "article")]
    }

    fn read(names: [&str; 3]) -> Vec<String> {
        let field = |name: &str| format!(r#"{{"name": "{name}", "type": "string"}}"#);
        let text =
            format!(r#"{{"type": "record", "name": "R", "fields": [{}]}}"#, names.map(field).join(","));
        let program = Program::compile(1, &Schema::parse_str(&text).unwrap(), &fields()).unwrap();
        let mut slots = [Slot::Missing; 2];
        program.run(b"\x02a\x02b\x02c", &fields(), &mut slots, &mut Aside::default()).unwrap();
        slots.iter().map(|slot| format!("{slot:?}")).collect()
    }

    #[test]
    fn a_field_is_found_by_the_name_it_had_before_unless_it_has_the_new_one() {
        assert_eq!(read(["basket", "x", "item"]), [r#"Text("a")"#, r#"Text("c")"#]);
        assert_eq!(read(["basket", "article", "order"]), [r#"Text("c")"#, r#"Text("b")"#]);
    }
}
