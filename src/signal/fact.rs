//! Facts: what the customer stage tells the market stage, and market partitions each other.
//!
//! The facts of one transaction are packed into one record per market partition.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::event::{TimeMs, item_hash};

/// All partitions' popular items meet in one partition, and so do the moments of which churn is learned.
const POPULAR: u64 = 0;
const CHURN: u64 = 1;

/// The value of one record of the facts topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FactRecord {
    Packed(Vec<Fact>),
    /// Written by the partition's owner: the only moment at which the market stage publishes.
    Tick {
        time_ms: TimeMs,
    },
    /// What an analysis' job of this number came to; one that nobody waits for is ignored.
    Job {
        analysis: u8,
        job: u64,
        result: Vec<u8>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// A scored payment, waiting for its verdict. Keyed by the event.
    Payment {
        event: u64,
        time_ms: TimeMs,
        /// 0 to 1000, as published.
        risk: u16,
        /// "terminal:T7", "instrument:C9".
        entities: Vec<String>,
    },
    /// A verdict on a payment. Keyed by the event.
    Verdict { event: u64, time_ms: TimeMs, fraud: bool },
    /// A verdict that has found its payment. Keyed by the entity.
    EntityVerdict { entity: String, time_ms: TimeMs, fraud: bool },
    /// A customer took an item: it counts for the item, and each pair for what was there before. Keyed by the
    /// item. `before` is hash and place of each item of the customer's context, nearest first.
    Item { item: String, time_ms: TimeMs, before: Vec<(u32, u8)> },
    /// `right` was taken with `left` at this place of the context. Keyed by `left`.
    Pair { left: u32, right: u32, place: u8, time_ms: TimeMs },
    /// The most popular items of one market partition, hash and weight, heaviest first. Keyed by its name.
    Popular { partition: u32, items: Vec<(u32, f64)> },
    /// A moment at which it was asked whether a customer will order again. Keyed by the model.
    Churn(ChurnMoment),
}

/// A customer on an order day, or in silence, and what was thought of it then. Whether an order came within the
/// horizon is known once the customer's partition has come so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChurnMoment {
    /// Hash of the customer's id.
    pub customer: u64,
    /// The customer stage's partition, whose time tells when the horizon is over.
    pub partition: u32,
    pub time_ms: TimeMs,
    /// The first order of a day; else a look at a silent customer.
    pub is_order: bool,
    /// Order days after the first, this one included.
    pub repeats: u32,
    /// Days since 1970 of the first and the last order day, this one included.
    pub first_day: u16,
    pub last_day: u16,
    /// As the churn analysis defines them. NaN is missing.
    pub features: Vec<f32>,
    /// Of no order within the horizon, by the model published then; NaN where there was none.
    pub probability: f32,
}

impl Fact {
    /// Upper bound of its encoded size, in bytes.
    pub fn bytes(&self) -> usize {
        let texts = match self {
            Fact::Payment { entities, .. } => entities.iter().map(|entity| entity.len() + 3).sum(),
            Fact::EntityVerdict { entity, .. } => entity.len() + 3,
            Fact::Item { item, before, .. } => item.len() + before.len() * 7,
            Fact::Popular { items, .. } => items.len() * 13,
            Fact::Churn(moment) => 24 + moment.features.len() * 4,
            Fact::Verdict { .. } | Fact::Pair { .. } => 0,
        };
        40 + texts
    }

    /// Which of `partitions` market partitions folds all moments of churn.
    pub fn churn_partition(partitions: u32) -> u32 {
        u32::try_from(CHURN % u64::from(partitions.max(1))).unwrap_or(0)
    }

    /// Which of `partitions` market partitions folds the fact.
    pub fn partition(&self, partitions: u32) -> u32 {
        let hash = match self {
            Fact::Payment { event, .. } | Fact::Verdict { event, .. } => *event,
            Fact::EntityVerdict { entity, .. } => xxh3_64(entity.as_bytes()),
            Fact::Item { item, .. } => u64::from(item_hash(item)),
            Fact::Pair { left, .. } => u64::from(*left),
            Fact::Popular { .. } => POPULAR,
            Fact::Churn(_) => CHURN,
        };
        // The modulus is below 2^32, so the remainder is too.
        u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
    }
}
