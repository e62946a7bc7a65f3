//! Alerts against which payments truly were fraud.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{DAY_MS, MONTH_DAYS};
use crate::edge::demo::shop::{FraudKind, Occurrence};
use crate::event::{Event, Feedback, TimeMs, Verdict, event_hash};
use crate::math::rng::mix;
use crate::measure::prequential::{BASELINES, Prequential, Rating};

/// The product's default alerting, and payments ranked by risk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alerts {
    pub payments: usize,
    pub frauds: usize,
    pub alerts: usize,
    /// As published.
    pub default: Found,
    /// `amount`: the same number of alerts on the highest amounts of all, chosen afterwards. `random`: on any.
    pub baselines: BTreeMap<&'static str, Found>,
    /// By the code of the strongest reason.
    pub reasons: BTreeMap<String, Reason>,
    /// What the desk hears of the alerts that got a verdict.
    pub judged: Judged,
    /// In months of 30 days.
    pub months: Vec<Month>,
    /// All payments in the order of their risk, as in `habitue backtest`, but against the truth.
    pub ranking: Ranking,
}

/// What a fraud desk gets that looks at some payments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Frauds among the payments that are looked at.
    pub hits: usize,
    /// Share of fraud among them; None where there are none.
    pub precision: Option<f64>,
    /// Share of fraud that is among them; None where there is no fraud.
    pub recall: Option<f64>,
    pub kinds: BTreeMap<&'static str, Kind>,
}

/// Of one kind of fraud.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Kind {
    pub frauds: usize,
    pub hits: usize,
    pub recall: Option<f64>,
}

/// Alerts of one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reason {
    pub alerts: usize,
    /// Of these on fraud.
    pub hits: usize,
}

/// Alerts by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Judged {
    pub fraud: usize,
    pub legitimate: usize,
}

/// A month of the shop's past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Month {
    pub payments: usize,
    pub frauds: usize,
    pub alerts: usize,
    pub hits: usize,
}

/// By name; `default` is the published risk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    pub learners: BTreeMap<&'static str, Rating>,
    pub baselines: BTreeMap<&'static str, Rating>,
}

/// Payments so far, some 100 bytes each.
pub(super) struct Payments {
    start_ms: TimeMs,
    payments: Vec<Payment>,
    /// Places in `payments`, by event.
    places: BTreeMap<u64, usize>,
    prequential: Prequential,
}

struct Payment {
    event: u64,
    /// What it is keyed by.
    key: String,
    month: usize,
    amount_minor: i64,
    fraud: Option<FraudKind>,
    /// The code of an alert's strongest reason.
    alert: Option<String>,
    verdict: Option<Verdict>,
}

impl Payments {
    pub fn new(start_ms: TimeMs) -> Payments {
        Payments {
            start_ms,
            payments: Vec::new(),
            places: BTreeMap::new(),
            prequential: Prequential::default(),
        }
    }

    /// Before it is fed.
    pub fn occur(&mut self, occurrence: &Occurrence) {
        match &occurrence.event {
            Event::Purchase(purchase) if !purchase.refund => {
                let fraud = occurrence.truth.fraud;
                self.prequential.payment(purchase, Some(fraud.is_some()));
                let event = event_hash(&purchase.event_id);
                let month = (purchase.time_ms - self.start_ms) / (TimeMs::from(MONTH_DAYS) * DAY_MS);
                self.places.insert(event, self.payments.len());
                self.payments.push(Payment {
                    event,
                    key: purchase.key().to_owned(),
                    month: usize::try_from(month).unwrap_or(0),
                    amount_minor: purchase.amount_minor(),
                    fraud,
                    alert: None,
                    verdict: None,
                });
            }
            Event::Feedback(feedback) => self.judged(feedback),
            _ => {}
        }
    }

    /// A verdict is about to be fed.
    pub fn judged(&mut self, verdict: &Feedback<'_>) {
        self.prequential.verdict(verdict);
        if let Some(place) = self.places.get(&event_hash(&verdict.event_id)) {
            self.payments[*place].verdict = Some(verdict.verdict);
        }
    }

    pub fn scored(&mut self, event_id: &str, value: f64) {
        self.prequential.score(event_id, value);
    }

    /// An alert, with the code of its strongest reason. The payment's key, and whether it truly is fraud.
    pub fn alerted(&mut self, event_id: &str, reason: &str) -> Option<(&str, bool)> {
        let payment = &mut self.payments[*self.places.get(&event_hash(event_id))?];
        payment.alert = Some(reason.to_owned());
        Some((&payment.key, payment.fraud.is_some()))
    }

    pub fn alerts(&self) -> Alerts {
        let alerts: Vec<&Payment> = self.payments.iter().filter(|payment| payment.alert.is_some()).collect();
        let highest = |of: &dyn Fn(&Payment) -> u64| {
            let mut ranked: Vec<&Payment> = self.payments.iter().collect();
            ranked.sort_by_key(|payment| (std::cmp::Reverse(of(payment)), payment.event));
            ranked.truncate(alerts.len());
            self.found(&ranked)
        };
        let baselines = [
            ("amount", highest(&|payment| payment.amount_minor.cast_unsigned())),
            ("random", highest(&|payment| mix(payment.event))),
        ];
        let judged = |verdict| alerts.iter().filter(|payment| payment.verdict == Some(verdict)).count();
        let mut reasons: BTreeMap<String, Reason> = BTreeMap::new();
        for payment in &alerts {
            let reason = reasons.entry(payment.alert.clone().unwrap_or_default()).or_default();
            reason.alerts += 1;
            reason.hits += usize::from(payment.fraud.is_some());
        }
        let ranked = BASELINES.iter().enumerate();
        Alerts {
            payments: self.payments.len(),
            frauds: self.payments.iter().filter(|payment| payment.fraud.is_some()).count(),
            alerts: alerts.len(),
            default: self.found(&alerts),
            baselines: BTreeMap::from(baselines),
            reasons,
            judged: Judged { fraud: judged(Verdict::Fraud), legitimate: judged(Verdict::Legitimate) },
            months: self.months(),
            ranking: Ranking {
                learners: BTreeMap::from([("default", self.prequential.published())]),
                baselines: ranked.map(|(at, name)| (*name, self.prequential.baseline(at))).collect(),
            },
        }
    }

    fn found(&self, looked_at: &[&Payment]) -> Found {
        let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
        for kind in FraudKind::ALL {
            let count = |payment: &&&Payment| payment.fraud == Some(kind);
            let frauds = self.payments.iter().filter(|payment| payment.fraud == Some(kind)).count();
            let hits = looked_at.iter().filter(count).count();
            kinds.insert(kind.name(), Kind { frauds, hits, recall: share(hits, frauds) });
        }
        let [hits, frauds] =
            [kinds.values().map(|kind| kind.hits).sum(), kinds.values().map(|kind| kind.frauds).sum()];
        Found { hits, precision: share(hits, looked_at.len()), recall: share(hits, frauds), kinds }
    }

    fn months(&self) -> Vec<Month> {
        let mut months: Vec<Month> = Vec::new();
        for payment in &self.payments {
            while months.len() <= payment.month {
                months.push(Month::default());
            }
            let month = &mut months[payment.month];
            month.payments += 1;
            month.frauds += usize::from(payment.fraud.is_some());
            month.alerts += usize::from(payment.alert.is_some());
            month.hits += usize::from(payment.alert.is_some() && payment.fraud.is_some());
        }
        months
    }
}

/// None of nothing.
fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}
