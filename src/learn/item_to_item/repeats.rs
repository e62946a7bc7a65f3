//! How often the next item is one that was just there.

use serde::{Deserialize, Serialize};

use super::{Context, Item};
use crate::math::decay::{DecayedSum, HalfLife};

/// Decayed shares of next items that stood at each place of the context: the distribution of stack distances.
///
/// - Input: the context and the item that came next, with a time in milliseconds.
/// - Output: for each place, 0 to 1; all 0 before anything is learned.
/// - Cost: constant time, 176 bytes. All of it adds up over partitions.
/// - Source: Mattson, Gecsei, Slutz, Traiger, "Evaluation Techniques for Storage Hierarchies" (1970).
/// - Differs: counts fade; distances over 10 are not told apart.
/// - Checked: beside the code, against counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Repeats {
    all: DecayedSum,
    places: [DecayedSum; Context::LENGTH],
}

impl Repeats {
    /// An empty context says nothing. The half-life must be the same one in every call.
    pub fn learn_one(&mut self, half_life: HalfLife, context: &Context, item: Item, time_ms: i64) {
        if context.items().is_empty() {
            return;
        }
        self.all.add(half_life, time_ms, 1.0);
        if let Some(place) = context.items().iter().position(|known| *known == item) {
            self.places[place].add(half_life, time_ms, 1.0);
        }
    }

    /// The share of each place, 0 to 1, nearest first.
    pub fn shares(&self, half_life: HalfLife, now_ms: i64) -> [f64; Context::LENGTH] {
        let all = self.all.at(half_life, now_ms) + 1.0;
        self.places.map(|place| place.at(half_life, now_ms) / all)
    }

    /// Adds what `other` holds, under the same half-life.
    pub fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.places.iter_mut().zip(&other.places).for_each(|(own, theirs)| own.merge(theirs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_places() {
        let half_life = HalfLife::from_days(60);
        let (mut all, mut parts) = (Repeats::default(), [Repeats::default(), Repeats::default()]);
        assert_eq!(all.shares(half_life, 0), [0.0; Context::LENGTH]);
        // 1 | 2 1: second place | 1: first | 3 | 1: second | 2: third.
        let mut context = Context::default();
        for (i, item) in [1, 2, 1, 1, 3, 1, 2].into_iter().enumerate() {
            all.learn_one(half_life, &context, item, 0);
            parts[i % 2].learn_one(half_life, &context, item, 0);
            context.push(item);
        }
        let shares = all.shares(half_life, 0);
        assert_eq!(shares[..4], [1.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0]);
        let [mut sum, other] = parts;
        sum.merge(&other);
        assert_eq!(sum, all);
        assert!(size_of::<Repeats>() <= 176);
    }
}
