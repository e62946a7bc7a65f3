//! Shared tables: rows that the market stage publishes and every shard reads.
//!
//! One copy a process, paged and copied on write: the reader of `models` changes its own and hands out
//! a clone, which is one reference per page. A shard pins one clone (epoch) per batch, so that all that
//! a batch saw is one position in `models`.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::math::hash::IdMap;
use crate::signal::model::Row;

/// Pages per table; a clone costs one reference each.
const PAGES: usize = 256;

#[derive(Debug, Clone)]
pub struct Tables {
    /// Rows by 128 bits of table and key, so that no two ever meet; the upper bits choose the page.
    pages: Vec<Arc<IdMap<u128, Arc<Row>>>>,
    /// By table.
    counts: BTreeMap<String, u64>,
    rows_max: usize,
    rows: usize,
    /// Of all rows.
    bytes: usize,
}

impl Tables {
    /// Holds at most `rows_max` rows; a new one beyond that is refused by [`Tables::put`].
    pub fn new(rows_max: usize) -> Tables {
        let pages = vec![Arc::default(); PAGES];
        Tables { pages, counts: BTreeMap::new(), rows_max, rows: 0, bytes: 0 }
    }

    pub fn row(&self, table: &str, key: impl AsRef<[u8]>) -> Option<&Row> {
        let hash = hash(table, key.as_ref());
        Some(self.pages[page(hash)].get(&hash)?)
    }

    /// Puts the row in place of an older one of the same table and key. False where the table is full.
    pub fn put(&mut self, row: Row) -> bool {
        let hash = hash(&row.table, row.key.as_bytes());
        let page = &mut self.pages[page(hash)];
        if !page.contains(&hash) {
            if self.rows >= self.rows_max {
                return false;
            }
            self.rows += 1;
            match self.counts.get_mut(&row.table) {
                Some(count) => *count += 1,
                None => drop(self.counts.insert(row.table.clone(), 1)),
            }
        }
        self.bytes += row.bytes();
        if let Some(old) = Arc::make_mut(page).insert(hash, Arc::new(row)) {
            self.bytes -= old.bytes();
        }
        true
    }

    pub fn remove(&mut self, table: &str, key: &str) {
        let hash = hash(table, key.as_bytes());
        let page = &mut self.pages[page(hash)];
        if let Some(old) = page.contains(&hash).then(|| Arc::make_mut(page).remove(&hash)).flatten() {
            self.rows -= 1;
            self.bytes -= old.bytes();
            if let Some(count) = self.counts.get_mut(table) {
                *count -= 1;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    /// Rows by table.
    pub fn rows_by_table(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// Rows it holds at most.
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Pages, rows, and the counts in front of each.
    pub fn bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| size_of_val(&**page) + page.bytes()).sum();
        pages + self.rows * 2 * size_of::<usize>() + self.bytes
    }
}

fn hash(table: &str, key: &[u8]) -> u128 {
    xxh3_128_with_seed(key, xxh3_64(table.as_bytes()))
}

fn page(hash: u128) -> usize {
    // The eight upper bits.
    (hash >> 120) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, share: f64) -> Row {
        Row {
            table: "t".into(),
            key: key.into(),
            version: 1,
            time_ms: 0,
            numbers: vec![share],
            shares: Vec::new(),
            text: String::new(),
        }
    }

    #[test]
    fn a_pinned_epoch_does_not_see_later_rows() {
        let mut tables = Tables::new(10);
        assert!(tables.put(row("a", 0.1)));
        let pinned = tables.clone();
        assert!(tables.put(row("a", 0.9)));
        assert_eq!(pinned.row("t", "a").map(|r| r.numbers[0]), Some(0.1));
        assert_eq!(tables.row("t", "a").map(|r| r.numbers[0]), Some(0.9));
    }

    #[test]
    fn a_full_table_refuses_new_rows_and_replaces_old_ones() {
        let mut tables = Tables::new(1);
        assert!(tables.put(row("a", 0.1)));
        assert!(!tables.put(row("b", 0.1)));
        assert!(tables.put(row("a", 0.2)));
        assert_eq!(tables.len(), 1);
        assert_eq!(tables.rows_by_table(), &BTreeMap::from([("t".to_owned(), 1)]));
        tables.remove("t", "a");
        assert!(tables.put(row("b", 0.1)));
    }
}
