//! Who the customer is in numbers: integer totals that every run must agree on.

use serde::{Deserialize, Serialize};

use crate::event::{Currency, Engagement, Feedback, Purchase, TimeMs, Verdict};

/// Totals since the first event. Every field commutes: any order of the same events gives the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Event time of the first and last purchase or engagement; the largest and the smallest number there
    /// is while verdicts are all that is known.
    pub first_ms: TimeMs,
    pub last_ms: TimeMs,
    pub purchases: u32,
    pub refunds: u32,
    pub engagements: u32,
    pub feedbacks: u32,
    /// Confirmed frauds among the feedbacks.
    pub frauds: u32,
    /// Units bought, refunds not taken off.
    pub units: i64,
    /// Bought, in minor units; refunds stand apart. Amounts of several currencies are added as they
    /// are, and `currencies_mixed` says so.
    pub amount_minor: i64,
    pub refunded_minor: i64,
    pub currency: Option<Currency>,
    pub currencies_mixed: bool,
    pub unsubscribed: bool,
}

impl Profile {
    pub(super) fn new() -> Profile {
        Profile {
            first_ms: TimeMs::MAX,
            last_ms: TimeMs::MIN,
            purchases: 0,
            refunds: 0,
            engagements: 0,
            feedbacks: 0,
            frauds: 0,
            units: 0,
            amount_minor: 0,
            refunded_minor: 0,
            currency: None,
            currencies_mixed: false,
            unsubscribed: false,
        }
    }

    pub(super) fn purchase(&mut self, purchase: &Purchase<'_>, amount_minor: i64) {
        self.at(purchase.time_ms);
        let currency = *self.currency.get_or_insert(purchase.currency);
        self.currencies_mixed |= currency != purchase.currency;
        if purchase.refund {
            self.refunds = self.refunds.saturating_add(1);
            self.refunded_minor = self.refunded_minor.saturating_add(amount_minor);
        } else {
            self.purchases = self.purchases.saturating_add(1);
            self.amount_minor = self.amount_minor.saturating_add(amount_minor);
            let units = purchase.lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.quantity));
            self.units = self.units.saturating_add(units);
        }
    }

    pub(super) fn engagement(&mut self, engagement: &Engagement<'_>) {
        self.at(engagement.time_ms);
        self.engagements = self.engagements.saturating_add(1);
        self.unsubscribed |= engagement.kind == crate::event::EngagementKind::Unsubscribe;
    }

    pub(super) fn feedback(&mut self, feedback: &Feedback<'_>) {
        self.feedbacks = self.feedbacks.saturating_add(1);
        if feedback.verdict == Verdict::Fraud {
            self.frauds = self.frauds.saturating_add(1);
        }
    }

    /// Whether verdicts are all there is: inputs have no order between them, so one may come before the
    /// purchase that it is about.
    pub fn is_only_judged(&self) -> bool {
        self.purchases == 0 && self.refunds == 0 && self.engagements == 0
    }

    /// A verdict is about the customer, not by it, so only purchases and engagements move these.
    fn at(&mut self, time_ms: TimeMs) {
        self.first_ms = self.first_ms.min(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_before_its_purchase_counts_as_one_after_it() {
        let line = crate::event::Line { item: "i".into(), category: None, quantity: 2, unit_price_minor: 50 };
        let purchase = Purchase {
            event_id: "e".into(),
            customer: Some("c".into()),
            order: "o".into(),
            time_ms: 1_000,
            lines: vec![line],
            currency: Currency::parse("EUR").expect("a currency"),
            instrument: None,
            channel: None,
            terminal: None,
            device: None,
            country: None,
            refund: false,
        };
        let feedback = Feedback {
            customer: "c".into(),
            event_id: "e".into(),
            verdict: Verdict::Fraud,
            time_ms: 9_000,
            source: "s".into(),
        };
        let mut right = Profile::new();
        right.purchase(&purchase, 100);
        right.feedback(&feedback);
        let mut early = Profile::new();
        early.feedback(&feedback);
        assert!(early.is_only_judged());
        early.purchase(&purchase, 100);
        assert_eq!(early, right);
        assert_eq!((right.first_ms, right.last_ms, right.feedbacks, right.frauds), (1_000, 1_000, 1, 1));
    }
}
