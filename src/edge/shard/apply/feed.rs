//! What of the open batch is with the committer already.
//!
//! Records go to the producer while their batch is open, so that at its end only the tail has to be drained. The commit
//! point is where it was: nothing of a batch is fed before the one in front of it is committed, and what was fed is
//! kept until its batch is.

use std::sync::Arc;

use super::{Apply, HandOver};
use crate::edge::log::Log;
use crate::edge::shard::Stage;
use crate::edge::shard::batch::Chunk;
use crate::event::TimeMs;

/// The first chunk opens the transaction at the broker; the others are worth a request only when they hold
/// something.
const FEED_EVERY_MS: TimeMs = 8;

/// The chunks of the open batch that were handed over, by the partition that made them.
#[derive(Default)]
pub(super) struct Feed {
    chunks: Vec<(u32, Chunk)>,
    fed_ms: TimeMs,
    /// A partition was given up after it was fed: the rest waits for the whole.
    is_spoiled: bool,
    is_drop_due: bool,
}

impl Feed {
    /// What the partition has fed must not be committed.
    pub fn give_up(&mut self, partition: u32) {
        let before = self.chunks.len();
        self.chunks.retain(|(of, _)| *of != partition);
        if self.chunks.len() < before && !self.is_spoiled {
            self.is_spoiled = true;
            self.is_drop_due = true;
        }
    }

    /// True once after something was fed in vain.
    pub fn take_drop(&mut self) -> bool {
        std::mem::take(&mut self.is_drop_due)
    }

    /// The batch is sealed: all that was fed of it.
    pub fn take(&mut self) -> Vec<Chunk> {
        self.is_spoiled = false;
        self.chunks.drain(..).map(|(_, chunk)| chunk).collect()
    }
}

impl<L: Log, S: Stage<L>> Apply<L, S> {
    /// Hands over what the open batch has so far, unless one is on its way.
    pub(super) fn feed(&mut self, now_ms: TimeMs) -> Option<HandOver<L>> {
        let is_first = self.feed.chunks.is_empty();
        let is_early = !is_first && now_ms - self.feed.fed_ms < FEED_EVERY_MS;
        if self.flight.is_some() || self.feed.is_spoiled || is_early {
            return None;
        }
        self.feed.fed_ms = now_ms;
        let before = self.feed.chunks.len();
        for (partition, part) in self.parts.iter_mut().filter(|(_, part)| !part.records.is_empty()) {
            self.feed.chunks.push((*partition, Arc::new(std::mem::take(&mut part.records))));
        }
        let chunks: Vec<Chunk> =
            self.feed.chunks[before..].iter().map(|(_, chunk)| Arc::clone(chunk)).collect();
        (!chunks.is_empty()).then_some(HandOver::Feed { number: self.number + 1, chunks })
    }
}
