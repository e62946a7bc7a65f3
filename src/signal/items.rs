//! Items of a list, in one text.

use serde::{Deserialize, Serialize};

/// The items of a list, best first. All their words stand in one text, so that a list is two allocations: lists are
/// most of what a shop's service writes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Items {
    text: String,
    entries: Vec<Entry>,
}

/// Where in the text the item, its source and its reason end, each beginning where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Entry {
    ends: [usize; 3],
    score: f64,
}

/// One item of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecommendedItem<'a> {
    pub item: &'a str,
    /// Share of the evidence that the customer takes it next, 0 to 1; comparable within one list only.
    pub score: f64,
    /// The method that proposed it: session, repurchase, popular, seen.
    pub source: &'a str,
    /// One sentence for people.
    pub reason: &'a str,
}

impl Items {
    /// Room for so many items, of some 50 bytes each.
    pub fn with_capacity(items: usize) -> Items {
        Items { text: String::with_capacity(50 * items), entries: Vec::with_capacity(items) }
    }

    /// Adds an item whose reason is what `reason` adds to the text.
    pub fn push(&mut self, item: &str, score: f64, source: &str, reason: impl FnOnce(&mut String)) {
        let mut ends = [0; 3];
        self.text.push_str(item);
        ends[0] = self.text.len();
        self.text.push_str(source);
        ends[1] = self.text.len();
        reason(&mut self.text);
        ends[2] = self.text.len();
        self.entries.push(Entry { ends, score });
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecommendedItem<'_>> {
        (0..self.entries.len()).map(|at| {
            let start = at.checked_sub(1).map_or(0, |before| self.entries[before].ends[2]);
            let Entry { ends: [item, source, reason], score } = self.entries[at];
            RecommendedItem {
                item: &self.text[start..item],
                score,
                source: &self.text[item..source],
                reason: &self.text[source..reason],
            }
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_as_they_were_pushed() {
        let mut items = Items::with_capacity(1);
        assert!(items.is_empty() && items.iter().next().is_none());
        items.push("müsli", 0.5, "session", |text| text.push_str("often taken after milk"));
        items.push("", 0.25, "", |_| {});
        items.push("c", 0.125, "popular", |text| text.push_str("popular in the shop"));
        let told: Vec<_> = items.iter().map(|i| (i.item, i.score, i.source, i.reason)).collect();
        let first = ("müsli", 0.5, "session", "often taken after milk");
        assert_eq!(told, [first, ("", 0.25, "", ""), ("c", 0.125, "popular", "popular in the shop")]);
        assert_eq!(items.len(), 3);
    }
}
