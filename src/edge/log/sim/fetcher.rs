//! What a client reads: places, how far it has come in each, and its connection.

use super::broker::Broker;
use crate::edge::log::{LogError, Place, Record};
use crate::event::TimeMs;

/// Most records of a poll that `uneven_poll` has cut short.
const UNEVEN_RECORDS_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Fetcher {
    places: Vec<Fetched>,
    /// Where the next poll begins, so that each place has its turn.
    turn: usize,
}

#[derive(Debug)]
struct Fetched {
    place: Place,
    position: u64,
    paused: bool,
    /// As of the last poll, like a client that hears of the end with its fetches.
    at_end: bool,
}

impl Fetcher {
    /// Begins to read places, or moves those that are read already; what is paused stays paused.
    pub fn fetch(&mut self, from: &[(Place, u64)]) {
        for &(place, position) in from {
            let fetched = Fetched { place, position, paused: false, at_end: false };
            match self.places.iter_mut().find(|known| known.place == place) {
                Some(known) => *known = Fetched { paused: known.paused, ..fetched },
                None => self.places.push(fetched),
            }
        }
    }

    pub fn clear(&mut self) {
        self.places.clear();
    }

    /// Stops to read every place of these partitions, of whatever topic.
    pub fn release(&mut self, partitions: &[u32]) {
        self.places.retain(|fetched| !partitions.contains(&fetched.place.partition));
    }

    pub fn set_paused(&mut self, places: &[Place], paused: bool) {
        for fetched in self.places.iter_mut().filter(|fetched| places.contains(&fetched.place)) {
            fetched.paused = paused;
        }
    }

    pub fn at_end(&self, place: Place) -> bool {
        self.places.iter().any(|fetched| fetched.place == place && fetched.at_end)
    }

    /// Hands over the next records; returns how many. After `OutOfRange`, which comes before any record
    /// is handed over, the place is not read again until it is fetched anew.
    pub fn read(&mut self, broker: &mut Broker, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError> {
        for index in 0..self.places.len() {
            let fetched = &self.places[index];
            if fetched.paused {
                continue;
            }
            if let Err(error) = broker.partition(fetched.place)?.check(fetched.position) {
                self.places.swap_remove(index);
                return Err(error);
            }
        }
        let mut records_max = broker.config.poll_records_max;
        let mut places_max = self.places.len();
        if broker.dice.on() {
            let probability = broker.dice.faults().uneven_poll;
            if broker.dice.chance(probability) {
                records_max = 1 + broker.dice.below(UNEVEN_RECORDS_MAX);
                places_max = places_max.min(1);
                self.turn = broker.dice.below(self.places.len());
            }
        }
        let mut handed = 0;
        for step in 0..places_max {
            let index = (self.turn + step) % self.places.len();
            let fetched = &mut self.places[index];
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
        self.turn = self.turn.wrapping_add(1) % self.places.len().max(1);
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
