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
    /// A payment went through an entity that had a verdict before, whatever comes of it. Keyed by the entity.
    EntityPayment { entity: String, time_ms: TimeMs },
    /// A customer took an item: it counts for the item, and each pair for what was there before. Keyed by the
    /// item.
    Item { item: String, time_ms: TimeMs, before: Before },
    /// `right` was taken after each of `lefts`. Keyed by each of them: [`Fact::split`].
    Pairs { right: u32, time_ms: TimeMs, lefts: Before },
    /// The most popular items of one market partition, hash and weight, heaviest first; and how often its items were
    /// taken again, as [`Repeats::weights`](crate::learn::item_to_item::Repeats::weights). Keyed by its name.
    Popular { partition: u32, items: Vec<(u32, f64)>, repeats: Vec<f64> },
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

/// Items of a customer's context, by hash and place in it, nearest first. In place: most events have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Before {
    items: [(u32, u8); Before::LENGTH],
    len: u8,
}

impl Before {
    /// Items at most.
    pub const LENGTH: usize = 6;

    pub fn items(&self) -> &[(u32, u8)] {
        &self.items[..usize::from(self.len)]
    }
}

/// The nearest, as many as there is room for.
impl FromIterator<(u32, u8)> for Before {
    fn from_iter<T: IntoIterator<Item = (u32, u8)>>(items: T) -> Before {
        let mut before = Before::default();
        for item in items.into_iter().take(Before::LENGTH) {
            before.items[usize::from(before.len)] = item;
            before.len += 1;
        }
        before
    }
}

impl Fact {
    /// Upper bound of its encoded size, in bytes.
    pub fn bytes(&self) -> usize {
        let texts = match self {
            Fact::Payment { entities, .. } => entities.iter().map(|entity| entity.len() + 3).sum(),
            Fact::EntityVerdict { entity, .. } | Fact::EntityPayment { entity, .. } => entity.len() + 3,
            Fact::Item { item, before, .. } => item.len() + before.items().len() * 7,
            Fact::Pairs { lefts, .. } => lefts.items().len() * 7,
            Fact::Popular { items, repeats, .. } => items.len() * 13 + repeats.len() * 8,
            Fact::Churn(moment) => 24 + moment.features.len() * 4,
            Fact::Verdict { .. } => 0,
        };
        40 + texts
    }

    /// Which of `partitions` market partitions folds all moments of churn.
    pub fn churn_partition(partitions: u32) -> u32 {
        u32::try_from(CHURN % u64::from(partitions.max(1))).unwrap_or(0)
    }

    /// The fact as each of `partitions` market partitions folds it, which is one for all but pairs.
    pub fn split(self, partitions: u32, mut tell: impl FnMut(u32, Fact)) {
        // The modulus is below 2^32, so the remainder is too.
        let of = |hash: u64| u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0);
        let hash = match &self {
            Fact::Payment { event, .. } | Fact::Verdict { event, .. } => *event,
            Fact::EntityVerdict { entity, .. } | Fact::EntityPayment { entity, .. } => {
                xxh3_64(entity.as_bytes())
            }
            Fact::Item { item, .. } => u64::from(item_hash(item)),
            Fact::Pairs { right, time_ms, lefts } => {
                let mut rest: Before = *lefts;
                while let Some((left, _)) = rest.items().first() {
                    let partition = of(u64::from(*left));
                    let is_there = |(left, _): &(u32, u8)| of(u64::from(*left)) == partition;
                    let lefts = rest.items().iter().copied().filter(is_there).collect();
                    tell(partition, Fact::Pairs { right: *right, time_ms: *time_ms, lefts });
                    rest = rest.items().iter().copied().filter(|left| !is_there(left)).collect();
                }
                return;
            }
            Fact::Popular { .. } => POPULAR,
            Fact::Churn(_) => CHURN,
        };
        tell(of(hash), self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_go_to_where_their_lefts_are_and_all_else_to_one_partition() {
        let before: Before = [(6, 0), (7, 1), (9, 2), (8, 3)].into_iter().collect();
        let mut told = Vec::new();
        Fact::Pairs { right: 1, time_ms: 5, lefts: before }.split(3, |to, fact| told.push((to, fact)));
        let pairs = |lefts: &[(u32, u8)]| Fact::Pairs {
            right: 1,
            time_ms: 5,
            lefts: lefts.iter().copied().collect(),
        };
        assert_eq!(told, [(0, pairs(&[(6, 0), (9, 2)])), (1, pairs(&[(7, 1)])), (2, pairs(&[(8, 3)]))]);
        let item = Fact::Item { item: "a".into(), time_ms: 5, before };
        told.clear();
        item.clone().split(3, |to, fact| told.push((to, fact)));
        assert_eq!(told, [(item_hash("a") % 3, item)]);
    }
}
