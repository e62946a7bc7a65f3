//! What must hold of a partition of either stage, whatever it is fed: order of scoring and learning, limits.

use std::sync::Arc;

use habitue::analysis::models::Models;
use habitue::analysis::shared::Tables;
use habitue::analysis::{CustomerSide, MarketOutput, Output, Published, REGISTRY, View, anomaly};
use habitue::customer::{Customer, Memory, TIMER_KINDS, customer_key};
use habitue::engine::{Applied, Config, MarketPartition, Mode, Partition, RawRecord};
use habitue::event::Rejected;
use habitue::event::{
    Currency, Engagement, EngagementKind, Event, Feedback, Input, Line, Purchase, Reject, TimeMs, Verdict,
};
use habitue::math::rng::Rng;
use habitue::signal::fact::{Fact, FactRecord};
use habitue::signal::journal::Decision;
use habitue::signal::model::Row;
use habitue::signal::{Signal, Source};

const START_MS: TimeMs = 1_700_000_000_000;

fn purchase(number: u64, customer: String, amount_minor: i64) -> Event<'static> {
    Event::Purchase(Purchase {
        event_id: format!("p{number}").into(),
        customer: Some(customer.into()),
        order: format!("o{number}").into(),
        time_ms: START_MS + number as i64 * 1_000,
        lines: vec![Line { item: "i".into(), category: None, quantity: 1, unit_price_minor: amount_minor }],
        currency: Currency::parse("EUR").unwrap(),
        instrument: None,
        channel: None,
        terminal: Some(format!("t{}", number % 9).into()),
        device: None,
        country: None,
        refund: false,
    })
}

fn engagement(number: u64, customer: String) -> Event<'static> {
    let time_ms = START_MS + number as i64 * 1_000;
    let engagement = Engagement::new(format!("e{number}"), customer, time_ms, EngagementKind::View);
    Event::Engagement(Engagement { session: Some("s".repeat(256).into()), ..engagement })
}

fn feedback(number: u64, customer: String, verdict: Verdict) -> Event<'static> {
    Event::Feedback(Feedback {
        customer: customer.into(),
        event_id: format!("p{number}").into(),
        verdict,
        time_ms: START_MS + number as i64 * 1_000,
        source: "test".into(),
    })
}

fn source(input: Input, offset: u64) -> Source {
    Source { input, partition: 0, offset }
}

/// A live partition, fed one event at a time at consecutive offsets.
struct Fed {
    partition: Partition,
    tables: Tables,
    models: Models,
    published: Published,
    offset: u64,
}

impl Fed {
    fn new(config: Config) -> Fed {
        let mut published = Published::default();
        published.anomaly.scores = true;
        let partition = Partition::new(0, Arc::new(config));
        Fed { partition, tables: Tables::new(0), models: Models::default(), published, offset: 0 }
    }

    fn apply(&mut self, event: &Event<'_>) -> Output {
        let input = match event {
            Event::Purchase(_) => Input::Purchases,
            Event::Engagement(_) => Input::Engagements,
            Event::Feedback(_) => Input::Feedback,
        };
        let raw = RawRecord {
            source: source(input, self.offset),
            timestamp_ms: event.time_ms(),
            key: Some(b"k"),
            value: Some(b"v"),
        };
        let view = View { tables: &self.tables, models: &self.models, published: &self.published };
        let mut output = Output::default();
        let applied = self.partition.record(raw, Ok(event.clone()), Mode::Live, view, &mut output);
        assert_eq!(applied, Applied::Event);
        self.offset += 1;
        output
    }

    fn customer(&self, event: &Event<'_>) -> Option<Customer> {
        let slot = self.partition.customers().slot(customer_key(event.customer()?))?;
        self.partition.customers().get(slot).cloned()
    }
}

fn scores(output: &Output) -> Vec<f64> {
    let score = |signal: &Signal| match signal {
        Signal::Score(score) => Some(score.value),
        _ => None,
    };
    output.signals.iter().filter_map(score).collect()
}

/// Amounts with a jump now and then, so that what is learned from one event shows in its own score.
fn stream(events: u64) -> Vec<Event<'static>> {
    let mut dice = Rng::seeded(&[5]);
    let one = |number| {
        let customer = format!("c{}", dice.below(12));
        let wild = if dice.below(15) == 0 { 30 + dice.below(60) as i64 } else { 1 };
        match dice.below(12) {
            0 => feedback(number, customer, Verdict::Fraud),
            _ => purchase(number, customer, (400 + dice.below(900) as i64) * wild),
        }
    };
    (0..events).map(one).collect()
}

/// The score of an event, from the analyses themselves, and whether looking changed what they know.
fn looked_at(
    analyses: &mut [Box<dyn CustomerSide>],
    event: &Event<'_>,
    customer: Option<&Customer>,
    fed: &Fed,
) -> Vec<f64> {
    let mut output = Output::default();
    for analysis in analyses {
        // Now and then: a copy of the forest takes longer than all else here.
        let before = fed.offset.is_multiple_of(16).then(|| analysis.freeze()());
        analysis.assess(event, customer);
        let view = View { tables: &fed.tables, models: &fed.models, published: &fed.published };
        analysis.judge(source(Input::Purchases, fed.offset), event, customer, view, &mut output);
        let unchanged = before.is_none_or(|before| analysis.freeze()() == before);
        assert!(unchanged, "looking at an event has changed what is learned");
    }
    scores(&output)
}

/// Invariant 3. What a partition says of an event is what its analyses say who have learned from the events
/// before and from nothing else; one that had learned from the event, or a record that had folded it, would
/// say something else, so this can fail.
#[test]
fn score_then_learn() {
    let config = Config::default();
    let sides = || REGISTRY.iter().map(|d| (d.customer)(&config.analysis)).collect::<Vec<_>>();
    let (mut honest, mut peeking) = (sides(), sides());
    let mut fed = Fed::new(config.clone());
    let mut differ = [0, 0];
    for event in stream(700) {
        let before = fed.customer(&event);
        let expected = looked_at(&mut honest, &event, before.as_ref(), &fed);
        for analysis in &mut peeking {
            analysis.assess(&event, before.as_ref());
            analysis.learn(&event);
        }
        let peeked = looked_at(&mut peeking, &event, before.as_ref(), &fed);
        let said = scores(&fed.apply(&event));
        let folded = looked_at(&mut honest, &event, fed.customer(&event).as_ref(), &fed);
        assert_eq!(said, expected, "{event:?}");
        differ[0] += u32::from(peeked != expected);
        differ[1] += u32::from(folded != expected);
        for analysis in &mut honest {
            analysis.assess(&event, before.as_ref());
            analysis.learn(&event);
        }
    }
    assert!(differ.iter().all(|times| *times > 10), "a learner that peeks would show: {differ:?}");
}

/// What comes later changes nothing that was said: neither other events nor their verdicts.
#[test]
fn what_was_said_does_not_depend_on_what_comes() {
    let events = stream(300);
    let said = |events: &[Event<'static>]| {
        let mut fed = Fed::new(Config::default());
        events.iter().map(|event| scores(&fed.apply(event))).collect::<Vec<_>>()
    };
    let all = said(&events);
    for cut in [0, 1, 77, 150, 299] {
        let mut other = events.clone();
        for (number, event) in other.iter_mut().enumerate().skip(cut) {
            *event = purchase(number as u64, "c1".into(), 1_000_000);
        }
        assert_eq!(said(&other)[..cut], all[..cut], "events from {cut} on are others");
    }
}

/// Small caps.
fn small() -> Config {
    let mut config = Config { customers_max: 50, dedupe_ids: 4096, ..Config::default() };
    config.analysis.anomaly = anomaly::Config { entities_max: 256, waiting_max: 1_000, ..Default::default() };
    config
}

/// The longest name that a decoder lets through.
fn long_name(number: u64) -> String {
    format!("{number:0256}")
}

fn section(sections: &[(&'static str, usize)], name: &str) -> usize {
    sections.iter().find(|(of, _)| *of == name).expect("a section of that name").1
}

/// Invariant 4: ten times as much as every cap allows, and no structure holds more than its cap.
#[test]
fn everything_has_a_limit() {
    customers_have_a_limit();
    market_has_a_limit();
    tables_have_a_limit();
}

fn customers_have_a_limit() {
    const HALF: u64 = 5 * 4096;
    let config = small();
    let customers_max = config.customers_max as usize;
    let mut fed = Fed::new(config);
    let mut dice = Rng::seeded(&[6]);
    let mut half_way = Vec::new();
    for number in 0..10 * 4096 {
        let customer = long_name(dice.below(500));
        let event = match number % 8 {
            0 => purchase(number, customer.clone(), 100 + dice.below(100_000) as i64),
            _ => engagement(number, customer.clone()),
        };
        fed.apply(&event);
        for descriptor in REGISTRY {
            assert!(descriptor.memory_bytes_max <= Memory::BYTES_MAX);
            let memory = vec![7; descriptor.memory_bytes_max];
            let customer = customer_key(&customer);
            fed.partition.decide(&Decision::Remember { analysis: descriptor.id, customer, memory });
        }
        if number % 512 == 0 {
            fed.partition.close_batch();
            // A longer id than 40 bytes adds what it is longer.
            let bytes = |customer: &Customer| customer.bytes() - customer.id.len().saturating_sub(40);
            let largest = fed.partition.customers().iter().map(|(_, customer)| bytes(customer)).max();
            assert!(largest <= Some(1024), "a customer of {largest:?} bytes");
            assert!(fed.partition.customers().len() <= customers_max);
        }
        if number == HALF {
            half_way = fed.partition.bytes();
        }
    }
    assert!(fed.partition.totals().evicted > 10_000, "many more came than there is room for");
    let sections = fed.partition.bytes();
    // Whole pages of 32 records, and 64 bytes of index and lists a record.
    let pages = customers_max.next_multiple_of(32) + 32;
    assert!(section(&sections, "customers") <= pages * (1024 + 216 + 64), "{sections:?}");
    assert!(section(&sections, "timers") <= customers_max * 64 * TIMER_KINDS, "{sections:?}");
    assert!(section(&sections, "dedupe") <= 4096 * 18, "{sections:?}");
    for descriptor in REGISTRY {
        let (before, after) = (section(&half_way, descriptor.name), section(&sections, descriptor.name));
        assert!(after <= before + before / 20, "{} grows: {before}, then {after}", descriptor.name);
        assert!(after <= 4 << 20, "{}: {after} bytes", descriptor.name);
    }
}

fn market_has_a_limit() {
    const ROWS_A_TICK: usize = 600;
    let config = Arc::new(small());
    let mut market = MarketPartition::new(0, &config);
    let mut output = MarketOutput::default();
    let mut sizes = Vec::new();
    for number in 0..30_000_u64 {
        let time_ms = START_MS + number as i64;
        let payment = Fact::Payment { event: number, time_ms, risk: 1, entities: vec![long_name(number)] };
        let verdict = Fact::EntityVerdict { entity: long_name(number % 5_120), time_ms, fraud: true };
        market.apply(&FactRecord::Packed(vec![payment, verdict]), &mut output);
        if number % 1_000 == 0 {
            market.apply(&FactRecord::Tick { time_ms }, &mut output);
            assert!(output.rows.len() <= ROWS_A_TICK, "{} rows at one tick", output.rows.len());
            output = MarketOutput::default();
            sizes.push(section(&market.bytes(), "anomaly"));
        }
    }
    let (early, last) = (sizes[3], sizes[sizes.len() - 1]);
    assert!(last <= early + early / 5, "{sizes:?}");
    // Its caps in bytes: 1 000 payments and two chunks of 512, 256 entities, 1 001 risks.
    let payments = 1_000 + 2 * 512;
    assert!(last <= payments * 256 + 256 * 512 + 1_001 * 16, "{sizes:?}");
    let written = market.freeze(0).encode().0.len();
    assert!(written < 2 * (payments + 512) * 300 + 256 * 400, "a snapshot of {written} bytes");
}

fn tables_have_a_limit() {
    let mut tables = Tables::new(100);
    let row = |number: u64| Row {
        table: "t".into(),
        key: format!("k{number}"),
        version: 1,
        time_ms: 0,
        numbers: vec![0.5],
        shares: Vec::new(),
        text: String::new(),
    };
    let taken = (0..1_000).filter(|number| tables.put(row(*number))).count();
    assert_eq!((taken, tables.len()), (100, 100));
}

/// A dead letter keeps as much as it says of a record of any size, and goes into its topic as planned.
#[test]
fn a_dead_letter_has_a_limit() {
    let mut fed = Fed::new(Config::default());
    let (key, value) = (vec![b'k'; 1 << 20], vec![0xff; 5 << 20]);
    let raw = RawRecord {
        source: source(Input::Purchases, 0),
        timestamp_ms: START_MS,
        key: Some(&key),
        value: Some(&value),
    };
    let refused = Rejected { reason: Reject::TooLarge, detail: "d".repeat(300) };
    let view = View { tables: &fed.tables, models: &fed.models, published: &fed.published };
    let mut output = Output::default();
    fed.partition.record(raw, Err(refused), Mode::Live, view, &mut output);
    let [Signal::DeadLetter(letter)] = &output.signals[..] else { panic!("{:?}", output.signals) };
    assert_eq!((letter.key.len(), letter.raw.len(), letter.length), (1024, 256 << 10, 5 << 20));
    #[cfg(feature = "service")]
    fits_its_topic(&output.signals[0]);
}

#[cfg(feature = "service")]
fn fits_its_topic(letter: &Signal) {
    use habitue::codec::{self, WireForm};
    use habitue::config::Config;
    use habitue::edge::topics::plan;
    use habitue::signal::Topic;

    let planned = plan(&Config::parse("", "defaults").unwrap());
    let topic = planned.iter().find(|planned| planned.topic == Topic::DeadLetters).unwrap();
    for form in [WireForm::ConfluentAvro, WireForm::BareAvro, WireForm::Json] {
        let mut value = Vec::new();
        codec::encode_signal_as(letter, form, &mut value);
        let record = value.len() + letter.key().len() + 1_024;
        assert!((record as u64) < topic.max_message_bytes, "{form:?}: {record} bytes");
    }
}
