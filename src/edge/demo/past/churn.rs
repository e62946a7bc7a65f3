//! Churn against who truly did not order, and who truly had left.

use std::collections::BTreeMap;

use serde::Serialize;

use super::DAY_MS;
use crate::analysis::churn;
use crate::customer::customer_key;
use crate::edge::demo::shop::{Occurrence, Truth};
use crate::event::{Event, TimeMs};
use crate::measure::churn::{Moments, Ratings};
use crate::signal::fact::ChurnMoment;

/// Published probabilities of no order within the horizon, at every moment, against two truths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Churn {
    pub horizon_days: u16,
    /// The customer does not order on a later day of the horizon. What a thief orders does not count.
    pub no_order: Ratings,
    /// The customer has left by the end of the horizon, which nothing tells but silence.
    pub left: Ratings,
}

/// What is true of customers, and the moments at which something was said of them.
#[derive(Default)]
pub(super) struct Customers {
    /// By the lower half of the customer's key, as in a moment.
    truths: BTreeMap<u64, Own>,
    moments: Moments,
}

#[derive(Default)]
struct Own {
    left_at_ms: TimeMs,
    /// Days of own orders, ascending.
    order_days: Vec<i64>,
}

impl Customers {
    pub fn horizon_ms() -> TimeMs {
        TimeMs::from(churn::Config::default().horizon_days) * DAY_MS
    }

    pub fn occur(&mut self, occurrence: &Occurrence) {
        let Occurrence { event, truth: Truth { fraud, left_at_ms: Some(left_at_ms) } } = occurrence else {
            return;
        };
        let Some(id) = event.customer() else { return };
        let own = self.truths.entry(customer_key(id) as u64).or_default();
        own.left_at_ms = *left_at_ms;
        let day = event.time_ms().div_euclid(DAY_MS);
        let is_own = matches!(event, Event::Purchase(p) if !p.refund) && fraud.is_none_or(|f| !f.is_thief());
        if is_own && own.order_days.last() != Some(&day) {
            own.order_days.push(day);
        }
    }

    pub fn moment(&mut self, moment: ChurnMoment) {
        self.moments.push(moment);
    }

    /// When everything before `known_ms` is known.
    pub fn churn(&self, known_ms: TimeMs) -> Churn {
        let horizon_days = churn::Config::default().horizon_days;
        let truth = |moment: &ChurnMoment| self.truths.get(&moment.customer);
        let rated = |churned: &dyn Fn(&ChurnMoment) -> bool| {
            self.moments.clone().rated_against(churned, horizon_days, known_ms)
        };
        Churn {
            horizon_days,
            no_order: rated(&|moment| truth(moment).is_none_or(|own| !own.orders_after(moment.time_ms))),
            left: rated(&|moment| {
                truth(moment).is_none_or(|own| own.left_at_ms <= moment.time_ms + Customers::horizon_ms())
            }),
        }
    }
}

impl Own {
    /// Whether an order comes on a later day, within the horizon.
    fn orders_after(&self, time_ms: TimeMs) -> bool {
        let day = time_ms.div_euclid(DAY_MS);
        let last = (time_ms + Customers::horizon_ms()).div_euclid(DAY_MS);
        let next = self.order_days.partition_point(|order| *order <= day);
        self.order_days.get(next).is_some_and(|order| *order <= last)
    }
}
