//! Random events and signals.

use std::borrow::Cow;

use habitue::event::{
    Control, Currency, Engagement, EngagementKind, Event, Feedback, Input, Line, Purchase, Reject, Verdict,
};
use habitue::signal::fact::{Before, ChurnMoment, Fact, FactRecord};
use habitue::signal::journal::{Decision, Entry, Positions, Step};
use habitue::signal::model::{Content, ModelRecord, Row, Stored, Whole};
use habitue::signal::{Alert, DeadLetter, Items, Reason, Recommendation, Score, Signal, SignalId, Source};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

type Text = Cow<'static, str>;

/// Any characters, quotes and backslashes included, which JSON must escape.
fn words() -> impl Strategy<Value = String> {
    vec(prop_oneof![any::<char>(), select(vec!['"', '\\', '\n', 'ä', 'x'])], 1..12)
        .prop_map(|characters| characters.into_iter().collect())
}

fn text() -> impl Strategy<Value = Text> {
    words().prop_map(Cow::Owned)
}

fn optional() -> impl Strategy<Value = Option<Text>> {
    option::of(text())
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![0..2_000_000_000_000_i64, any::<i64>()]
}

fn currency() -> impl Strategy<Value = Currency> {
    "[A-Z]{3}".prop_map(|code| Currency::parse(&code).unwrap())
}

fn number() -> impl Strategy<Value = f64> {
    // Few decimals: serde_json reads more of them to within a last bit only.
    (-1_000_000_000..1_000_000_000_i64).prop_map(|eighths| eighths as f64 / 8.0)
}

pub fn event() -> impl Strategy<Value = Event<'static>> {
    prop_oneof![
        purchase().prop_map(Event::Purchase),
        engagement().prop_map(Event::Engagement),
        feedback().prop_map(Event::Feedback),
    ]
}

fn line(refund: bool) -> impl Strategy<Value = Line<'static>> {
    let quantity =
        if refund { prop_oneof![-100_000..0_i64, 1..50_i64] } else { prop_oneof![1..50_i64, 1..100_000_i64] };
    (text(), optional(), quantity, prop_oneof![0..100_000_i64, 0..100_000_000_i64]).prop_map(
        |(item, category, quantity, unit_price_minor)| Line { item, category, quantity, unit_price_minor },
    )
}

pub fn purchase() -> impl Strategy<Value = Purchase<'static>> {
    let ids = (text(), optional(), text(), time());
    let lines = any::<bool>().prop_flat_map(|refund| (vec(line(refund), 1..6), Just(refund)));
    let rest = (currency(), optional(), optional(), optional(), optional(), optional());
    (ids, lines, rest).prop_map(|((event_id, customer, order, time_ms), (lines, refund), rest)| {
        let (currency, instrument, channel, terminal, device, country) = rest;
        Purchase {
            event_id,
            customer,
            order,
            time_ms,
            lines,
            currency,
            instrument,
            channel,
            terminal,
            device,
            country,
            refund,
        }
    })
}

fn engagement() -> impl Strategy<Value = Engagement<'static>> {
    let ids = (text(), text(), time(), select(EngagementKind::ALL.to_vec()));
    let duration = option::of(number().prop_map(f64::abs));
    let about = (optional(), optional(), optional(), duration, optional());
    let rest = (optional(), optional(), optional());
    (ids, about, rest).prop_map(|((event_id, customer, time_ms, kind), about, rest)| {
        let (session, item, category, duration_seconds, query) = about;
        let (experiment, variant, anonymous_id) = rest;
        Engagement {
            event_id,
            customer,
            time_ms,
            kind,
            session,
            item,
            category,
            duration_seconds,
            query,
            experiment,
            variant,
            anonymous_id,
        }
    })
}

fn feedback() -> impl Strategy<Value = Feedback<'static>> {
    let verdict = select(vec![Verdict::Fraud, Verdict::Legitimate]);
    (text(), text(), verdict, time(), text()).prop_map(|(customer, event_id, verdict, time_ms, source)| {
        Feedback { customer, event_id, verdict, time_ms, source }
    })
}

fn input() -> impl Strategy<Value = Input> {
    select(Input::ALL.to_vec())
}

fn source() -> impl Strategy<Value = Source> {
    // Avro's longs have a sign, and so have Kafka's offsets.
    (input(), any::<u32>(), 0..=i64::MAX as u64).prop_map(|(input, partition, offset)| Source {
        input,
        partition,
        offset,
    })
}

fn reasons() -> impl Strategy<Value = Vec<Reason>> {
    let reason = (words(), words(), number(), number(), any::<u16>())
        .prop_map(|(code, text, value, usual, weight)| Reason { code, text, value, usual, weight });
    vec(reason, 0..4)
}

pub fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        alert().prop_map(Signal::Alert),
        score().prop_map(Signal::Score),
        dead_letter().prop_map(Signal::DeadLetter),
        recommendation().prop_map(Signal::Recommendation),
    ]
}

fn recommendation() -> impl Strategy<Value = Recommendation> {
    let item = (words(), number(), words(), words());
    let ids = (any::<u128>(), words(), time(), source());
    (ids, 0..=i64::MAX as u64, vec(item, 0..4)).prop_map(
        |((id, customer, time_ms, source), version, listed)| {
            let mut items = Items::default();
            for (item, score, source, reason) in &listed {
                items.push(item, *score, source, |text| text.push_str(reason));
            }
            Recommendation { id: SignalId(id), customer, time_ms, source, version, items }
        },
    )
}

fn alert() -> impl Strategy<Value = Alert> {
    let ids = (any::<u128>(), words(), words(), words(), time(), source());
    let rest = (any::<u16>(), any::<i64>(), currency(), option::of(words()), option::of(words()), reasons());
    (ids, rest).prop_map(|((id, customer, event_id, order, time_ms, source), rest)| {
        let (risk, amount_minor, currency, terminal, instrument, reasons) = rest;
        Alert {
            id: SignalId(id),
            customer,
            event_id,
            order,
            time_ms,
            source,
            risk,
            amount_minor,
            currency,
            terminal,
            instrument,
            reasons,
        }
    })
}

fn score() -> impl Strategy<Value = Score> {
    let ids = (any::<u128>(), words(), words(), option::of(words()), time(), source());
    let rest = (number(), words(), 0..=i64::MAX as u64, reasons());
    (ids, rest).prop_map(|((id, analysis, customer, event_id, time_ms, source), rest)| {
        let (value, band, version, reasons) = rest;
        let id = SignalId(id);
        Score { id, analysis, customer, event_id, time_ms, source, value, band, version, reasons }
    })
}

fn dead_letter() -> impl Strategy<Value = DeadLetter> {
    let bytes = || vec(any::<u8>(), 0..40);
    let why = (source(), select(Reject::ALL.to_vec()), words(), time());
    (why, bytes(), bytes(), 0..=i64::MAX as u64, any::<[u8; 32]>()).prop_map(
        |((source, reason, detail, timestamp_ms), key, raw, length, sha256)| DeadLetter {
            source,
            reason,
            detail,
            timestamp_ms,
            key,
            raw,
            length,
            sha256,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let remember = (any::<u8>(), any::<u128>(), vec(any::<u8>(), 0..40));
    prop_oneof![
        (input(), any::<u64>(), any::<u64>()).prop_map(|(input, from, to)| Step::Run { input, from, to }),
        any::<i64>().prop_map(|time_ms| Step::Tick { time_ms }),
        input().prop_map(|input| Step::Idle { input }),
        input().prop_map(|input| Step::Active { input }),
        any::<u64>().prop_map(|offset| Step::Control { offset }),
        select(Reject::ALL.to_vec()).prop_map(|reason| Step::Decision(Decision::Undecodable { reason })),
        remember.prop_map(|(analysis, customer, memory)| {
            Step::Decision(Decision::Remember { analysis, customer, memory })
        }),
    ]
}

pub fn entry() -> impl Strategy<Value = Entry> {
    let positions = (any::<[u64; 3]>(), any::<u64>(), vec(any::<u64>(), 0..9))
        .prop_map(|(inputs, control, models)| Positions { inputs, control, models });
    (any::<u32>(), any::<u64>(), vec(step(), 0..9), positions, any::<u64>()).prop_map(
        |(partition, fold_version, steps, positions, chain)| Entry {
            partition,
            fold_version,
            steps,
            positions,
            chain,
        },
    )
}

pub fn fact_record() -> impl Strategy<Value = FactRecord> {
    let fact = prop_oneof![
        (any::<u64>(), time(), any::<u16>(), vec(words(), 0..3))
            .prop_map(|(event, time_ms, risk, entities)| Fact::Payment { event, time_ms, risk, entities }),
        (any::<u64>(), time(), any::<bool>()).prop_map(|(event, time_ms, fraud)| Fact::Verdict {
            event,
            time_ms,
            fraud
        }),
        (words(), time(), any::<bool>()).prop_map(|(entity, time_ms, fraud)| Fact::EntityVerdict {
            entity,
            time_ms,
            fraud
        }),
        (words(), time()).prop_map(|(entity, time_ms)| Fact::EntityPayment { entity, time_ms }),
        (words(), time(), before()).prop_map(|(item, time_ms, before)| Fact::Item { item, time_ms, before }),
        (any::<u32>(), time(), before()).prop_map(|(right, time_ms, lefts)| Fact::Pairs {
            right,
            time_ms,
            lefts
        }),
        (0..1024_u32, vec((any::<u32>(), number()), 0..4), vec(number(), 0..4))
            .prop_map(|(partition, items, repeats)| Fact::Popular { partition, items, repeats }),
        churn_moment().prop_map(Fact::Churn),
    ];
    prop_oneof![
        vec(fact, 0..9).prop_map(FactRecord::Packed),
        time().prop_map(|time_ms| FactRecord::Tick { time_ms }),
        (any::<(u8, u64)>(), vec(any::<u8>(), 0..40)).prop_map(|((analysis, job), result)| FactRecord::Job {
            analysis,
            job,
            result
        }),
    ]
}

fn before() -> impl Strategy<Value = Before> {
    vec(any::<(u32, u8)>(), 0..=Before::LENGTH).prop_map(|items| items.into_iter().collect())
}

fn churn_moment() -> impl Strategy<Value = ChurnMoment> {
    let days = any::<(u32, u16, u16)>();
    let features = vec(any::<f32>().prop_filter("equality needs numbers", |x| !x.is_nan()), 0..12);
    (any::<(u64, bool)>(), 0..1024_u32, time(), days, features, 0.0..=1.0_f32).prop_map(
        |(
            (customer, is_order),
            partition,
            time_ms,
            (repeats, first_day, last_day),
            features,
            probability,
        )| {
            ChurnMoment {
                customer,
                partition,
                time_ms,
                is_order,
                repeats,
                first_day,
                last_day,
                features,
                probability,
            }
        },
    )
}

pub fn row() -> impl Strategy<Value = Row> {
    (
        words(),
        words(),
        any::<u64>(),
        time(),
        (vec(number(), 0..9), vec((any::<u32>(), 0.0..=1.0_f32), 0..9)),
        words(),
    )
        .prop_map(|(table, key, version, time_ms, (numbers, shares), text)| Row {
            table,
            key,
            version,
            time_ms,
            numbers,
            shares,
            text,
        })
}

pub fn model() -> impl Strategy<Value = ModelRecord> {
    prop_oneof![row().prop_map(ModelRecord::Row), whole().prop_map(ModelRecord::Whole)]
}

fn whole() -> impl Strategy<Value = Whole> {
    let stored = (words(), any::<u64>(), any::<u64>())
        .prop_map(|(path, length, checksum)| Content::Stored(Stored { path, length, checksum }));
    let content = prop_oneof![vec(any::<u8>(), 0..100).prop_map(Content::Inline), stored];
    (words(), any::<u64>(), time(), content).prop_map(|(name, version, time_ms, content)| Whole {
        name,
        version,
        time_ms,
        content,
    })
}

pub fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        (words(), words()).prop_map(|(name, value)| Control::Setting { name, value }),
        words().prop_map(|customer| Control::Erase { customer }),
    ]
}
