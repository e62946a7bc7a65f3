//! From rows to a list.

use super::{Context, Item, Neighbours};

/// What the share of repeats at a place weighs against the rows. The rows of a full context weigh 1 + 1/2 + … + 1/10
/// = 2.93 together; so both sides are shares of the next item on one scale.
const REPEATS: f32 = 3.0;
/// What has less than this part of what the last of a list has at least is not looked at. It saves a third of the
/// work, and at most .05 points of hit rate on two sets of click sessions.
const LITTLE: f32 = 0.2;

/// Items with weights from `N` sources that are added up. Keep it: it keeps its room.
///
/// Cost: a weight is one look into a hash table without a branch that depends on what is there, the `n` best of m items
/// O(m + n log n log m) or so; nothing is sorted or allocated once there is room. 8 + 8 `N` bytes a slot, of which half
/// are free at least: a list's candidates fit into a processor's nearest cache.
#[derive(Debug, Clone)]
pub struct Candidates<const N: usize> {
    /// A power of two; an item is searched from its hash on.
    slots: Vec<Slot<N>>,
    /// Places of the slots that are taken, in the order in which they were, then room for more: half as many as slots.
    taken: Vec<u32>,
    len: usize,
    /// Order of the best and place of their slot.
    order: Vec<(u64, u32)>,
    best: Vec<Scored<N>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot<const N: usize> {
    item: Item,
    is_taken: bool,
    weights: [f32; N],
    /// By source: what spoke for the item most, [`spoken`].
    most: [u32; N],
}

/// A weight of 0 or more and what gave it as one number, in the order of weights; of about equal ones (to 2^-15) the
/// lower cause is the greater.
fn spoken(weight: f32, cause: u8) -> u32 {
    (weight.to_bits() & !0xff) | u32::from(!cause)
}

/// An item of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored<const N: usize> {
    pub item: Item,
    /// The sum of `weights`; only the order has a meaning.
    pub score: f32,
    pub weights: [f32; N],
    /// By source: the number of what spoke for it most, as it was added.
    pub causes: [u8; N],
}

impl<const N: usize> Slot<N> {
    const FREE: Self = Self { item: 0, is_taken: false, weights: [0.0; N], most: [0; N] };

    fn score(&self) -> f32 {
        self.weights.iter().sum()
    }
}

impl<const N: usize> Default for Candidates<N> {
    fn default() -> Self {
        let (slots, taken) = (vec![Slot::FREE; 64], vec![0; 32]);
        Self { slots, taken, len: 0, order: Vec::new(), best: Vec::new() }
    }
}

impl<const N: usize> Candidates<N> {
    pub fn clear(&mut self) {
        self.taken[..self.len].iter().for_each(|at| self.slots[*at as usize] = Slot::FREE);
        self.len = 0;
    }

    /// Weight, 0 or more, for one item from a source below `N`; added up with what else it gets, in the order in which it
    /// gets it. `cause` numbers what speaks for it.
    #[inline]
    pub fn add(&mut self, item: Item, source: usize, weight: f32, cause: u8) {
        if self.len == self.taken.len() {
            self.grow();
        }
        let at = self.find(item);
        let slot = &mut self.slots[at];
        self.taken[self.len] = at as u32;
        self.len += usize::from(!slot.is_taken);
        (slot.item, slot.is_taken) = (item, true);
        slot.weights[source] += weight;
        slot.most[source] = slot.most[source].max(spoken(weight, cause));
    }

    /// Takes back what the item got from these sources.
    pub fn take_back(&mut self, item: Item, sources: &[usize]) {
        let at = self.find(item);
        sources.iter().for_each(|source| self.slots[at].weights[*source] = 0.0);
    }

    /// Adds the rows of the context's nearest `last` items ([`Self::add_rows`]) for a list of `n`, and the items themselves by
    /// the shares of `repeats` where nothing better is known: a row with much evidence knows how often its item is
    /// seen again. Without shares only such evidence brings an item back. All of it counts for source 0.
    pub fn add_context<'a>(
        &mut self,
        n: usize,
        context: &Context,
        last: usize,
        row: impl Fn(Item) -> Option<&'a Neighbours>,
        repeats: Option<&[f32; Context::LENGTH]>,
    ) {
        let mut rows = [None; Context::LENGTH];
        let nearest = context.items().iter().take(last);
        rows.iter_mut().zip(nearest.clone()).for_each(|(to, item)| *to = row(*item));
        self.add_rows(n, 0, 1.0, rows.iter().map(|row| row.map_or(&[][..], |row| &row.shares)));
        let priors = rows.iter().map(|row| row.map_or(1.0, |row| row.prior));
        let shares = repeats.iter().flat_map(|repeats| repeats.iter().copied());
        self.add_repeats(0, 1.0, nearest.copied().zip(priors).zip(shares));
    }

    /// Adds the items of a context, nearest first, each with the prior of its row and the share of its place, times the
    /// `scale` that [`Self::add_rows`] was given.
    pub fn add_repeats(
        &mut self,
        source: usize,
        scale: f32,
        items: impl Iterator<Item = ((Item, f32), f32)>,
    ) {
        for (place, ((item, prior), share)) in items.enumerate() {
            self.add(item, source, scale * REPEATS * share * prior, place as u8);
        }
    }

    /// Adds the rows of a context, nearest first, each times `scale` and the weight of its distance, with the place as
    /// the cause, for a list of `n`. What weighs less than [`LITTLE`] of what the `n`th of one row has is left out: the
    /// `n`th of the list has no less, whatever else there is.
    pub fn add_rows<'a>(
        &mut self,
        n: usize,
        source: usize,
        scale: f32,
        rows: impl Iterator<Item = &'a [(Item, f32)]> + Clone,
    ) {
        let rows = rows.enumerate().map(|(place, row)| (place, scale * Context::weight(place), row));
        let of_nth = |(_, weight, row): (_, f32, &[(Item, f32)])| {
            row.get(n.saturating_sub(1)).map_or(0.0, |(_, share)| weight * share)
        };
        let least = LITTLE * rows.clone().map(of_nth).fold(0.0, f32::max);
        for (place, weight, row) in rows {
            for (right, share) in row.iter().take_while(|(_, share)| weight * share >= least) {
                self.add(*right, source, weight * share, place as u8);
            }
        }
    }

    /// The `n` best items with a score above 0 that `is_wanted`, highest first, equal ones by item. Asks of few more
    /// than are in the list in the end.
    pub fn top(&mut self, n: usize, mut is_wanted: impl FnMut(Item) -> bool) -> &[Scored<N>] {
        let Self { slots, taken, len, order, best } = self;
        order.clear();
        let Some(last) = n.checked_sub(1) else { return &[] };
        // What stands before has the greater number: a score above 0 is in the order of its bits.
        let mut least = 0;
        for at in &taken[..*len] {
            let slot = &slots[*at as usize];
            let score = slot.score();
            let number = u64::from(score.to_bits()) << 32 | u64::from(!slot.item);
            if score <= 0.0 || number <= least || !is_wanted(slot.item) {
                continue;
            }
            let to = order.partition_point(|(other, _)| *other > number);
            order.truncate(last);
            order.insert(to, (number, *at));
            least = order.get(last).map_or(0, |(number, _)| *number);
        }
        best.clear();
        best.extend(order.iter().map(|(_, at)| {
            let slot = &slots[*at as usize];
            let causes = slot.most.map(|most| !(most as u8));
            Scored { item: slot.item, score: slot.score(), weights: slot.weights, causes }
        }));
        best
    }

    /// The slot of the item, or the free one where it belongs.
    fn find(&self, item: Item) -> usize {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing: items may be indices. The upper bits of the product depend on all of the item.
        let mut at = (item.wrapping_mul(0x9e37_79b9) >> 8) as usize & mask;
        // Without a branch between the two: an item that is new and one that is known are as good as tossed.
        while self.slots[at].is_taken & (self.slots[at].item != item) {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let slots = vec![Slot::FREE; 2 * self.slots.len()];
        let old = std::mem::replace(&mut self.slots, slots);
        for at in 0..self.len {
            let slot = old[self.taken[at] as usize];
            let to = self.find(slot.item);
            (self.slots[to], self.taken[at]) = (slot, to as u32);
        }
        self.taken.resize(2 * self.taken.len(), 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(candidates: &mut Candidates<1>) -> Vec<(Item, f32)> {
        candidates.top(10, |_| true).iter().map(|scored| (scored.item, scored.score)).collect()
    }

    #[test]
    fn rows_add_up_by_distance_and_the_list_is_ordered_and_filtered() {
        let rows = [
            Neighbours { shares: vec![(10, 0.4), (11, 0.2)], prior: 0.5 },
            Neighbours { shares: vec![(11, 0.6), (12, 0.25), (13, 0.25)], prior: 0.0 },
            Neighbours { shares: vec![(14, 0.03), (15, 0.02), (16, 0.01)], prior: 0.0 },
        ];
        let mut context = Context::default();
        [2, 1, 0].into_iter().for_each(|item| context.push(item));
        let row = |item: Item| rows.get(item as usize);
        let mut candidates = Candidates::default();
        candidates.add_context(10, &context, 10, row, None);
        let near = |score: f32, to: f32| (score - to).abs() < 1e-6;
        let all = list(&mut candidates);
        assert_eq!(all.iter().map(|s| s.0).collect::<Vec<_>>(), [11, 10, 12, 13, 14, 15, 16]);
        assert!(near(all[0].1, 0.5) && near(all[1].1, 0.4) && near(all[2].1, 0.125), "{all:?}");
        let causes: Vec<u8> = candidates.top(3, |item| item != 10).iter().map(|s| s.causes[0]).collect();
        assert_eq!(causes, [1, 1, 1], "11 has .3 of the second row and .2 of the first");

        candidates.clear();
        let mut repeats = [0.0; Context::LENGTH];
        repeats[..3].copy_from_slice(&[0.2, 0.1, 0.05]);
        candidates.add_context(10, &context, 10, row, Some(&repeats));
        let all = list(&mut candidates);
        // The nearest has half its share; the others have rows that know.
        assert_eq!(all.iter().map(|s| s.0).collect::<Vec<_>>(), [11, 10, 0, 12, 13, 14, 15, 16]);
        assert!(near(all[2].1, 0.3), "{all:?}");
        candidates.clear();
        candidates.add_context(10, &context, 1, row, None);
        assert_eq!(list(&mut candidates).iter().map(|s| s.0).collect::<Vec<_>>(), [10, 11]);
        candidates.clear();
        // The second of the first row has .2, so that what has less than .04 is not looked at.
        candidates.add_context(2, &context, 10, row, None);
        assert_eq!(list(&mut candidates).iter().map(|s| s.0).collect::<Vec<_>>(), [11, 10, 12, 13]);
    }

    proptest! {
        #[test]
        fn equals_sorting_all_sums(
            added in prop::collection::vec((0_u32..300, 0_usize..2, 1_u32..9), 0..900),
            taken_back in prop::collection::vec((0_u32..300, any::<bool>()), 0..20),
            n in 1_usize..30,
        ) {
            let mut candidates = Candidates::<2>::default();
            let mut sums = std::collections::BTreeMap::<Item, [f32; 2]>::new();
            for (item, source, weight) in added {
                // Spread over all bits, as hashes are.
                let item = item.wrapping_mul(0x0101_0101);
                candidates.add(item, source, weight as f32, 0);
                sums.entry(item).or_default()[source] += weight as f32;
            }
            for (item, all) in taken_back {
                let of: &[usize] = if all { &[0, 1] } else { &[0] };
                let item = item.wrapping_mul(0x0101_0101);
                candidates.take_back(item, of);
                if let Some(weights) = sums.get_mut(&item) {
                    of.iter().for_each(|source| weights[*source] = 0.0);
                }
            }
            let mut slow: Vec<(Item, f32)> = sums.iter().map(|(item, w)| (*item, w[0] + w[1])).collect();
            slow.retain(|(item, score)| *score > 0.0 && item % 3 > 0);
            slow.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            slow.truncate(n);
            let fast: Vec<(Item, f32)> = candidates.top(n, |item| item % 3 > 0).iter().map(|s| (s.item, s.score)).collect();
            prop_assert_eq!(fast, slow);
        }
    }
}
