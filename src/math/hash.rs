//! Hash maps with a fixed hasher that can not be iterated: the same keys give the same map on every run.
//!
//! This is the only file that names the standard hash containers. A walk over a hash map has no defined
//! order, so the two types here offer none: what must be listed is listed by a `BTreeMap`, an arena or a
//! page of its own, and the map only says where it is.
#![allow(clippy::disallowed_types, reason = "the one wrapper; it hides iteration and fixes the hasher")]

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map from a hashed id or a small integer to a value. Keys: `u8` to `u128`, or tuples and newtypes of them.
///
/// Lookups are O(1). There is no iteration, on purpose. The hasher has no secret: a key that an outsider
/// chooses must be hashed with a good hash before it comes here.
#[derive(Debug, Clone)]
pub struct IdMap<K, V> {
    map: HashMap<K, V, BuildHasherDefault<IdHasher>>,
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self { map: HashMap::default() }
    }
}

impl<K: Hash + Eq, V> IdMap<K, V> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Self { map: HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default()) }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    /// The value under `key`, made by `make` when there is none yet.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.map.entry(key).or_insert_with(make)
    }

    /// Puts `value` under `key`; what stood there before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.map.insert(key, value)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.map.remove(key)
    }

    pub fn contains(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Forgets every entry and keeps the room.
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Heap bytes of the table itself, not of what its values own, worked out from its capacity: a power of
    /// two of slots, filled to 7/8 at most, with one control byte each.
    pub fn bytes(&self) -> usize {
        table_bytes(self.map.capacity(), size_of::<(K, V)>())
    }
}

/// Two maps are equal when they hold the same pairs, whatever their history.
impl<K: Hash + Eq, V: PartialEq> PartialEq for IdMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

/// A set of hashed ids or small integers. Like [`IdMap`], it can not be iterated.
#[derive(Debug, Clone)]
pub struct IdSet<K> {
    set: HashSet<K, BuildHasherDefault<IdHasher>>,
}

impl<K> Default for IdSet<K> {
    fn default() -> Self {
        Self { set: HashSet::default() }
    }
}

impl<K: Hash + Eq> IdSet<K> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Self { set: HashSet::with_capacity_and_hasher(capacity, BuildHasherDefault::default()) }
    }

    /// Adds `key`; false when it was there already.
    pub fn insert(&mut self, key: K) -> bool {
        self.set.insert(key)
    }

    /// Takes `key` out; false when it was not there.
    pub fn remove(&mut self, key: &K) -> bool {
        self.set.remove(key)
    }

    pub fn contains(&self, key: &K) -> bool {
        self.set.contains(key)
    }

    pub fn len(&self) -> usize {
        self.set.len()
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Forgets every key and keeps the room.
    pub fn clear(&mut self) {
        self.set.clear();
    }

    /// Heap bytes, counted as in [`IdMap::bytes`].
    pub fn bytes(&self) -> usize {
        table_bytes(self.set.capacity(), size_of::<K>())
    }
}

impl<K: Hash + Eq> PartialEq for IdSet<K> {
    fn eq(&self, other: &Self) -> bool {
        self.set == other.set
    }
}

/// Where things with keys of 128 hashed bits lie, found without holding the keys: 32 bits of a key stand beside its
/// slot, and the caller says whether the thing in a slot has the key. It can not be iterated.
///
/// Cost: O(1); 9 bytes a place, of which 7 of 8 are taken at most.
#[derive(Debug, Clone, Default)]
pub struct SlotIndex {
    places: hashbrown::HashTable<(u32, u32)>,
}

impl SlotIndex {
    /// The slot of a key; `has_key` is asked about the few slots whose bits are the same.
    pub fn find(&self, key: u128, mut has_key: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag_of(key);
        let place = self.places.find(spread(tag), |(other, slot)| *other == tag && has_key(*slot));
        place.map(|(_, slot)| *slot)
    }

    /// Puts a key that is not there yet.
    pub fn insert(&mut self, key: u128, slot: u32) {
        let tag = tag_of(key);
        self.places.insert_unique(spread(tag), (tag, slot), |(tag, _)| spread(*tag));
    }

    /// Takes out the key that lies in this slot; false where it is not there.
    pub fn remove(&mut self, key: u128, slot: u32) -> bool {
        let tag = tag_of(key);
        let entry = self.places.find_entry(spread(tag), |place| *place == (tag, slot));
        entry.map(|entry| entry.remove()).is_ok()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Heap bytes, counted as in [`IdMap::bytes`].
    pub fn bytes(&self) -> usize {
        table_bytes(self.places.capacity(), size_of::<(u32, u32)>())
    }
}

/// Keys are hashes: any of their bits do.
fn tag_of(key: u128) -> u32 {
    (key >> 96) as u32
}

/// To 64 bits: the low ones choose a place, the highest are compared first.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn table_bytes(capacity: usize, entry_bytes: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let slots = (capacity + capacity.div_ceil(7)).next_power_of_two();
    slots * (entry_bytes + 1) + 16
}

/// Mixes integers: each written word is folded in with one 128-bit multiplication (the finish of wyhash), so
/// that both the low bits (the slot) and the high bits (the tag) of the standard table depend on all of it.
#[derive(Debug, Clone, Default)]
pub struct IdHasher {
    state: u64,
}

impl IdHasher {
    fn fold(&mut self, word: u64) {
        let product =
            u128::from(self.state ^ word ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xa076_1d64_78bd_642f_u64);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0_u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    fn write_u128(&mut self, value: u128) {
        self.fold(value as u64);
        self.fold((value >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(value: impl Hash) -> u64 {
        let mut hasher = IdHasher::default();
        value.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn the_hash_of_a_key_is_fixed_for_all_time() {
        // Worked out apart from this code.
        assert_eq!(hash(0_u64), hash(0_u32));
        assert_eq!(hash(1_u64), 0x0093_c56e_1dcb_401d);
    }

    #[test]
    fn neighbours_spread_over_slots_and_tags() {
        let (mut slots, mut tags) = (IdSet::new(), IdSet::new());
        for key in 0_u64..4096 {
            slots.insert(hash(key) & 0xffff);
            tags.insert((hash(key << 40) >> 57, hash(key << 40) & 0xff));
        }
        // 4096 balls in 65 536 boxes fill 3 970 of them on average, in 32 768 boxes 3 850.
        assert!(slots.len() > 3_850, "{}", slots.len());
        assert!(tags.len() > 3_700, "{}", tags.len());
    }

    proptest! {
        /// Keys of which many share all the bits that the index has of them.
        #[test]
        fn slots_are_found_among_equal_bits(steps in prop::collection::vec((0_u128..8, 0_u128..6, any::<bool>()), 0..400)) {
            let (mut index, mut slow) = (SlotIndex::default(), BTreeMap::<u128, u32>::new());
            for ((upper, lower, is_removed), slot) in steps.into_iter().zip(0_u32..) {
                let key = upper << 96 | lower;
                match (slow.get(&key).copied(), is_removed) {
                    (Some(there), true) => {
                        prop_assert!(!index.remove(key, u32::MAX) && index.remove(key, there));
                        slow.remove(&key);
                    }
                    (None, false) => {
                        index.insert(key, slot);
                        slow.insert(key, slot);
                    }
                    _ => {}
                }
                let found = index.find(key, |slot| slow.iter().any(|(other, at)| *at == slot && *other == key));
                prop_assert_eq!((found, index.len()), (slow.get(&key).copied(), slow.len()));
            }
        }
    }

    #[test]
    fn a_map_keeps_what_was_put_in() {
        let mut map = IdMap::with_capacity(4);
        for key in 0_u128..1000 {
            assert_eq!(map.insert(key << 64, key), None);
        }
        *map.get_or_insert_with(7 << 64, || 0) += 1;
        *map.get_or_insert_with(5, || 41) += 1;
        assert_eq!((map.get(&(7 << 64)), map.get(&5), map.len()), (Some(&8), Some(&42), 1001));
        assert_eq!(map.remove(&5), Some(42));
        assert!(!map.contains(&5));
        assert!(map.bytes() >= 1000 * 32);
        let copy = map.clone();
        map.clear();
        assert!(map.is_empty() && copy.len() == 1000 && copy != map);
    }
}
