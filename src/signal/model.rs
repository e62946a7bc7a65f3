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
}

impl Row {
    /// The record's key in the compacted topic.
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.table, self.key)
    }
}
