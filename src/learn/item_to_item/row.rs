//! The row of one item: its neighbours, heaviest first.

use serde::{Deserialize, Serialize};

use super::{Config, Item, Pair};
use crate::math::decay::{HalfLife, Landmark};

/// Weight of the prior in a row's evidence, in pair weights. A row that holds little says little; between 5 and 20
/// it makes no difference that can be told from chance.
const PRIOR: f64 = 10.0;

/// What is published of an item. 8 bytes a neighbour.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Neighbours {
    /// Items, each with its share of the row's evidence, 0 to 1; heaviest first, equal ones by item.
    pub shares: Vec<(Item, f32)>,
    /// Share of the prior in the evidence: 1 where nothing is known, towards 0.
    pub prior: f32,
}

/// Always sorted, so that the lightest is last and what is published stands in front.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    item: Item,
    landmark: Landmark,
    /// All weight ever added, that of lost neighbours included: the margin of the item in the table of counts.
    total: f64,
    neighbours: Vec<Neighbour>,
}

/// Weights, like the total, are in weights of the landmark.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Neighbour {
    item: Item,
    weight: f32,
}

impl Neighbour {
    fn stands_before(&self, other: &Self) -> bool {
        self.weight > other.weight || (self.weight == other.weight && self.item < other.item)
    }
}

impl Row {
    pub(super) fn new(item: Item) -> Self {
        Self { item, landmark: Landmark::default(), total: 0.0, neighbours: Vec::new() }
    }

    pub(super) fn item(&self) -> Item {
        self.item
    }

    pub(super) fn add(&mut self, pair: Pair, time_ms: i64, config: &Config) {
        let (unit, factor) = self.landmark.weigh(config.half_life, time_ms, self.total == 0.0);
        self.fade(factor);
        let weight = f64::from(pair.weight) * unit;
        self.total += weight;
        self.put(pair.right, weight as f32, config.neighbours_max);
    }

    pub(super) fn merge(&mut self, other: &Self, neighbours_max: usize) {
        if self.total == 0.0 {
            self.landmark = other.landmark;
        }
        let (own, theirs) = self.landmark.meet(other.landmark);
        self.fade(own);
        self.total += other.total * theirs;
        let room = self.neighbours.len() + other.neighbours.len();
        for neighbour in &other.neighbours {
            self.put(neighbour.item, (f64::from(neighbour.weight) * theirs) as f32, room);
        }
        self.neighbours.truncate(neighbours_max);
        self.neighbours.shrink_to(capacity(self.neighbours.len(), neighbours_max));
    }

    pub(super) fn neighbours(&self, n: usize, half_life: HalfLife, now_ms: i64) -> Neighbours {
        let seen = self.landmark.seen_at(half_life, now_ms);
        let evidence = (self.total * seen).min(f64::MAX / 2.0) + PRIOR;
        let share = |neighbour: &Neighbour| (f64::from(neighbour.weight) * seen / evidence) as f32;
        let shares = self.neighbours.iter().take(n).map(|neighbour| (neighbour.item, share(neighbour)));
        Neighbours { shares: shares.collect(), prior: (PRIOR / evidence) as f32 }
    }

    pub(super) fn total_at(&self, half_life: HalfLife, now_ms: i64) -> f64 {
        self.total * self.landmark.seen_at(half_life, now_ms)
    }

    /// An upper bound that depends on the number of neighbours only: a copied row has less room.
    pub(super) fn heap_bytes(&self, neighbours_max: usize) -> usize {
        capacity(self.neighbours.len(), neighbours_max) * size_of::<Neighbour>()
    }

    pub(super) fn heap_bytes_max(neighbours_max: usize) -> usize {
        neighbours_max * size_of::<Neighbour>()
    }

    /// Adds to a neighbour; a new one of a full row takes the place of the lightest, and its weight.
    fn put(&mut self, item: Item, weight: f32, neighbours_max: usize) {
        if weight < f32::MIN_POSITIVE {
            return;
        }
        let len = self.neighbours.len();
        let (from, before) = match self.neighbours.iter().position(|neighbour| neighbour.item == item) {
            Some(from) => (from, self.neighbours[from].weight),
            None if len < neighbours_max => {
                let more = capacity(len + 1, neighbours_max) - len;
                if len == self.neighbours.capacity() {
                    self.neighbours.reserve_exact(more);
                }
                self.neighbours.push(Neighbour { item, weight: 0.0 });
                (len, 0.0)
            }
            None => (len - 1, self.neighbours[len - 1].weight),
        };
        let changed = Neighbour { item, weight: (before + weight).min(f32::MAX) };
        let to = self.neighbours[..from].partition_point(|neighbour| neighbour.stands_before(&changed));
        self.neighbours[to..=from].rotate_right(1);
        self.neighbours[to] = changed;
    }

    /// Multiplies by a power of two, which is exact and keeps the order; what is no normal number goes.
    fn fade(&mut self, factor: f64) {
        if factor == 1.0 {
            return;
        }
        self.total *= factor;
        for neighbour in &mut self.neighbours {
            neighbour.weight = (f64::from(neighbour.weight) * factor) as f32;
        }
        let n_normal = self.neighbours.partition_point(|neighbour| neighbour.weight >= f32::MIN_POSITIVE);
        if n_normal < self.neighbours.len() {
            self.neighbours.truncate(n_normal);
            self.neighbours.shrink_to_fit();
        }
    }
}

/// Room for `len` neighbours: 4, doubled as needed, at most `neighbours_max`.
fn capacity(len: usize, neighbours_max: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two().max(4).min(neighbours_max) }
}
