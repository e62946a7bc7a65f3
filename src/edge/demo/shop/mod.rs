//! A made-up shop that tells what happens in it, and what is true of it and told to nobody.
//!
//! Customers come over the months, order at rates of their own, use things up and buy them again, look around, and
//! one day leave. Thieves pay with what is not theirs, and verdicts come days later, if at all. It is an endless
//! stream in order of time that depends on seed and settings only: the same whether it is taken at full speed or by
//! the clock, so a shop whose past was told goes on from where it stands.

mod agenda;
mod basket;
mod catalogue;
mod draw;
mod follow;
mod fraud;
mod order;
mod people;
mod season;
mod shopper;
#[cfg(test)]
mod tests;
mod visit;

use serde::Serialize;

use crate::event::{Event, TimeMs};
use crate::math::rng::Rng;
use crate::measure::workload::Zipf;
use agenda::{Agenda, Due, Turn};
use catalogue::Catalogue;
use fraud::Fraud;
use people::People;
use season::{DAY_MS, HOUR_MS, Place, next_time};

/// Something that happened, and what is true of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    pub event: Event<'static>,
    pub truth: Truth,
}

/// What no event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth {
    /// Of a payment; of a verdict, the payment's that it is about, whatever the verdict says. None is legitimate.
    pub fraud: Option<FraudKind>,
    /// From when on the customer neither visits nor orders. None of guests and of visitors that nobody knows.
    pub left_at_ms: Option<TimeMs>,
}

/// How a payment is fraudulent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FraudKind {
    /// One payment from a customer's account, far above the customer's level.
    HighAmount,
    /// A till that was tampered with: most of its payments for some days.
    CompromisedTerminal,
    /// A card that a thief uses for a few days.
    LeakedCard,
}

impl FraudKind {
    pub const ALL: [FraudKind; 3] =
        [FraudKind::HighAmount, FraudKind::CompromisedTerminal, FraudKind::LeakedCard];

    /// As it stands in documents.
    pub fn name(self) -> &'static str {
        match self {
            FraudKind::HighAmount => "high_amount",
            FraudKind::CompromisedTerminal => "compromised_terminal",
            FraudKind::LeakedCard => "leaked_card",
        }
    }

    /// Whether somebody else than the customer ordered. At a tampered till customers stand themselves.
    pub fn is_thief(self) -> bool {
        self != FraudKind::CompromisedTerminal
    }
}

/// How large a shop is. A number outside its range counts as the nearest inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// When it begins to tell.
    pub start_ms: TimeMs,
    /// Customers that it has by then; 0 to 100 000.
    pub customers_at_start: u32,
    /// New ones a day on average, 0.01 to 10 000.
    pub customers_a_day: f64,
    /// Nobody new comes while there are so many, 1 to 1 000 000.
    pub customers_max: u32,
    /// Visits a day, on average, of people that nobody knows, 0.01 to 10 000.
    pub guests_a_day: f64,
    /// Items of each of 24 categories, 4 to 1 000.
    pub items_in_category: u32,
    /// Terminals in the branches, 1 to 10 000.
    pub tills: u32,
    /// Share of fraud among payments, about, 0 to 0.2; the kinds have equal shares.
    pub fraud_share: f64,
    /// Occurrences that are under way at most: refunds and verdicts beyond do not happen.
    pub waiting_max: usize,
}

impl Default for Config {
    /// Some 200 thousand events in ten months, from 2026-01-01 on.
    fn default() -> Config {
        Config {
            start_ms: 1_767_225_600_000,
            customers_at_start: 1_350,
            customers_a_day: 9.0,
            customers_max: 20_000,
            guests_a_day: 14.5,
            items_in_category: 40,
            tills: 24,
            fraud_share: 0.0075,
            waiting_max: 100_000,
        }
    }
}

impl Config {
    fn clamped(&self) -> Config {
        Config {
            start_ms: self.start_ms.clamp(0, 1 << 50),
            customers_at_start: self.customers_at_start.min(100_000),
            customers_a_day: self.customers_a_day.clamp(0.01, 10_000.0),
            customers_max: self.customers_max.clamp(1, 1_000_000),
            guests_a_day: self.guests_a_day.clamp(0.01, 10_000.0),
            items_in_category: self.items_in_category.clamp(4, 1_000),
            tills: self.tills.clamp(1, 10_000),
            fraud_share: self.fraud_share.clamp(0.0, 0.2),
            waiting_max: self.waiting_max,
        }
    }
}

/// The shop. About 200 bytes a customer, 100 an item and 500 for each occurrence that is under way.
#[derive(Debug, Clone)]
pub struct Shop {
    config: Config,
    rng: Rng,
    now_ms: TimeMs,
    catalogue: Catalogue,
    tills: Zipf,
    people: People,
    agenda: Agenda,
    fraud: Fraud,
    /// Numbers of ids so far.
    events: u64,
    orders: u64,
    visits: u64,
}

impl Shop {
    /// A shop that depends on nothing but these.
    pub fn new(seed: u64, config: &Config) -> Shop {
        let config = config.clamped();
        let mut rng = Rng::seeded(&[seed]);
        let catalogue = Catalogue::new(&mut rng, config.items_in_category);
        let mut shop = Shop {
            now_ms: config.start_ms,
            people: People::new(config.customers_max),
            agenda: Agenda::new(config.waiting_max),
            tills: Zipf::new(config.tills, 0.5),
            fraud: Fraud::default(),
            events: 0,
            orders: 0,
            visits: 0,
            catalogue,
            config,
            rng,
        };
        for _ in 0..shop.config.customers_at_start {
            shop.arrive(true);
        }
        let start_ms = shop.now_ms;
        shop.agenda.put(start_ms, Due::Arrival);
        shop.agenda.put(start_ms, Due::Guest);
        shop.agenda.put(start_ms, Due::Day);
        // Newsletters go out on Thursdays at seven, and the epoch began on one.
        let weeks = start_ms.div_euclid(7 * DAY_MS) + 1;
        shop.agenda.put(weeks * 7 * DAY_MS + 7 * HOUR_MS, Due::Newsletter);
        shop
    }

    /// What happens next. There always is something.
    pub fn next_occurrence(&mut self) -> Occurrence {
        loop {
            let (time_ms, due) = self.agenda.take();
            self.now_ms = time_ms;
            match due {
                Due::Event(occurrence) => return *occurrence,
                due => self.act(due),
            }
        }
    }

    /// Event time of what happens next, which still does.
    pub fn next_time_ms(&mut self) -> TimeMs {
        loop {
            if let Some(time_ms) = self.agenda.next_event_ms() {
                return time_ms;
            }
            let (time_ms, due) = self.agenda.take();
            self.now_ms = time_ms;
            self.act(due);
        }
    }

    /// Does what is due and is no event itself. What comes of it is put on the agenda, never before now.
    fn act(&mut self, due: Due) {
        match due {
            Due::Event(occurrence) => self.agenda.put(self.now_ms, Due::Event(occurrence)),
            Due::Arrival => {
                self.arrive(false);
                self.again(1.0 / self.config.customers_a_day, Due::Arrival);
            }
            Due::Guest => {
                self.guest();
                self.again(1.0 / self.config.guests_a_day, Due::Guest);
            }
            Due::Day => {
                self.fraud_of_the_day();
                self.agenda.put(self.now_ms + DAY_MS, Due::Day);
            }
            Due::Newsletter => {
                self.newsletter();
                self.agenda.put(self.now_ms + 7 * DAY_MS, Due::Newsletter);
            }
            Due::Turn { slot, turn } => self.turn(slot, turn),
            Due::Mail { slot, number } => self.by_mail(slot, number),
            Due::Thief(thief) => self.thief(*thief),
        }
    }

    fn again(&mut self, mean_days: f64, due: Due) {
        let time_ms = next_time(&mut self.rng, Place::Online, mean_days, self.now_ms);
        self.agenda.put(time_ms, due);
    }

    /// A customer's turn: what was planned, and then a plan for the next.
    fn turn(&mut self, slot: u32, turn: Turn) {
        match turn {
            Turn::Leave => return self.leave(slot),
            Turn::Order(Place::Store) => self.branch(slot),
            Turn::Order(Place::Online) => self.visit(slot, true),
            Turn::Browse => self.visit(slot, false),
        }
        self.plan(slot);
    }

    fn event_id(&mut self, prefix: &str) -> String {
        self.events += 1;
        format!("{prefix}-{:08}", self.events)
    }
}

impl Iterator for Shop {
    type Item = Occurrence;

    fn next(&mut self) -> Option<Occurrence> {
        Some(self.next_occurrence())
    }
}
