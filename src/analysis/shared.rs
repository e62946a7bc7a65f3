//! Shared tables: rows that the market stage publishes and every shard reads.
//!
//! One copy a process, paged and copied on write: the reader of `models` changes its own and hands out
//! a clone, which is one reference per page. A shard pins one clone (epoch) per batch, so that all that
//! a batch saw is one position in `models`.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::signal::model::Row;

/// Pages per table; a clone costs one reference each.
const PAGES: usize = 256;

#[derive(Debug, Clone)]
pub struct Tables {
    /// Rows by hash of table and key; the upper bits choose the page.
    pages: Vec<Arc<BTreeMap<u64, Arc<Row>>>>,
    rows_max: usize,
    rows: usize,
    /// Of all rows.
    bytes: usize,
}

impl Tables {
    /// Holds at most `rows_max` rows; a new one beyond that is refused by [`Tables::put`].
    pub fn new(rows_max: usize) -> Tables {
        Tables { pages: vec![Arc::default(); PAGES], rows_max, rows: 0, bytes: 0 }
    }

    pub fn row(&self, table: &str, key: &str) -> Option<&Row> {
        let hash = hash(table, key);
        let row = self.pages[page(hash)].get(&hash)?;
        (row.table == table && row.key == key).then_some(row)
    }

    /// Puts the row in place of an older one of the same table and key. False where the table is full.
    pub fn put(&mut self, row: Row) -> bool {
        let hash = hash(&row.table, &row.key);
        let page = &mut self.pages[page(hash)];
        if !page.contains_key(&hash) {
            if self.rows >= self.rows_max {
                return false;
            }
            self.rows += 1;
        }
        self.bytes += row.bytes();
        if let Some(old) = Arc::make_mut(page).insert(hash, Arc::new(row)) {
            self.bytes -= old.bytes();
        }
        true
    }

    pub fn remove(&mut self, table: &str, key: &str) {
        let hash = hash(table, key);
        let page = &mut self.pages[page(hash)];
        if let Some(old) = page.contains_key(&hash).then(|| Arc::make_mut(page).remove(&hash)).flatten() {
            self.rows -= 1;
            self.bytes -= old.bytes();
        }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    /// Rows by table. Looks at every row.
    pub fn rows_by_table(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for row in self.pages.iter().flat_map(|page| page.values()) {
            *counts.entry(row.table.as_str()).or_default() += 1;
        }
        counts
    }

    /// Rows it holds at most.
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Pages, nodes and rows.
    pub fn bytes(&self) -> usize {
        PAGES * size_of::<BTreeMap<u64, Arc<Row>>>() + self.rows * 32 + self.bytes
    }
}

fn hash(table: &str, key: &str) -> u64 {
    xxh3_64(key.as_bytes()) ^ xxh3_64(table.as_bytes()).rotate_left(7)
}

fn page(hash: u64) -> usize {
    // The eight upper bits.
    (hash >> 56) as usize
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
        assert_eq!(tables.rows_by_table(), BTreeMap::from([("t", 1)]));
        tables.remove("t", "a");
        assert!(tables.put(row("b", 0.1)));
    }
}
