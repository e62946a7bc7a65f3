//! Model records: what the market stage publishes for every shard to read, on a compacted topic.

use serde::{Deserialize, Serialize};

use crate::event::TimeMs;

/// A row of a shared table, such as a terminal's fraud share. The newest row of a key wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub table: String,
    pub key: String,
    /// Rises by one with every publication of the row.
    pub version: u64,
    /// Of the tick at which it was published.
    pub time_ms: TimeMs,
    /// What they mean is the table's business.
    pub numbers: Vec<f64>,
    /// What people call the key, such as an item's name; mostly empty.
    pub text: String,
}

impl Row {
    /// Own size and heap, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Row>() + self.table.len() + self.key.len() + self.text.len() + 8 * self.numbers.len()
    }

    /// The record's key in the compacted topic.
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.table, self.key)
    }
}
