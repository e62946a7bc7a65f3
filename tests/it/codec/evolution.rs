//! Writers that are older, newer or other than our schema.

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use habitue::codec::{Decoder, SchemaError, SchemaSet, WireForm};
use habitue::event::{Event, Input, Purchase, Reject};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::reference::{datum_of, purchase as value_of, text};
use super::{generate, with_header};

const ID: u32 = 700;

/// A writer: its schema and how it writes a purchase.
struct Writer {
    schema: Value,
    value: Avro,
}

impl Writer {
    /// One that writes as we would.
    fn of(purchase: &Purchase<'_>) -> Writer {
        Writer { schema: serde_json::from_str(&text("purchase")).unwrap(), value: value_of(purchase) }
    }

    fn fields(&mut self) -> &mut Vec<Value> {
        self.schema["fields"].as_array_mut().unwrap()
    }

    fn values(&mut self) -> &mut Vec<(String, Avro)> {
        let Avro::Record(values) = &mut self.value else { panic!("a record") };
        values
    }

    fn field(&mut self, name: &str) -> &mut Value {
        self.fields().iter_mut().find(|field| field["name"] == name).unwrap()
    }

    fn value(&mut self, name: &str) -> &mut Avro {
        &mut self.values().iter_mut().find(|(field, _)| field == name).unwrap().1
    }

    fn drop(&mut self, name: &str) {
        self.fields().retain(|field| field["name"] != name);
        self.values().retain(|(field, _)| field != name);
    }

    /// A field that we do not have, as the field number `place`.
    fn add(&mut self, place: usize, name: &str, schema: Value, value: Avro) {
        self.fields().insert(place, json!({"name": name, "type": schema}));
        self.values().push((name.to_owned(), value));
    }

    fn line_fields(&mut self) -> &mut Vec<Value> {
        self.field("lines")["type"]["items"]["fields"].as_array_mut().unwrap()
    }

    fn lines(&mut self) -> impl Iterator<Item = &mut Vec<(String, Avro)>> {
        let Avro::Array(lines) = self.value("lines") else { panic!("an array") };
        lines.iter_mut().map(|line| match line {
            Avro::Record(fields) => fields,
            _ => panic!("a record"),
        })
    }

    fn decoder(&self) -> Result<Decoder, SchemaError> {
        let schemas = SchemaSet::new([(ID, self.schema.to_string())])?;
        Decoder::new(Input::Purchases, WireForm::ConfluentAvro, &schemas)
    }

    fn datum(&self) -> Vec<u8> {
        let schema = Schema::parse_str(&self.schema.to_string()).unwrap();
        datum_of(&schema, self.value.clone())
    }

    fn assert_reads_as(&self, expected: &Purchase<'_>) {
        let value = with_header(ID, &self.datum());
        let Event::Purchase(read) = self.decoder().unwrap().decode(&value).unwrap() else {
            panic!("a purchase")
        };
        assert_eq!(&read, expected);
    }
}

const OPTIONAL: [&str; 6] = ["instrument", "channel", "terminal", "device", "country", "refund"];

proptest! {
    // Each case parses a dozen schemas.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_older_writer_lacks_every_optional_field(mut purchase in generate::purchase()) {
        purchase.lines.iter_mut().for_each(|line| line.quantity = line.quantity.saturating_abs());
        let mut writer = Writer::of(&purchase);
        OPTIONAL.iter().chain(&["customer"]).for_each(|name| writer.drop(name));
        writer.line_fields().retain(|field| field["name"] != "category");
        writer.lines().for_each(|line| line.retain(|(name, _)| name != "category"));
        purchase.customer = None;
        (purchase.instrument, purchase.channel, purchase.terminal) = (None, None, None);
        (purchase.device, purchase.country, purchase.refund) = (None, None, false);
        purchase.lines.iter_mut().for_each(|line| line.category = None);
        writer.assert_reads_as(&purchase);
    }

    #[test]
    fn a_newer_writer_has_fields_of_every_type_between_ours(
        purchase in generate::purchase(), places in prop::collection::vec(0..12_usize, 12),
    ) {
        let mut writer = Writer::of(&purchase);
        for ((name, schema, value), place) in strange_fields().into_iter().zip(places) {
            writer.add(place, name, schema, value);
        }
        // Refers to a type defined in a field that we do not read, whichever comes first.
        writer.add(0, "tree", tree_schema(), tree(3));
        writer.fields().push(json!({"name": "other_tree", "type": ["null", "Tree"]}));
        writer.values().push(("other_tree".to_owned(), Avro::Union(1, Box::new(tree(2)))));
        writer.line_fields().insert(1, json!({"name": "bundle", "type": {"type": "array", "items": "Tree"}}));
        writer.lines().for_each(|line| line.push(("bundle".to_owned(), Avro::Array(vec![tree(1), tree(0)]))));
        writer.assert_reads_as(&purchase);
    }

    #[test]
    fn another_writer_has_our_fields_in_another_order(purchase in generate::purchase()) {
        let mut writer = Writer::of(&purchase);
        writer.fields().reverse();
        writer.line_fields().reverse();
        writer.assert_reads_as(&purchase);
    }

    #[test]
    fn another_writer_has_narrower_types_and_other_unions(mut purchase in generate::purchase()) {
        purchase.time_ms %= 1_000_000_000;
        let mut writer = Writer::of(&purchase);
        *writer.value("time_ms") = Avro::Int(purchase.time_ms as i32);
        writer.field("time_ms")["type"] = json!("int");
        let order = Avro::Bytes(purchase.order.as_bytes().to_vec());
        *writer.value("order") = Avro::Union(2, Box::new(order));
        writer.field("order")["type"] = json!(["int", "null", "bytes"]);
        // Null second, so a text is branch 0.
        *writer.value("device") = match &purchase.device {
            Some(device) => Avro::Union(0, Box::new(Avro::String(device.to_string()))),
            None => Avro::Union(1, Box::new(Avro::Null)),
        };
        writer.field("device").as_object_mut().unwrap().remove("default");
        writer.field("device")["type"] = json!(["string", "null"]);
        // Never null.
        *writer.value("country") = Avro::String("NL".to_owned());
        writer.field("country").as_object_mut().unwrap().remove("default");
        writer.field("country")["type"] = json!("string");
        purchase.country = Some("NL".into());
        writer.assert_reads_as(&purchase);
    }
}

/// A field of each type that a reader must be able to step over.
fn strange_fields() -> Vec<(&'static str, Value, Avro)> {
    let map = [("a".to_owned(), Avro::Array(vec![Avro::Long(-1), Avro::Long(1 << 40)]))];
    vec![
        (
            "x_map",
            json!({"type": "map", "values": {"type": "array", "items": "long"}}),
            Avro::Map(map.into()),
        ),
        ("x_fixed", json!({"type": "fixed", "name": "Five", "size": 5}), Avro::Fixed(5, vec![0xff; 5])),
        (
            "x_enum",
            json!({"type": "enum", "name": "Hue", "symbols": ["red", "blue"]}),
            Avro::Enum(1, "blue".into()),
        ),
        ("x_float", json!("float"), Avro::Float(f32::NAN)),
        ("x_double", json!("double"), Avro::Double(f64::INFINITY)),
        ("x_boolean", json!("boolean"), Avro::Boolean(true)),
        ("x_int", json!("int"), Avro::Int(i32::MIN)),
        ("x_bytes", json!("bytes"), Avro::Bytes(vec![0x80; 300])),
        ("x_nulls", json!({"type": "array", "items": "null"}), Avro::Array(vec![Avro::Null; 3])),
        ("x_date", json!({"type": "int", "logicalType": "date"}), Avro::Date(20_000)),
        (
            "x_micros",
            json!({"type": "long", "logicalType": "timestamp-micros"}),
            Avro::TimestampMicros(1 << 50),
        ),
        ("x_union", json!(["null", "string", "double"]), Avro::Union(1, Box::new(Avro::String("ü".into())))),
    ]
}

fn tree_schema() -> Value {
    json!({"type": "record", "name": "Tree", "fields": [
        {"name": "label", "type": "string"},
        {"name": "twin", "type": ["null", "Tree"]},
        {"name": "children", "type": {"type": "array", "items": "Tree"}}
    ]})
}

fn tree(depth: usize) -> Avro {
    let twin = match depth {
        0 => Avro::Union(0, Box::new(Avro::Null)),
        _ => Avro::Union(1, Box::new(tree(depth - 1))),
    };
    let children = if depth == 0 { Vec::new() } else { vec![tree(depth - 1), tree(0)] };
    Avro::Record(vec![
        ("label".to_owned(), Avro::String(depth.to_string())),
        ("twin".to_owned(), twin),
        ("children".to_owned(), Avro::Array(children)),
    ])
}

fn one_purchase() -> Purchase<'static> {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    generate::purchase().new_tree(&mut runner).unwrap().current()
}

#[test]
fn a_writer_without_a_required_field_is_refused_by_name() {
    let mut writer = Writer::of(&one_purchase());
    writer.drop("order");
    let error = writer.decoder().unwrap_err();
    assert_eq!(error, SchemaError::MissingField { id: ID, field: "order".to_owned() });
}

#[test]
fn a_writer_with_times_in_micros_is_refused_by_name() {
    let mut writer = Writer::of(&one_purchase());
    writer.field("time_ms")["type"]["logicalType"] = json!("timestamp-micros");
    let error = writer.decoder().unwrap_err();
    assert!(matches!(&error, SchemaError::WrongType { id: ID, field, .. } if field == "time_ms"), "{error}");
}

#[test]
fn a_schema_of_another_name_is_used_where_it_fits_and_explained_where_not() {
    let purchase = one_purchase();
    let mut writer = Writer::of(&purchase);
    writer.schema["name"] = json!("OrderPlaced");
    writer.assert_reads_as(&purchase);
    writer.drop("currency");
    let datum = with_header(ID, &writer.datum());
    let rejected = writer.decoder().unwrap().decode(&datum).unwrap_err();
    assert_eq!(rejected.reason, Reject::UnknownSchema);
    assert!(rejected.detail.contains("700") && rejected.detail.contains("currency"), "{}", rejected.detail);
}

#[test]
fn a_given_schema_takes_the_place_of_the_built_in_one_of_its_id() {
    let purchase = one_purchase();
    let mut writer = Writer::of(&purchase);
    writer.fields().reverse();
    let schemas = SchemaSet::new([(1, writer.schema.to_string())]).unwrap();
    let datum = writer.datum();
    let mut decoder = Decoder::new(Input::Purchases, WireForm::BareAvro, &schemas).unwrap();
    assert_eq!(decoder.decode(&datum).unwrap(), Event::Purchase(purchase));
}

#[test]
fn a_symbol_or_a_branch_that_we_do_not_know_is_an_invalid_value() {
    let schema = json!({"type": "record", "name": "Feedback", "fields": [
        {"name": "customer", "type": ["string", "boolean"]},
        {"name": "event_id", "type": "string"},
        {"name": "verdict", "type": {"type": "enum", "name": "V", "symbols": ["legitimate", "unclear", "fraud"]}},
        {"name": "time_ms", "type": "long"},
        {"name": "source", "type": "string"}
    ]});
    let schemas = SchemaSet::new([(ID, schema.to_string())]).unwrap();
    let mut decoder = Decoder::new(Input::Feedback, WireForm::ConfluentAvro, &schemas).unwrap();
    let mut decode = |customer: &[u8], verdict: u8| {
        let datum = [customer, &[2, b'e', verdict, 0, 2, b's']].concat();
        let value = with_header(ID, &datum);
        decoder.decode(&value).map(|event| format!("{event:?}")).map_err(|rejected| rejected.reason)
    };
    let named = &[0, 2, b'c'];
    assert!(decode(named, 0).unwrap().contains("Legitimate"));
    assert!(decode(named, 4).unwrap().contains("Fraud"));
    assert_eq!(decode(named, 2), Err(Reject::InvalidValue));
    assert_eq!(decode(named, 6), Err(Reject::Malformed));
    assert_eq!(decode(&[2, 1], 0), Err(Reject::InvalidValue));
}
