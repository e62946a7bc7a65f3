//! What is due when.

use std::collections::BTreeMap;

use super::Occurrence;
use super::fraud::Thief;
use super::season::Place;
use crate::event::TimeMs;

/// Something on the agenda.
#[derive(Debug, Clone)]
pub(super) enum Due {
    Event(Box<Occurrence>),
    /// A new customer comes.
    Arrival,
    /// Somebody comes whom nobody knows.
    Guest,
    /// A day begins.
    Day,
    Newsletter,
    /// A customer does what was planned; each has one plan.
    Turn {
        slot: u32,
        turn: Turn,
    },
    /// The customer of this number, if it still is there, follows a newsletter's link.
    Mail {
        slot: u32,
        number: u32,
    },
    Thief(Box<Thief>),
}

/// What a customer does next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    Order(Place),
    Browse,
    Leave,
}

/// In order of time; what is due at one time in the order in which it was put.
#[derive(Debug, Clone)]
pub(super) struct Agenda {
    due: BTreeMap<(TimeMs, u64), Due>,
    count: u64,
    waiting_max: usize,
}

impl Agenda {
    pub fn new(waiting_max: usize) -> Agenda {
        Agenda { due: BTreeMap::new(), count: 0, waiting_max }
    }

    pub fn put(&mut self, time_ms: TimeMs, due: Due) {
        self.count += 1;
        self.due.insert((time_ms, self.count), due);
    }

    /// Something that may be left out: it is where too much is under way.
    pub fn put_if_room(&mut self, time_ms: TimeMs, occurrence: Occurrence) {
        if self.due.len() < self.waiting_max {
            self.put(time_ms, Due::Event(Box::new(occurrence)));
        }
    }

    /// The next. Arrivals, guests, days and newsletters are always there.
    pub fn take(&mut self) -> (TimeMs, Due) {
        let ((time_ms, _), due) = self.due.pop_first().expect("a day is always to come");
        (time_ms, due)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Its time, where the next is an event.
    pub fn next_event_ms(&self) -> Option<TimeMs> {
        let ((time_ms, _), due) = self.due.first_key_value()?;
        matches!(due, Due::Event(_)).then_some(*time_ms)
    }
}
