//! One partition as it is known in memory: its ends, who writes in it, and its segments.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::TopicConfig;
use crate::edge::log::{Ends, LogError, Place};
use crate::event::TimeMs;

/// Records are deleted by whole segments; a segment holds about so much.
const SEGMENT_BYTES: u64 = 4 << 20;
/// A segment spans at most one part in so many of the time for which records are kept.
const SEGMENTS_IN_RETENTION: i64 = 8;

/// What survives: written with every change, read at start-up.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct PlaceState {
    /// First offset that is held.
    pub low: u64,
    /// One past the last offset ever given, marks of transactions included.
    pub high: u64,
    pub active: Segment,
}

/// A run of offsets that is deleted as a whole.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Segment {
    pub first: u64,
    pub bytes: u64,
    /// Timestamp of its first record, and the largest.
    pub first_ms: TimeMs,
    pub last_ms: TimeMs,
}

#[derive(Debug)]
pub(super) struct Partition {
    place: Place,
    state: PlaceState,
    sealed: VecDeque<Segment>,
    /// First offset of each write that nobody may read past yet, by its number: open transactions, and
    /// what is not on disk.
    open: BTreeMap<u64, u64>,
    /// Records taken since the place was compacted.
    pub since_compaction: u64,
    /// Records that compaction left.
    pub kept_by_compaction: u64,
}

impl Partition {
    pub fn new(place: Place, state: PlaceState, sealed: Vec<Segment>) -> Partition {
        Partition {
            place,
            state,
            sealed: sealed.into(),
            open: BTreeMap::new(),
            since_compaction: 0,
            kept_by_compaction: 0,
        }
    }

    pub fn state(&self) -> PlaceState {
        self.state
    }

    pub fn ends(&self) -> Ends {
        let stable = self.open.values().copied().min().unwrap_or(self.state.high);
        Ends { low: self.state.low, stable, high: self.state.high }
    }

    pub fn check(&self, position: u64) -> Result<(), LogError> {
        let PlaceState { low, high, .. } = self.state;
        if (low..=high).contains(&position) {
            return Ok(());
        }
        Err(LogError::OutOfRange { place: self.place, offset: position, low, high })
    }

    /// The next offset, for write `number`, which now holds readers back.
    pub fn give(&mut self, number: u64) -> u64 {
        let offset = self.state.high;
        self.state.high += 1;
        self.open.entry(number).or_insert(offset);
        offset
    }

    /// The end of a transaction takes an offset of its own, as Kafka's marks do.
    pub fn mark(&mut self) {
        self.state.high += 1;
    }

    /// Write `number` has come to its end.
    pub fn close(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// Begins where another log's place stands. `Fatal` where this one has begun already.
    pub fn adopt(&mut self, ends: Ends) -> Result<(), LogError> {
        if self.state.high > 0 {
            return Err(LogError::Fatal(format!("{:?} is not empty", self.place)));
        }
        let active = Segment { first: ends.low, ..Segment::default() };
        self.state = PlaceState { low: ends.low, high: ends.stable, active };
        Ok(())
    }

    /// Counts a record that is about to be written. Returns the segment that it has filled.
    pub fn account(
        &mut self,
        offset: u64,
        bytes: u64,
        timestamp_ms: TimeMs,
        config: &TopicConfig,
    ) -> Option<Segment> {
        self.since_compaction += 1;
        let active = &mut self.state.active;
        if active.bytes == 0 {
            (active.first_ms, active.last_ms) = (timestamp_ms, timestamp_ms);
        }
        active.bytes += bytes;
        active.last_ms = active.last_ms.max(timestamp_ms);
        let span_ms = config.retention_ms.map_or(i64::MAX, |kept_ms| kept_ms / SEGMENTS_IN_RETENTION);
        if active.bytes < SEGMENT_BYTES && active.last_ms.saturating_sub(active.first_ms) <= span_ms {
            return None;
        }
        // Of two transactions the later one may be written first: what it left out comes with the next.
        let next = Segment { first: offset + 1, ..Segment::default() };
        let full = std::mem::replace(active, next);
        self.sealed.push_back(full);
        Some(full)
    }

    /// Where the low end belongs now, by age and size: the beginning of a segment, or the high end.
    pub fn low_by_retention(&self, config: &TopicConfig, now_ms: TimeMs) -> u64 {
        let expired = |segment: &Segment| {
            config.retention_ms.is_some_and(|kept_ms| segment.last_ms < now_ms.saturating_sub(kept_ms))
        };
        let mut bytes =
            self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + self.state.active.bytes;
        let firsts = self.sealed.iter().skip(1).map(|segment| segment.first);
        let ends = firsts.chain([self.state.active.first]);
        let mut low = self.state.low;
        for (segment, end) in self.sealed.iter().zip(ends) {
            let is_over = config.retention_bytes.is_some_and(|max| bytes - segment.bytes >= max);
            if !(expired(segment) || is_over) {
                return low;
            }
            bytes -= segment.bytes;
            low = end;
        }
        let active = &self.state.active;
        if active.bytes > 0 && expired(active) { self.state.high } else { low }
    }

    /// Moves the low end up, at most to the last stable offset. Returns the first offsets of the segments
    /// that are gone with it; None where nothing moves.
    pub fn cut(&mut self, low: u64) -> Option<Vec<u64>> {
        let low = low.min(self.ends().stable);
        if low <= self.state.low {
            return None;
        }
        self.state.low = low;
        let mut gone = Vec::new();
        while let Some(front) = self.sealed.front() {
            let end = self.sealed.get(1).map_or(self.state.active.first, |next| next.first);
            if end > low {
                break;
            }
            gone.push(front.first);
            self.sealed.pop_front();
        }
        if self.sealed.is_empty() && low == self.state.high {
            self.state.active = Segment { first: low, ..Segment::default() };
        }
        Some(gone)
    }
}
