//! The places that a client reads, and how far it has come in each: of the logs that are their own broker.

use super::Place;

#[derive(Debug, Default)]
pub(super) struct Places {
    pub list: Vec<Fetched>,
    /// Where the next poll begins, so that each place has its turn.
    pub turn: usize,
}

#[derive(Debug)]
pub(super) struct Fetched {
    pub place: Place,
    pub position: u64,
    pub paused: bool,
    /// As of the last poll, like a client that hears of the end with its fetches.
    pub at_end: bool,
}

impl Places {
    /// Begins to read places, or moves those that are read already; what is paused stays paused.
    pub fn fetch(&mut self, from: &[(Place, u64)]) {
        for &(place, position) in from {
            let fetched = Fetched { place, position, paused: false, at_end: false };
            match self.list.iter_mut().find(|known| known.place == place) {
                Some(known) => *known = Fetched { paused: known.paused, ..fetched },
                None => self.list.push(fetched),
            }
        }
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Stops to read every place of these partitions, of whatever topic.
    pub fn release(&mut self, partitions: &[u32]) {
        self.list.retain(|fetched| !partitions.contains(&fetched.place.partition));
    }

    pub fn set_paused(&mut self, places: &[Place], paused: bool) {
        for fetched in self.list.iter_mut().filter(|fetched| places.contains(&fetched.place)) {
            fetched.paused = paused;
        }
    }

    pub fn at_end(&self, place: Place) -> bool {
        self.list.iter().any(|fetched| fetched.place == place && fetched.at_end)
    }
}
