//! The two named workloads of every speed figure, from a seed.
//!
//! Both are 10 M events in 30 days of event time at a steady rate; one event in twenty arrives up to a minute
//! late. [`Workload::Shop`]: 10 % purchases of three lines, 89 % engagements in sessions of about 8, 1 %
//! feedback; 100 000 customers and 20 000 items, Zipf 1.0. [`Workload::Payments`]: 99 % purchases and 1 %
//! feedback; 100 000 cards and 10 000 terminals, Zipf 0.6, with leaked cards, bursts and compromised
//! terminals among them. Feedback is about recent purchases and comes minutes to days after them.

mod fraud;
mod shop;
mod verdicts;
mod zipf;

use crate::event::{Currency, Event, Line, Purchase, TimeMs};
use crate::math::rng::Rng;
use fraud::Fraud;
use shop::Sessions;
use verdicts::Verdicts;
pub use zipf::Zipf;

/// 2026-06-01, where both begin.
pub const START_MS: TimeMs = 1_780_272_000_000;
/// Events of 30 days.
pub const EVENTS: u64 = 10_000_000;
pub const CUSTOMERS: u32 = 100_000;
pub const ITEMS: u32 = 20_000;
pub const TERMINALS: u32 = 10_000;

const MONTH_MS: u64 = 30 * 86_400_000;
/// One event in so many is late, by at most so much.
const LATE_ONE_IN: u64 = 20;
const LATE_MS_MAX: u64 = 60_000;
/// Terminals that a card is usually used at.
const HOMES: u64 = 8;
const EUR: Currency = Currency(*b"EUR");

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Shop,
    Payments,
}

impl Workload {
    pub const ALL: [Workload; 2] = [Workload::Shop, Workload::Payments];

    pub fn name(self) -> &'static str {
        match self {
            Workload::Shop => "shop",
            Workload::Payments => "payments",
        }
    }

    /// The workload of a name.
    pub fn of_name(name: &str) -> Option<Workload> {
        Workload::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Its events without end; the first [`EVENTS`] are the first 30 days. The same seed gives the same
    /// events on every machine.
    pub fn events(self, seed: u64) -> Events {
        Events::new(self, seed)
    }
}

/// An event on its way into its topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// When it reaches the log; its own time is the same or a little earlier.
    pub arrival_ms: TimeMs,
    pub event: Event<'static>,
    /// What its verdict is or would be.
    pub fraud: bool,
}

/// The events of a workload, one after the other.
#[derive(Debug, Clone)]
pub struct Events {
    workload: Workload,
    seed: u64,
    rng: Rng,
    /// Events so far.
    count: u64,
    customers: Zipf,
    items: Zipf,
    terminals: Zipf,
    /// By customer: mean of the log of an amount in minor units.
    log_amounts: Vec<f32>,
    /// By customer, [`HOMES`] each.
    homes: Vec<u16>,
    sessions: Sessions,
    fraud: Fraud,
    verdicts: Verdicts,
}

impl Events {
    fn new(workload: Workload, seed: u64) -> Events {
        let mut rng = Rng::seeded(&[seed, workload as u64]);
        let exponent = if workload == Workload::Shop { 1.0 } else { 0.6 };
        let terminals = Zipf::new(TERMINALS, exponent);
        // Purchases between two that may get a verdict: a little more than there is feedback.
        let verdict_every = if workload == Workload::Shop { 8 } else { 64 };
        Events {
            workload,
            seed,
            count: 0,
            customers: Zipf::new(CUSTOMERS, exponent),
            items: Zipf::new(ITEMS, exponent),
            // Half of all customers usually spend between 23 and 69 euros.
            log_amounts: (0..CUSTOMERS).map(|_| (libm::log(4_000.0) + 0.8 * rng.normal()) as f32).collect(),
            homes: (0..u64::from(CUSTOMERS) * HOMES).map(|_| terminals.sample(&mut rng) as u16).collect(),
            terminals,
            sessions: Sessions::default(),
            fraud: Fraud::default(),
            verdicts: Verdicts::new(verdict_every),
            rng,
        }
    }

    /// A number for an id: close seeds and counts give unrelated ones, as random ids are.
    fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", crate::math::rng::mix(self.count ^ crate::math::rng::mix(self.seed)))
    }

    fn purchase(&mut self, time_ms: TimeMs) -> Arrival {
        let customer = self.sessions.shopper(&mut self.rng, &self.customers);
        let lines = (0..3).map(|_| {
            let item = self.items.sample(&mut self.rng);
            let quantity = 1 + i64::from(self.rng.below(5) == 0);
            Line {
                item: shop::item(item).into(),
                category: Some(shop::category(item).into()),
                quantity,
                unit_price_minor: self.amount(customer, 1.0) / 3,
            }
        });
        let lines: Vec<Line<'static>> = lines.collect();
        self.finish(time_ms, customer, lines, None, false)
    }

    /// A payment of one card at one terminal.
    fn payment(&mut self, time_ms: TimeMs) -> Arrival {
        let usual = self.customers.sample(&mut self.rng);
        let next = self.fraud.next(&mut self.rng, usual, time_ms);
        let is_home = self.rng.below(10) != 0 && !next.is_elsewhere;
        let terminal = if is_home {
            let home = u64::from(next.card) * HOMES + self.rng.below(HOMES);
            u32::from(self.homes[home as usize])
        } else {
            self.terminals.sample(&mut self.rng)
        };
        let fraud = next.fraud || self.fraud.is_at(terminal, time_ms, &mut self.rng);
        let line = Line {
            item: "payment".into(),
            category: None,
            quantity: 1,
            unit_price_minor: self.amount(next.card, next.factor),
        };
        self.finish(time_ms, next.card, vec![line], Some(terminal), fraud)
    }

    /// Log-normal about the customer's own mean, at least 1.00.
    fn amount(&mut self, customer: u32, factor: f64) -> i64 {
        let log = f64::from(self.log_amounts[customer as usize]) + 0.5 * self.rng.normal();
        (factor * libm::exp(log)).clamp(100.0, 1e9) as i64
    }

    fn finish(
        &mut self,
        time_ms: TimeMs,
        customer: u32,
        lines: Vec<Line<'static>>,
        terminal: Option<u32>,
        fraud: bool,
    ) -> Arrival {
        let event_id = self.id("p-");
        self.verdicts.sold(&mut self.rng, time_ms, customer, &event_id, fraud);
        let (channel, country) = if terminal.is_some() { ("pos", "DE") } else { ("web", "DE") };
        let event = Event::Purchase(Purchase {
            order: format!("order-{:010}", self.count).into(),
            event_id: event_id.into(),
            customer: Some(self.customer(customer).into()),
            time_ms,
            lines,
            currency: EUR,
            instrument: Some(format!("card-{customer:07}").into()),
            channel: Some(channel.into()),
            terminal: terminal.map(|terminal| format!("terminal-{terminal:05}").into()),
            device: None,
            country: Some(country.into()),
            refund: false,
        });
        Arrival { arrival_ms: 0, event, fraud }
    }

    fn customer(&self, customer: u32) -> String {
        format!("customer-{customer:07}")
    }
}

impl Iterator for Events {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let arrival_ms = START_MS + (self.count * MONTH_MS / EVENTS) as TimeMs;
        let is_late = self.rng.below(LATE_ONE_IN) == 0;
        let late_ms = if is_late { self.rng.below(LATE_MS_MAX) } else { 0 };
        let time_ms = arrival_ms - late_ms as TimeMs;
        let chance = self.rng.below(100);
        let feedback = if chance == 0 { self.verdicts.due(&mut self.rng, time_ms) } else { None };
        let mut arrival = match (feedback, self.workload) {
            (Some(verdict), _) => {
                let event = Event::Feedback(verdict.feedback(self.customer(verdict.customer), time_ms));
                Arrival { arrival_ms, event, fraud: verdict.fraud }
            }
            (None, Workload::Payments) => self.payment(time_ms),
            (None, Workload::Shop) if chance <= 10 => self.purchase(time_ms),
            (None, Workload::Shop) => {
                let id = self.id("e-");
                let visit = self.sessions.step(&mut self.rng, &self.customers, &self.items);
                let event = Event::Engagement(visit.engagement(id, self.customer(visit.customer), time_ms));
                Arrival { arrival_ms, event, fraud: false }
            }
        };
        arrival.arrival_ms = arrival_ms;
        self.count += 1;
        Some(arrival)
    }
}

#[cfg(test)]
mod tests;
