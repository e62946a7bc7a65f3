//! Churn in a customer partition: moments and scores on orders and in silence, and their replay.

use std::sync::Arc;

use habitue::analysis::models::{About, Models};
use habitue::analysis::shared::Tables;
use habitue::analysis::{Opinion, Output, Published, View, churn};
use habitue::customer::customer_key;
use habitue::customer::orders::{DAY_MS, day_of};
use habitue::engine::snapshot::Opened;
use habitue::engine::{Applied, Config, Mode, Partition, RawRecord};
use habitue::event::{Currency, Engagement, EngagementKind, Event, Input, Line, Purchase, TimeMs};
use habitue::learn::bg_nbd::Parameters;
use habitue::math::rng::Rng;
use habitue::signal::fact::{ChurnMoment, Fact};
use habitue::signal::journal::Decision;
use habitue::signal::{Score, Signal, Source};

/// Midnight.
const START_MS: TimeMs = 19_675 * DAY_MS;
const NOON_MS: TimeMs = DAY_MS / 2;

#[derive(Clone)]
enum Step {
    Record(Box<Event<'static>>),
    Tick(TimeMs),
    Active(Input, bool),
}

/// A partition, fed one step at a time.
struct Fed {
    partition: Partition,
    tables: Tables,
    models: Models,
    published: Published,
    offset: u64,
}

impl Fed {
    fn new() -> Fed {
        let mut models = Models::default();
        let model = churn::model::Model {
            horizon_days: 90,
            bg_nbd: Parameters { r: 1.2, alpha: 15.0, a: 0.8, b: 2.5 },
            logistic: None,
        };
        models.put(churn::MODEL, About { version: 7, time_ms: 0, bytes: 0 }, Arc::new(model));
        let partition = Partition::new(3, Arc::new(Config::default()));
        Fed { partition, tables: Tables::new(0), models, published: Published::default(), offset: 0 }
    }

    fn apply(&mut self, step: &Step, mode: Mode) -> Output {
        let Fed { partition, tables, models, published, offset } = self;
        let view = View { tables, models, published };
        let mut output = Output::default();
        match step {
            Step::Record(event) => {
                let input = match &**event {
                    Event::Purchase(_) => Input::Purchases,
                    Event::Engagement(_) => Input::Engagements,
                    Event::Feedback(_) => Input::Feedback,
                };
                let source = Source { input, partition: 3, offset: *offset };
                let (key, value) = (Some(&b"k"[..]), Some(&b"v"[..]));
                let raw = RawRecord { source, timestamp_ms: event.time_ms(), key, value };
                let applied = partition.record(raw, Ok((**event).clone()), mode, view, &mut output);
                assert_eq!(applied, Applied::Event);
                *offset += 1;
            }
            Step::Tick(time_ms) => partition.tick(*time_ms, mode, view, &mut output),
            Step::Active(input, active) => partition.set_active(*input, *active, mode, view, &mut output),
        }
        output
    }

    fn live(&mut self, step: Step) -> Output {
        self.apply(&step, Mode::Live)
    }

    fn opinions(&self, customer: &str, now_ms: TimeMs) -> Vec<(&'static str, Opinion)> {
        let Fed { partition, tables, models, published, .. } = self;
        let slot = partition.customers().slot(customer_key(customer)).expect("known");
        let customer = partition.customers().get(slot).expect("known");
        partition.opinions(customer, now_ms, View { tables, models, published })
    }

    /// Ticks until nothing is left to fire.
    fn wait(&mut self, time_ms: TimeMs) -> Output {
        let mut all = self.live(Step::Tick(time_ms));
        while self.partition.is_behind() {
            let more = self.live(Step::Tick(time_ms));
            all.signals.extend(more.signals);
            all.facts.extend(more.facts);
        }
        all
    }
}

fn order(number: u64, customer: &str, time_ms: TimeMs) -> Step {
    Step::Record(Box::new(Event::Purchase(purchase(number, Some(customer), time_ms))))
}

fn purchase(number: u64, customer: Option<&str>, time_ms: TimeMs) -> Purchase<'static> {
    Purchase {
        event_id: format!("p{number}").into(),
        customer: customer.map(|customer| customer.to_owned().into()),
        order: format!("o{number}").into(),
        time_ms,
        lines: vec![Line { item: "i".into(), category: None, quantity: 1, unit_price_minor: 500 }],
        currency: Currency::parse("EUR").unwrap(),
        instrument: None,
        channel: None,
        terminal: None,
        device: None,
        country: None,
        refund: false,
    }
}

fn engagement(number: u64, customer: &str, time_ms: TimeMs, kind: EngagementKind) -> Step {
    let engagement = Engagement::new(format!("e{number}"), customer.to_owned(), time_ms, kind);
    Step::Record(Box::new(Event::Engagement(engagement)))
}

fn moments(output: &Output) -> Vec<&ChurnMoment> {
    output
        .facts
        .iter()
        .filter_map(|fact| if let Fact::Churn(moment) = fact { Some(moment) } else { None })
        .collect()
}

fn scores(output: &Output) -> Vec<&Score> {
    let said = output.signals.iter();
    said.filter_map(|signal| if let Signal::Score(score) = signal { Some(score) } else { None })
        .filter(|score| score.analysis == "churn")
        .collect()
}

/// Nobody does anything; time alone brings the customer from low to high, and an order back.
#[test]
fn silence_alone_raises_the_band() {
    let mut fed = Fed::new();
    let mut bands = Vec::new();
    for number in 0..12_u64 {
        let output = fed.live(order(number, "c", START_MS + number as i64 * 14 * DAY_MS + NOON_MS));
        assert_eq!(moments(&output).len(), 1);
        assert_eq!(moments(&output)[0].repeats, number as u32);
        bands.extend(scores(&output).into_iter().map(|score| score.band.clone()));
        fed.live(Step::Active(Input::Engagements, false));
        fed.live(Step::Active(Input::Feedback, false));
    }
    assert_eq!(bands.last().map(String::as_str), Some("low"), "{bands:?}");
    let last_ms = START_MS + 11 * 14 * DAY_MS + NOON_MS;
    let output = fed.wait(last_ms + 200 * DAY_MS);
    let silences: Vec<i64> =
        moments(&output).iter().map(|m| i64::from(day_of(m.time_ms)) - i64::from(m.last_day)).collect();
    // Ten minutes of lateness hold nothing back: a tick has come.
    assert_eq!(silences, [1, 2, 4, 7, 14, 21, 30, 45, 60, 75, 90, 120, 150, 180]);
    let probabilities: Vec<f32> = moments(&output).iter().map(|m| m.probability).collect();
    assert!(
        probabilities.is_sorted() && probabilities[0] < 0.4 && probabilities[13] > 0.9,
        "{probabilities:?}"
    );
    let said: Vec<(&str, u64)> = scores(&output).iter().map(|s| (&*s.band, s.version)).collect();
    assert_eq!(said, [("medium", 7), ("high", 7)]);
    for score in scores(&output) {
        assert_eq!((score.event_id.as_deref(), score.source.offset, &*score.customer), (None, 11, "c"));
        let moment = moments(&output).into_iter().find(|m| m.time_ms == score.time_ms).unwrap();
        assert_eq!(score.value, f64::from(moment.probability));
        let days = day_of(score.time_ms) - moment.last_day;
        assert_eq!(score.reasons[0].text, format!("no order for {days} days, usually every 14"));
        assert!(score.reasons.len() <= 3 && score.reasons.is_sorted_by_key(|r| std::cmp::Reverse(r.weight)));
    }
    // Whoever asks hears what was said at that moment, and asking changes nothing.
    for score in scores(&output) {
        let [(analysis, opinion)] = &fed.opinions("c", score.time_ms)[..] else { panic!("one opinion") };
        assert_eq!((*analysis, opinion.version), ("churn", score.version));
        assert!((opinion.value - score.value).abs() < 1e-6, "{} {}", opinion.value, score.value);
        assert_eq!(opinion.reasons, score.reasons);
    }
    assert_eq!(fed.opinions("c", last_ms + 200 * DAY_MS)[0].1.band, "high");
    let ids: Vec<_> = scores(&output).iter().map(|score| score.id).collect();
    assert_ne!(ids[0], ids[1]);
    let back = fed.live(order(12, "c", last_ms + 200 * DAY_MS));
    assert_eq!(scores(&back).len(), 1);
    assert_eq!(scores(&back)[0].event_id.as_deref(), Some("p12"));
}

#[test]
fn the_first_order_of_a_day_is_a_moment_and_the_first_score_goes_out() {
    let mut fed = Fed::new();
    let first = fed.live(order(1, "c", START_MS + NOON_MS));
    let score = scores(&first)[0];
    assert_eq!(
        (score.event_id.as_deref(), score.reasons[0].text.as_str()),
        (Some("p1"), "only one order so far")
    );
    assert!((0.0..=1.0).contains(&score.value));
    let again = fed.live(order(2, "c", START_MS + NOON_MS + 1));
    assert_eq!((moments(&again).len(), scores(&again).len()), (0, 0), "of the same day");
    let next = fed.live(order(3, "c", START_MS + DAY_MS));
    assert_eq!(moments(&next).len(), 1);
    let mut refund = purchase(4, Some("d"), START_MS + DAY_MS);
    refund.refund = true;
    let guest = purchase(5, None, START_MS + DAY_MS);
    for event in [refund, guest] {
        let output = fed.live(Step::Record(Box::new(Event::Purchase(event))));
        assert_eq!((moments(&output).len(), scores(&output).len()), (0, 0));
    }
    fed.live(engagement(6, "e", START_MS + DAY_MS, EngagementKind::ALL[0]));
    let silent = fed.wait(START_MS + 100 * DAY_MS);
    assert!(moments(&silent).iter().all(|moment| moment.repeats == 1), "only c has ordered");
    assert_eq!(moments(&silent).len(), 11);
}

#[test]
fn without_a_model_moments_are_told_and_nothing_is_published() {
    let mut fed = Fed::new();
    fed.models = Models::default();
    let output = fed.live(order(1, "c", START_MS));
    assert!(moments(&output)[0].probability.is_nan());
    let silent = fed.wait(START_MS + 5 * DAY_MS);
    assert_eq!((moments(&silent).len(), scores(&silent).len()), (3, 0));
    assert_eq!((output.decisions.len(), scores(&output).len()), (0, 0));
    assert!(fed.opinions("c", START_MS).is_empty());
    let mut off = Fed::new();
    off.published.churn.enabled = false;
    let output = off.live(order(1, "c", START_MS));
    assert!(!moments(&output)[0].probability.is_nan());
    assert_eq!((output.decisions.len(), scores(&output).len()), (0, 0));
}

#[test]
fn a_step_fires_at_most_64_timers_in_order_and_the_rest_stays_due() {
    let mut fed = Fed::new();
    for number in 0..200 {
        fed.live(order(number, &format!("c{number}"), START_MS));
    }
    let mut told = Vec::new();
    for left in [200, 136, 72, 8] {
        let output = fed.live(Step::Tick(START_MS + 2 * DAY_MS - 1));
        assert_eq!(moments(&output).len(), left.min(64));
        told.extend(moments(&output).iter().map(|m| m.time_ms));
        assert_eq!(fed.partition.is_behind(), left > 64);
    }
    assert!(told.is_sorted());
    assert!(told.iter().all(|time_ms| day_of(*time_ms) == day_of(START_MS) + 1));
    let spread = told[150] - told[50];
    assert!(spread > DAY_MS / 4, "looks of a day are spread over it: {spread} ms");
}

/// Weeks of a shop in which customers come, go silent, and come back; time passes by records and by ticks.
fn life(seed: u64) -> Vec<Step> {
    let mut dice = Rng::seeded(&[seed]);
    let mut now_ms = START_MS;
    let mut steps = Vec::new();
    for number in 0..900 {
        now_ms += match dice.below(20) {
            0 => dice.below(9 * DAY_MS as u64) as i64,
            _ => dice.below(3_600_000) as i64,
        };
        let customer = format!("c{}", dice.below(30));
        let late_ms = now_ms - dice.below(500_000) as i64;
        steps.push(match dice.below(10) {
            0..5 => order(number, &customer, late_ms),
            5..7 => engagement(number, &customer, late_ms, EngagementKind::ALL[dice.below(13) as usize]),
            7 => Step::Active(Input::ALL[dice.below(3) as usize], dice.below(2) == 0),
            _ => Step::Tick(now_ms + dice.below(2 * DAY_MS as u64) as i64),
        });
    }
    steps
}

/// Invariant 2, with timers that speak: following the decisions gives the same bytes as making them, from a
/// snapshot at any step too; and a second live run says the same.
#[test]
fn replay_is_equality_when_timers_speak() {
    for seed in 0..4 {
        let steps = life(seed);
        let mut live = Fed::new();
        let mut journal: Vec<(u64, Vec<Decision>)> = Vec::new();
        let (mut said, mut by_timers) = (Vec::new(), 0);
        for step in &steps {
            let output = live.apply(step, Mode::Live);
            by_timers += scores(&output).iter().filter(|score| score.event_id.is_none()).count();
            said.push(output.signals);
            journal.push((live.partition.close_batch(), output.decisions));
        }
        assert!(by_timers > 10, "seed {seed}: {by_timers} scores of silence");
        let whole = live.partition.freeze(1).encode().0;

        let mut verified = Fed::new();
        for (step, said) in steps.iter().zip(&said) {
            assert_eq!(&verified.apply(step, Mode::Live).signals, said);
            verified.partition.close_batch();
        }
        for cut in [0, 1, 450, 899] {
            let mut followed = Fed::new();
            for (at, (step, (chain, decisions))) in steps.iter().zip(&journal).enumerate() {
                if at == cut {
                    let bytes = followed.partition.freeze(1).encode().0;
                    let opened = Opened::read(&bytes).unwrap();
                    followed.partition = Partition::restore(&opened, 3, Arc::new(Config::default())).unwrap();
                }
                let output = followed.apply(step, Mode::Follow);
                assert_eq!((output.signals.len(), output.facts.len()), (0, 0), "a replay is silent");
                decisions.iter().for_each(|decision| followed.partition.decide(decision));
                assert_eq!(followed.partition.close_batch(), *chain, "seed {seed}, step {at}, cut {cut}");
            }
            assert!(followed.partition.freeze(1).encode().0 == whole);
        }
    }
}
