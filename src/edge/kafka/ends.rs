//! Which places have been read to their end.
//!
//! librdkafka tells of an end once per offset at which it lies, the wrapper passes on only the number of
//! the partition. The offset is in the event's text, and only one topic's partition as a rule stands
//! there; where two do, the broker is asked for the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::Offset;

use super::names::Names;
use crate::edge::log::Place;

/// Between two rounds of questions to the broker.
const SETTLE_EVERY: Duration = Duration::from_millis(50);
const SETTLE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Ends {
    reading: BTreeMap<Place, Reading>,
    /// May be at their end: the broker must be asked.
    unsure: BTreeSet<Place>,
    asked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// One past the last record handed over; control records may lie between it and the position.
    next: u64,
    at_end: bool,
}

impl Ends {
    pub fn start(&mut self, place: Place, offset: u64) {
        self.reading.insert(place, Reading { next: offset, at_end: false });
        self.unsure.remove(&place);
    }

    pub fn forget(&mut self, places: &[Place]) {
        for place in places {
            self.reading.remove(place);
            self.unsure.remove(place);
        }
    }

    pub fn reads(&self, place: Place) -> bool {
        self.reading.contains_key(&place)
    }

    pub fn positions(&self) -> impl Iterator<Item = (Place, u64)> + '_ {
        self.reading.iter().map(|(place, reading)| (*place, reading.next))
    }

    pub fn at_end(&self, place: Place) -> bool {
        self.reading.get(&place).is_some_and(|reading| reading.at_end)
    }

    /// Notes a record; false where the place is not read, or the record lies before where reading began.
    pub fn handed_over(&mut self, place: Place, offset: u64) -> bool {
        let Some(reading) = self.reading.get_mut(&place) else { return false };
        if offset < reading.next {
            return false;
        }
        *reading = Reading { next: offset + 1, at_end: false };
        self.unsure.remove(&place);
        true
    }

    /// The end of a partition of some topic was reached, at the offset when the text could be read.
    pub fn reached<C: ConsumerContext>(
        &mut self,
        client: &BaseConsumer<C>,
        names: &Names,
        partition: u32,
        offset: Option<u64>,
    ) {
        let of_partition: Vec<Place> =
            self.reading.keys().copied().filter(|place| place.partition == partition).collect();
        let candidates = match (of_partition.as_slice(), offset) {
            ([_], _) | (_, None) => of_partition,
            (_, Some(offset)) => self.standing_at(client, names, &of_partition, offset),
        };
        match candidates.as_slice() {
            [place] => self.mark(*place),
            _ => self.unsure.extend(candidates.into_iter().filter(|p| !self.reading[p].at_end)),
        }
    }

    /// Those whose position, control records included, is the offset.
    fn standing_at<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        names: &Names,
        places: &[Place],
        offset: u64,
    ) -> Vec<Place> {
        let positions = self.client_positions(client, names);
        places.iter().copied().filter(|place| positions.get(place) == Some(&offset)).collect()
    }

    fn client_positions<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        names: &Names,
    ) -> BTreeMap<Place, u64> {
        let mut positions: BTreeMap<Place, u64> = self.positions().collect();
        let Ok(list) = client.position() else { return positions };
        for at in list.elements() {
            let place = names.topic(at.topic()).map(|topic| Place::new(topic, at.partition() as u32));
            // A place of which nothing was read yet has no position with the client.
            if let (Some(place), Offset::Offset(offset)) = (place, at.offset())
                && let Some(next) = positions.get_mut(&place)
            {
                *next = (*next).max(offset as u64);
            }
        }
        positions
    }

    fn mark(&mut self, place: Place) {
        if let Some(reading) = self.reading.get_mut(&place) {
            reading.at_end = true;
        }
        self.unsure.remove(&place);
    }

    /// Asks the broker about the unsure places: at their end are those that stand at the last stable
    /// offset. Others will be told of later.
    pub fn settle<C: ConsumerContext>(&mut self, client: &BaseConsumer<C>, names: &Names) {
        if self.unsure.is_empty() || self.asked.is_some_and(|at| at.elapsed() < SETTLE_EVERY) {
            return;
        }
        self.asked = Some(Instant::now());
        let positions = self.client_positions(client, names);
        for place in std::mem::take(&mut self.unsure) {
            let answer =
                client.fetch_watermarks(names.of(place.topic), place.partition as i32, SETTLE_TIMEOUT);
            match (answer, positions.get(&place)) {
                (Ok((_, stable)), Some(position)) if *position >= stable as u64 => self.mark(place),
                (Ok(_), _) => {}
                (Err(_), _) => {
                    self.unsure.insert(place);
                }
            }
        }
    }
}

/// The offset in librdkafka's "… reached end of partition at offset 7 (HighwaterMark 9)".
pub(super) fn end_offset(reason: &str) -> Option<u64> {
    let (_, rest) = reason.split_once("reached end of partition at offset ")?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_read_from_the_text() {
        let text = "Fetch from broker 1 reached end of partition at offset 217 (HighwaterMark 219)";
        assert_eq!(end_offset(text), Some(217));
        assert_eq!(end_offset("something else"), None);
    }
}
