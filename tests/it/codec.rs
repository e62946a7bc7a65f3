//! The codec against apache-avro, an implementation that shares no code with it, and against bytes
//! that nobody meant to write.

#![allow(clippy::unwrap_used)]

mod evolution;
mod generate;
mod hostile;
mod reference;
mod schemas;

use std::sync::LazyLock;

use habitue::codec::{
    Decoder, SchemaSet, WireForm, built_in, decode_control, decode_fact, decode_journal, decode_model,
    encode_control, encode_event, encode_fact, encode_journal, encode_model, encode_signal_as,
    signal_schema_id,
};
use habitue::event::{Control, Event, Input};
use habitue::signal::Signal;
use habitue::signal::fact::{Fact, FactRecord};
use habitue::signal::model::{ModelRecord, Row};
use proptest::prelude::*;
use reference::{datum_of, json_of, read_datum, schema};

/// A decoder of the input with nothing but the built-in schemas.
fn decoder(input: Input, form: WireForm) -> Decoder {
    static BUILT_IN: LazyLock<SchemaSet> = LazyLock::new(|| SchemaSet::new::<&str>([]).unwrap());
    Decoder::new(input, form, &BUILT_IN).unwrap()
}

fn input_of(event: &Event<'_>) -> (Input, u32, &'static str) {
    match event {
        Event::Purchase(_) => (Input::Purchases, built_in::PURCHASE, "purchase"),
        Event::Engagement(_) => (Input::Engagements, built_in::ENGAGEMENT, "engagement"),
        Event::Feedback(_) => (Input::Feedback, built_in::FEEDBACK, "feedback"),
    }
}

/// The value with a Confluent header before it.
fn with_header(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice(), datum].concat()
}

proptest! {
    #[test]
    fn what_apache_avro_writes_is_read_as_the_same_event(event in generate::event()) {
        let (input, id, name) = input_of(&event);
        let datum = datum_of(&schema(name), reference::event(&event));
        let value = with_header(id, &datum);
        prop_assert_eq!(&decoder(input, WireForm::ConfluentAvro).decode(&value).unwrap(), &event);
        prop_assert_eq!(&decoder(input, WireForm::BareAvro).decode(&datum).unwrap(), &event);
    }

    #[test]
    fn json_of_the_schema_s_names_is_read_as_the_same_event(event in generate::event()) {
        let (input, ..) = input_of(&event);
        let text = json_of(&reference::event(&event)).to_string();
        prop_assert_eq!(&decoder(input, WireForm::Json).decode(text.as_bytes()).unwrap(), &event);
    }

    #[test]
    fn apache_avro_reads_the_events_that_we_write(event in generate::event()) {
        let (_, id, name) = input_of(&event);
        let mut out = vec![7];
        encode_event(&event, Some(id), &mut out);
        prop_assert_eq!(&out[..6], &[7, 0, 0, 0, 0, id as u8]);
        prop_assert_eq!(read_datum(&schema(name), &out[6..]), reference::event(&event));
    }

    #[test]
    fn apache_avro_reads_the_signals_that_we_write(signal in generate::signal()) {
        let name = match signal {
            Signal::Alert(_) => "alert",
            Signal::Score(_) => "score",
            Signal::DeadLetter(_) => "dead_letter",
            Signal::Recommendation(_) => "recommendation",
        };
        let (mut bare, mut headed) = (Vec::new(), Vec::new());
        encode_signal_as(&signal, WireForm::BareAvro, &mut bare);
        encode_signal_as(&signal, WireForm::ConfluentAvro, &mut headed);
        prop_assert_eq!(read_datum(&schema(name), &bare), reference::signal(&signal));
        prop_assert_eq!(headed, with_header(signal_schema_id(&signal), &bare));
    }

    #[test]
    fn the_json_of_a_signal_has_the_schema_s_names_and_values(signal in generate::signal()) {
        let mut out = Vec::new();
        encode_signal_as(&signal, WireForm::Json, &mut out);
        let written: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(written, json_of(&reference::signal(&signal)));
    }

    #[test]
    fn journal_entries_survive_and_apache_avro_reads_them(entry in generate::entry()) {
        let mut out = Vec::new();
        encode_journal(&entry, &mut out);
        prop_assert_eq!(read_datum(&schema("journal"), &out[5..]), reference::entry(&entry));
        prop_assert_eq!(decode_journal(&out), Ok(entry));
    }

    #[test]
    fn facts_survive_and_apache_avro_reads_them(record in generate::fact_record()) {
        let mut out = Vec::new();
        encode_fact(&record, &mut out);
        prop_assert_eq!(read_datum(&schema("fact"), &out[5..]), reference::fact_record(&record));
        prop_assert_eq!(decode_fact(&out), Ok(record));
    }

    #[test]
    fn models_survive_and_apache_avro_reads_them(model in generate::model()) {
        let mut out = Vec::new();
        encode_model(&model, &mut out);
        prop_assert_eq!(read_datum(&schema("model"), &out[5..]), reference::model(&model));
        prop_assert_eq!(decode_model(&out), Ok(model));
    }

    #[test]
    fn rows_of_older_schemas_are_read(row in generate::row()) {
        let (row, mut out) = (Row { shares: Vec::new(), ..row }, Vec::new());
        encode_model(&ModelRecord::Row(row.clone()), &mut out);
        // Of schema 15, which had no shares: no end of their array.
        prop_assert_eq!(out.pop(), Some(0));
        prop_assert_eq!(decode_model(&with_header(15, &out[5..])), Ok(ModelRecord::Row(row.clone())));
        // Of schema 13, which had nothing but rows: no branch in front.
        prop_assert_eq!(decode_model(&with_header(13, &out[6..])), Ok(ModelRecord::Row(row.clone())));
        // Of schema 10, which had no text.
        let without = with_header(10, &out[6..out.len() - row.text.len() - varint_bytes(row.text.len())]);
        let row = Row { text: String::new(), ..row };
        prop_assert_eq!(decode_model(&without), Ok(ModelRecord::Row(row)));
    }

    #[test]
    fn control_records_survive_and_apache_avro_reads_them(control in generate::control()) {
        let mut out = Vec::new();
        encode_control(&control, &mut out);
        prop_assert_eq!(read_datum(&schema("control"), &out[5..]), reference::control(&control));
        prop_assert_eq!(decode_control(&out), Ok(control));
    }
}

/// Up to schema 14 a fact had one pair: left, right, place, time.
#[test]
fn a_pair_of_an_older_schema_is_read() {
    let datum = [0, 2, 8, 2 * 7, 2 * 9, 2 * 3, 2 * 50, 0];
    let lefts = [(7, 3)].into_iter().collect();
    let pairs = FactRecord::Packed(vec![Fact::Pairs { right: 9, time_ms: 50, lefts }]);
    assert_eq!(decode_fact(&with_header(14, &datum)), Ok(pairs));
}

/// Of a length as Avro writes it.
fn varint_bytes(length: usize) -> usize {
    if length < 64 { 1 } else { 2 }
}

#[test]
fn an_operator_writes_control_records_as_json() {
    let setting = decode_control(br#"{"setting": {"name": "alert.risk", "value": "900"}}"#);
    let expected = Control::Setting { name: "alert.risk".to_owned(), value: "900".to_owned() };
    assert_eq!(setting, Ok(expected));
    let erase = decode_control(br#"{"erase": {"customer": "C1"}}"#);
    assert_eq!(erase, Ok(Control::Erase { customer: "C1".to_owned() }));
    for wrong in
        [r#"{"erase": {"customer": "C1", "item": "I1"}}"#, r#"{"erase": {}}"#, "{", r#"{"forget": {}}"#]
    {
        decode_control(wrong.as_bytes()).unwrap_err();
    }
}

#[test]
fn an_internal_record_of_another_schema_names_both() {
    let error = decode_journal(&with_header(77, &[])).unwrap_err().to_string();
    assert!(error.contains("77") && error.contains("journal") && error.contains('8'), "{error}");
}
