//! Orders: who pays, where, with what.

use super::agenda::Due;
use super::basket::Picked;
use super::draw::{chance, log_normal};
use super::shopper::Shopper;
use super::{FraudKind, Occurrence, Shop, Truth};
use crate::event::{Currency, Event, Purchase, TimeMs};

const EUR: Currency = Currency(*b"EUR");
/// How far a customer's orders lie apart, as a logarithm.
const AMOUNT_SIGMA: f64 = 0.42;
/// Share of orders that are much larger than usual for a good reason: presents, a move, an office.
const LARGE: f64 = 0.015;
/// Countries that are travelled to, and that thieves say they are in.
pub(super) const ABROAD: [&str; 8] = ["FR", "IT", "ES", "GB", "PL", "US", "RO", "TR"];

/// Whose order it is.
#[derive(Debug, Clone)]
pub(super) struct Buyer {
    /// None is a guest.
    pub id: Option<String>,
    pub left_at_ms: Option<TimeMs>,
    /// Middle of the buyer's amounts, in minor units.
    pub level_minor: f64,
}

impl From<&Shopper> for Buyer {
    fn from(shopper: &Shopper) -> Buyer {
        Buyer {
            id: Some(shopper.id()),
            left_at_ms: Some(shopper.left_at_ms),
            level_minor: shopper.level_minor,
        }
    }
}

/// How it is paid.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub instrument: String,
    pub channel: &'static str,
    /// None online.
    pub till: Option<u32>,
    pub device: Option<String>,
    pub country: &'static str,
}

impl Shop {
    /// A payment at that time, now or soon. At a tampered till it may turn out to be fraud.
    pub(super) fn pay(
        &mut self,
        buyer: &Buyer,
        time_ms: TimeMs,
        basket: &[Picked],
        means: Means,
        fraud: Option<FraudKind>,
    ) {
        if basket.is_empty() {
            return;
        }
        self.fraud.payments += 1;
        let fraud = fraud.or_else(|| {
            let is_tampered = self.fraud.is_tampered(&mut self.rng, means.till?, time_ms);
            is_tampered.then_some(FraudKind::CompromisedTerminal)
        });
        self.orders += 1;
        let purchase = Purchase {
            event_id: self.event_id("p").into(),
            customer: buyer.id.clone().map(Into::into),
            order: format!("o-{:07}", self.orders).into(),
            time_ms,
            lines: basket.iter().map(|(item, quantity)| self.catalogue.line(*item, *quantity)).collect(),
            currency: EUR,
            instrument: Some(means.instrument.into()),
            channel: Some(means.channel.into()),
            terminal: means.till.map(|till| format!("till-{:02}", till + 1).into()),
            device: means.device.map(Into::into),
            country: Some(means.country.into()),
            refund: false,
        };
        let truth = Truth { fraud, left_at_ms: buyer.left_at_ms };
        self.follow(&purchase, buyer, truth);
        let event = Event::Purchase(purchase);
        self.agenda.put(time_ms, Due::Event(Box::new(Occurrence { event, truth })));
    }

    /// What an order is to cost, in minor units.
    pub(super) fn amount_minor(&mut self, level_minor: f64) -> f64 {
        let usual = log_normal(&mut self.rng, level_minor, AMOUNT_SIGMA);
        if chance(&mut self.rng, LARGE) { usual * (2.5 + 3.5 * self.rng.uniform()) } else { usual }
    }

    /// How a customer pays in a branch: mostly at the till next door.
    pub(super) fn at_till(&mut self, shopper: &Shopper) -> Means {
        let Shop { rng, tills, .. } = self;
        let till = match rng.below(100) {
            0..72 => shopper.tills[0],
            72..90 => shopper.tills[1],
            _ => tills.sample(rng),
        };
        Means {
            instrument: shopper.instrument(),
            channel: "store",
            till: Some(till),
            device: None,
            country: shopper.country,
        }
    }

    /// How a customer pays online: from the usual device, at home but for now and then.
    pub(super) fn online(&mut self, shopper: &Shopper) -> Means {
        let is_abroad = chance(&mut self.rng, 0.015);
        Means {
            instrument: shopper.instrument(),
            channel: if shopper.number.is_multiple_of(3) { "app" } else { "web" },
            till: None,
            device: Some(shopper.device_name()),
            country: if is_abroad { self.abroad() } else { shopper.country },
        }
    }

    pub(super) fn abroad(&mut self) -> &'static str {
        ABROAD[self.rng.below(ABROAD.len() as u64) as usize]
    }

    /// A device that nobody has seen.
    pub(super) fn new_device(&mut self) -> String {
        format!("device-x{:08x}", self.rng.next_u64() >> 32)
    }
}
