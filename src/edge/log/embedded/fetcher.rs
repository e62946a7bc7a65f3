//! What a client reads: places, and how far it has come in each.

use fjall::UserValue;

use super::broker::Broker;
use super::record::{decode, order_of};
use super::shared::Shared;
use crate::edge::log::places::{Fetched, Places};
use crate::edge::log::{LogError, Record};

/// Most of one poll.
const RECORDS_MAX: usize = 1_024;
const BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Fetcher {
    pub places: Places,
}

/// Something to be read: index of the place, and its range.
pub(super) type Range = (usize, u64, u64);

impl Fetcher {
    /// What there is to read now. After `OutOfRange` the place is not read again until it is fetched anew.
    pub fn plan(&mut self, broker: &Broker) -> Result<Vec<Range>, LogError> {
        self.check(broker)?;
        let mut ranges = Vec::new();
        self.places.turn = self.places.turn.wrapping_add(1) % self.places.list.len().max(1);
        for step in 0..self.places.list.len() {
            let index = (self.places.turn + step) % self.places.list.len();
            let fetched = &mut self.places.list[index];
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
        for index in 0..self.places.list.len() {
            let Fetched { place, position, paused, .. } = self.places.list[index];
            if !paused && let Err(error) = broker.partition(place)?.check(position) {
                self.places.list.swap_remove(index);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads what was planned and hands it over in the order in which it was written, whatever the place; returns
    /// how many records. What was deleted while it was read is not handed over: `OutOfRange` says so.
    pub fn read(
        &mut self,
        shared: &Shared,
        ranges: &[Range],
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, LogError> {
        let (records_max, bytes_max) = (RECORDS_MAX / ranges.len(), BYTES_MAX / ranges.len());
        let mut read: Vec<(u64, usize, u64, UserValue)> = Vec::new();
        // Of a place that was not read to its end, something earlier than this may not have been read.
        let mut until = u64::MAX;
        let mut next = Vec::with_capacity(ranges.len());
        for &(index, from, to) in ranges {
            let place = self.places.list[index].place;
            let chunk = shared.store.read(place, from, to, records_max.max(1), bytes_max)?;
            // A place is always read by its offsets; of two transactions the one that began first may be written
            // last, and then the other waits for it.
            let mut order = 0;
            for (offset, value) in chunk.records {
                order = order.max(order_of(&value));
                read.push((order, index, offset, value));
            }
            if chunk.next < to {
                until = until.min(order);
            }
            next.push((index, chunk.next, to));
        }
        self.check(&shared.broker())?;
        read.sort_unstable_by_key(|(order, index, offset, _)| (*order, *index, *offset));
        let handed = read.partition_point(|(order, ..)| *order <= until);
        for (index, next, to) in next {
            let left =
                read[handed..].iter().find(|(_, of, ..)| *of == index).map(|(_, _, offset, _)| *offset);
            let fetched = &mut self.places.list[index];
            fetched.position = left.unwrap_or(next);
            fetched.at_end = fetched.position == to;
        }
        for (_, index, offset, value) in &read[..handed] {
            each(decode(self.places.list[*index].place, *offset, value)?);
        }
        Ok(handed)
    }
}
