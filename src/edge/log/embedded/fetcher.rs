//! What a client reads: places, and how far it has come in each.

use fjall::UserValue;

use super::broker::Broker;
use super::record::decode;
use super::shared::Shared;
use crate::edge::log::{LogError, Place, Record};

/// Most of one poll.
const RECORDS_MAX: usize = 1_024;
const BYTES_MAX: usize = 1 << 20;

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
    /// As of the last poll.
    at_end: bool,
}

/// Something to be read: index of the place, and its range.
pub(super) type Range = (usize, u64, u64);

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

    /// What there is to read now. After `OutOfRange` the place is not read again until it is fetched anew.
    pub fn plan(&mut self, broker: &Broker) -> Result<Vec<Range>, LogError> {
        self.check(broker)?;
        let mut ranges = Vec::new();
        self.turn = self.turn.wrapping_add(1) % self.places.len().max(1);
        for step in 0..self.places.len() {
            let index = (self.turn + step) % self.places.len();
            let fetched = &mut self.places[index];
            if fetched.paused {
                continue;
            }
            let stable = broker.partition(fetched.place)?.ends().stable;
            fetched.at_end = fetched.position >= stable;
            if !fetched.at_end {
                ranges.push((index, fetched.position, stable));
            }
        }
        Ok(ranges)
    }

    fn check(&mut self, broker: &Broker) -> Result<(), LogError> {
        for index in 0..self.places.len() {
            let Fetched { place, position, paused, .. } = self.places[index];
            if !paused && let Err(error) = broker.partition(place)?.check(position) {
                self.places.swap_remove(index);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads what was planned and hands it over; returns how many records. What was deleted while it was
    /// read is not handed over: `OutOfRange` says so.
    pub fn read(
        &mut self,
        shared: &Shared,
        ranges: &[Range],
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, LogError> {
        let (mut records, mut bytes) = (0, 0);
        let mut read: Vec<(usize, u64, Vec<(u64, UserValue)>)> = Vec::new();
        for &(index, from, to) in ranges {
            if records >= RECORDS_MAX || bytes >= BYTES_MAX {
                break;
            }
            let place = self.places[index].place;
            let chunk = shared.store.read(place, from, to, RECORDS_MAX - records, BYTES_MAX - bytes)?;
            records += chunk.records.len();
            bytes += chunk.records.iter().map(|(_, value)| value.len()).sum::<usize>();
            read.push((index, chunk.next, chunk.records));
        }
        self.check(&shared.broker())?;
        for (index, next, chunk) in read {
            let fetched = &mut self.places[index];
            fetched.position = next;
            let end = ranges.iter().find(|range| range.0 == index).map(|range| range.2);
            fetched.at_end = end == Some(next);
            for (offset, value) in chunk {
                each(decode(fetched.place, offset, &value)?);
            }
        }
        Ok(records)
    }
}
