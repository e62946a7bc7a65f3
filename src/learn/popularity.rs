//! What everybody takes lately: the heaviest items of a stream in bounded memory.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::Learner;
use super::item_to_item::Item;
use crate::math::decay::{HalfLife, Landmark};
use crate::math::hash::IdMap;

/// Decayed counts of the most popular items.
///
/// - Input: items, each with a weight above 0 and a time in milliseconds, in any order of times.
/// - Output: the heaviest items with their decayed weights. With more than `items_max` items about, a weight is too
///   high by at most the decayed weight of everything / `items_max`, and every item that weighs more than that is kept.
/// - Cost: O(log `items_max`) to learn, O(`items_max`) to list; about 45 bytes an item.
/// - Source: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams" (ICDT
///   2005), with the forward decay of Cormode, Shkapenyuk, Srivastava, Xu (ICDE 2009).
/// - Differs: counters stand in a heap, not in a list of buckets: decayed weights are seldom equal.
/// - Checked: `tests/it/item_to_item/popularity.rs`, against brute force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Popularity {
    stored: Stored,
    /// Where each item stands in the heap.
    places: IdMap<Item, u32>,
}

/// Settings of a [`Popularity`]; they shape its state, and must be equal where two are merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The time in which a weight halves.
    pub half_life: HalfLife,
    /// Items kept, 1 to 2^30.
    pub items_max: usize,
}

impl Config {
    fn clamped(&self) -> Self {
        let half_life = HalfLife::from_ms(self.half_life.ms());
        Self { half_life, items_max: self.items_max.clamp(1, 1 << 30) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { half_life: HalfLife::from_days(7), items_max: 10_000 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    config: Config,
    landmark: Landmark,
    n_learned: u64,
    /// A heap with the lightest in front; weights are in weights of the landmark.
    heap: Vec<Counter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Counter {
    item: Item,
    weight: f64,
}

impl Counter {
    /// Lightest first, of equal ones the greater item: a list read backwards.
    fn order(&self, other: &Self) -> Ordering {
        self.weight.total_cmp(&other.weight).then(other.item.cmp(&self.item))
    }
}

impl Popularity {
    /// A setting outside its range counts as the nearest one inside.
    pub fn new(config: &Config) -> Self {
        let config = config.clamped();
        let stored = Stored { config, landmark: Landmark::default(), n_learned: 0, heap: Vec::new() };
        Self { stored, places: IdMap::new() }
    }

    /// Counts an item. A weight that is not finite and above 0 is refused: false.
    pub fn add(&mut self, item: Item, weight: f64, time_ms: i64) -> bool {
        if !(weight.is_finite() && weight > 0.0) {
            return false;
        }
        let Stored { config, landmark, heap, .. } = &mut self.stored;
        let (unit, factor) = landmark.weigh(config.half_life, time_ms, heap.is_empty());
        self.fade(factor);
        self.stored.n_learned += 1;
        self.put(item, weight * unit);
        true
    }

    /// The `n` heaviest items with their weights as seen at `now_ms`, heaviest first, equal ones by item.
    pub fn top(&self, n: usize, now_ms: i64) -> Vec<(Item, f64)> {
        let seen = self.stored.landmark.seen_at(self.stored.config.half_life, now_ms);
        let mut counters = self.stored.heap.clone();
        if n < counters.len() {
            counters.select_nth_unstable_by(n, |a, b| b.order(a));
            counters.truncate(n);
        }
        counters.sort_unstable_by(|a, b| b.order(a));
        let weights = counters.iter().map(|counter| (counter.weight * seen).min(f64::MAX));
        counters.iter().map(|counter| counter.item).zip(weights).collect()
    }

    /// Adds what `other` holds, as if it had been counted here; false, and nothing done, when its settings differ. An
    /// item that one of two full tables had lost may then weigh too little, by what it can otherwise weigh too much.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.stored.config != other.stored.config {
            return false;
        }
        if self.stored.heap.is_empty() {
            self.stored.landmark = other.stored.landmark;
        }
        let (own, theirs) = self.stored.landmark.meet(other.stored.landmark);
        self.fade(own);
        self.stored.n_learned += other.stored.n_learned;
        let faded = other.stored.heap.iter().map(|c| Counter { weight: c.weight * theirs, ..*c });
        let mut all: Vec<Counter> = std::mem::take(&mut self.stored.heap).into_iter().chain(faded).collect();
        all.sort_by_key(|counter| counter.item);
        let sum = |same: &[Counter]| Counter { weight: same.iter().map(|c| c.weight).sum(), ..same[0] };
        let mut sums: Vec<Counter> = all.chunk_by(|a, b| a.item == b.item).map(sum).collect();
        // Sorted with the lightest in front they are a heap.
        sums.sort_by(Counter::order);
        sums.drain(..sums.len().saturating_sub(self.stored.config.items_max));
        self.stored.heap = sums;
        self.find_places();
        true
    }

    /// Adds to a counter; a new item of a full table takes the place of the lightest, and its weight.
    fn put(&mut self, item: Item, weight: f64) {
        let heap = &mut self.stored.heap;
        let place = match self.places.get(&item) {
            Some(place) => *place as usize,
            None if heap.len() < self.stored.config.items_max => {
                heap.push(Counter { item, weight: 0.0 });
                let last = heap.len() - 1;
                self.places.insert(item, last as u32);
                self.rise(last)
            }
            None => {
                self.places.remove(&heap[0].item);
                heap[0].item = item;
                self.places.insert(item, 0);
                0
            }
        };
        let counter = &mut self.stored.heap[place];
        counter.weight = (counter.weight + weight).min(f64::MAX);
        self.sink(place);
    }

    /// Towards the front while lighter than what stands above; where it ends.
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.is_before(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    /// Away from the front while heavier than what stands below.
    fn sink(&mut self, mut place: usize) {
        loop {
            let mut below = 2 * place + 1;
            if below + 1 < self.stored.heap.len() && self.is_before(below + 1, below) {
                below += 1;
            }
            if below >= self.stored.heap.len() || self.is_before(place, below) {
                return;
            }
            self.swap(place, below);
            place = below;
        }
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        self.stored.heap[a].order(&self.stored.heap[b]).is_lt()
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.stored.heap.swap(a, b);
        for place in [a, b] {
            self.places.insert(self.stored.heap[place].item, place as u32);
        }
    }

    /// Multiplies by a power of two, which keeps the order.
    fn fade(&mut self, factor: f64) {
        if factor != 1.0 {
            self.stored.heap.iter_mut().for_each(|counter| counter.weight *= factor);
        }
    }

    fn find_places(&mut self) {
        self.places = IdMap::with_capacity(self.stored.heap.len());
        for (place, counter) in (0_u32..).zip(&self.stored.heap) {
            self.places.insert(counter.item, place);
        }
    }
}

impl From<Popularity> for Stored {
    fn from(popularity: Popularity) -> Stored {
        popularity.stored
    }
}

impl TryFrom<Stored> for Popularity {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let mut popularity = Self { stored, places: IdMap::new() };
        popularity.find_places();
        let Stored { config, heap, .. } = &popularity.stored;
        if *config != config.clamped()
            || popularity.places.len() != heap.len()
            || heap.len() > config.items_max
        {
            return Err("the counters do not add up".into());
        }
        Ok(popularity)
    }
}

impl Learner for Popularity {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.stored.heap.capacity() * size_of::<Counter>() + self.places.bytes()
    }

    fn bytes_max(&self) -> usize {
        let items_max = self.stored.config.items_max;
        // Both double as they grow; the map once more when it is full of removed keys.
        let places = (8 * items_max).next_power_of_two() * (size_of::<(Item, u32)>() + 1);
        size_of::<Self>() + (2 * items_max + 4) * size_of::<Counter>() + places + 64
    }

    /// Items counted so far.
    fn n_learned(&self) -> u64 {
        self.stored.n_learned
    }
}
