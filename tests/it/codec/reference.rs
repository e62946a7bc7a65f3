//! The same events and signals as apache-avro's values, written down field by field.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use habitue::event::{Control, Engagement, Event, Feedback, Purchase, Verdict};
use habitue::signal::fact::{Before, Fact, FactRecord};
use habitue::signal::journal::{Decision, Entry, Step};
use habitue::signal::model::{Content, ModelRecord, Row, Whole};
use habitue::signal::{Alert, DeadLetter, Reason, Recommendation, Score, Signal, Source};

/// The current schema of that file in `schemas/`.
pub fn schema(name: &str) -> Schema {
    Schema::parse_str(&text(name)).unwrap()
}

pub fn text(name: &str) -> String {
    let path = format!("{}/schemas/{name}.avsc", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub fn datum_of(schema: &Schema, value: Value) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// The whole of `datum`.
pub fn read_datum(schema: &Schema, mut datum: &[u8]) -> Value {
    let reader = GenericDatumReader::builder(schema).build().unwrap();
    let value = reader.read_value(&mut datum).unwrap();
    assert!(datum.is_empty());
    value
}

/// What the record looks like in JSON: unions by their value, bytes as base64, fixed in hexadecimal.
pub fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Long(value) | Value::TimestampMillis(value) => (*value).into(),
        Value::Double(value) => (*value).into(),
        Value::String(value) | Value::Enum(_, value) => value.as_str().into(),
        Value::Bytes(bytes) => base64(bytes).into(),
        Value::Fixed(_, bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        Value::Union(_, value) => json_of(value),
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::Record(fields) => fields.iter().map(|(name, value)| (name.clone(), json_of(value))).collect(),
        other => panic!("not in our schemas: {other:?}"),
    }
}

/// Bit by bit, unlike the one that is tested.
fn base64(bytes: &[u8]) -> String {
    let digits: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let text = bits.as_bytes().chunks(6).map(|six| {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        digits[usize::from_str_radix(&six, 2).unwrap()]
    });
    let text: String = text.collect();
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn branch(index: u32, value: Value) -> Value {
    Value::Union(index, Box::new(value))
}

fn of_before(before: &Before) -> Value {
    let one = |(hash, place): &(u32, u8)| {
        let place = Value::Int((*place).into());
        record([("item_hash", Value::Long((*hash).into())), ("place", place)])
    };
    Value::Array(before.items().iter().map(one).collect())
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn optional(text: Option<&str>) -> Value {
    text.map_or(branch(0, Value::Null), |text| branch(1, string(text)))
}

fn symbol(place: usize, name: &str) -> Value {
    Value::Enum(place as u32, name.to_owned())
}

fn bits(value: u64) -> Value {
    Value::Long(value as i64)
}

pub fn event(event: &Event<'_>) -> Value {
    match event {
        Event::Purchase(purchase) => self::purchase(purchase),
        Event::Engagement(engagement) => self::engagement(engagement),
        Event::Feedback(feedback) => self::feedback(feedback),
    }
}

pub fn purchase(purchase: &Purchase<'_>) -> Value {
    let lines = purchase.lines.iter().map(|line| {
        record([
            ("item", string(&line.item)),
            ("category", optional(line.category.as_deref())),
            ("quantity", Value::Long(line.quantity)),
            ("unit_price_minor", Value::Long(line.unit_price_minor)),
        ])
    });
    record([
        ("event_id", string(&purchase.event_id)),
        ("customer", optional(purchase.customer.as_deref())),
        ("order", string(&purchase.order)),
        ("time_ms", Value::TimestampMillis(purchase.time_ms)),
        ("lines", Value::Array(lines.collect())),
        ("currency", string(purchase.currency.as_str())),
        ("instrument", optional(purchase.instrument.as_deref())),
        ("channel", optional(purchase.channel.as_deref())),
        ("terminal", optional(purchase.terminal.as_deref())),
        ("device", optional(purchase.device.as_deref())),
        ("country", optional(purchase.country.as_deref())),
        ("refund", Value::Boolean(purchase.refund)),
    ])
}

fn engagement(engagement: &Engagement<'_>) -> Value {
    let duration = engagement.duration_seconds.map(|seconds| branch(1, Value::Double(seconds)));
    record([
        ("event_id", string(&engagement.event_id)),
        ("customer", string(&engagement.customer)),
        ("time_ms", Value::TimestampMillis(engagement.time_ms)),
        ("kind", symbol(engagement.kind as usize, engagement.kind.symbol())),
        ("session", optional(engagement.session.as_deref())),
        ("item", optional(engagement.item.as_deref())),
        ("category", optional(engagement.category.as_deref())),
        ("duration_seconds", duration.unwrap_or(branch(0, Value::Null))),
        ("query", optional(engagement.query.as_deref())),
        ("experiment", optional(engagement.experiment.as_deref())),
        ("variant", optional(engagement.variant.as_deref())),
        ("anonymous_id", optional(engagement.anonymous_id.as_deref())),
    ])
}

fn feedback(feedback: &Feedback<'_>) -> Value {
    let verdict = match feedback.verdict {
        Verdict::Fraud => symbol(0, "fraud"),
        Verdict::Legitimate => symbol(1, "legitimate"),
    };
    record([
        ("customer", string(&feedback.customer)),
        ("event_id", string(&feedback.event_id)),
        ("verdict", verdict),
        ("time_ms", Value::TimestampMillis(feedback.time_ms)),
        ("source", string(&feedback.source)),
    ])
}

pub fn signal(signal: &Signal) -> Value {
    match signal {
        Signal::Alert(alert) => self::alert(alert),
        Signal::Score(score) => self::score(score),
        Signal::DeadLetter(letter) => dead_letter(letter),
        Signal::Recommendation(list) => recommendation(list),
    }
}

fn alert(alert: &Alert) -> Value {
    record([
        ("id", string(&format!("{:032x}", alert.id.0))),
        ("customer", string(&alert.customer)),
        ("event_id", string(&alert.event_id)),
        ("order", string(&alert.order)),
        ("time_ms", Value::TimestampMillis(alert.time_ms)),
        ("source", source(alert.source)),
        ("risk", Value::Int(alert.risk.into())),
        ("amount_minor", Value::Long(alert.amount_minor)),
        ("currency", string(alert.currency.as_str())),
        ("terminal", optional(alert.terminal.as_deref())),
        ("instrument", optional(alert.instrument.as_deref())),
        ("reasons", Value::Array(alert.reasons.iter().map(reason).collect())),
    ])
}

fn score(score: &Score) -> Value {
    record([
        ("id", string(&format!("{:032x}", score.id.0))),
        ("analysis", string(&score.analysis)),
        ("customer", string(&score.customer)),
        ("event_id", optional(score.event_id.as_deref())),
        ("time_ms", Value::TimestampMillis(score.time_ms)),
        ("source", source(score.source)),
        ("value", Value::Double(score.value)),
        ("band", string(&score.band)),
        ("version", bits(score.version)),
        ("reasons", Value::Array(score.reasons.iter().map(reason).collect())),
    ])
}

fn recommendation(list: &Recommendation) -> Value {
    let item = |(at, item): (usize, habitue::signal::RecommendedItem<'_>)| {
        record([
            ("item", string(item.item)),
            ("rank", Value::Int(at as i32 + 1)),
            ("score", Value::Double(item.score)),
            ("source", string(item.source)),
            ("reason", string(item.reason)),
        ])
    };
    record([
        ("id", string(&format!("{:032x}", list.id.0))),
        ("customer", string(&list.customer)),
        ("time_ms", Value::TimestampMillis(list.time_ms)),
        ("source", source(list.source)),
        ("version", bits(list.version)),
        ("items", Value::Array(list.items.iter().enumerate().map(item).collect())),
    ])
}

fn dead_letter(letter: &DeadLetter) -> Value {
    record([
        ("source", source(letter.source)),
        ("reason", symbol(letter.reason as usize, letter.reason.name())),
        ("detail", string(&letter.detail)),
        ("timestamp_ms", Value::TimestampMillis(letter.timestamp_ms)),
        ("key", Value::Bytes(letter.key.clone())),
        ("raw", Value::Bytes(letter.raw.clone())),
        ("length", bits(letter.length)),
        ("sha256", Value::Fixed(32, letter.sha256.to_vec())),
    ])
}

fn source(source: Source) -> Value {
    record([
        ("input", symbol(source.input.index(), source.input.name())),
        ("partition", Value::Long(source.partition.into())),
        ("offset", bits(source.offset)),
    ])
}

fn reason(reason: &Reason) -> Value {
    record([
        ("code", string(&reason.code)),
        ("text", string(&reason.text)),
        ("value", Value::Double(reason.value)),
        ("usual", Value::Double(reason.usual)),
        ("weight", Value::Int(reason.weight.into())),
    ])
}

pub fn entry(entry: &Entry) -> Value {
    let [purchases, engagements, feedback] = entry.positions.inputs;
    record([
        ("partition", Value::Long(entry.partition.into())),
        ("fold_version", bits(entry.fold_version)),
        ("steps", Value::Array(entry.steps.iter().map(step).collect())),
        (
            "positions",
            record([
                ("purchases", bits(purchases)),
                ("engagements", bits(engagements)),
                ("feedback", bits(feedback)),
                ("control", bits(entry.positions.control)),
                ("models", Value::Array(entry.positions.models.iter().copied().map(bits).collect())),
            ]),
        ),
        ("chain", bits(entry.chain)),
    ])
}

fn step(step: &Step) -> Value {
    let input = |input: &habitue::event::Input| ("input", symbol(input.index(), input.name()));
    match step {
        Step::Run { input: topic, from, to } => {
            branch(0, record([input(topic), ("from", bits(*from)), ("to", bits(*to))]))
        }
        Step::Tick { time_ms } => branch(1, record([("time_ms", Value::TimestampMillis(*time_ms))])),
        Step::Idle { input: topic } => branch(2, record([input(topic)])),
        Step::Active { input: topic } => branch(3, record([input(topic)])),
        Step::Control { offset } => branch(4, record([("offset", bits(*offset))])),
        Step::Decision(Decision::Undecodable { reason }) => {
            branch(5, record([("reason", symbol(*reason as usize, reason.name()))]))
        }
        Step::Decision(Decision::Remember { analysis, customer, memory }) => branch(
            6,
            record([
                ("analysis", Value::Int((*analysis).into())),
                ("customer", Value::Fixed(16, customer.to_be_bytes().to_vec())),
                ("memory", Value::Bytes(memory.clone())),
            ]),
        ),
    }
}

pub fn fact_record(fact_record: &FactRecord) -> Value {
    let content = match fact_record {
        FactRecord::Packed(facts) => {
            branch(0, record([("facts", Value::Array(facts.iter().map(fact).collect()))]))
        }
        FactRecord::Tick { time_ms } => branch(1, record([("time_ms", Value::TimestampMillis(*time_ms))])),
        FactRecord::Job { analysis, job, result } => branch(
            2,
            record([
                ("analysis", Value::Int((*analysis).into())),
                ("job", bits(*job)),
                ("result", Value::Bytes(result.clone())),
            ]),
        ),
    };
    record([("content", content)])
}

fn fact(fact: &Fact) -> Value {
    match fact {
        Fact::Payment { event, time_ms, risk, entities } => branch(
            0,
            record([
                ("event", bits(*event)),
                ("time_ms", Value::TimestampMillis(*time_ms)),
                ("risk", Value::Int((*risk).into())),
                ("entities", Value::Array(entities.iter().map(|entity| string(entity)).collect())),
            ]),
        ),
        Fact::Verdict { event, time_ms, fraud } => branch(
            1,
            record([
                ("event", bits(*event)),
                ("time_ms", Value::TimestampMillis(*time_ms)),
                ("fraud", Value::Boolean(*fraud)),
            ]),
        ),
        Fact::EntityVerdict { entity, time_ms, fraud } => branch(
            2,
            record([
                ("entity", string(entity)),
                ("time_ms", Value::TimestampMillis(*time_ms)),
                ("fraud", Value::Boolean(*fraud)),
            ]),
        ),
        Fact::EntityPayment { entity, time_ms } => {
            branch(7, record([("entity", string(entity)), ("time_ms", Value::TimestampMillis(*time_ms))]))
        }
        Fact::Item { item, time_ms, before } => branch(
            3,
            record([
                ("item", string(item)),
                ("time_ms", Value::TimestampMillis(*time_ms)),
                ("before", of_before(before)),
            ]),
        ),
        Fact::Pairs { right, time_ms, lefts } => branch(
            4,
            record([
                ("right", Value::Long((*right).into())),
                ("time_ms", Value::TimestampMillis(*time_ms)),
                ("lefts", of_before(lefts)),
            ]),
        ),
        Fact::Popular { partition, items, repeats } => {
            let one = |(hash, weight): &(u32, f64)| {
                record([("item_hash", Value::Long((*hash).into())), ("weight", Value::Double(*weight))])
            };
            branch(
                5,
                record([
                    ("partition", Value::Int(*partition as i32)),
                    ("items", Value::Array(items.iter().map(one).collect())),
                    ("repeats", Value::Array(repeats.iter().map(|weight| Value::Double(*weight)).collect())),
                ]),
            )
        }
        Fact::Churn(moment) => branch(
            6,
            record([
                ("customer", bits(moment.customer)),
                ("partition", Value::Int(moment.partition as i32)),
                ("time_ms", Value::TimestampMillis(moment.time_ms)),
                ("is_order", Value::Boolean(moment.is_order)),
                ("repeats", Value::Long(moment.repeats.into())),
                ("first_day", Value::Int(moment.first_day.into())),
                ("last_day", Value::Int(moment.last_day.into())),
                ("features", Value::Array(moment.features.iter().copied().map(Value::Float).collect())),
                ("probability", Value::Float(moment.probability)),
            ]),
        ),
    }
}

pub fn model(model: &ModelRecord) -> Value {
    match model {
        ModelRecord::Row(of) => branch(0, row(of)),
        ModelRecord::Whole(of) => branch(1, whole(of)),
    }
}

fn whole(whole: &Whole) -> Value {
    let content = match &whole.content {
        Content::Inline(bytes) => branch(0, Value::Bytes(bytes.clone())),
        Content::Stored(stored) => branch(
            1,
            record([
                ("path", string(&stored.path)),
                ("length", bits(stored.length)),
                ("checksum", bits(stored.checksum)),
            ]),
        ),
    };
    record([
        ("name", string(&whole.name)),
        ("version", bits(whole.version)),
        ("time_ms", Value::TimestampMillis(whole.time_ms)),
        ("content", content),
    ])
}

fn row(row: &Row) -> Value {
    record([
        ("table", string(&row.table)),
        ("key", string(&row.key)),
        ("version", bits(row.version)),
        ("time_ms", Value::TimestampMillis(row.time_ms)),
        ("numbers", Value::Array(row.numbers.iter().copied().map(Value::Double).collect())),
        ("text", string(&row.text)),
        ("shares", Value::Array(row.shares.iter().map(share).collect())),
    ])
}

fn share((hash, share): &(u32, f32)) -> Value {
    record([("hash", Value::Long((*hash).into())), ("share", Value::Float(*share))])
}

pub fn control(control: &Control) -> Value {
    let content = match control {
        Control::Setting { name, value } => {
            branch(0, record([("name", string(name)), ("value", string(value))]))
        }
        Control::Erase { customer } => branch(1, record([("customer", string(customer))])),
    };
    record([("content", content)])
}
