//! Timers in event time, armed from state only: the index of the due times that stand in the records.

use std::collections::BTreeSet;

use crate::customer::table::Table;
use crate::customer::{NOT_ARMED, TIMER_KINDS};
use crate::event::TimeMs;

/// Fired per step at most; the rest stay due.
pub const FIRE_MAX: usize = 64;

/// A due timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    pub due_ms: TimeMs,
    /// Of the customer's record. A slot that is given back has no timers.
    pub slot: u32,
    pub kind: usize,
}

/// By kind, each in (due, slot) order. Cost: logarithmic; 16 bytes a timer and the tree's slack.
#[derive(Debug, Clone, Default)]
pub struct Timers([BTreeSet<(TimeMs, u32)>; TIMER_KINDS]);

impl Timers {
    /// The index of a restored table.
    pub fn of(table: &Table) -> Timers {
        let mut timers = Timers::default();
        for (slot, customer) in table.iter() {
            for (kind, due_ms) in customer.timers.into_iter().enumerate().filter(|(_, due)| *due != NOT_ARMED)
            {
                timers.0[kind].insert((due_ms, slot));
            }
        }
        timers
    }

    pub fn arm(&mut self, timer: Timer) {
        self.0[timer.kind].insert((timer.due_ms, timer.slot));
    }

    pub fn disarm(&mut self, timer: Timer) {
        self.0[timer.kind].remove(&(timer.due_ms, timer.slot));
    }

    /// Takes the first timer of any kind, if it is due at `now_ms`.
    pub fn pop_due(&mut self, now_ms: TimeMs) -> Option<Timer> {
        let timer = self.first().filter(|timer| timer.due_ms <= now_ms)?;
        self.disarm(timer);
        Some(timer)
    }

    /// Takes the first timer of this kind, due or not.
    pub fn pop_of(&mut self, kind: usize) -> Option<Timer> {
        let (due_ms, slot) = self.0[kind].pop_first()?;
        Some(Timer { due_ms, slot, kind })
    }

    pub fn next_due_ms(&self) -> Option<TimeMs> {
        self.first().map(|timer| timer.due_ms)
    }

    /// In (due, slot, kind) order.
    fn first(&self) -> Option<Timer> {
        let firsts = self.0.iter().enumerate().filter_map(|(kind, set)| {
            let (due_ms, slot) = *set.first()?;
            Some(Timer { due_ms, slot, kind })
        });
        firsts.min()
    }

    pub fn bytes(&self) -> usize {
        let timers: usize = self.0.iter().map(BTreeSet::len).sum();
        timers * size_of::<(TimeMs, u32)>() * 3 / 2
    }
}
