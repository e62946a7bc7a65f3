//! Online learners by family. They know floats and indices, never customers or topics.
//!
//! The contract, which `tests/it/conformance.rs` holds every learner in [`registry`] to:
//! - a score or prediction before any learning is defined and finite;
//! - scoring changes nothing (it takes `&self`);
//! - a NaN in the features is a missing value, and no value, however large, makes a score non-finite;
//! - the same seed and stream give the same bits; a clone is independent;
//! - a snapshot taken at any moment and restored continues identically;
//! - `bytes()` stays within `bytes_max()`, whatever the stream.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What every learner is: plain data that can be stored, copied and measured.
pub trait Learner: Clone + Serialize + DeserializeOwned {
    /// Heap and own size now, in bytes.
    fn bytes(&self) -> usize;
    /// The bound that `bytes` never passes.
    fn bytes_max(&self) -> usize;
    /// Rows learned so far.
    fn n_learned(&self) -> u64;
}

/// Learns what is usual without labels. A higher score is more anomalous.
pub trait AnomalyDetector: Learner {
    /// In [0, 1]; what 0.5 means is the learner's docstring's business. NaN features are missing.
    fn score_one(&self, x: &[f64]) -> f64;
    fn learn_one(&mut self, x: &[f64]);
}
