//! Fraud: accounts that are emptied at once, tills that are tampered with, cards that leak.
//!
//! How much there is follows the payments of the day before, so that its share does not hang on the shop's size.

use super::Shop;
use super::agenda::Due;
use super::basket::grab;
use super::draw::{chance, log_normal, poisson};
use super::order::{Buyer, Means};
use super::season::{DAY_MS, HOUR_MS};
use super::{FraudKind, shopper::Shopper};
use crate::event::TimeMs;
use crate::math::rng::Rng;

/// Payments of a leaked card on average.
const LEAKED_PAYMENTS: f64 = 5.0;
/// Of a leaked card's payments, those in a branch; the others are online.
const IN_BRANCH: f64 = 0.35;
/// Of those online, those that the thief makes as a guest.
const AS_GUEST: f64 = 0.15;
/// Leaked cards that are tried with a small payment first.
const TESTED: f64 = 0.35;
/// A tampered till is found out after so many days, evenly, and so much of its payments is fraud meanwhile.
const TAMPERED_DAYS: (f64, f64) = (5.0, 20.0);
const TAMPERED_SHARE: (f64, f64) = (0.4, 0.9);

/// Tills that are tampered with, and how many payments there were.
#[derive(Debug, Clone, Default)]
pub(super) struct Fraud {
    tampered: Vec<Tampered>,
    /// Since the day began.
    pub payments: u32,
}

#[derive(Debug, Clone)]
struct Tampered {
    till: u32,
    from_ms: TimeMs,
    until_ms: TimeMs,
    share: f64,
}

/// Somebody who pays with what is a customer's.
#[derive(Debug, Clone)]
pub(super) struct Thief {
    slot: u32,
    kind: FraudKind,
    victim: Shopper,
    payments_left: u32,
    device: String,
    country: &'static str,
    /// The next payment is to see whether it works.
    tests: bool,
}

impl Fraud {
    /// Whether a payment at the till comes out fraudulent.
    pub fn is_tampered(&self, rng: &mut Rng, till: u32, time_ms: TimeMs) -> bool {
        let here =
            self.tampered.iter().find(|t| t.till == till && (t.from_ms..t.until_ms).contains(&time_ms));
        here.is_some_and(|tampered| chance(rng, tampered.share))
    }
}

impl Shop {
    /// What begins today.
    pub(super) fn fraud_of_the_day(&mut self) {
        let payments = f64::from(std::mem::take(&mut self.fraud.payments));
        let now_ms = self.now_ms;
        self.fraud.tampered.retain(|tampered| now_ms < tampered.until_ms);
        let of_kind = payments * self.config.fraud_share / 3.0;
        for _ in 0..poisson(&mut self.rng, of_kind) {
            self.begin(FraudKind::HighAmount);
        }
        for _ in 0..poisson(&mut self.rng, of_kind / LEAKED_PAYMENTS) {
            self.begin(FraudKind::LeakedCard);
        }
        // About a third of all payments is made at tills.
        let days = f64::midpoint(TAMPERED_DAYS.0, TAMPERED_DAYS.1);
        let share = f64::midpoint(TAMPERED_SHARE.0, TAMPERED_SHARE.1);
        let of_till = (payments / 3.0 / f64::from(self.config.tills) * days * share).max(1.0);
        for _ in 0..poisson(&mut self.rng, of_kind / of_till) {
            let between = |rng: &mut Rng, (low, high): (f64, f64)| low + (high - low) * rng.uniform();
            let from_ms = now_ms + (self.rng.uniform() * DAY_MS as f64) as TimeMs;
            let until_ms = from_ms + (between(&mut self.rng, TAMPERED_DAYS) * DAY_MS as f64) as TimeMs;
            let share = between(&mut self.rng, TAMPERED_SHARE);
            let till = self.rng.below(u64::from(self.config.tills)) as u32;
            self.fraud.tampered.push(Tampered { till, from_ms, until_ms, share });
        }
    }

    /// A thief gets hold of somebody's card or account, at some time of the day.
    fn begin(&mut self, kind: FraudKind) {
        let Some((slot, victim)) = self.people.any(&mut self.rng) else { return };
        let victim = victim.clone();
        let at_ms = self.now_ms + (self.rng.uniform() * DAY_MS as f64) as TimeMs;
        let is_leak = kind == FraudKind::LeakedCard;
        let payments_left = if is_leak { 2 + poisson(&mut self.rng, LEAKED_PAYMENTS - 2.0) } else { 1 };
        let is_abroad = chance(&mut self.rng, if is_leak { 0.7 } else { 0.4 });
        let is_own_device = !is_leak && chance(&mut self.rng, 0.3);
        let thief = Thief {
            slot,
            kind,
            payments_left,
            device: if is_own_device { victim.device_name() } else { self.new_device() },
            country: if is_abroad { self.abroad() } else { victim.country },
            tests: is_leak && chance(&mut self.rng, TESTED),
            victim,
        };
        self.agenda.put(at_ms, Due::Thief(Box::new(thief)));
    }

    /// The thief pays now, and again after some hours.
    pub(super) fn thief(&mut self, mut thief: Thief) {
        let level_minor = thief.victim.level_minor;
        let times = match thief.kind {
            _ if std::mem::take(&mut thief.tests) => 0.08,
            FraudKind::HighAmount => log_normal(&mut self.rng, 5.0, 0.4),
            _ => log_normal(&mut self.rng, 2.2, 0.45),
        };
        let Shop { rng, catalogue, now_ms, .. } = self;
        let basket = grab(rng, catalogue, times * level_minor, *now_ms);
        let mut buyer = Buyer::from(&thief.victim);
        let is_in_branch = thief.kind == FraudKind::LeakedCard && chance(&mut self.rng, IN_BRANCH);
        if !is_in_branch && thief.kind == FraudKind::LeakedCard && chance(&mut self.rng, AS_GUEST) {
            (buyer.id, buyer.left_at_ms) = (None, None);
        }
        let means = Means {
            instrument: thief.victim.instrument(),
            channel: if is_in_branch { "store" } else { "web" },
            till: is_in_branch.then(|| self.tills.sample(&mut self.rng)),
            device: (!is_in_branch).then(|| thief.device.clone()),
            country: thief.country,
        };
        self.pay(&buyer, self.now_ms, &basket, means, Some(thief.kind));
        thief.payments_left -= 1;
        if thief.payments_left > 0 {
            let hours = log_normal(&mut self.rng, 4.0, 1.2).min(48.0);
            self.agenda.put(self.now_ms + (hours * HOUR_MS as f64) as TimeMs, Due::Thief(Box::new(thief)));
        } else if let Some(victim) = self.people.get_mut(thief.slot)
            && victim.number == thief.victim.number
        {
            victim.card += 1;
        }
    }
}
