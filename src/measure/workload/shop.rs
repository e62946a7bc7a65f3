//! Visits of a shop: a fixed number are going on at any moment, each of one customer.

use super::{CUSTOMERS, ITEMS, Zipf};
use crate::event::{Engagement, EngagementKind, TimeMs};
use crate::math::rng::{Rng, mix};

/// Visits at any moment. With 3.4 engagements a second a visitor does something every minute.
const AT_ONCE: usize = 200;
/// A visit ends after each of its events with a chance of one in so many.
const LENGTH: u64 = 8;
const CATEGORIES: u32 = 50;

#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    open: Vec<Session>,
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    number: u64,
    customer: u32,
    item: u32,
}

/// What a visitor just did.
pub(super) struct Visit {
    pub customer: u32,
    session: u64,
    kind: EngagementKind,
    item: u32,
    duration_seconds: f64,
}

impl Sessions {
    /// One event of a visit chosen at random.
    pub fn step(&mut self, rng: &mut Rng, customers: &Zipf, items: &Zipf) -> Visit {
        let at = self.choose(rng, customers);
        let session = &mut self.open[at];
        let kind = match rng.below(100) {
            0..70 => EngagementKind::View,
            70..82 => EngagementKind::Click,
            82..90 => EngagementKind::AddToCart,
            90..92 => EngagementKind::RemoveFromCart,
            92..95 => EngagementKind::Wishlist,
            95..98 => EngagementKind::Search,
            _ => EngagementKind::Login,
        };
        if kind == EngagementKind::View {
            session.item = items.sample(rng);
        }
        let Session { number, customer, item } = *session;
        if rng.below(LENGTH) == 0 {
            self.open.swap_remove(at);
        }
        // Exponential, mean 20 s.
        let duration_seconds = -20.0 * libm::log(1.0 - rng.uniform());
        Visit { customer, session: number, kind, item, duration_seconds }
    }

    /// The customer of a visit that is going on.
    pub fn shopper(&mut self, rng: &mut Rng, customers: &Zipf) -> u32 {
        let at = self.choose(rng, customers);
        self.open[at].customer
    }

    fn choose(&mut self, rng: &mut Rng, customers: &Zipf) -> usize {
        while self.open.len() < AT_ONCE {
            self.begun += 1;
            let customer = customers.sample(rng).min(CUSTOMERS - 1);
            self.open.push(Session {
                number: self.begun,
                customer,
                item: rng.below(u64::from(ITEMS)) as u32,
            });
        }
        rng.below(AT_ONCE as u64) as usize
    }
}

impl Visit {
    pub fn engagement(&self, event_id: String, customer: String, time_ms: TimeMs) -> Engagement<'static> {
        let is_about_item = !matches!(self.kind, EngagementKind::Search | EngagementKind::Login);
        Engagement {
            event_id: event_id.into(),
            customer: customer.into(),
            time_ms,
            kind: self.kind,
            session: Some(format!("session-{:010}", self.session).into()),
            item: is_about_item.then(|| item(self.item).into()),
            category: is_about_item.then(|| category(self.item).into()),
            duration_seconds: (self.kind == EngagementKind::View).then_some(self.duration_seconds),
            query: (self.kind == EngagementKind::Search).then(|| category(self.item).into()),
            experiment: None,
            variant: None,
            anonymous_id: None,
        }
    }
}

pub(super) fn item(item: u32) -> String {
    format!("item-{item:06}")
}

pub(super) fn category(item: u32) -> String {
    format!("category-{:02}", mix(u64::from(item)) % u64::from(CATEGORIES))
}
