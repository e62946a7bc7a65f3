//! Online learners by family. They know floats and indices, never customers or topics.
//!
//! The contract, which `tests/it/conformance.rs` holds every learner in [`registry`] to:
//! - a score or prediction before any learning is defined and finite;
//! - scoring changes nothing (it takes `&self`);
//! - a NaN in the features is a missing value, and no value, however large, makes a score non-finite;
//! - a row that is too short misses its last features, and what a row has too much is ignored;
//! - the same seed and stream give the same bits; a clone is independent;
//! - a snapshot taken at any moment and restored continues identically;
//! - `bytes()` stays within `bytes_max()`, whatever the stream.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub mod bg_nbd;
pub mod gate;
pub mod isolation_forest;
pub mod item_to_item;
pub mod logistic_regression;
pub mod popularity;
pub mod scale;

pub use gate::LearnGate;
pub use isolation_forest::IsolationForest;
pub use item_to_item::ItemToItem;
pub use logistic_regression::LogisticRegression;
pub use popularity::Popularity;
pub use scale::{MinMaxScaler, StandardScaler};

/// What every learner is: plain data that can be stored, copied and measured.
pub trait Learner: Clone + Serialize + DeserializeOwned + 'static {
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

/// Learns from labelled rows how likely a row is a positive one.
pub trait Classifier: Learner {
    /// Probability of the positive class, in [0, 1]. NaN features are missing.
    fn predict_one(&self, x: &[f64]) -> f64;
    fn learn_one(&mut self, x: &[f64], y: bool);
}

/// Learns a number from rows that came with it.
pub trait Regressor: Learner {
    /// The expected target, finite. NaN features are missing.
    fn predict_one(&self, x: &[f64]) -> f64;
    /// A target that is not finite teaches nothing, and its row is not counted.
    fn learn_one(&mut self, x: &[f64], y: f64);
}

/// Brings features to comparable ranges, by what it has learned of each so far.
pub trait Scaler: Learner {
    /// Learn a row first and scale it then: a scaler has no label to leak, and the first rows need a range.
    fn learn_one(&mut self, x: &[f64]);
    /// Writes the scaled row over `scaled`, which gets the learner's number of features. A missing value stays
    /// NaN, every other number is finite.
    fn scale_one(&self, x: &[f64], scaled: &mut Vec<f64>);
}

/// What [`registry`] calls for each learner. Learners are plain types and not objects, so a visitor gets them
/// by type, under the field's name, with a way to make one for a number of features and a seed.
pub trait Visitor {
    fn anomaly_detector<D: AnomalyDetector>(&mut self, name: &'static str, make: fn(usize, u64) -> D);
    fn classifier<C: Classifier>(&mut self, name: &'static str, make: fn(usize, u64) -> C);
    fn regressor<R: Regressor>(&mut self, name: &'static str, make: fn(usize, u64) -> R);
    fn scaler<S: Scaler>(&mut self, name: &'static str, make: fn(usize, u64) -> S);
}

/// Shows every learner of rows of this module to `visitor`. A learner is done when it is listed here and passes. Those
/// of pairs and items are held to the same, as far as it applies, by `tests/it/item_to_item.rs`.
pub fn registry(visitor: &mut impl Visitor) {
    visitor.anomaly_detector("isolation_forest", IsolationForest::new);
    visitor.classifier("logistic_regression", |n_features, _| LogisticRegression::new(n_features));
    visitor.scaler("standard_scaler", |n_features, _| StandardScaler::new(n_features));
    visitor.scaler("min_max_scaler", |n_features, _| MinMaxScaler::new(n_features));
}
