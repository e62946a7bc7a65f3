//! Examples that wait for their label: a capped store, oldest out first, copied on write.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::math::hash::IdMap;

const CHUNK: usize = 512;

/// Examples by key, in order of arrival. Constant cost per call; a view costs one reference per 512
/// examples. A key that comes again replaces nothing: the first example stays.
#[derive(Debug, Clone)]
pub struct Waiting<T> {
    chunks: VecDeque<Arc<Vec<Slot<T>>>>,
    /// Number of the first slot of the first chunk; slots are numbered since the beginning.
    first: u64,
    next: u64,
    index: IdMap<u64, u64>,
    capacity: usize,
    /// Examples that went without a label.
    pub overflowed: u64,
}

/// None once the label has come.
type Slot<T> = (u64, Option<T>);

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    first: u64,
    overflowed: u64,
    chunks: Vec<Vec<Slot<T>>>,
}

impl<T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Waiting<T> {
    pub fn new(capacity: usize) -> Waiting<T> {
        Waiting {
            chunks: VecDeque::new(),
            first: 0,
            next: 0,
            index: IdMap::default(),
            capacity,
            overflowed: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn insert(&mut self, key: u64, example: T) {
        if self.index.contains(&key) {
            return;
        }
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push_back(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            Arc::make_mut(chunk).push((key, Some(example)));
            self.index.insert(key, self.next);
            self.next += 1;
        }
        // Room is given back a chunk at a time.
        while self.next - self.first > (self.capacity + CHUNK) as u64 {
            self.drop_oldest();
        }
    }

    /// The example that the label is for, if it still waits.
    pub fn take(&mut self, key: u64) -> Option<T> {
        let number = self.index.remove(&key)?;
        let at = usize::try_from(number - self.first).ok()?;
        let chunk = self.chunks.get_mut(at / CHUNK)?;
        Arc::make_mut(chunk).get_mut(at % CHUNK)?.1.take()
    }

    fn drop_oldest(&mut self) {
        let Some(chunk) = self.chunks.pop_front() else { return };
        self.first += chunk.len() as u64;
        for (key, example) in chunk.iter() {
            if example.is_some() {
                self.index.remove(key);
                self.overflowed += 1;
            }
        }
    }

    pub fn freeze(&self) -> impl FnOnce() -> Vec<u8> + Send + use<T> {
        let (chunks, first, overflowed) = (self.chunks.clone(), self.first, self.overflowed);
        move || {
            let chunks = chunks.iter().map(|chunk| (**chunk).clone()).collect();
            postcard::to_allocvec(&Stored { first, overflowed, chunks })
                .expect("plain data always serialises")
        }
    }

    /// # Errors
    /// When the bytes are no section of a store of this kind.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let stored: Stored<T> = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let mut fresh = Waiting::new(self.capacity);
        (fresh.first, fresh.next, fresh.overflowed) = (stored.first, stored.first, stored.overflowed);
        let last = stored.chunks.len().saturating_sub(1);
        for (at, chunk) in stored.chunks.into_iter().enumerate() {
            if chunk.len() > CHUNK || (at < last && chunk.len() < CHUNK) {
                return Err(format!("chunk {at} holds {} examples", chunk.len()));
            }
            for (key, example) in &chunk {
                if example.is_some() {
                    fresh.index.insert(*key, fresh.next);
                }
                fresh.next += 1;
            }
            fresh.chunks.push_back(Arc::new(chunk));
        }
        *self = fresh;
        Ok(())
    }

    /// Slots and index, without what the examples own on the heap.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Slot<T>>() + self.index.bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain map with the same cap, and across a restore at any moment.
        #[test]
        fn keeps_what_a_plain_list_would(keys in prop::collection::vec((0_u64..3000, any::<bool>()), 0..4000), cut in 0_usize..4000) {
            let mut store: Waiting<u64> = Waiting::new(CHUNK);
            let mut list: Vec<(u64, bool)> = Vec::new();
            for (step, (key, insert)) in keys.into_iter().enumerate() {
                if step == cut {
                    let mut restored = Waiting::new(CHUNK);
                    restored.restore(&store.freeze()()).expect("its own section");
                    prop_assert_eq!(restored.freeze()(), store.freeze()());
                    store = restored;
                }
                let there = list.iter().position(|(k, waits)| *k == key && *waits);
                if insert {
                    if there.is_none() {
                        list.push((key, true));
                        if list.len() > 2 * CHUNK {
                            list.drain(..CHUNK);
                        }
                    }
                    store.insert(key, key * 2);
                } else {
                    prop_assert_eq!(store.take(key), there.map(|_| key * 2));
                    if let Some(at) = there {
                        list[at].1 = false;
                    }
                }
                prop_assert_eq!(store.len(), list.iter().filter(|(_, waits)| *waits).count());
            }
        }
    }
}
