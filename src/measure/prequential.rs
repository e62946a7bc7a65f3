//! Published scores against the outcomes of the files, and simple baselines that saw no more.
//!
//! A payment is rated when it is fed; its label is used by no baseline before the verdict arrives.

use serde::Serialize;

use crate::event::{Feedback, Purchase, TimeMs, Verdict, event_hash};
use crate::math::hash::IdMap;
use crate::math::moments::Moments;
use crate::math::rng::mix;
use crate::measure::ranking;

const DAY_MS: TimeMs = 86_400_000;
const CARDS_A_DAY: usize = 100;
/// Verdicts' worth by which a terminal's share is drawn towards that of all.
const PRIOR: f64 = 2.0;

/// Names of the baselines, in the order of a payment's ratings.
pub const BASELINES: [&str; 4] = ["amount", "amount_z", "entity_share", "random"];

/// Collects ratings and outcomes of payments with a label.
#[derive(Debug, Default)]
pub struct Prequential {
    payments: Vec<Payment>,
    /// Payments whose score has not been published, by event.
    unscored: IdMap<u64, u32>,
    amounts: Moments,
    /// Frauds and verdicts by terminal; 0 is all.
    shares: IdMap<u64, [f64; 2]>,
    /// Terminals of payments whose verdict has not come, by event.
    terminals: IdMap<u64, u64>,
}

#[derive(Debug)]
struct Payment {
    day: i64,
    card: u64,
    fraud: bool,
    /// NaN until it is published.
    score: f32,
    baselines: [f32; BASELINES.len()],
}

/// Quality of one ranking of the scored payments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rating {
    pub n: usize,
    pub positives: usize,
    pub auc: Option<f64>,
    pub average_precision: Option<f64>,
    /// Mean over days of the share of fraud among the 100 highest cards.
    pub card_precision_100: Option<f64>,
}

impl Prequential {
    /// A payment is about to be fed; None where its file says nothing of its outcome.
    pub fn payment(&mut self, purchase: &Purchase<'_>, fraud: Option<bool>) {
        if purchase.refund {
            return;
        }
        let amount = purchase.amount_minor() as f64;
        let deviation = self.amounts.standard_deviation();
        let z = if deviation > 0.0 { libm::fabs(amount - self.amounts.mean()) / deviation } else { 0.0 };
        self.amounts.add(amount);
        let Some(fraud) = fraud else { return };
        let event = event_hash(&purchase.event_id);
        let terminal = purchase.terminal.as_deref().map_or(0, event_hash);
        self.terminals.insert(event, terminal);
        let random = mix(event) as f32 / u64::MAX as f32;
        let at = self.payments.len() as u32;
        self.payments.push(Payment {
            day: purchase.time_ms.div_euclid(DAY_MS),
            card: event_hash(purchase.key()),
            fraud,
            score: f32::NAN,
            baselines: [amount as f32, z as f32, self.share(terminal) as f32, random],
        });
        self.unscored.insert(event, at);
    }

    /// A verdict is fed.
    pub fn verdict(&mut self, feedback: &Feedback<'_>) {
        let Some(terminal) = self.terminals.remove(&event_hash(&feedback.event_id)) else { return };
        let fraud = f64::from(feedback.verdict == Verdict::Fraud);
        for key in [0, terminal] {
            let share = self.shares.get_or_insert_with(key, || [0.0; 2]);
            share[0] += fraud;
            share[1] += 1.0;
        }
    }

    /// A score was published.
    pub fn score(&mut self, event_id: &str, value: f64) {
        if let Some(at) = self.unscored.remove(&event_hash(event_id)) {
            self.payments[at as usize].score = value as f32;
        }
    }

    /// Payments with a label whose score never came: they were dead letters or repeats.
    pub fn unscored(&self) -> usize {
        self.unscored.len()
    }

    /// Of the published score.
    pub fn published(&self) -> Rating {
        self.rating(|payment| payment.score)
    }

    /// Of a baseline, by its place in [`BASELINES`].
    pub fn baseline(&self, number: usize) -> Rating {
        self.rating(|payment| payment.baselines[number])
    }

    fn share(&self, terminal: u64) -> f64 {
        let [frauds, verdicts] = self.shares.get(&0).copied().unwrap_or_default();
        let base = if verdicts > 0.0 { frauds / verdicts } else { 0.0 };
        let [frauds, verdicts] = self.shares.get(&terminal).copied().unwrap_or_default();
        (frauds + PRIOR * base) / (verdicts + PRIOR)
    }

    fn rating(&self, of: impl Fn(&Payment) -> f32) -> Rating {
        let scored = || self.payments.iter().filter(|payment| !payment.score.is_nan());
        let mut scores: Vec<(f64, bool)> = scored().map(|p| (f64::from(of(p)), p.fraud)).collect();
        let quality = ranking::quality(&mut scores);
        let rows = scored().map(|p| (p.day, p.card, f64::from(of(p)), p.fraud));
        let mut rows: Vec<(i64, u64, f64, bool)> = rows.collect();
        Rating {
            n: scores.len(),
            positives: scores.iter().filter(|(_, fraud)| *fraud).count(),
            auc: quality.map(|(auc, _)| auc),
            average_precision: quality.map(|(_, precision)| precision),
            card_precision_100: quality.and_then(|_| ranking::card_precision(&mut rows, CARDS_A_DAY)),
        }
    }
}
