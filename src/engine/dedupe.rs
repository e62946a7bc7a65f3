//! The partition's memory of event ids: a ring of the newest, in chunks that are copied on write.

use std::sync::Arc;

use crate::math::hash::IdSet;

const CHUNK: usize = 4096;

/// The last `capacity` ids. Cost: constant per event; 8 bytes an id in the ring, about 10 in the set.
#[derive(Debug, Clone)]
pub struct Dedupe {
    chunks: Vec<Arc<Vec<u64>>>,
    next: usize,
    capacity: usize,
    set: IdSet<u64>,
}

impl Dedupe {
    pub fn new(capacity: usize) -> Dedupe {
        assert!(capacity > 0 && capacity.is_multiple_of(CHUNK), "{capacity} ids are no multiple of {CHUNK}");
        Dedupe { chunks: Vec::new(), next: 0, capacity, set: IdSet::default() }
    }

    pub fn contains(&self, id: u64) -> bool {
        self.set.contains(&id)
    }

    /// Remembers an id that is not there yet; the oldest goes when the ring is full.
    pub fn insert(&mut self, id: u64) {
        if !self.set.insert(id) {
            return;
        }
        let (chunk, at) = (self.next / CHUNK, self.next % CHUNK);
        if chunk == self.chunks.len() {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        let chunk = Arc::make_mut(&mut self.chunks[chunk]);
        match chunk.get_mut(at) {
            Some(old) => {
                self.set.remove(old);
                *old = id;
            }
            None => chunk.push(id),
        }
        self.next = (self.next + 1) % self.capacity;
    }

    pub fn freeze(&self) -> impl FnOnce() -> Vec<u8> + Send + use<> {
        let chunks = self.chunks.clone();
        let next = self.next as u64;
        move || {
            let ids: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect();
            postcard::to_allocvec(&(next, ids)).expect("plain data always serialises")
        }
    }

    /// # Errors
    /// When the bytes are no section of a ring of this capacity.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (next, ids): (u64, Vec<u64>) = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let next = usize::try_from(next).map_err(|error| error.to_string())?;
        if ids.len() > self.capacity || next >= self.capacity || next > ids.len() {
            return Err(format!("{} ids at {next} do not fit a ring of {}", ids.len(), self.capacity));
        }
        let mut set = IdSet::default();
        ids.iter().for_each(|id| {
            set.insert(*id);
        });
        self.chunks = ids.chunks(CHUNK).map(|chunk| Arc::new(chunk.to_vec())).collect();
        self.next = next;
        self.set = set;
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * 8 + self.set.len() * 10
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain list of the last ids.
        #[test]
        fn remembers_exactly_the_last_ids(ids in prop::collection::vec(0_u64..6000, 0..20_000)) {
            let mut ring = Dedupe::new(CHUNK);
            let mut list: std::collections::VecDeque<u64> = std::collections::VecDeque::new();
            for id in ids {
                prop_assert_eq!(ring.contains(id), list.contains(&id));
                if !list.contains(&id) {
                    list.push_back(id);
                    if list.len() > CHUNK {
                        list.pop_front();
                    }
                }
                ring.insert(id);
            }
            let mut restored = Dedupe::new(CHUNK);
            restored.restore(&ring.freeze()()).expect("its own section");
            prop_assert_eq!(restored.freeze()(), ring.freeze()());
            prop_assert!(list.iter().all(|id| restored.contains(*id)));
        }
    }
}
