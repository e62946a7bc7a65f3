//! The customer side: assess a payment by own baseline and isolation forest, judge it, learn it.

use serde::{Deserialize, Serialize};

use super::risk::{Assessment, EntityShare, reasons, risk};
use super::{Config, DESCRIPTOR, ENTITY_RISK};
use crate::analysis::{CustomerSide, Frozen, Output, View};
use crate::customer::Customer;
use crate::event::{Event, Feedback, Purchase, TimeMs, Verdict, event_hash};
use crate::learn::isolation_forest::IsolationForest;
use crate::learn::{AnomalyDetector, Learner};
use crate::math::quantile::RankEstimator;
use crate::signal::fact::Fact;
use crate::signal::journal::Decision;
use crate::signal::{Alert, Reason, Score, Signal, SignalId, Source};

const HOUR_MS: TimeMs = 3_600_000;
const DAY_MS: TimeMs = 86_400_000;
const FEATURES: usize = 14;
/// In words, for [`Anomaly::isolated_by`].
const NAMES: [&str; FEATURES] = [
    "the amount",
    "the amount for this customer",
    "the time since the payment before",
    "the number of payments in a day",
    "the number of payments in a week",
    "the number of payments in a month",
    "the mean amount of the day before",
    "the mean amount of the week before",
    "the mean amount of the month before",
    "the hour",
    "the night",
    "the weekend",
    "the terminal, new for this customer",
    "the number of lines",
];
/// Payments after which a score weighs half in the rank.
const RANK_HALF_LIFE: f64 = 20_000.0;

/// The partition's own forest, and what is usual among all its customers: ranks of the forest's scores, of
/// amounts and of their distances from the customer's usual. All learn from payments only.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    forest: IsolationForest,
    rank: RankEstimator,
    amounts: RankEstimator,
    amount_zs: RankEstimator,
}

/// Amounts in (0, 1) so that 1 - x halves as an amount doubles, which keeps ranks exact to 2 % up to 650 000.00.
/// Currencies are not told apart: minor units are of like size, and ranks are of like sums mostly.
fn amount_place(amount_minor: f64) -> f64 {
    amount_minor / (amount_minor + 1_000.0)
}

/// Distances in (0, 1), exact in the upper tail.
fn z_place(amount_z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-amount_z))
}

pub(super) struct Anomaly {
    learned: Learned,
    /// Of the event at hand; not state.
    features: [f64; FEATURES],
    isolation: f64,
    seen: Assessment,
}

/// What is remembered of the last alert about a customer.
#[derive(Serialize, Deserialize)]
struct LastAlert {
    time_ms: TimeMs,
    risk: u16,
}

impl Anomaly {
    pub fn new(config: &Config) -> Anomaly {
        let forest = IsolationForest::new(FEATURES, config.seed);
        Anomaly {
            learned: Learned {
                forest,
                rank: RankEstimator::new(RANK_HALF_LIFE),
                amounts: RankEstimator::new(RANK_HALF_LIFE),
                amount_zs: RankEstimator::new(RANK_HALF_LIFE),
            },
            features: [0.0; FEATURES],
            isolation: 0.0,
            seen: Assessment::default(),
        }
    }

    fn payment(
        &self,
        source: Source,
        purchase: &Purchase<'_>,
        customer: Option<&Customer>,
        view: View<'_>,
        output: &mut Output,
    ) {
        let settings = &view.published.anomaly;
        let entities = entities(purchase);
        let shares: Vec<EntityShare<'_>> = entities
            .iter()
            .filter_map(|(kind, name, key)| {
                let row = view.tables.row(ENTITY_RISK, key)?;
                let (share, base) = (*row.numbers.first()?, *row.numbers.get(1)?);
                Some(EntityShare { kind, name, share, base })
            })
            .collect();
        let risk = risk(&self.seen, &shares);
        output.facts.push(Fact::Payment {
            event: event_hash(&purchase.event_id),
            time_ms: purchase.time_ms,
            risk,
            entities: entities.iter().map(|(_, _, key)| key.clone()).collect(),
        });
        // Of those that nobody has judged yet the share is not asked for.
        let judged = entities.into_iter().filter(|(_, _, key)| view.tables.row(ENTITY_RISK, key).is_some());
        let time_ms = purchase.time_ms;
        output.facts.extend(judged.map(|(_, _, entity)| Fact::EntityPayment { entity, time_ms }));
        if !settings.enabled {
            return;
        }
        let key = purchase.key();
        let is_alert =
            risk >= settings.risk_min && !is_cooling(purchase, customer, risk, settings.cooldown_ms);
        if !(settings.scores || is_alert) {
            return;
        }
        let reasons = reasons(&self.seen, &shares, || self.isolated_by());
        if settings.scores {
            output.signals.push(Signal::Score(Score {
                id: SignalId::new(source, DESCRIPTOR.name, key, 0, 0),
                analysis: DESCRIPTOR.name.into(),
                customer: key.to_owned(),
                event_id: Some(purchase.event_id.to_string()),
                time_ms: purchase.time_ms,
                source,
                value: f64::from(risk),
                band: band(risk, settings.risk_min).into(),
                version: u64::from(DESCRIPTOR.version),
                reasons: reasons.clone(),
            }));
        }
        if is_alert {
            output.signals.push(Signal::Alert(alert(source, purchase, risk, reasons)));
            if let Some(customer) = customer {
                let memory = LastAlert { time_ms: purchase.time_ms, risk };
                let memory = postcard::to_allocvec(&memory).expect("plain data always serialises");
                output.decisions.push(Decision::Remember {
                    analysis: DESCRIPTOR.id,
                    customer: customer.key(),
                    memory,
                });
            }
        }
    }

    /// The name of the feature without which the payment would stand out least: empty where none makes a difference.
    fn isolated_by(&self) -> &'static str {
        let mut least = (self.isolation, "");
        for (place, name) in NAMES.iter().enumerate().filter(|(place, _)| !self.features[*place].is_nan()) {
            let mut without = self.features;
            without[place] = f64::NAN;
            let score = self.learned.forest.score_one(&without);
            if score < least.0 {
                least = (score, name);
            }
        }
        least.1
    }

    fn verdict(feedback: &Feedback<'_>, output: &mut Output) {
        output.facts.push(Fact::Verdict {
            event: event_hash(&feedback.event_id),
            time_ms: feedback.time_ms,
            fraud: feedback.verdict == Verdict::Fraud,
        });
    }
}

impl CustomerSide for Anomaly {
    fn assess(&mut self, event: &Event<'_>, customer: Option<&Customer>) {
        let Event::Purchase(purchase) = event else { return };
        if purchase.refund {
            return;
        }
        let amount_minor = purchase.amount_minor();
        self.features = features(purchase, amount_minor, customer);
        self.isolation = self.learned.forest.score_one(&self.features);
        let velocity = customer.map(|customer| &customer.velocity);
        let days = velocity.map_or((0, 0.0), |velocity| velocity.within_days(purchase.time_ms, 31));
        let amount_z = velocity.map_or(0.0, |velocity| velocity.baseline.amount_z(amount_minor));
        self.seen = Assessment {
            isolation_rank: self.learned.rank.rank(self.isolation),
            amount_rank: self.learned.amounts.rank(amount_place(amount_minor as f64)),
            amount_z_rank: self.learned.amount_zs.rank(z_place(amount_z)),
            amount_z,
            amount_minor: amount_minor as f64,
            usual_minor: velocity.and_then(|velocity| velocity.baseline.usual_minor()),
            payments_1h: 1 + velocity.map_or(0, |velocity| velocity.within(purchase.time_ms, HOUR_MS).0),
            usual_1h: f64::from(days.0) / (31.0 * 24.0),
        };
    }

    fn judge(
        &mut self,
        source: Source,
        event: &Event<'_>,
        customer: Option<&Customer>,
        view: View<'_>,
        output: &mut Output,
    ) {
        match event {
            Event::Purchase(purchase) if !purchase.refund => {
                self.payment(source, purchase, customer, view, output);
            }
            Event::Feedback(feedback) => Anomaly::verdict(feedback, output),
            _ => {}
        }
    }

    fn learn(&mut self, event: &Event<'_>) {
        let Event::Purchase(purchase) = event else { return };
        if !purchase.refund {
            self.learned.forest.learn_one(&self.features);
            self.learned.rank.add(self.isolation);
            self.learned.amounts.add(amount_place(self.seen.amount_minor));
            self.learned.amount_zs.add(z_place(self.seen.amount_z));
        }
    }

    fn freeze(&self) -> Frozen {
        let learned = self.learned.clone();
        Box::new(move || postcard::to_allocvec(&learned).expect("plain data always serialises"))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.learned = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let Learned { forest, rank, amounts, amount_zs } = &self.learned;
        forest.bytes() + rank.bytes() + amounts.bytes() + amount_zs.bytes()
    }
}

/// What the forest sees; NaN where there is nothing to see. Logarithms keep one spender from owning a
/// dimension.
fn features(purchase: &Purchase<'_>, amount_minor: i64, customer: Option<&Customer>) -> [f64; FEATURES] {
    let now_ms = purchase.time_ms;
    let velocity = customer.map(|customer| &customer.velocity);
    let within = |days| velocity.map_or((0, 0.0), |v| v.within_days(now_ms, days));
    let mean =
        |(count, sum): (u32, f64)| if count == 0 { f64::NAN } else { libm::log1p(sum / f64::from(count)) };
    let log_count = |(count, _): (u32, f64)| libm::log1p(f64::from(count));
    let (day, week, month) = (velocity.map_or((0, 0.0), |v| v.within(now_ms, DAY_MS)), within(7), within(31));
    let hour = now_ms.rem_euclid(DAY_MS) as f64 / HOUR_MS as f64;
    // The epoch began on a Thursday.
    let weekday = (now_ms.div_euclid(DAY_MS) + 3).rem_euclid(7);
    let gap =
        velocity.and_then(|v| v.gap_seconds(now_ms)).map_or(f64::NAN, |gap| libm::log1p(f64::from(gap)));
    let is_new_place = match (&purchase.terminal, velocity) {
        (Some(terminal), Some(velocity)) => f64::from(!velocity.baseline.may_know(terminal)),
        _ => f64::NAN,
    };
    [
        libm::log1p(amount_minor as f64),
        velocity.map_or(f64::NAN, |v| v.baseline.amount_z(amount_minor)),
        gap,
        log_count(day),
        log_count(week),
        log_count(month),
        mean(day),
        mean(week),
        mean(month),
        hour,
        f64::from(hour < 6.0),
        f64::from(weekday >= 5),
        is_new_place,
        libm::log1p(purchase.lines.len() as f64),
    ]
}

/// Kind, name, and key of everything the payment went through.
fn entities<'a>(purchase: &'a Purchase<'_>) -> Vec<(&'static str, &'a str, String)> {
    let named = [("terminal", &purchase.terminal), ("instrument", &purchase.instrument)];
    let present = named.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
    present.map(|(kind, name)| (kind, name, format!("{kind}:{name}"))).collect()
}

fn is_cooling(purchase: &Purchase<'_>, customer: Option<&Customer>, risk: u16, cooldown_ms: TimeMs) -> bool {
    let memory = customer.and_then(|customer| customer.memory.get(DESCRIPTOR.id));
    let last: Option<LastAlert> = memory.and_then(|bytes| postcard::from_bytes(bytes).ok());
    last.is_some_and(|last| {
        let since_ms = purchase.time_ms - last.time_ms;
        (0..cooldown_ms).contains(&since_ms) && risk < last.risk.saturating_add(100)
    })
}

fn band(risk: u16, risk_min: u16) -> &'static str {
    if risk >= risk_min {
        "alert"
    } else if risk >= risk_min / 2 {
        "elevated"
    } else {
        "usual"
    }
}

fn alert(source: Source, purchase: &Purchase<'_>, risk: u16, reasons: Vec<Reason>) -> Alert {
    let key = purchase.key();
    Alert {
        id: SignalId::new(source, DESCRIPTOR.name, key, 0, 1),
        customer: key.to_owned(),
        event_id: purchase.event_id.to_string(),
        order: purchase.order.to_string(),
        time_ms: purchase.time_ms,
        source,
        risk,
        amount_minor: purchase.amount_minor(),
        currency: purchase.currency,
        terminal: purchase.terminal.as_deref().map(str::to_owned),
        instrument: purchase.instrument.as_deref().map(str::to_owned),
        reasons,
    }
}
