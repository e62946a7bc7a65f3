//! How often the next item is one that was just there.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::math::decay::{DecayedSum, HalfLife};

/// Decayed shares of next items that stood at each place of the context: the distribution of stack distances.
///
/// - Input: where in the context the item stood that came next, with a time in milliseconds.
/// - Output: for each place, 0 to 1; all 0 before anything is learned.
/// - Cost: constant time, 176 bytes. Weights add up over partitions.
/// - Source: Mattson, Gecsei, Slutz, Traiger, "Evaluation Techniques for Storage Hierarchies" (1970).
/// - Differs: counts fade; distances over 10 are not told apart.
/// - Checked: beside the code, against counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Repeats {
    all: DecayedSum,
    places: [DecayedSum; Context::LENGTH],
}

impl Repeats {
    /// The item that came next stood at this place of its context, or at none; not to be told of an empty context,
    /// which says nothing. The half-life must be the same one in every call.
    pub fn learn_one(&mut self, half_life: HalfLife, place: Option<usize>, time_ms: i64) {
        self.all.add(half_life, time_ms, 1.0);
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            place.add(half_life, time_ms, 1.0);
        }
    }

    /// The share of each place, 0 to 1, nearest first.
    pub fn shares(&self, half_life: HalfLife, now_ms: i64) -> [f32; Context::LENGTH] {
        Self::shares_of(&self.weights(half_life, now_ms))
    }

    /// Decayed items that came next, then of those each place's, nearest first. Those of several parts add up.
    pub fn weights(&self, half_life: HalfLife, now_ms: i64) -> [f64; 1 + Context::LENGTH] {
        let mut all = std::iter::once(&self.all).chain(&self.places);
        std::array::from_fn(|_| all.next().map_or(0.0, |sum| sum.at(half_life, now_ms)))
    }

    /// The shares of added up [`Self::weights`].
    pub fn shares_of(weights: &[f64; 1 + Context::LENGTH]) -> [f32; Context::LENGTH] {
        let [all, places @ ..] = weights;
        places.map(|place| (place / (all + 1.0)) as f32)
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
        let places = [None, Some(1), Some(0), None, Some(1), Some(2)];
        for (i, place) in places.into_iter().enumerate() {
            all.learn_one(half_life, place, 0);
            parts[i % 2].learn_one(half_life, place, 0);
        }
        let shares = all.shares(half_life, 0);
        assert_eq!(shares[..4], [1.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0]);
        let [one, other] = parts.map(|part| part.weights(half_life, 0));
        let sum = std::array::from_fn(|at| one[at] + other[at]);
        assert_eq!(Repeats::shares_of(&sum), shares);
        // Half is left after the half-life; a place beyond the context is none.
        all.learn_one(half_life, Some(10), half_life.ms());
        assert_eq!(all.weights(half_life, half_life.ms())[..2], [4.0, 0.5]);
        assert!(size_of::<Repeats>() <= 176);
    }
}
