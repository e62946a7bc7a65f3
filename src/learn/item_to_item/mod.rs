//! What follows what: decayed item-to-item weights, in bounded rows that add up over partitions.
//!
//! Three parts, which may live in different processes:
//! - where a customer's events are: a [`Context`] says which [`Pair`]s a new item makes;
//! - where the items are: an [`ItemToItem`] folds pairs, and gives each item's [`Neighbours`] to publish;
//! - where lists are made: [`Candidates`] adds up published rows, and gives the best.

mod candidates;
mod context;
mod repeats;
mod row;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use candidates::{Candidates, Scored};
pub use context::{Context, Pair};
pub use repeats::Repeats;
pub use row::Neighbours;

use super::Learner;
use crate::math::decay::HalfLife;
use crate::math::hash::IdMap;
use row::Row;

/// An item, as an index or a hash of its name.
pub type Item = u32;

/// Decayed co-occurrence weights of items: sequential rules with a share for the way back.
///
/// - Input: pairs (left, right, weight above 0) with a time in milliseconds, in any order of times.
/// - Output: an item's heaviest neighbours, each with the share of its weight in all weight ever added to the
///   item's row plus a prior of 10, 0 to 1. An item never seen has no neighbours.
/// - Cost: a pair is O(`neighbours_max`), a few tens of nanoseconds; publishing n neighbours is O(n). Memory is at
///   most 8 bytes a neighbour and about 70 an item, for `items_max` items.
/// - Source: sequential rules (Kamehkhosh, Jannach, Ludewig, "A Comparison of Frequent Pattern Techniques and a Deep
///   Learning Method for Session-Based Recommendation", 2017); Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay"
///   (ICDE 2009); Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
///   Streams" (ICDT 2005) for a full row.
/// - Differs: the left item takes a share of a pair too, as seen from the right one ([`Context::pairs`]); a row is
///   normalised by its own total, so that the rows of several items can be added; the prior keeps rows with little
///   evidence quiet. Dividing by the right item's count as well (cosine) was worse on each of three data sets.
/// - Checked: `tests/it/item_to_item.rs`, against brute force, and against the figures of a separate
///   implementation of sequential rules on real sessions.
///
/// What a cap costs: a new neighbour of a full row takes the place of the lightest, and its weight. So a weight is
/// too high by at most the row's total / `neighbours_max`, and whatever weighs more than that is in the row. A new
/// item of a full table takes the place of the row with the least decayed total among the next 8 under a hand that
/// goes round; what the row held is lost.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Frozen")]
pub struct ItemToItem {
    rows: Frozen,
    index: IdMap<Item, u32>,
    /// Of the rows' neighbours.
    heap_bytes: usize,
}

/// Settings of an [`ItemToItem`]; they shape its state, and must be equal where tables are merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The time in which a pair's weight halves.
    pub half_life: HalfLife,
    /// Neighbours kept of an item, 1 to 65 536.
    pub neighbours_max: usize,
    /// Items kept, 1 to 2^32 - 1.
    pub items_max: usize,
}

impl Config {
    fn clamped(&self) -> Self {
        Self {
            half_life: HalfLife::from_ms(self.half_life.ms()),
            neighbours_max: self.neighbours_max.clamp(1, 65_536),
            items_max: self.items_max.clamp(1, u32::MAX as usize),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { half_life: HalfLife::from_days(60), neighbours_max: 100, items_max: 100_000 }
    }
}

/// Rows of one page: what is copied when a row is written while a [`Frozen`] view lives.
const PAGE: usize = 32;
/// Rows of which the lightest is evicted.
const EVICT_FROM: usize = 8;

type Page = Vec<Row>;

/// A table's rows at one moment: cheap to take, and what a snapshot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Frozen {
    config: Config,
    pages: Vec<Arc<Page>>,
    /// The slot at which the search for a row to evict begins.
    hand: usize,
    newest_ms: i64,
    n_learned: u64,
    n_evicted: u64,
}

impl ItemToItem {
    /// A setting outside its range counts as the nearest one inside.
    pub fn new(config: &Config) -> Self {
        let config = config.clamped();
        let rows =
            Frozen { config, pages: Vec::new(), hand: 0, newest_ms: i64::MIN, n_learned: 0, n_evicted: 0 };
        Self { rows, index: IdMap::new(), heap_bytes: 0 }
    }

    /// Folds a pair at `time_ms`. A weight that is not finite and above 0 is refused: false.
    pub fn add(&mut self, pair: Pair, time_ms: i64) -> bool {
        if !(pair.weight.is_finite() && pair.weight > 0.0) {
            return false;
        }
        self.rows.newest_ms = self.rows.newest_ms.max(time_ms);
        self.rows.n_learned += 1;
        self.change(pair.left, |row, config| row.add(pair, time_ms, config));
        true
    }

    /// As [`Self::add`] of several pairs of one left item, which is looked up once. Returns the weight added.
    pub fn add_row(&mut self, left: Item, pairs: impl Iterator<Item = Pair>, time_ms: i64) -> f32 {
        let (mut added, mut n) = (0.0, 0);
        let mut pairs = pairs.filter(|pair| pair.weight.is_finite() && pair.weight > 0.0).peekable();
        if pairs.peek().is_some() {
            self.change(left, |row, config| {
                for pair in pairs {
                    row.add(Pair { left, ..pair }, time_ms, config);
                    added += pair.weight;
                    n += 1;
                }
            });
            self.rows.newest_ms = self.rows.newest_ms.max(time_ms);
            self.rows.n_learned += n;
        }
        added
    }

    /// The `n` heaviest neighbours of an item as seen at `now_ms`: what is published of it.
    pub fn neighbours(&self, item: Item, n: usize, now_ms: i64) -> Option<Neighbours> {
        let slot = *self.index.get(&item)?;
        Some(self.rows.row(slot as usize)?.neighbours(n, self.rows.config.half_life, now_ms))
    }

    /// Adds what `other` holds, as if its pairs had come here; false, and nothing done, when its settings differ.
    ///
    /// A row that is too long afterwards loses its lightest neighbours. A neighbour that a full row had lost before is
    /// missed in the sum, so a weight may then be too low as well, by at most that row's total / `neighbours_max`.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.rows.config != other.rows.config {
            return false;
        }
        self.rows.newest_ms = self.rows.newest_ms.max(other.rows.newest_ms);
        self.rows.n_learned += other.rows.n_learned;
        self.rows.n_evicted += other.rows.n_evicted;
        for row in other.rows.pages.iter().flat_map(|page| page.iter()) {
            self.change(row.item(), |own, config| own.merge(row, config.neighbours_max));
        }
        true
    }

    /// A view of now, to be stored on another thread. Both it and a clone cost one reference per page of rows.
    pub fn freeze(&self) -> Frozen {
        self.rows.clone()
    }

    /// Items with a row.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Rows given up so far for others.
    pub fn n_evicted(&self) -> u64 {
        self.rows.n_evicted
    }

    /// Changes the item's row, which is made if there is none.
    fn change(&mut self, item: Item, change: impl FnOnce(&mut Row, &Config)) {
        let slot = match self.index.get(&item) {
            Some(slot) => *slot as usize,
            None => self.make(item),
        };
        let Frozen { config, pages, .. } = &mut self.rows;
        let row = &mut Arc::make_mut(&mut pages[slot / PAGE])[slot % PAGE];
        let before = row.heap_bytes(config.neighbours_max);
        change(row, config);
        self.heap_bytes += row.heap_bytes(config.neighbours_max);
        self.heap_bytes -= before;
    }

    fn make(&mut self, item: Item) -> usize {
        let row = Row::new(item);
        let slot = if self.index.len() < self.rows.config.items_max {
            self.rows.push(row)
        } else {
            let slot = self.rows.lightest();
            let old =
                std::mem::replace(&mut Arc::make_mut(&mut self.rows.pages[slot / PAGE])[slot % PAGE], row);
            self.heap_bytes -= old.heap_bytes(self.rows.config.neighbours_max);
            self.index.remove(&old.item());
            self.rows.n_evicted += 1;
            slot
        };
        self.index.insert(item, u32::try_from(slot).expect("items_max is below 2^32"));
        slot
    }
}

impl Frozen {
    fn row(&self, slot: usize) -> Option<&Row> {
        self.pages.get(slot / PAGE)?.get(slot % PAGE)
    }

    fn len(&self) -> usize {
        self.pages.last().map_or(0, |page| (self.pages.len() - 1) * PAGE + page.len())
    }

    fn push(&mut self, row: Row) -> usize {
        let slot = self.len();
        if slot.is_multiple_of(PAGE) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        let page = Arc::make_mut(&mut self.pages[slot / PAGE]);
        // A copied page has lost its room to grow.
        page.reserve_exact(PAGE - page.len());
        page.push(row);
        slot
    }

    /// The slot of the row to give up; of equal ones the first under the hand, which moves on.
    fn lightest(&mut self) -> usize {
        let len = self.len();
        let total = |slot: usize| {
            self.row(slot).map_or(0.0, |row| row.total_at(self.config.half_life, self.newest_ms))
        };
        let slots = (0..EVICT_FROM.min(len)).map(|step| (self.hand + step) % len);
        let lightest = slots.min_by(|a, b| total(*a).total_cmp(&total(*b))).unwrap_or(0);
        self.hand = (self.hand + EVICT_FROM) % len;
        lightest
    }
}

impl Serialize for ItemToItem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl TryFrom<Frozen> for ItemToItem {
    type Error = String;

    fn try_from(rows: Frozen) -> Result<Self, String> {
        let mut table = Self { index: IdMap::with_capacity(rows.len()), heap_bytes: 0, rows };
        let rows = table.rows.pages.iter().flat_map(|page| page.iter());
        for (slot, row) in (0_u32..).zip(rows) {
            if table.index.insert(row.item(), slot).is_some() {
                return Err(format!("item {} stands twice in the table", row.item()));
            }
            table.heap_bytes += row.heap_bytes(table.rows.config.neighbours_max);
        }
        let config = &table.rows.config;
        if *config != config.clamped() {
            return Err(format!("settings out of range: {config:?}"));
        }
        let is_paged = table.rows.pages.iter().rev().skip(1).all(|page| page.len() == PAGE);
        if !is_paged || table.len() != table.rows.len() || table.len() > config.items_max {
            return Err("the table's pages do not add up".into());
        }
        Ok(table)
    }
}

impl Learner for ItemToItem {
    fn bytes(&self) -> usize {
        let pages = self.rows.pages.capacity() * 8 + self.rows.pages.len() * page_bytes();
        size_of::<Self>() + pages + self.heap_bytes + self.index.bytes()
    }

    fn bytes_max(&self) -> usize {
        let Config { neighbours_max, items_max, .. } = self.rows.config;
        let pages = items_max.div_ceil(PAGE) * (page_bytes() + 16) + 64;
        // The map doubles, and once more when it is full of removed keys.
        let index = (8 * items_max).next_power_of_two() * (size_of::<(Item, u32)>() + 1) + 64;
        size_of::<Self>() + pages + items_max * Row::heap_bytes_max(neighbours_max) + index
    }

    /// Pairs folded so far.
    fn n_learned(&self) -> u64 {
        self.rows.n_learned
    }
}

fn page_bytes() -> usize {
    16 + size_of::<Page>() + PAGE * size_of::<Row>()
}
