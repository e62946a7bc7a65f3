//! What comes days after an order: questions, refunds, verdicts.

use super::draw::{chance, log_normal};
use super::order::Buyer;
use super::season::{DAY_MS, HOUR_MS};
use super::{Occurrence, Shop, Truth};
use crate::event::{Engagement, EngagementKind, Event, Feedback, Purchase, TimeMs, Verdict};

/// Shares of orders that come back, wholly or in part.
const REFUNDED_ONLINE: f64 = 0.07;
const REFUNDED_STORE: f64 = 0.02;
/// Share of orders after which the customer asks something.
const ASKED: f64 = 0.02;
/// Share of fraud that anybody notices.
const NOTICED: f64 = 0.85;
/// Share of legitimate payments that somebody looked at and found to be so; of large ones.
const CONFIRMED: f64 = 0.01;
const CONFIRMED_LARGE: f64 = 0.12;
/// From this many times a buyer's level on a payment is large.
const LARGE: f64 = 3.0;
/// Share of legitimate payments that are said to be fraud: the family's, or a lie.
const DENIED: f64 = 0.0004;

impl Shop {
    /// Plans what follows the payment.
    pub(super) fn follow(&mut self, purchase: &Purchase<'static>, buyer: &Buyer, truth: Truth) {
        self.verdict(purchase, buyer, truth);
        if truth.fraud.is_some() {
            return;
        }
        let is_store = purchase.terminal.is_some();
        let refunded = if is_store { REFUNDED_STORE } else { REFUNDED_ONLINE };
        let is_refunded = chance(&mut self.rng, refunded);
        if is_refunded {
            self.refund(purchase, truth);
        }
        if let Some(id) = &buyer.id
            && chance(&mut self.rng, if is_refunded { 0.3 } else { ASKED })
        {
            let time_ms = purchase.time_ms + self.in_days(3.0, 0.5, 20.0);
            if buyer.left_at_ms.is_none_or(|left_ms| time_ms < left_ms) {
                let event_id = self.event_id("e");
                let kind = EngagementKind::SupportContact;
                let event = Event::Engagement(Engagement::new(event_id, id.clone(), time_ms, kind));
                self.agenda.put_if_room(time_ms, Occurrence { event, truth });
            }
        }
    }

    /// The order comes back, or one of its lines.
    fn refund(&mut self, purchase: &Purchase<'static>, truth: Truth) {
        let mut refund = purchase.clone();
        if chance(&mut self.rng, 0.6) {
            let line = self.rng.below(refund.lines.len() as u64) as usize;
            refund.lines = vec![refund.lines.swap_remove(line)];
        }
        refund.event_id = self.event_id("p").into();
        refund.time_ms += self.in_days(9.0, 0.5, 40.0);
        refund.refund = true;
        let time_ms = refund.time_ms;
        self.agenda.put_if_room(time_ms, Occurrence { event: Event::Purchase(refund), truth });
    }

    /// What is said of the payment later, if anything.
    fn verdict(&mut self, purchase: &Purchase<'static>, buyer: &Buyer, truth: Truth) {
        let is_large = purchase.amount_minor() as f64 > LARGE * buyer.level_minor;
        let (verdict, source, after_ms) = if truth.fraud.is_some() {
            if !chance(&mut self.rng, NOTICED) {
                return;
            }
            // The customer sees it on the phone, or on the statement, or the bank says so.
            let source = ["customer", "chargeback", "analyst:1"][self.rng.below(3) as usize];
            (Verdict::Fraud, source, self.in_days(2.5, 1.0, 30.0))
        } else if chance(&mut self.rng, DENIED) {
            (Verdict::Fraud, "chargeback", self.in_days(10.0, 0.6, 45.0))
        } else if chance(&mut self.rng, if is_large { CONFIRMED_LARGE } else { CONFIRMED }) {
            let source = ["analyst:1", "analyst:2"][self.rng.below(2) as usize];
            (Verdict::Legitimate, source, self.in_days(1.0, 0.8, 14.0))
        } else {
            return;
        };
        let time_ms = purchase.time_ms + after_ms.max(HOUR_MS / 2);
        let event = Event::Feedback(Feedback {
            customer: purchase.key().to_owned().into(),
            event_id: purchase.event_id.clone(),
            verdict,
            time_ms,
            source: source.into(),
        });
        self.agenda.put_if_room(time_ms, Occurrence { event, truth });
    }

    /// A log-normal number of days, in milliseconds.
    fn in_days(&mut self, median_days: f64, sigma: f64, days_max: f64) -> TimeMs {
        let days = log_normal(&mut self.rng, median_days, sigma).min(days_max);
        (days * DAY_MS as f64) as TimeMs
    }
}
