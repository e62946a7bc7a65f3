//! Bytes that nobody meant to write, and values that nobody may.

use habitue::codec::{
    Decoder, Rejected, SchemaSet, WireForm, decode_control, decode_fact, decode_journal, decode_model,
    encode_event, encode_fact, encode_journal,
};
use habitue::event::{Event, Input, Line, Reject};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{decoder, generate, input_of, reference, with_header};

const FORMS: [WireForm; 3] = [WireForm::ConfluentAvro, WireForm::BareAvro, WireForm::Json];

/// Decodes and checks that what came out is no larger than what went in explains.
fn decode_within_bounds(decoder: &mut Decoder, value: &[u8]) {
    let held = match decoder.decode(value) {
        Ok(Event::Purchase(purchase)) => purchase.lines.capacity() * size_of::<Line<'_>>(),
        Ok(_) => 0,
        Err(Rejected { detail, .. }) => {
            assert!(detail.len() <= 256);
            return;
        }
    };
    assert!(held <= 1024 + 64 * value.len(), "{held} bytes for {}", value.len());
}

fn decode_by_all(value: &[u8]) {
    for input in Input::ALL {
        for form in FORMS {
            decode_within_bounds(&mut decoder(input, form), value);
        }
    }
    let _ = (decode_journal(value), decode_fact(value), decode_model(value), decode_control(value));
}

proptest! {
    // Each case decodes some hundred records.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), id in 0..12_u32) {
        decode_by_all(&bytes);
        decode_by_all(&with_header(id, &bytes));
    }

    #[test]
    fn every_truncation_of_a_datum_is_malformed(event in generate::event()) {
        let (input, id, _) = input_of(&event);
        let mut value = Vec::new();
        encode_event(&event, Some(id), &mut value);
        let mut decoder = decoder(input, WireForm::ConfluentAvro);
        for end in 0..value.len() {
            let reason = decoder.decode(&value[..end]).unwrap_err().reason;
            // A cut lands nowhere but at an end; a quantity that goes with the refund flag is judged last.
            prop_assert_eq!(reason, Reject::Malformed);
        }
        value.push(0);
        prop_assert_eq!(decoder.decode(&value).unwrap_err().reason, Reject::Malformed);
    }

    #[test]
    fn every_mutation_of_one_byte_is_survived(event in generate::event(), mask in 1..=255_u8) {
        let (input, id, _) = input_of(&event);
        let mut value = Vec::new();
        encode_event(&event, Some(id), &mut value);
        let mut avro = decoder(input, WireForm::ConfluentAvro);
        let text = reference::json_of(&reference::event(&event)).to_string();
        let mut json = decoder(input, WireForm::Json);
        for (decoder, mut value) in [(&mut avro, value), (&mut json, text.into_bytes())] {
            for index in 0..value.len() {
                value[index] ^= mask;
                decode_within_bounds(decoder, &value);
                value[index] ^= mask;
            }
        }
    }

    #[test]
    fn internal_records_survive_mutation_and_truncation(
        entry in generate::entry(), facts in generate::fact_record(), mask in 1..=255_u8,
    ) {
        let (mut journal, mut fact) = (Vec::new(), Vec::new());
        encode_journal(&entry, &mut journal);
        encode_fact(&facts, &mut fact);
        for end in 0..journal.len() {
            decode_journal(&journal[..end]).unwrap_err();
        }
        for value in [&mut journal, &mut fact] {
            for index in 0..value.len() {
                value[index] ^= mask;
                let _ = (decode_journal(value), decode_fact(value));
                value[index] ^= mask;
            }
        }
    }
}

/// A zigzag varint.
fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [long(text.len() as i64), text.as_bytes().to_vec()].concat()
}

/// A purchase whose array of lines is these bytes.
fn purchase_with(lines: &[u8]) -> Vec<u8> {
    let head = [text("E1"), long(0), text("O1"), long(5)].concat();
    let tail = [text("EUR"), vec![0; 5], vec![0]].concat();
    [head.as_slice(), lines, &tail].concat()
}

fn line(item: &str) -> Vec<u8> {
    [text(item), long(0), long(1), long(100)].concat()
}

fn decode_lines(lines: &[u8]) -> Result<Vec<String>, Reject> {
    let datum = purchase_with(lines);
    match decoder(Input::Purchases, WireForm::BareAvro).decode(&datum) {
        Ok(Event::Purchase(purchase)) => {
            Ok(purchase.lines.iter().map(|line| line.item.to_string()).collect())
        }
        Ok(_) => panic!("a purchase"),
        Err(rejected) => Err(rejected.reason),
    }
}

#[test]
fn blocks_with_sizes_are_read_and_counts_are_not_believed() {
    let two = [line("A"), line("B")].concat();
    let sized = [long(-2), long(two.len() as i64), two.clone(), long(1), line("C"), long(0)].concat();
    assert_eq!(decode_lines(&sized).unwrap(), ["A", "B", "C"]);
    for count in [i64::MAX, i64::MIN, 1 << 40, 11] {
        assert_eq!(decode_lines(&[long(count), two.clone()].concat()), Err(Reject::Malformed), "{count}");
    }
    assert_eq!(decode_lines(&[long(-1), long(i64::MAX), two].concat()), Err(Reject::Malformed));
    assert_eq!(decode_lines(&long(0)), Err(Reject::InvalidValue));
}

#[test]
fn ten_thousand_lines_are_the_most() {
    let lines = |count: i64| [long(count), line("A").repeat(count as usize), long(0)].concat();
    assert_eq!(decode_lines(&lines(10_000)).unwrap().len(), 10_000);
    assert_eq!(decode_lines(&lines(10_001)), Err(Reject::InvalidValue));
    let many_blocks = [[long(1), line("A")].concat().repeat(10_001), long(0)].concat();
    assert_eq!(decode_lines(&many_blocks), Err(Reject::InvalidValue));
}

#[test]
fn skipping_ends_with_the_input_whatever_it_claims() {
    let mut schema: Value = serde_json::from_str(&reference::text("feedback")).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": "nulls", "type": {"type": "array", "items": "null"}}));
    fields.push(json!({"name": "tree", "type": {"type": "record", "name": "Tree", "fields": [
        {"name": "children", "type": {"type": "array", "items": "Tree"}}]}}));
    let schemas = SchemaSet::new([(50, schema.to_string())]).unwrap();
    let mut decoder = Decoder::new(Input::Feedback, WireForm::ConfluentAvro, &schemas).unwrap();
    let own = [text("C1"), text("E1"), long(0), long(5), text("desk")].concat();
    let mut decode = |rest: &[u8]| {
        let value = with_header(50, &[own.as_slice(), rest].concat());
        decoder.decode(&value).map(|_| ()).map_err(|rejected| rejected.reason)
    };
    // An array of a quintillion nulls takes no bytes; it must take no time either.
    assert_eq!(decode(&[long(1 << 60), long(0), long(0)].concat()), Ok(()));
    assert_eq!(decode(&[long(0), long(1), long(0), long(0)].concat()), Ok(()));
    // A tree of a hundred thousand levels must not be one of stack frames.
    assert_eq!(decode(&[long(0), long(1).repeat(100_000)].concat()), Err(Reject::Malformed));
}

#[test]
fn numbers_and_booleans_have_their_width() {
    let long_of_70_bits = [vec![0xff; 9], vec![0x02]].concat();
    let mut decoder = decoder(Input::Feedback, WireForm::BareAvro);
    let mut decode = |time: &[u8]| {
        let datum = [&text("C1"), &text("E1"), &long(0), time, &text("desk")].concat();
        decoder.decode(&datum).map(|event| event.time_ms()).map_err(|rejected| rejected.reason)
    };
    assert_eq!(decode(&long(i64::MIN)), Ok(i64::MIN));
    assert_eq!(decode(&long_of_70_bits), Err(Reject::Malformed));
    let lines = [long(1), line("A"), long(0)].concat();
    let mut datum = purchase_with(&lines);
    *datum.last_mut().unwrap() = 2;
    let mut purchases = super::decoder(Input::Purchases, WireForm::BareAvro);
    assert_eq!(purchases.decode(&datum).unwrap_err().reason, Reject::Malformed);
}

#[test]
fn a_header_must_be_one_and_its_schema_known() {
    let mut decoder = decoder(Input::Feedback, WireForm::ConfluentAvro);
    let mut reason = |value: &[u8]| decoder.decode(value).unwrap_err().reason;
    assert_eq!(reason(&[]), Reject::Malformed);
    assert_eq!(reason(&[1, 0, 0, 0, 3]), Reject::Malformed);
    assert_eq!(reason(&[0, 0, 0]), Reject::Malformed);
    assert_eq!(reason(&with_header(4_711, &[])), Reject::UnknownSchema);
    assert_eq!(reason(&with_header(1, &[])), Reject::UnknownSchema);
}

/// A purchase and an engagement that are right, to be made wrong in one place.
fn right(input: Input) -> Value {
    match input {
        Input::Purchases => json!({
            "event_id": "E1", "customer": "C1", "order": "O1", "time_ms": 5, "currency": "EUR",
            "lines": [{"item": "I1", "quantity": 2, "unit_price_minor": 199}], "refund": false
        }),
        Input::Engagements => json!({"event_id": "E1", "customer": "C1", "time_ms": 5, "kind": "view"}),
        Input::Feedback => {
            json!({"event_id": "E1", "customer": "C1", "time_ms": 5, "verdict": "fraud", "source": "desk"})
        }
    }
}

/// What a value at a JSON pointer, set into a right record, is rejected for.
fn set(input: Input, pointer: &str, value: Value) -> Result<(), (Reject, String)> {
    let mut record = right(input);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    record.pointer_mut(parent).unwrap()[name] = value;
    let text = record.to_string();
    let decoded = decoder(input, WireForm::Json).decode(text.as_bytes()).map(|_| ());
    decoded.map_err(|rejected| (rejected.reason, rejected.detail))
}

#[test]
fn content_is_checked_and_the_field_named() {
    use Input::{Engagements, Feedback, Purchases};
    let long_id = "x".repeat(257);
    let wrong = [
        (Purchases, "/event_id", json!(""), Reject::MissingField),
        (Purchases, "/event_id", Value::Null, Reject::MissingField),
        (Purchases, "/customer", json!(""), Reject::MissingField),
        (Purchases, "/customer", json!(long_id), Reject::MissingField),
        (Purchases, "/terminal", json!(long_id), Reject::MissingField),
        (Purchases, "/time_ms", Value::Null, Reject::MissingField),
        (Purchases, "/lines", json!([]), Reject::InvalidValue),
        (Purchases, "/lines", Value::Null, Reject::MissingField),
        (Purchases, "/lines/0/item", json!(""), Reject::MissingField),
        (Purchases, "/lines/0/quantity", json!(0), Reject::InvalidValue),
        (Purchases, "/lines/0/quantity", json!(-1), Reject::InvalidValue),
        (Purchases, "/lines/0/unit_price_minor", json!(-1), Reject::InvalidValue),
        (Purchases, "/lines/0/quantity", json!(1.5), Reject::Malformed),
        (Purchases, "/currency", json!("EURO"), Reject::InvalidValue),
        (Purchases, "/currency", json!("E1R"), Reject::InvalidValue),
        (Purchases, "/refund", json!("yes"), Reject::Malformed),
        (Engagements, "/kind", json!("stare"), Reject::InvalidValue),
        (Engagements, "/customer", Value::Null, Reject::MissingField),
        (Engagements, "/duration_seconds", json!(-0.5), Reject::InvalidValue),
        (Engagements, "/session", json!(long_id), Reject::MissingField),
        (Feedback, "/verdict", Value::Null, Reject::MissingField),
        (Feedback, "/source", json!(""), Reject::MissingField),
        (Feedback, "/time_ms", json!(u64::MAX), Reject::Malformed),
    ];
    for (input, pointer, value, expected) in wrong {
        let (reason, detail) = set(input, pointer, value.clone()).unwrap_err();
        assert_eq!(reason, expected, "{pointer} {value}: {detail}");
        let name = pointer.rsplit('/').next().unwrap();
        assert!(detail.contains(name), "{name} is not in {detail:?}");
    }
    set(Purchases, "/customer", Value::Null).unwrap();
    set(Purchases, "/terminal", json!("")).unwrap();
    set(Purchases, "/never_heard_of", json!([{"a": 1}])).unwrap();
    set(Engagements, "/query", json!(long_id)).unwrap();
    set(Engagements, "/duration_seconds", json!(3)).unwrap();
}

#[test]
fn more_money_than_there_is_is_a_slip() {
    let decode = |price: i64, refund: bool| {
        let mut record = right(Input::Purchases);
        record["refund"] = json!(refund);
        record["lines"][0]["unit_price_minor"] = json!(price);
        let text = record.to_string();
        decoder(Input::Purchases, WireForm::Json).decode(text.as_bytes()).map(drop).map_err(|bad| bad.reason)
    };
    for refund in [false, true] {
        assert_eq!(decode(100_000_000_000_000, refund), Ok(()));
        assert_eq!(decode(i64::MAX, refund), Err(Reject::InvalidValue));
    }
}

#[test]
fn a_refund_takes_any_quantity_but_zero() {
    let decode = |quantity: i64| {
        let mut record = right(Input::Purchases);
        record["refund"] = json!(true);
        record["lines"][0]["quantity"] = json!(quantity);
        let text = record.to_string();
        decoder(Input::Purchases, WireForm::Json).decode(text.as_bytes()).is_ok()
    };
    assert!(decode(-3) && decode(3) && !decode(0));
}

#[test]
fn text_that_is_no_text_and_numbers_that_are_none_have_reasons_of_their_own() {
    let engagement = |item: &[u8], seconds: f64| {
        let head = [text("E1"), text("C1"), long(5), long(0), long(0), long(1)].concat();
        let tail = [vec![0, 2], seconds.to_le_bytes().to_vec(), vec![0; 4]].concat();
        let datum = [head.as_slice(), &long(item.len() as i64), item, &tail].concat();
        decoder(Input::Engagements, WireForm::BareAvro).decode(&datum).map(|_| ()).map_err(|r| r.reason)
    };
    assert_eq!(engagement(b"I1", 2.0), Ok(()));
    assert_eq!(engagement(b"I\xff", 2.0), Err(Reject::InvalidText));
    assert_eq!(engagement(b"I1", f64::NAN), Err(Reject::NotFinite));
    assert_eq!(engagement(b"I1", f64::NEG_INFINITY), Err(Reject::NotFinite));
    let json = |text: &[u8]| decoder(Input::Engagements, WireForm::Json).decode(text).unwrap_err().reason;
    assert_eq!(json(br#"{"event_id": "E1", "duration_seconds": NaN}"#), Reject::Malformed);
    assert_eq!(json(b"{\"event_id\": \"E\xff\"}"), Reject::InvalidText);
    assert_eq!(json(b"{\"event_id\": \"E1\"} {}"), Reject::Malformed);
    assert_eq!(json(b"[]"), Reject::Malformed);
    assert_eq!(json("[".repeat(100_000).as_bytes()), Reject::Malformed);
}
