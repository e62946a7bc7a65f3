//! From rows to a list.

use super::{Context, Item, Neighbours};

/// What the share of repeats at a place weighs against the rows. The rows of a full context weigh 1 + 1/2 + … + 1/10
/// = 2.93 together; so both sides are shares of the next item on one scale.
const REPEATS: f64 = 3.0;

/// Items with weights that are still to be added up. Keep it: it keeps its room.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    weights: Vec<(Item, f64)>,
    scored: Vec<Scored>,
}

/// An item of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub item: Item,
    /// Only the order has a meaning.
    pub score: f64,
}

impl Candidates {
    pub fn clear(&mut self) {
        self.weights.clear();
    }

    /// Weight for one item; added up with what else it gets, in the order in which it gets it.
    pub fn add(&mut self, item: Item, weight: f64) {
        self.weights.push((item, weight));
    }

    /// Adds the rows of the context's nearest `last` items, each weighted by its distance, and the items themselves by
    /// the shares of `repeats` where nothing better is known: a row with much evidence knows how often its item is
    /// seen again. Without shares only such evidence brings an item back.
    pub fn add_context<'a>(
        &mut self,
        context: &Context,
        last: usize,
        row: impl Fn(Item) -> Option<&'a Neighbours>,
        repeats: Option<&[f64; Context::LENGTH]>,
    ) {
        for (place, &item) in context.items().iter().enumerate().take(last) {
            let weight = f64::from(Context::weight(place));
            let row = row(item);
            let shares = row.iter().flat_map(|row| &row.shares);
            self.weights.extend(shares.map(|(right, share)| (*right, weight * f64::from(*share))));
            if let Some(repeats) = repeats {
                let prior = row.map_or(1.0, |row| f64::from(row.prior));
                self.add(item, REPEATS * repeats[place] * prior);
            }
        }
    }

    /// The items with their scores: highest first, equal ones by item. Filter this, and take as many as you need.
    pub fn ranked(&mut self) -> impl Iterator<Item = Scored> + '_ {
        // Stable: an item's weights stay in order, so that their sum is the same everywhere.
        self.weights.sort_by_key(|(item, _)| *item);
        let sums = self
            .weights
            .chunk_by(|a, b| a.0 == b.0)
            .map(|same| Scored { item: same[0].0, score: same.iter().map(|(_, weight)| weight).sum() });
        self.scored.clear();
        self.scored.extend(sums.filter(|scored: &Scored| scored.score > 0.0));
        self.scored.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
        self.scored.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_by_distance_and_the_list_is_ordered_and_filtered() {
        let rows = [
            Neighbours { shares: vec![(10, 0.4), (11, 0.2)], prior: 0.5 },
            Neighbours { shares: vec![(11, 0.6), (12, 0.25), (13, 0.25)], prior: 0.0 },
        ];
        let mut context = Context::default();
        [2, 1, 0].into_iter().for_each(|item| context.push(item));
        let row = |item: Item| rows.get(item as usize);
        let mut candidates = Candidates::default();
        candidates.add_context(&context, 10, row, None);
        let list: Vec<(Item, f64)> = candidates.ranked().map(|s| (s.item, s.score)).collect();
        let near = |score: f64, to: f64| (score - to).abs() < 1e-7;
        assert_eq!(list.iter().map(|s| s.0).collect::<Vec<_>>(), [11, 10, 12, 13]);
        assert!(near(list[0].1, 0.5) && near(list[1].1, 0.4) && near(list[2].1, 0.125), "{list:?}");

        candidates.clear();
        let mut repeats = [0.0; Context::LENGTH];
        repeats[..3].copy_from_slice(&[0.2, 0.1, 0.05]);
        candidates.add_context(&context, 10, row, Some(&repeats));
        let list: Vec<(Item, f64)> = candidates.ranked().map(|s| (s.item, s.score)).collect();
        // The nearest has half its share; the second has a row that knows; the third has no row.
        assert_eq!(list.iter().map(|s| s.0).collect::<Vec<_>>(), [11, 10, 0, 2, 12, 13]);
        assert!(near(list[2].1, 0.3) && near(list[3].1, 0.15), "{list:?}");
        candidates.clear();
        candidates.add_context(&context, 1, row, None);
        assert_eq!(candidates.ranked().map(|s| s.item).collect::<Vec<_>>(), [10, 11]);
    }
}
