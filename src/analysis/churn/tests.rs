//! The market side against definitions, and against customers whose parameters are known.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::market::Learning;
use super::model::Model;
use super::sample::{Moment, Sample};
use super::{Config, DAY_MS, FEATURES, MODEL, model, refit};
use crate::analysis::{MarketOutput, MarketSide};
use crate::event::TimeMs;
use crate::learn::bg_nbd::Parameters;
use crate::math::rng::Rng;
use crate::signal::fact::{ChurnMoment, Fact};
use crate::signal::model::{Content, Whole};

const LATENESS_MS: TimeMs = 3_600_000;

fn config() -> Config {
    Config { horizon_days: 3, lateness_ms: LATENESS_MS, ..Config::default() }
}

fn moment(customer: u64, partition: u32, time_ms: TimeMs, is_order: bool) -> ChurnMoment {
    let day = time_ms.div_euclid(DAY_MS) as u16;
    ChurnMoment {
        customer,
        partition,
        time_ms,
        is_order,
        repeats: 1,
        first_day: 0,
        last_day: day,
        features: vec![0.5; FEATURES],
        probability: f32::NAN,
    }
}

/// Labels of all that is over, in the order in which they come.
fn labels(sample: &mut Sample, told: &[ChurnMoment]) -> Vec<(u32, TimeMs, bool, bool)> {
    let mut labels = Vec::new();
    for moment in told {
        if sample.hear(moment) {
            sample.add(moment.customer, Moment::of(moment));
        }
        loop {
            let over = sample.take_over();
            if over.is_empty() {
                break;
            }
            labels.extend(over.iter().map(|(m, churned)| (m.partition, m.time_ms, m.is_order, *churned)));
        }
    }
    labels
}

proptest! {
    /// Several partitions, each out of order within the lateness: a moment is labelled once its partition has come
    /// past horizon and lateness, by whether an order of the same customer lies within the horizon after it.
    #[test]
    fn labels_are_those_of_the_definition(
        told in prop::collection::vec((0_u64..12, 0_i64..LATENESS_MS, any::<bool>()), 1..300),
        steps in prop::collection::vec(0_i64..DAY_MS / 4, 300),
        cut in 0_usize..300,
    ) {
        let mut clocks = [0_i64; 3];
        let told: Vec<ChurnMoment> = told.iter().zip(&steps).map(|((customer, late_ms, is_order), step)| {
            let partition = (customer % 3) as usize;
            clocks[partition] += step;
            moment(*customer, partition as u32, clocks[partition] - late_ms, *is_order)
        }).collect();
        // A customer's moment of a time and kind counts once.
        let mut unique = BTreeMap::new();
        for m in &told {
            unique.insert((m.customer, m.time_ms, m.is_order), m);
        }
        let newest = |partition: u32| told.iter().filter(|m| m.partition == partition).map(|m| m.time_ms).max();
        let horizon_ms = 3 * DAY_MS;
        let is_over = |m: &ChurnMoment| newest(m.partition).is_some_and(|t| t >= m.time_ms + horizon_ms + LATENESS_MS);
        let mut expected: Vec<_> = unique.values().filter(|m| is_over(m)).map(|m| {
            let returned = told.iter().any(|o| {
                o.is_order && o.customer == m.customer && o.time_ms > m.time_ms && o.time_ms <= m.time_ms + horizon_ms
            });
            (m.partition, m.time_ms, m.is_order, !returned)
        }).collect();
        let mut sample = Sample::new(&config());
        let cut = cut.min(told.len());
        let mut found = labels(&mut sample, &told[..cut]);
        let mut restored = Sample::new(&config());
        restored.restore(&sample.freeze()(), &config()).expect("its own section");
        prop_assert!(restored.freeze()() == sample.freeze()());
        let rest = labels(&mut restored, &told[cut..]);
        prop_assert_eq!(&rest, &labels(&mut sample, &told[cut..]), "a restored sample goes on identically");
        prop_assert_eq!((restored.moments(), restored.repeaters()), (sample.moments(), sample.repeaters()));
        prop_assert_eq!(sample.moments() + found.len() + rest.len(), unique.len());
        prop_assert_eq!(sample.evicted(), [0, 0]);
        found.extend(rest);
        // Of each partition oldest first.
        for partition in 0..3 {
            let times: Vec<TimeMs> = found.iter().filter(|l| l.0 == partition).map(|l| l.1).collect();
            let is_behind = |pair: &[TimeMs]| pair[1] + LATENESS_MS < pair[0];
            prop_assert!(!times.windows(2).any(is_behind), "{:?}", times);
        }
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn without_room_the_sample_gives_up_customers_and_still_learns() {
    let config = Config { customers_max: 1_000, moments_max: 500, ..config() };
    let mut sample = Sample::new(&config);
    let told: Vec<ChurnMoment> =
        (0..40_000).map(|i| moment(i % 2_000, 0, i as TimeMs * DAY_MS / 2_000, true)).collect();
    let labels = labels(&mut sample, &told);
    assert!(sample.moments() <= 500 && sample.len() < 200, "{} {}", sample.moments(), sample.len());
    assert!(labels.len() > 1_500 && sample.evicted()[0] > 100, "{} {:?}", labels.len(), sample.evicted());
    assert!(labels.iter().all(|(.., churned)| !churned), "each comes every day");
    let mut restored = Sample::new(&config);
    restored.restore(&sample.freeze()(), &config).expect("its own section");
    assert!(restored.freeze()() == sample.freeze()());
    assert!(!restored.hear(&moment(u64::MAX, 0, 0, true)) || restored.len() < 200, "room is gone for good");
}

#[test]
fn a_moment_whose_horizon_was_over_teaches_nothing() {
    let mut sample = Sample::new(&config());
    let told = [moment(1, 0, 10 * DAY_MS, true), moment(2, 0, DAY_MS, false)];
    assert_eq!(labels(&mut sample, &told), []);
    assert_eq!((sample.moments(), sample.evicted()), (1, [0, 1]));
}

const TRUE: Parameters = Parameters { r: 0.8, alpha: 30.0, a: 0.7, b: 2.0 };
const BEGIN_DAY: i64 = 20_000;
const DAYS: i64 = 700;

/// Moments of customers who order by BG/NBD's own story; looks every 20 days of silence. In time order.
fn story(customers: u64, seed: u64, feature: impl Fn(bool) -> f32) -> Vec<ChurnMoment> {
    let mut told = Vec::new();
    for customer in 0..customers {
        let mut dice = Rng::seeded(&[seed, customer]);
        let first = BEGIN_DAY + dice.below(300) as i64;
        let rate = gamma(&mut dice, TRUE.r) / TRUE.alpha;
        let (left, stays) = (gamma(&mut dice, TRUE.a), gamma(&mut dice, TRUE.b));
        let leaves = left / (left + stays);
        let mut orders = vec![first];
        let mut at = first as f64 + dice.uniform();
        loop {
            at += -libm::log(1.0 - dice.uniform()) / rate;
            if at >= (BEGIN_DAY + DAYS) as f64 {
                break;
            }
            if at as i64 > orders[orders.len() - 1] {
                orders.push(at as i64);
            }
            if dice.uniform() < leaves {
                break;
            }
        }
        let mut tell = |day: i64, repeats: usize, last: i64, is_order: bool| {
            let returned = orders.iter().any(|order| *order > day && *order <= day + 90);
            told.push(ChurnMoment {
                customer,
                partition: (customer % 4) as u32,
                time_ms: day * DAY_MS + (customer % 1_000) as TimeMs,
                is_order,
                repeats: repeats as u32,
                first_day: first as u16,
                last_day: last as u16,
                features: vec![feature(!returned)],
                probability: f32::NAN,
            });
        };
        for (at, order) in orders.iter().enumerate() {
            tell(*order, at, *order, true);
            let next = orders.get(at + 1).copied().unwrap_or(BEGIN_DAY + DAYS);
            let looks = (1..).map(|i| order + 20 * i).take_while(|day| *day < next);
            looks.for_each(|day| tell(day, at, *order, false));
        }
    }
    told.sort_by_key(|moment| moment.time_ms);
    told
}

/// Marsaglia & Tsang (2000); below 1 by a power of a uniform.
fn gamma(dice: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        return gamma(dice, shape + 1.0) * libm::pow(dice.uniform(), 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let z = dice.normal();
        let v = libm::pow((1.0 + c * z).max(0.0), 3.0);
        if v > 0.0 && libm::log(1.0 - dice.uniform()) < 0.5 * z * z + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// A market side with its jobs done `late` ticks after they were cut, and what it has published.
struct Run {
    learning: Learning,
    wholes: Vec<Whole>,
    now_ms: TimeMs,
    refits: u64,
}

impl Run {
    fn new(config: &Config) -> Run {
        Run { learning: Learning::new(config), wholes: Vec::new(), now_ms: 0, refits: 0 }
    }

    fn tell(&mut self, told: &[ChurnMoment]) {
        for (at, moment) in told.iter().enumerate() {
            let published = self.model();
            let mut moment = moment.clone();
            if let Some(model) = &published {
                let summary =
                    model::summary(moment.repeats, moment.first_day, moment.last_day, moment.time_ms);
                moment.probability = model.probability(&summary, &moment.features) as f32;
            }
            self.learning.fold(&Fact::Churn(moment), &mut MarketOutput::default());
            if at % 50 == 49 {
                self.tick();
            }
        }
    }

    fn tick(&mut self) {
        self.now_ms += 1_000;
        let mut output = MarketOutput::default();
        self.learning.tick(self.now_ms, &mut output);
        self.wholes.append(&mut output.models);
        for job in self.learning.jobs() {
            assert!(!self.learning.answer(job.number + 1, &[]), "nobody waits for it");
            let result = refit::job(&(job.input)());
            assert!(self.learning.answer(job.number, &result));
            assert!(!self.learning.answer(job.number, &result), "it is answered");
            self.refits += 1;
        }
    }

    fn model(&self) -> Option<Model> {
        let Content::Inline(bytes) = &self.wholes.last()?.content else { panic!("inline") };
        let form = model::compile(bytes).expect("it compiles");
        form.downcast_ref::<Model>().cloned()
    }
}

#[test]
fn a_refit_recovers_the_parameters_and_logistic_regression_stays_out_where_it_adds_nothing() {
    let mut run = Run::new(&Config::default());
    run.tell(&story(4_000, 1, |_| 1.0));
    let model = run.model().expect("it was published");
    let found = [model.bg_nbd.r, model.bg_nbd.alpha, model.bg_nbd.a, model.bg_nbd.b];
    for (found, expected) in found.iter().zip([TRUE.r, TRUE.alpha, TRUE.a, TRUE.b]) {
        assert!((libm::log(found / expected)).abs() < 0.25, "{:?}", model.bg_nbd);
    }
    // At most one in 2 s, versions without a gap, refits by doubling and by the hour.
    let versions: Vec<u64> = run.wholes.iter().map(|whole| whole.version).collect();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
    assert!(run.wholes.windows(2).all(|pair| pair[1].time_ms - pair[0].time_ms >= 2_000));
    assert!(run.wholes.iter().all(|whole| whole.name == MODEL));
    assert!((8..60).contains(&run.refits), "{}", run.refits);
    // The story is BG/NBD's own, so that it cannot be beaten, and what it says holds.
    let learners: BTreeMap<_, _> = run.learning.learners().into_iter().collect();
    let (bg_nbd, logistic) = (learners["bg_nbd"], learners["logistic_regression"]);
    let better = logistic.log_loss.unwrap() - bg_nbd.log_loss.unwrap();
    assert!(better > -0.01, "{learners:#?}");
    assert!(bg_nbd.ece.unwrap() < 0.03, "{bg_nbd:?}");
    assert!(bg_nbd.log_loss.unwrap() < learners["no_skill"].log_loss.unwrap() - 0.1, "{learners:#?}");
    assert!(bg_nbd.auc > learners["recency"].auc && bg_nbd.auc > learners["frequency"].auc, "{learners:#?}");
    let published = run.learning.quality();
    assert!(published.labels > 10_000 && published.auc > Some(0.7), "{published:?}");
    assert_eq!(run.learning.evicted()[1].1, 0);
}

#[test]
fn logistic_regression_goes_in_once_both_together_are_better() {
    // A feature that knows the outcome.
    let honest = story(1_500, 2, |churned| if churned { 1.0 } else { -1.0 });
    let mut run = Run::new(&Config::default());
    run.tell(&honest);
    assert!(run.model().is_some_and(|model| model.logistic.is_some()), "it is better by far");
    let first_in = run.wholes.iter().position(|whole| {
        let Content::Inline(bytes) = &whole.content else { panic!("inline") };
        postcard::from_bytes::<Model>(bytes).unwrap().logistic.is_some()
    });
    assert!(first_in > Some(2), "not from the start: {first_in:?}");
}

#[test]
fn a_restored_side_goes_on_identically_with_its_job() {
    let config = Config { customers_max: 400, moments_max: 1_500, ..Config::default() };
    let told = story(900, 3, |_| 0.5);
    let mut whole = Run::new(&config);
    let cut = told.len() / 2;
    whole.tell(&told[..cut]);
    // A job is cut and not answered yet.
    let mut output = MarketOutput::default();
    while whole.learning.jobs().is_empty() {
        whole.now_ms += 3_600_000;
        whole.learning.tick(whole.now_ms, &mut output);
    }
    let input =
        |side: &Learning| side.jobs().into_iter().map(|job| (job.number, (job.input)())).collect::<Vec<_>>();
    let waiting = input(&whole.learning);
    // The cut does not change with the sample.
    for moment in &told[cut..cut + 200] {
        whole.learning.fold(&Fact::Churn(moment.clone()), &mut output);
    }
    assert!(input(&whole.learning) == waiting);
    let mut restored = Run { wholes: whole.wholes.clone(), ..Run::new(&config) };
    (restored.now_ms, restored.refits) = (whole.now_ms, whole.refits);
    restored.learning.restore(&whole.learning.freeze()()).expect("its own section");
    assert!(input(&restored.learning) == waiting);
    assert!(restored.learning.freeze()() == whole.learning.freeze()());
    whole.tell(&told[cut + 200..]);
    restored.tell(&told[cut + 200..]);
    assert!(restored.learning.freeze()() == whole.learning.freeze()());
    assert_eq!(restored.wholes, whole.wholes);
    assert!(whole.learning.evicted()[0].1 > 0);
    assert!(restored.learning.restore(b"no section").is_err());
}

#[test]
fn parameters_that_make_no_sense_leave_the_last_good_ones() {
    let mut run = Run::new(&Config::default());
    run.tell(&story(300, 4, |_| 0.5));
    let good = run.model().expect("it was published").bg_nbd;
    let mut output = MarketOutput::default();
    run.now_ms += 3_600_000;
    run.tell(&story(300, 5, |_| 0.5)[..100]);
    let bad = Parameters { r: f64::NAN, ..good };
    for result in [postcard::to_allocvec(&Some(bad)).unwrap(), b"rubbish".to_vec(), Vec::new()] {
        while run.learning.jobs().is_empty() {
            run.now_ms += 3_600_000;
            run.tell(&story(300, 6, |_| 0.5)[..49]);
            run.learning.tick(run.now_ms, &mut output);
        }
        let number = run.learning.jobs()[0].number;
        assert!(run.learning.answer(number, &result));
        run.wholes.append(&mut output.models);
        assert!(run.model().expect("it is there").bg_nbd.is_valid());
    }
}
