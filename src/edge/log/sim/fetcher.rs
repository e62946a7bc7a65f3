//! What a client reads: places, how far it has come in each, and its connection.

use super::broker::Broker;
use crate::edge::log::places::Places;
use crate::edge::log::{LogError, Record};
use crate::event::TimeMs;

/// Most records of a poll that `uneven_poll` has cut short.
const UNEVEN_RECORDS_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Fetcher {
    pub places: Places,
}

impl Fetcher {
    /// Hands over the next records; returns how many. After `OutOfRange`, which comes before any record
    /// is handed over, the place is not read again until it is fetched anew.
    pub fn read(&mut self, broker: &mut Broker, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError> {
        for index in 0..self.places.list.len() {
            let fetched = &self.places.list[index];
            if fetched.paused {
                continue;
            }
            if let Err(error) = broker.partition(fetched.place)?.check(fetched.position) {
                self.places.list.swap_remove(index);
                return Err(error);
            }
        }
        let mut records_max = broker.config.poll_records_max;
        let mut places_max = self.places.list.len();
        if broker.dice.on() {
            let probability = broker.dice.faults().uneven_poll;
            if broker.dice.chance(probability) {
                records_max = 1 + broker.dice.below(UNEVEN_RECORDS_MAX);
                places_max = places_max.min(1);
                self.places.turn = broker.dice.below(self.places.list.len());
            }
        }
        let mut handed = 0;
        for step in 0..places_max {
            let index = (self.places.turn + step) % self.places.list.len();
            let fetched = &mut self.places.list[index];
            if fetched.paused {
                continue;
            }
            let partition = broker.partition(fetched.place)?;
            handed += partition.read(&mut fetched.position, records_max - handed, each);
            fetched.at_end = fetched.position >= partition.ends().stable;
            if handed == records_max {
                break;
            }
        }
        self.places.turn = self.places.turn.wrapping_add(1) % self.places.list.len().max(1);
        Ok(handed)
    }
}

/// A client's connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    lost_until_ms: Option<TimeMs>,
}

impl Link {
    /// True while the connection is lost; now and then it gets lost here.
    pub fn is_lost(&mut self, broker: &mut Broker) -> bool {
        if self.lost_until_ms.is_some_and(|until_ms| broker.now_ms < until_ms) {
            return true;
        }
        self.lost_until_ms = None;
        if !broker.dice.on() {
            return false;
        }
        let (probability, ms_max) = (broker.dice.faults().disconnect, broker.dice.faults().disconnect_ms_max);
        if !broker.dice.chance(probability) {
            return false;
        }
        self.lost_until_ms = Some(broker.now_ms + 1 + broker.dice.below(ms_max as usize) as i64);
        true
    }
}
