//! A fair sample of keys that come and come again, with their latest values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rng::mix;

/// The values of at most `capacity` keys: those whose hashes are the smallest of all keys seen (bottom-k sampling:
/// Cohen & Kaplan, 2007).
///
/// Each key is as likely to be in as any other, however often it comes, and the sample does not depend on the order
/// in which keys came. A key that is in has been in since it was first seen, because the largest hash that is let
/// in only ever falls: its value may be folded event by event. One that went out never comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HashSample<T> {
    capacity: usize,
    /// By hash of the key. The hash is a bijection, so that no two keys share one.
    values: BTreeMap<u64, T>,
}

impl<T> HashSample<T> {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, values: BTreeMap::new() }
    }

    /// Puts `value` under `key`, in place of what stood there. False where the key is not of the sample.
    pub fn insert(&mut self, key: u64, value: T) -> bool {
        let is_in = self.admit(key).is_some();
        if is_in {
            self.values.insert(hash(key), value);
        }
        is_in
    }

    /// The value under `key`, made by `make` where the key is new; None where it is not of the sample.
    pub fn get_or_insert_with(&mut self, key: u64, make: impl FnOnce() -> T) -> Option<&mut T> {
        self.admit(key)?;
        Some(self.values.entry(hash(key)).or_insert_with(make))
    }

    /// Makes room for `key`. None where it is not of the sample; else the value that had to go for it, if one had.
    pub fn admit(&mut self, key: u64) -> Option<Option<T>> {
        let key = hash(key);
        if self.values.len() < self.capacity || self.values.contains_key(&key) {
            return Some(None);
        }
        let is_in = self.values.last_key_value().is_some_and(|(largest, _)| key < *largest);
        is_in.then(|| self.values.pop_last().map(|(_, value)| value))
    }

    /// Gives up the key that is the first to go, and its place for good: the rest is as fair a sample. None where
    /// there is none.
    pub fn shrink(&mut self) -> Option<T> {
        let (_, value) = self.values.pop_last()?;
        self.capacity = self.values.len();
        Some(value)
    }

    pub fn get(&self, key: u64) -> Option<&T> {
        self.values.get(&hash(key))
    }

    /// In an order that depends on nothing but the keys.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.values()
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Own and heap size at most, not of what values own, worked out from their number.
    pub fn bytes(&self) -> usize {
        Self::bytes_of(self.len())
    }

    /// The bound that [`Self::bytes`] never passes.
    pub fn bytes_max(&self) -> usize {
        Self::bytes_of(self.capacity)
    }

    /// A node of the standard tree has room for 11 pairs and 12 children; all but the root hold at least 5.
    fn bytes_of(len: usize) -> usize {
        let node = 11 * (size_of::<u64>() + size_of::<T>()) + 13 * size_of::<usize>() + 8;
        size_of::<Self>() + node * (len.div_ceil(5) + 1)
    }
}

/// Apart from the plain [`mix`] of a key, by which others may have chosen among keys already.
fn hash(key: u64) -> u64 {
    mix(key ^ 0xb077_0b5a_3b1e_5eed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_the_smallest_hashes_of_all_keys_with_their_latest_values(
            keys in proptest::collection::vec(prop_oneof![0..30_u64, 0..u64::MAX], 0..200),
            capacity in 0..40_usize,
            folded: bool,
        ) {
            let (mut sample, mut all) = (HashSample::new(capacity), BTreeMap::new());
            for (i, key) in keys.iter().enumerate() {
                let value: &mut Vec<usize> = all.entry(hash(*key)).or_default();
                value.push(i);
                if folded {
                    if let Some(place) = sample.get_or_insert_with(*key, Vec::new) {
                        place.push(i);
                    }
                } else {
                    let is_in = sample.insert(*key, value.clone());
                    prop_assert_eq!(sample.get(*key), is_in.then_some(&*value));
                }
                let expected: Vec<&Vec<usize>> = all.values().take(capacity).collect();
                prop_assert_eq!(sample.values().collect::<Vec<_>>(), expected);
            }
            prop_assert!(sample.bytes() <= sample.bytes_max());
            let stored = postcard::to_allocvec(&sample).unwrap();
            prop_assert_eq!(postcard::from_bytes::<HashSample<Vec<usize>>>(&stored).unwrap(), sample);
        }
    }

    #[test]
    fn a_shrunk_sample_is_the_one_of_a_smaller_capacity() {
        let (mut shrunk, mut small) = (HashSample::new(20), HashSample::new(12));
        for key in 0..1_000_u64 {
            if key == 500 {
                (0..8).for_each(|_| assert!(shrunk.shrink().is_some()));
            }
            let gone = shrunk.admit(key);
            shrunk.insert(key, key);
            assert_eq!(gone.is_some(), shrunk.get(key).is_some());
            small.insert(key, key);
        }
        assert_eq!(shrunk, small);
    }

    #[test]
    fn every_key_is_as_likely_as_another() {
        // Keys in a row, the lower half coming ten times as often.
        let mut sample = HashSample::new(1_000);
        for turn in 0..10 {
            (0..5_000_u64).for_each(|key| _ = sample.insert(key, key));
            (0..500).for_each(|i| _ = sample.insert(5_000 + turn * 500 + i, 5_000 + turn * 500 + i));
        }
        let lower = sample.values().filter(|key| **key < 5_000).count();
        assert_eq!(sample.len(), 1_000);
        // Half of them, with a standard deviation of 15.
        assert!((440..560).contains(&lower), "{lower}");
    }
}
