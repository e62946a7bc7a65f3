//! Decoding of one purchase of three lines and one page view: ours against apache-avro, which the
//! tests use as the reference. `cargo bench --no-default-features --bench codec`

use std::hint::black_box;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use habitue::codec::{BUILT_IN, Decoder, SchemaSet, WireForm, built_in, encode_event};
use habitue::event::{Currency, Engagement, EngagementKind, Event, Input, Line, Purchase};
use serde::Deserialize;

fn purchase() -> Event<'static> {
    let line = |item: &'static str, unit_price_minor| Line {
        item: item.into(),
        category: Some("kitchen".into()),
        quantity: 2,
        unit_price_minor,
    };
    Event::Purchase(Purchase {
        event_id: "0190f5a7-8c1e-7d3b".into(),
        customer: Some("customer-0012345".into()),
        order: "order-00098765".into(),
        time_ms: 1_764_000_000_000,
        lines: vec![line("item-0000123", 1_999), line("item-0004567", 249), line("item-0019999", 12_900)],
        currency: Currency(*b"EUR"),
        instrument: Some("card-00012345".into()),
        channel: Some("web".into()),
        terminal: Some("terminal-0042".into()),
        device: None,
        country: Some("NL".into()),
        refund: false,
    })
}

fn view() -> Event<'static> {
    Event::Engagement(Engagement {
        event_id: "0190f5a7-8c1e-7d3b".into(),
        customer: "customer-0012345".into(),
        time_ms: 1_764_000_000_000,
        kind: EngagementKind::View,
        session: Some("session-0098765".into()),
        item: Some("item-0000123".into()),
        category: Some("kitchen".into()),
        duration_seconds: Some(12.5),
        query: None,
        experiment: None,
        variant: None,
        anonymous_id: None,
    })
}

/// What apache-avro's faster path, the one through serde, reads a purchase into.
#[derive(Deserialize)]
#[serde(rename = "Purchase")]
#[expect(dead_code, reason = "read, never looked at")]
struct Owned {
    event_id: String,
    customer: Option<String>,
    order: String,
    time_ms: i64,
    lines: Vec<OwnedLine>,
    currency: String,
    instrument: Option<String>,
    channel: Option<String>,
    terminal: Option<String>,
    device: Option<String>,
    country: Option<String>,
    refund: bool,
}

#[derive(Deserialize)]
#[serde(rename = "Line")]
#[expect(dead_code, reason = "read, never looked at")]
struct OwnedLine {
    item: String,
    category: Option<String>,
    quantity: i64,
    unit_price_minor: i64,
}

fn decode(criterion: &mut Criterion) {
    let schemas = SchemaSet::new::<&str>([]).expect("the built-in schemas");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, input, id, event) in [
        ("purchase", Input::Purchases, built_in::PURCHASE, purchase()),
        ("view", Input::Engagements, built_in::ENGAGEMENT, view()),
    ] {
        let mut value = Vec::new();
        encode_event(&event, Some(id), &mut value);
        println!("{name}: {} bytes with header", value.len());
        let mut decoder =
            Decoder::new(input, WireForm::ConfluentAvro, &schemas).expect("the built-in schema");
        group.bench_function(format!("{name}/ours"), |bencher| {
            bencher.iter(|| decoder.decode(black_box(&value)).map(black_box).is_ok())
        });
        let text = BUILT_IN.iter().find(|built_in| built_in.id == id).map(|built_in| built_in.text);
        let schema = Schema::parse_str(text.unwrap_or_default()).expect("the built-in schema");
        let reader = GenericDatumReader::builder(&schema).build().expect("a schema without references");
        group.bench_function(format!("{name}/apache_avro_value"), |bencher| {
            bencher.iter(|| reader.read_value(&mut black_box(&value[5..])).map(black_box).is_ok())
        });
        if input == Input::Purchases {
            group.bench_function(format!("{name}/apache_avro_serde"), |bencher| {
                bencher
                    .iter(|| reader.read_deser::<Owned>(&mut black_box(&value[5..])).map(black_box).is_ok())
            });
        }
        group.bench_function(format!("{name}/our_encoder"), |bencher| {
            bencher.iter(|| {
                value.clear();
                encode_event(black_box(&event), Some(id), &mut value);
            })
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
