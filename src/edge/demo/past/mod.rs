//! The shop's past: its events through the whole service, in event time, and what was said held against the truth.
//!
//! The service learns from verdicts alone, when they come: those that the shop tells, and where there is a desk those
//! on its own alerts. What is true the shop tells the measures only.

mod alerts;
mod churn;
mod desk;
mod orders;
mod print;

use std::collections::BTreeMap;

use serde::Serialize;

use super::shop::{Config, Occurrence, Shop};
use crate::edge::backtest::{BacktestError, Chunks, Continued, RecordPlace, Said, Service};
use crate::edge::log::LogError;
use crate::event::{Event, Feedback, Reject, TimeMs};
use crate::measure::lists::Lists;
use alerts::{Alerts, Payments};
use churn::{Churn, Customers};
use desk::{Desk, DeskReport};
use orders::{NextOrder, Rated};

/// Event time and events of a chunk at most. A chunk's inputs come one after the other, so it must be shorter than the
/// lateness of 10 min that the engine bears.
const CHUNK_MS: TimeMs = 5 * 60_000;
const CHUNK_EVENTS: usize = 256;
const DAY_MS: TimeMs = 86_400_000;
/// Days of a month.
pub const MONTH_DAYS: u32 = 30;

/// What is told, and to whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The shop's, for the document.
    pub seed: u64,
    /// Everything that happens before it.
    pub end_ms: TimeMs,
    /// Hours after which a desk has looked at an alert, at least 1; None where nobody does.
    pub desk_hours: Option<u32>,
}

/// What was found: the same to the digit for the same seed and settings, on every machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Past {
    pub seed: u64,
    /// Event time, from the start to before the end, in milliseconds since 1970.
    pub start_ms: TimeMs,
    pub end_ms: TimeMs,
    pub events: Events,
    /// None where nobody looked at alerts.
    pub desk: Option<DeskReport>,
    pub service: Applied,
    pub anomaly: Alerts,
    pub churn: Churn,
    pub recommend: Recommend,
    /// Event ids of the payments with an alert, oldest first, and whether each truly is fraud.
    #[serde(skip)]
    pub alerted: Vec<(String, bool)>,
}

/// What the shop told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Events {
    pub all: u64,
    /// Payments and refunds.
    pub purchases: u64,
    pub payments: u64,
    pub refunds: u64,
    /// Payments of guests.
    pub guests: u64,
    pub engagements: u64,
    pub feedback: u64,
}

/// What the service took in, and holds at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    pub purchases: u64,
    pub engagements: u64,
    pub feedback: u64,
    pub duplicates: u64,
    pub dead_letters: BTreeMap<&'static str, u64>,
    pub alerts: u64,
    pub customers: usize,
}

/// How the lists did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommend {
    /// Whether an order held an item of the list as it was when the visit began that led to the order. A list that is
    /// made in a visit does not show what is in the cart.
    pub next_order: Rated,
    /// Whether the next thing that was looked at, picked or bought was on the last list, as in `habitue backtest`.
    pub next_item: Rated,
}

/// Takes everything that happens before the end out of the shop, which goes on from there. `passed` hears the event
/// time now and then.
///
/// # Errors
/// When the service stops, which is a fault of ours.
pub fn tell(
    shop: &mut Shop,
    settings: &Settings,
    passed: &mut dyn FnMut(TimeMs),
) -> Result<Past, BacktestError> {
    let service = Service::start(shop.next_time_ms(), 1)?;
    tell_to(service, shop, settings, passed).map(|(past, _)| past)
}

/// As [`tell`], and what the service leaves to the one that goes on.
///
/// # Errors
/// As [`tell`].
pub fn tell_and_leave(
    shop: &mut Shop,
    settings: &Settings,
    passed: &mut dyn FnMut(TimeMs),
) -> Result<(Past, Continued), BacktestError> {
    let service = Service::start_continued(shop.next_time_ms(), 1)?;
    let (past, service) = tell_to(service, shop, settings, passed)?;
    let left = service.end()?;
    let nothing = || LogError::Fatal("the service of the past left nothing".to_owned());
    Ok((past, left.ok_or_else(nothing)?))
}

fn tell_to(
    service: Service,
    shop: &mut Shop,
    settings: &Settings,
    passed: &mut dyn FnMut(TimeMs),
) -> Result<(Past, Service), BacktestError> {
    let start_ms = shop.next_time_ms();
    let mut told = Told {
        service,
        chunks: Chunks::new(CHUNK_MS, CHUNK_EVENTS),
        taken: Vec::new(),
        events: Events::default(),
        payments: Payments::new(start_ms),
        customers: Customers::default(),
        alerted: Vec::new(),
        desk: Desk::new(settings.desk_hours.map(|hours| hours.max(1))),
        next_order: NextOrder::default(),
        next_item: Lists::default(),
    };
    while shop.next_time_ms() < settings.end_ms {
        let occurrence = shop.next_occurrence();
        while let Some(verdict) = told.desk.due(occurrence.event.time_ms()) {
            told.judge(verdict)?;
        }
        told.occur(&occurrence)?;
        if told.events.all.is_multiple_of(1_000) {
            passed(told.chunks.now_ms());
        }
    }
    told.catch_up()?;
    // Whether they order within the horizon, a copy of the shop knows.
    let mut ahead = shop.clone();
    let known_ms = settings.end_ms + Customers::horizon_ms();
    while ahead.next_time_ms() < known_ms {
        told.customers.occur(&ahead.next_occurrence());
    }
    Ok(told.past(settings, start_ms, known_ms))
}

/// The end of so many months after the start.
pub fn end_ms(config: &Config, months: u32) -> TimeMs {
    config.start_ms + TimeMs::from(months) * TimeMs::from(MONTH_DAYS) * DAY_MS
}

struct Told {
    service: Service,
    chunks: Chunks,
    /// Of the chunk at hand.
    taken: Vec<Taken>,
    events: Events,
    payments: Payments,
    customers: Customers,
    alerted: Vec<(String, bool)>,
    desk: Desk,
    next_order: NextOrder,
    next_item: Lists,
}

/// What a customer or a guest took, and the place of its record.
struct Taken {
    source: RecordPlace,
    customer: Option<String>,
    items: Vec<String>,
    time_ms: TimeMs,
    /// Ordered by the customer, not by a thief in the customer's name.
    is_order: bool,
}

impl Told {
    fn occur(&mut self, occurrence: &Occurrence) -> Result<(), BacktestError> {
        let Occurrence { event, truth } = occurrence;
        let source = self.feed(event)?;
        self.events.count(event);
        self.payments.occur(occurrence);
        self.customers.occur(occurrence);
        self.taken.push(Taken {
            source,
            customer: event.customer().map(str::to_owned),
            items: event.taken().into_iter().map(str::to_owned).collect(),
            time_ms: event.time_ms(),
            is_order: matches!(event, Event::Purchase(_)) && truth.fraud.is_none_or(|kind| !kind.is_thief()),
        });
        Ok(())
    }

    /// The desk says what a payment was.
    fn judge(&mut self, verdict: Feedback<'static>) -> Result<(), BacktestError> {
        self.payments.judged(&verdict);
        self.feed(&Event::Feedback(verdict)).map(|_| ())
    }

    fn feed(&mut self, event: &Event<'_>) -> Result<RecordPlace, BacktestError> {
        let time_ms = event.time_ms();
        if self.chunks.ends_before(time_ms) {
            self.catch_up()?;
        }
        if self.chunks.advance(time_ms) {
            self.catch_up()?;
        }
        self.chunks.fed(time_ms);
        Ok(self.service.feed(event, self.chunks.now_ms())?)
    }

    fn catch_up(&mut self) -> Result<(), BacktestError> {
        self.chunks.caught_up();
        let Told { service, chunks, payments, customers, alerted, desk, .. } = self;
        let mut made = service.catch_up(chunks.now_ms(), &mut |said| match said {
            Said::Scored { event_id, value } => payments.scored(event_id, value),
            Said::Alerted { event_id, reason } => {
                if let Some((key, is_fraud)) = payments.alerted(event_id, reason) {
                    alerted.push((event_id.to_owned(), is_fraud));
                    desk.alerted(event_id, key, is_fraud, chunks.now_ms());
                }
            }
            Said::Moment(moment) => customers.moment(moment),
        })?;
        for Taken { source, customer, items, time_ms, is_order } in self.taken.drain(..) {
            let names: Vec<&str> = items.iter().map(String::as_str).collect();
            self.next_item.taken(customer.as_deref(), &names, time_ms);
            self.next_order.taken(customer.as_deref(), &names, time_ms, is_order);
            if let Some(list) = made.remove(&source) {
                self.next_item.list(&list.customer, list.items.clone());
                self.next_order.list(&list.customer, list.items);
            }
        }
        self.next_order.pass(self.chunks.now_ms());
        Ok(())
    }

    fn past(mut self, settings: &Settings, start_ms: TimeMs, known_ms: TimeMs) -> (Past, Service) {
        let counts = self.service.counts();
        let [purchases, engagements, feedback] = counts.applied;
        let dead =
            Reject::ALL.into_iter().map(|reason| (reason.name(), counts.dead_letters[reason as usize]));
        let past = Past {
            seed: settings.seed,
            start_ms,
            end_ms: settings.end_ms,
            events: self.events,
            desk: self.desk.report(),
            service: Applied {
                purchases,
                engagements,
                feedback,
                duplicates: counts.duplicates,
                dead_letters: dead.filter(|(_, count)| *count > 0).collect(),
                alerts: counts.alerts,
                customers: counts.customers,
            },
            anomaly: self.payments.alerts(),
            churn: self.customers.churn(known_ms),
            alerted: self.alerted,
            recommend: Recommend {
                next_order: (&self.next_order.finish()).into(),
                next_item: (&self.next_item).into(),
            },
        };
        (past, self.service)
    }
}

impl Events {
    fn count(&mut self, event: &Event<'_>) {
        self.all += 1;
        match event {
            Event::Purchase(purchase) => {
                self.purchases += 1;
                if purchase.refund {
                    self.refunds += 1;
                } else {
                    self.payments += 1;
                    self.guests += u64::from(purchase.customer.is_none());
                }
            }
            Event::Engagement(_) => self.engagements += 1,
            Event::Feedback(_) => self.feedback += 1,
        }
    }
}
