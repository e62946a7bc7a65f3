//! Lists in exactly the room that they need.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// A short list in exactly the room that it needs, for records of which there are millions and most hold little. Growing
/// moves all of it: it is for lists that are capped and grow seldom. 16 bytes, and the heap what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Exact<T>(Box<[T]>);

impl<T> Exact<T> {
    pub fn insert(&mut self, at: usize, value: T) {
        self.change(|list| {
            list.reserve_exact(1);
            list.insert(at, value);
        });
    }

    pub fn push(&mut self, value: T) {
        self.insert(self.len(), value);
    }

    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.change(|list| list.truncate(len));
        }
    }

    /// Of the heap.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<T>)) {
        let mut list = std::mem::take(&mut self.0).into_vec();
        change(&mut list);
        self.0 = list.into_boxed_slice();
    }
}

impl<T> Default for Exact<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> Deref for Exact<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Exact<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_without_slack() {
        let mut list = Exact::default();
        assert_eq!((list.bytes(), size_of::<Exact<u16>>()), (0, 16));
        [5_u16, 7].into_iter().for_each(|value| list.push(value));
        list.insert(0, 3);
        list[1] += 1;
        assert_eq!((&*list, list.bytes()), (&[3, 6, 7][..], 6));
        list.truncate(9);
        list.truncate(2);
        assert_eq!((&*list, list.bytes()), (&[3, 6][..], 4));
        let stored = postcard::to_allocvec(&list).unwrap();
        assert_eq!(stored, postcard::to_allocvec(&vec![3_u16, 6]).unwrap());
        assert_eq!(postcard::from_bytes::<Exact<u16>>(&stored).unwrap(), list);
    }
}
