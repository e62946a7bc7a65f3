//! Model records: what the market stage publishes for every shard to read, on a compacted topic.

use serde::{Deserialize, Serialize};

use crate::event::TimeMs;

/// The value of one record of the models topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ModelRecord {
    Row(Row),
    Whole(Whole),
}

impl ModelRecord {
    /// The record's key in the compacted topic. A row's has a slash, a whole model's has none.
    pub fn record_key(&self) -> String {
        match self {
            ModelRecord::Row(row) => row.record_key(),
            ModelRecord::Whole(whole) => whole.name.clone(),
        }
    }
}

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
    /// Hashes, each with its share, 0 to 1; what of is the table's business.
    pub shares: Vec<(u32, f32)>,
    /// What people call the key, such as an item's name; mostly empty.
    pub text: String,
}

impl Row {
    /// Own size and heap, in bytes.
    pub fn bytes(&self) -> usize {
        let texts = self.table.len() + self.key.len() + self.text.len();
        size_of::<Row>() + texts + 8 * (self.numbers.len() + self.shares.len())
    }

    /// The record's key in the compacted topic.
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.table, self.key)
    }
}

/// A whole model, swapped in at once. The newest version of a name wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// Also the record's key.
    pub name: String,
    /// Rises by one with every publication.
    pub version: u64,
    /// Of the tick at which it was published.
    pub time_ms: TimeMs,
    pub content: Content,
}

/// A whole model's bytes, which its analysis compiles, or where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    Inline(Vec<u8>),
    /// Too large for a record.
    Stored(Stored),
}

/// A content in the object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Path within the store.
    pub path: String,
    /// In bytes.
    pub length: u64,
    /// XXH3 of the content, 64 bits.
    pub checksum: u64,
}
