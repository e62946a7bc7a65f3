//! The last different things, nearest first.

use serde::{Deserialize, Serialize};

/// The last 10 different items, each where it came last; 44 bytes. Pushing costs a walk over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recent {
    items: [u32; Recent::LENGTH],
    len: u8,
}

impl Recent {
    pub const LENGTH: usize = 10;

    /// Nearest first, none of them twice.
    pub fn items(&self) -> &[u32] {
        &self.items[..usize::from(self.len)]
    }

    /// The item is the nearest now; the furthest goes where there is no room.
    pub fn push(&mut self, item: u32) {
        let place = self.items().iter().position(|known| *known == item);
        let last = place.unwrap_or_else(|| {
            self.len = (self.len + 1).min(Self::LENGTH as u8);
            usize::from(self.len) - 1
        });
        self.items[..=last].rotate_right(1);
        self.items[0] = item;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn are_what_a_list_without_repeats_would_end_with(items in prop::collection::vec(0_u32..25, 0..60)) {
            let mut recent = Recent::default();
            items.iter().for_each(|item| recent.push(*item));
            let mut slow: Vec<u32> = Vec::new();
            items.iter().rev().for_each(|item| if !slow.contains(item) { slow.push(*item) });
            slow.truncate(Recent::LENGTH);
            prop_assert_eq!(recent.items(), slow);
        }
    }
}
