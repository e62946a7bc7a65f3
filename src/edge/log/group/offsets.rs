//! The offsets of a group: committed ones, and those that wait for their transaction to end.

use std::collections::BTreeMap;
use std::hash::Hasher;

use crate::edge::log::{LogError, Place};
use crate::event::TimeMs;

#[derive(Debug, Default)]
pub(in crate::edge::log) struct Offsets {
    committed: BTreeMap<Place, Committed>,
    /// By producer number, in the order sent.
    pending: BTreeMap<u32, Vec<(Place, Committed)>>,
    sent: u64,
}

#[derive(Debug, Clone, Copy)]
struct Committed {
    offset: u64,
    /// Order in which it was sent: of two transactions the later sent one stays, whichever ends first.
    order: u64,
    at_ms: TimeMs,
}

impl Offsets {
    /// Adds offsets to a producer's transaction.
    pub fn send(&mut self, producer: u32, offsets: &[(Place, u64)], now_ms: TimeMs) {
        let pending = self.pending.entry(producer).or_default();
        for &(place, offset) in offsets {
            self.sent += 1;
            pending.push((place, Committed { offset, order: self.sent, at_ms: now_ms }));
        }
    }

    /// The producer's transaction has ended.
    pub fn finish(&mut self, producer: u32, commit: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        for (place, committed) in pending.into_iter().filter(|_| commit) {
            if self.committed.get(&place).is_none_or(|earlier| earlier.order < committed.order) {
                self.committed.insert(place, committed);
            }
        }
    }

    /// `Retry` while a transaction that touches one of the places has not ended.
    pub fn read(&self, places: &[Place]) -> Result<Vec<Option<u64>>, LogError> {
        let touched = self.pending.values().flatten().find(|(place, _)| places.contains(place));
        if let Some((place, _)) = touched {
            return Err(LogError::Retry(format!("offset of {place:?} is pending in a transaction")));
        }
        Ok(places.iter().map(|place| self.committed.get(place).map(|committed| committed.offset)).collect())
    }

    /// Drops what was committed at `until_ms` or before, where `may_expire` says so and nothing is pending.
    pub fn expire(&mut self, until_ms: TimeMs, may_expire: impl Fn(&Place) -> bool) {
        let pending = &self.pending;
        self.committed.retain(|place, committed| {
            let is_pending = pending.values().flatten().any(|(other, _)| other == place);
            is_pending || committed.at_ms > until_ms || !may_expire(place)
        });
    }

    pub fn committed(&self) -> BTreeMap<Place, u64> {
        self.committed.iter().map(|(&place, committed)| (place, committed.offset)).collect()
    }

    pub fn digest(&self, hash: &mut impl Hasher) {
        for (place, committed) in &self.committed {
            hash.write(place.topic.name().as_bytes());
            hash.write_u32(place.partition);
            hash.write_u64(committed.offset);
        }
        for (producer, pending) in &self.pending {
            hash.write_u32(*producer);
            pending.iter().for_each(|(_, committed)| hash.write_u64(committed.offset));
        }
    }
}
