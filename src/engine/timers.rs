//! Timers in event time, armed from state only: the index of the due times that stand in the records.

use std::collections::BTreeSet;

use crate::customer::table::Table;
use crate::customer::{CustomerKey, NOT_ARMED};
use crate::event::TimeMs;

/// Fired per step at most; the rest stay due.
pub const FIRE_MAX: usize = 64;

/// A due timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    pub due_ms: TimeMs,
    pub customer: CustomerKey,
    pub kind: u8,
}

/// In (due, customer, kind) order. Cost: logarithmic; 33 bytes a timer and the tree's slack.
#[derive(Debug, Clone, Default)]
pub struct Timers(BTreeSet<Timer>);

impl Timers {
    /// The index of a restored table.
    pub fn of(table: &Table) -> Timers {
        let armed = table.iter().flat_map(|(_, customer)| {
            let key = customer.key();
            (0_u8..).zip(customer.timers).map(move |(kind, due_ms)| Timer { due_ms, customer: key, kind })
        });
        Timers(armed.filter(|timer| timer.due_ms != NOT_ARMED).collect())
    }

    pub fn arm(&mut self, timer: Timer) {
        self.0.insert(timer);
    }

    pub fn disarm(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    /// Takes the first timer that is due at `now_ms`.
    pub fn pop_due(&mut self, now_ms: TimeMs) -> Option<Timer> {
        if self.0.first()?.due_ms > now_ms { None } else { self.0.pop_first() }
    }

    pub fn next_due_ms(&self) -> Option<TimeMs> {
        self.0.first().map(|timer| timer.due_ms)
    }

    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<Timer>() * 3 / 2
    }
}
