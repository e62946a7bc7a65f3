//! One tree of the forest: an implicit binary heap of nodes, and for each row of the window the leaf it lies in.
//!
//! Node i has the children 2i + 1 and 2i + 2. With at most 255 nodes of 8 bytes a tree is 2 KiB, all trees of
//! the default forest together 32, so that a descent stays in the first-level cache.

use serde::{Deserialize, Serialize};

use crate::math::rng::Rng;

/// With 7 levels of splits a node's number fits a byte, and 255 is free to say "none".
pub(super) const DEPTH_LIMIT: u32 = 7;
const NO_LEAF: u8 = u8::MAX;
/// Marks a leaf in place of a feature.
const LEAF: u16 = u16::MAX;
pub(super) const FEATURES_MAX: usize = LEAF as usize - 1;
/// A leaf whose rows are all alike can not split; it is tried again only every so many rows of the stream,
/// and each tree at another one.
const RETRY_ROWS: u64 = 64;

/// The largest magnitude kept, a quarter of what `f32` can hold, so that a range is finite.
const CELL_MAX: f64 = 8.5e37;

/// A feature as the forest sees it: NaN when the row lacks it.
pub(super) fn cell(x: &[f64], feature: usize) -> f32 {
    x.get(feature).copied().unwrap_or(f64::NAN).clamp(-CELL_MAX, CELL_MAX) as f32
}

/// The rows of the window, slot by slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rows {
    n_features: usize,
    window: usize,
    values: Box<[f32]>,
}

impl Rows {
    pub(super) fn new(window: usize, n_features: usize) -> Self {
        Self { n_features, window, values: vec![0.0; window * n_features].into() }
    }

    pub(super) fn window(&self) -> usize {
        self.window
    }

    pub(super) fn put(&mut self, slot: usize, x: &[f64]) {
        let first = slot * self.n_features;
        for feature in 0..self.n_features {
            self.values[first + feature] = cell(x, feature);
        }
    }

    fn value(&self, slot: usize, feature: usize) -> f32 {
        self.values[slot * self.n_features + feature]
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.values)
    }
}

/// When nodes split and merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) max_leaf_samples: u32,
    depth_max: u32,
}

impl Shape {
    pub(super) fn new(window: usize, max_leaf_samples: usize) -> Self {
        let ratio = window.div_ceil(max_leaf_samples.max(1)).max(1);
        Self {
            max_leaf_samples: max_leaf_samples as u32,
            depth_max: ratio.next_power_of_two().ilog2().clamp(1, DEPTH_LIMIT),
        }
    }

    /// Rows at which a node of this depth splits.
    fn split_at(self, depth: u32) -> u32 {
        self.max_leaf_samples << depth
    }

    fn n_nodes(self) -> usize {
        (1 << (self.depth_max + 1)) - 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Node {
    /// Rows below it go left, the others right.
    split: f32,
    /// [`LEAF`] for a leaf.
    feature: u16,
    /// Rows of the window in it.
    n: u16,
}

const EMPTY: Node = Node { split: 0.0, feature: LEAF, n: 0 };

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tree {
    nodes: Box<[Node]>,
    /// By slot: the leaf that holds the row, [`NO_LEAF`] while there is none.
    leaf_of: Box<[u8]>,
}

fn depth_of(node: usize) -> u32 {
    (node + 1).ilog2()
}

impl Tree {
    pub(super) fn new(shape: Shape, window: usize) -> Self {
        Self { nodes: vec![EMPTY; shape.n_nodes()].into(), leaf_of: vec![NO_LEAF; window].into() }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.nodes) + size_of_val(&*self.leaf_of)
    }

    /// Depth of the leaf where a row ends, and the rows of the window in it.
    pub(super) fn leaf(&self, value: impl Fn(usize) -> f32) -> (u32, u16) {
        let mut i = 0;
        while self.nodes[i].feature != LEAF {
            i = self.child(i, &value);
        }
        (depth_of(i), self.nodes[i].n)
    }

    /// The child of a split node that a row goes to.
    fn child(&self, i: usize, value: impl Fn(usize) -> f32) -> usize {
        let node = self.nodes[i];
        let x = value(usize::from(node.feature));
        if x.is_nan() {
            return self.heavier_child(i);
        }
        2 * i + 1 + usize::from(x >= node.split)
    }

    /// Where missing values go.
    fn heavier_child(&self, i: usize) -> usize {
        2 * i + 1 + usize::from(self.nodes[2 * i + 2].n > self.nodes[2 * i + 1].n)
    }

    /// Takes in the row in `slot`, and splits its leaf when that is due. `draw` seeds what is random in it.
    pub(super) fn insert(&mut self, shape: Shape, rows: &Rows, slot: usize, draw: [u64; 3]) {
        let mut i = 0;
        while self.nodes[i].feature != LEAF {
            self.nodes[i].n += 1;
            i = self.child(i, |feature| rows.value(slot, feature));
        }
        self.nodes[i].n += 1;
        self.leaf_of[slot] = i as u8;
        let (n, depth) = (u32::from(self.nodes[i].n), depth_of(i));
        let due_at = shape.split_at(depth);
        let [seed, n_learned, tree] = draw;
        let is_retry = (n_learned + tree).is_multiple_of(RETRY_ROWS);
        if depth >= shape.depth_max || n < due_at || (n > due_at && !is_retry) {
            return;
        }
        let mut slots: Vec<u16> = Vec::with_capacity(n as usize);
        slots.extend((0..rows.window()).filter(|s| usize::from(self.leaf_of[*s]) == i).map(|s| s as u16));
        let mut rng = Rng::seeded(&[seed, n_learned, tree, i as u64]);
        if let Some(split) = choose_split(rows, &slots, &mut rng) {
            self.divide(i, split, rows, &mut slots);
        }
    }

    /// Lets go of the row in `slot`, and merges the highest node that has become too thin.
    pub(super) fn forget(&mut self, shape: Shape, slot: usize) {
        let mut i = usize::from(std::mem::replace(&mut self.leaf_of[slot], NO_LEAF));
        if i == usize::from(NO_LEAF) {
            return;
        }
        let mut too_thin = None;
        loop {
            let node = &mut self.nodes[i];
            node.n -= 1;
            if node.feature != LEAF && u32::from(node.n) < shape.split_at(depth_of(i)) / 2 {
                too_thin = Some(i);
            }
            if i == 0 {
                break;
            }
            i = (i - 1) / 2;
        }
        if let Some(i) = too_thin {
            self.merge(i);
        }
    }

    /// Makes a leaf of a node and everything under it.
    fn merge(&mut self, top: usize) {
        let mut leaf_after: [u8; 256] = std::array::from_fn(|i| i as u8);
        for i in top + 1..self.nodes.len() {
            if usize::from(leaf_after[(i - 1) / 2]) == top {
                leaf_after[i] = top as u8;
                self.nodes[i] = EMPTY;
            }
        }
        self.nodes[top].feature = LEAF;
        self.nodes[top].split = 0.0;
        for leaf in &mut self.leaf_of {
            *leaf = leaf_after[usize::from(*leaf)];
        }
    }

    /// Splits leaf `i`, whose rows are `slots`, and returns how many of them went left. `slots` is put in order:
    /// the left ones first, each side in the order it had.
    fn divide(&mut self, i: usize, (feature, split): (u16, f32), rows: &Rows, slots: &mut [u16]) -> usize {
        let column = usize::from(feature);
        let value = |slot: u16| rows.value(usize::from(slot), column);
        let n_left = slots.iter().filter(|s| value(**s) < split).count();
        let n_right = slots.iter().filter(|s| value(**s) >= split).count();
        let missing_go_left = n_left >= n_right;
        let goes_left = |slot: u16| match value(slot) {
            x if x.is_nan() => missing_go_left,
            x => x < split,
        };
        let right: Vec<u16> = slots.iter().copied().filter(|s| !goes_left(*s)).collect();
        let n_left = slots.len() - right.len();
        let mut end = 0;
        for from in 0..slots.len() {
            let slot = slots[from];
            let is_left = goes_left(slot);
            self.leaf_of[usize::from(slot)] = (2 * i + 2 - usize::from(is_left)) as u8;
            if is_left {
                slots[end] = slot;
                end += 1;
            }
        }
        slots[n_left..].copy_from_slice(&right);
        self.nodes[i].feature = feature;
        self.nodes[i].split = split;
        self.nodes[2 * i + 1] = Node { n: n_left as u16, ..EMPTY };
        self.nodes[2 * i + 2] = Node { n: right.len() as u16, ..EMPTY };
        n_left
    }

    /// Grows the tree anew from a full window, as if its rows came in a random order: a node's split is drawn
    /// from the first of its rows, as many as would have split it.
    pub(super) fn grow(&mut self, shape: Shape, rows: &Rows, rng: &mut Rng) {
        let mut slots: Vec<u16> = (0..rows.window() as u16).collect();
        for i in (1..slots.len()).rev() {
            slots.swap(i, rng.below(i as u64 + 1) as usize);
        }
        self.nodes.fill(EMPTY);
        self.nodes[0].n = slots.len() as u16;
        self.leaf_of.fill(0);
        self.grow_node(shape, rows, rng, 0, &mut slots);
    }

    fn grow_node(&mut self, shape: Shape, rows: &Rows, rng: &mut Rng, i: usize, slots: &mut [u16]) {
        let depth = depth_of(i);
        let due_at = shape.split_at(depth) as usize;
        if depth >= shape.depth_max || slots.len() < due_at {
            return;
        }
        let Some(split) =
            choose_split(rows, &slots[..due_at], rng).or_else(|| choose_split(rows, slots, rng))
        else {
            return;
        };
        let n_left = self.divide(i, split, rows, slots);
        let (left, right) = slots.split_at_mut(n_left);
        self.grow_node(shape, rows, rng, 2 * i + 1, left);
        self.grow_node(shape, rows, rng, 2 * i + 2, right);
    }
}

/// A feature drawn from those in which the rows differ, and a place drawn from the range they span there; both
/// sides get a row. `None` when all rows are alike.
fn choose_split(rows: &Rows, slots: &[u16], rng: &mut Rng) -> Option<(u16, f32)> {
    let mut untried: Vec<u16> = (0..rows.n_features as u16).collect();
    while !untried.is_empty() {
        let feature = untried.swap_remove(rng.below(untried.len() as u64) as usize);
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for slot in slots {
            // The float's own min and max pass NaN by.
            let x = rows.value(usize::from(*slot), usize::from(feature));
            low = low.min(x);
            high = high.max(x);
        }
        if low < high {
            let split = low + (high - low) * rng.uniform() as f32;
            return Some((feature, if split > low && split <= high { split } else { high }));
        }
    }
    None
}

#[cfg(test)]
impl Tree {
    pub(super) fn root_divides(&self) -> bool {
        self.nodes[0].feature != LEAF && self.nodes[1].n > 0 && self.nodes[2].n > 0
    }

    /// Panics unless every count and every row's leaf is what the rows say. With missing values a row's way may
    /// have changed since, so only its leaf and the counts are compared.
    pub(super) fn check(&self, shape: Shape, rows: &Rows, n_rows: usize, is_complete: bool) {
        let mut n = vec![0_u16; self.nodes.len()];
        for (slot, leaf) in self.leaf_of.iter().enumerate() {
            assert_eq!(*leaf == NO_LEAF, slot >= n_rows, "slot {slot}");
            if *leaf == NO_LEAF {
                continue;
            }
            let mut i = usize::from(*leaf);
            assert_eq!(self.nodes[i].feature, LEAF);
            loop {
                n[i] += 1;
                if i == 0 {
                    break;
                }
                i = (i - 1) / 2;
            }
            if is_complete {
                let mut i = 0;
                while self.nodes[i].feature != LEAF {
                    i = self.child(i, |feature| rows.value(slot, feature));
                }
                assert_eq!(i, usize::from(*leaf), "slot {slot}");
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.n, n[i], "node {i}");
            let depth = depth_of(i);
            if node.feature != LEAF {
                assert!(depth < shape.depth_max && u32::from(node.n) >= shape.split_at(depth) / 2);
            }
        }
    }
}
