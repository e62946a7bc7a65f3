//! A batch: what one transaction will hold, first open and by partition, then sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::edge::log::{Outgoing, Place};
use crate::event::TimeMs;
use crate::signal::fact::Fact;

/// When a batch is to be sealed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// At the stage's interval.
    #[default]
    AtStage,
    /// At the transaction interval: it holds what others wait for.
    AtInterval,
    /// At once: it holds a cause that others are to feel, or keeps its shard from feeling one.
    AtOnce,
}

/// What one partition adds to the open batch. Records are taken out of it while it is open, when they are fed.
#[derive(Debug, Default)]
pub struct Part {
    /// Signals, rows.
    pub records: Vec<Outgoing>,
    /// To be packed with those of other partitions when the batch is sealed.
    pub facts: Vec<Fact>,
    /// Journal entries; the committed offset of their place follows from where they land.
    pub entries: Vec<Outgoing>,
    /// Next offsets to read, other than of places with entries.
    pub offsets: Vec<(Place, u64)>,
    /// Input records applied.
    pub applied: u64,
    /// Upper estimate of the output, in bytes.
    pub bytes: usize,
    /// The partition's entry may not take another step.
    pub full: bool,
    pub due: Due,
    /// Lacks something that must be outside the log first; the batch is not sealed meanwhile.
    pub is_held: bool,
    /// Wall time at which each record of the part was written to its topic.
    pub written_ms: Vec<TimeMs>,
}

impl Part {
    pub fn push(&mut self, record: Outgoing) {
        self.bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len) + 64;
        self.records.push(record);
    }

    pub fn fact(&mut self, fact: Fact) {
        if matches!(fact, Fact::Verdict { .. } | Fact::EntityVerdict { .. }) {
            self.due = Due::AtOnce;
        }
        self.bytes += fact.bytes();
        self.facts.push(fact);
    }
}

/// Records that go to the producer together, in this order.
pub type Chunk = Arc<Vec<Outgoing>>;

/// A sealed batch. Kept until it is known to be committed, and then sent again unchanged if need be.
#[derive(Debug)]
pub struct Batch {
    /// Rises with every batch of a shard.
    pub number: u64,
    /// All records, in order: first what was fed while the batch was open, last the journal entries, so
    /// that an entry never lies in front of what it tells of.
    pub chunks: Vec<Chunk>,
    /// Where the entries lie; the committed offset of each follows from where its entry lands.
    pub leads: Vec<Place>,
    pub offsets: Vec<(Place, u64)>,
    /// By partition: the committed offset of the lead that the batch stands on. It is the same still
    /// when the batch was not committed.
    pub stands_on: BTreeMap<u32, u64>,
    /// As [`Part::written_ms`].
    pub written_ms: Vec<TimeMs>,
}

impl Batch {
    pub fn partitions(&self) -> impl Iterator<Item = u32> + '_ {
        self.stands_on.keys().copied()
    }
}
