//! A parsed TOML document that is read into the configuration's types, with every fault it has.
//!
//! Serde stops at the first fault. So the faulty key is taken out of the document and the rest read
//! again, until nothing faulty is left: every table has defaults, so a key less is never a fault. The
//! deserializer is ours, because an error of `toml`'s own is a sentence, and a suggestion needs the
//! list of what is known.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::suggest;

/// Keys from the root of the document.
pub type Path = Vec<String>;

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Bytes of the text; none for what is not in the text.
    pub span: Option<Range<usize>>,
    pub path: Path,
    pub message: String,
    pub help: Option<String>,
    /// The text at the span may be a secret and is not shown.
    pub hidden: bool,
    /// A sibling that was probably meant by an unknown key.
    meant: Option<Path>,
}

impl Fault {
    pub fn new(message: String) -> Fault {
        Fault { span: None, path: Path::new(), message, help: None, hidden: false, meant: None }
    }

    /// True when a statement about these options would only repeat this fault.
    pub fn spoils(&self, paths: &[Path]) -> bool {
        paths.iter().any(|path| path.starts_with(&self.path) || self.meant.as_ref() == Some(path))
    }

    /// Sets the place unless a deeper one is known.
    fn at(mut self, path: &Path, span: Range<usize>) -> Fault {
        if self.span.is_none() {
            self.span = Some(span);
            self.path.clone_from(path);
        }
        self
    }
}

/// What a check has to say about options that are right each by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The first that stands in the document is shown.
    pub paths: Vec<Path>,
    pub message: String,
    pub help: Option<String>,
}

pub struct Document<'i> {
    root: Spanned<DeValue<'i>>,
}

/// What came of reading a document.
pub struct Read<T> {
    pub value: T,
    pub faults: Vec<Fault>,
    /// Every option of every table that the document has.
    pub options: Vec<String>,
}

impl<'i> Document<'i> {
    /// The faults are those of syntax, all of them.
    pub fn parse(text: &'i str) -> Result<Document<'i>, Vec<Fault>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let span = table.span();
            return Ok(Document { root: Spanned::new(span, DeValue::Table(table.into_inner())) });
        }
        Err(errors
            .into_iter()
            .map(|error| Fault { span: error.span(), ..Fault::new(error.message().to_string()) })
            .collect())
    }

    pub fn read<T: for<'de> Deserialize<'de> + Default>(&self) -> Read<T> {
        let mut root = self.root.clone();
        let mut faults = Vec::new();
        let options = RefCell::new(BTreeSet::new());
        loop {
            let node = Node { value: &root, path: Path::new(), options: &options };
            let value = match T::deserialize(node) {
                Ok(value) => value,
                Err(fault) => {
                    let removed = remove(&mut root, &fault.path);
                    faults.push(fault);
                    if removed {
                        continue;
                    }
                    T::default()
                }
            };
            return Read { value, faults, options: options.into_inner().into_iter().collect() };
        }
    }

    /// The place of what a check found.
    pub fn locate(&self, finding: Finding) -> Fault {
        let here = finding.paths.iter().find_map(|path| Some((span_of(&self.root, path)?, path.clone())));
        let mut fault = Fault::new(finding.message);
        fault.help = finding.help;
        match here {
            Some((span, path)) => (fault.span, fault.path) = (Some(span), path),
            None => fault.path = finding.paths.into_iter().next().unwrap_or_default(),
        }
        fault
    }
}

fn span_of(root: &Spanned<DeValue<'_>>, path: &[String]) -> Option<Range<usize>> {
    let mut value = root;
    for key in path {
        value = match value.get_ref() {
            DeValue::Table(table) => table.get(key.as_str())?,
            _ => return None,
        };
    }
    Some(value.span())
}

fn remove(root: &mut Spanned<DeValue<'_>>, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut value = root.get_mut();
    for key in parents {
        let DeValue::Table(table) = value else { return false };
        let Some(child) = table.get_mut(key.as_str()) else { return false };
        value = child.get_mut();
    }
    match value {
        DeValue::Table(table) => table.remove(last.as_str()).is_some(),
        _ => false,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Fault {
        Fault::new(format!("expected {expected}, found {found}"))
    }

    fn unknown_field(key: &str, expected: &'static [&'static str]) -> Fault {
        let mut fault = Fault::new(format!("unknown key `{key}`"));
        let nearest = suggest::nearest(key, expected);
        fault.help = Some(said(nearest, expected));
        // The parent is put before it where the table is known.
        fault.meant = nearest.map(|meant| vec![meant.to_string()]);
        fault
    }

    fn unknown_variant(value: &str, expected: &'static [&'static str]) -> Fault {
        let mut fault = Fault::new(format!("unknown value \"{value}\""));
        fault.help = Some(said(suggest::nearest(value, expected), expected));
        fault
    }
}

fn said(nearest: Option<&str>, expected: &[&str]) -> String {
    match nearest {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if expected.is_empty() => "nothing is known here".to_string(),
        None => format!("known are `{}`", expected.join("`, `")),
    }
}

/// One value, and the way to it.
struct Node<'a, 'i> {
    value: &'a Spanned<DeValue<'i>>,
    path: Path,
    options: &'a RefCell<BTreeSet<String>>,
}

impl Node<'_, '_> {
    fn unexpected(&self) -> Unexpected<'_> {
        match self.value.get_ref() {
            DeValue::String(text) => Unexpected::Str(text),
            DeValue::Integer(integer) => {
                integer_of(integer).map_or(Unexpected::Other("a huge integer"), Unexpected::Signed)
            }
            DeValue::Float(float) => {
                float.as_str().parse().map_or(Unexpected::Other("float"), Unexpected::Float)
            }
            DeValue::Boolean(boolean) => Unexpected::Bool(*boolean),
            DeValue::Datetime(_) => Unexpected::Other("a date"),
            DeValue::Array(_) => Unexpected::Other("an array"),
            DeValue::Table(_) => Unexpected::Other("a table"),
        }
    }
}

fn integer_of(integer: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

impl<'de> Deserializer<'de> for Node<'_, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(integer) => match integer_of(integer) {
                Some(value) => visitor.visit_i64(value),
                None => Err(Fault::invalid_value(Unexpected::Other("an integer beyond 64 bits"), &visitor)),
            },
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(value) => visitor.visit_f64(value),
                Err(_) => Err(Fault::invalid_value(Unexpected::Str(float.as_str()), &visitor)),
            },
            DeValue::Boolean(boolean) => visitor.visit_bool(*boolean),
            DeValue::Datetime(moment) => visitor.visit_string(moment.to_string()),
            DeValue::Array(array) => visitor.visit_seq(Elements { items: array.iter(), parent: &self }),
            DeValue::Table(table) => {
                visitor.visit_map(Entries { items: table.iter(), value: None, parent: &self })
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let prefix: String = self.path.iter().flat_map(|key| [key, "."]).collect();
        self.options.borrow_mut().extend(fields.iter().map(|field| format!("{prefix}{field}")));
        match self.value.get_ref() {
            DeValue::Table(_) => self.deserialize_any(visitor),
            _ => Err(Fault::new(format!("expected a table, found {}", self.unexpected()))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// A text is a variant without content, a table of one key a variant with it.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value.get_ref() {
            DeValue::Table(table) => match table.iter().next() {
                Some((key, value)) if table.len() == 1 => {
                    visitor.visit_enum(Choice { key: key.get_ref(), value, parent: &self })
                }
                _ => Err(Fault::new(format!("expected a table with one of `{}`", variants.join("`, `")))),
            },
            _ if name == "Secret" => {
                let mut fault = Fault::new("a secret does not stand in the configuration".to_string());
                fault.help = Some(
                    "say where it is: { env = \"NAME\" } or { file = \"/run/secrets/name\" }".to_string(),
                );
                fault.hidden = true;
                Err(fault)
            }
            DeValue::String(text) => {
                let text: StrDeserializer<'_, Fault> = (**text).into_deserializer();
                visitor.visit_enum(text)
            }
            _ => {
                let choices = variants.join("\", \"");
                Err(Fault::new(format!("expected one of \"{choices}\", found {}", self.unexpected())))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Entries<'a, 'i, I> {
    items: I,
    value: Option<(&'a str, &'a Spanned<DeValue<'i>>)>,
    parent: &'a Node<'a, 'i>,
}

impl<'de, 'a, 'i, I> MapAccess<'de> for Entries<'a, 'i, I>
where
    I: Iterator<Item = (&'a Spanned<toml::de::DeString<'i>>, &'a Spanned<DeValue<'i>>)>,
{
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.items.next() else { return Ok(None) };
        self.value = Some((key.get_ref(), value));
        let text: StrDeserializer<'_, Fault> = (**key.get_ref()).into_deserializer();
        seed.deserialize(text).map(Some).map_err(|mut fault| {
            let path = child(&self.parent.path, key.get_ref());
            if let Some(meant) = &mut fault.meant {
                *meant = self.parent.path.iter().cloned().chain(meant.drain(..)).collect();
            }
            fault.at(&path, key.span())
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let (key, value) = self.value.take().ok_or_else(|| Fault::custom("a value before its key"))?;
        let path = child(&self.parent.path, key);
        let node = Node { value, path: path.clone(), options: self.parent.options };
        seed.deserialize(node).map_err(|fault| fault.at(&path, value.span()))
    }
}

fn child(path: &[String], key: &str) -> Path {
    path.iter().cloned().chain([key.to_string()]).collect()
}

/// Elements keep the path of their array: a fault in one takes the array out.
struct Elements<'a, 'i, I> {
    items: I,
    parent: &'a Node<'a, 'i>,
}

impl<'de, 'a, 'i, I> SeqAccess<'de> for Elements<'a, 'i, I>
where
    I: Iterator<Item = &'a Spanned<DeValue<'i>>>,
    'i: 'a,
{
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let node = Node { value, path: self.parent.path.clone(), options: self.parent.options };
        seed.deserialize(node).map(Some).map_err(|fault| fault.at(&self.parent.path, value.span()))
    }
}

/// A variant with content; like an element it keeps the path of the whole.
struct Choice<'a, 'i> {
    key: &'a str,
    value: &'a Spanned<DeValue<'i>>,
    parent: &'a Node<'a, 'i>,
}

impl<'de> EnumAccess<'de> for Choice<'_, '_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let text: StrDeserializer<'_, Fault> = self.key.into_deserializer();
        Ok((seed.deserialize(text)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Err(Fault::new(format!("`{}` takes no value", self.key)))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        let node = Node { value: self.value, path: self.parent.path.clone(), options: self.parent.options };
        seed.deserialize(node).map_err(|fault| fault.at(&self.parent.path, self.value.span()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        Err(Fault::invalid_type(Unexpected::StructVariant, &visitor))
    }
}
