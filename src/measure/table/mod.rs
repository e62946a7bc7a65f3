//! Learners on a table of rows: what `evaluate table` measures.
//!
//! [`Cells`] takes the file's cells and becomes the [`Table`] of features; [`Target`] takes the column that is to
//! be predicted. [`run()`] then scores and teaches one [`Candidate`], and [`Quality`] says how good its scores were.

mod candidates;
mod features;
mod quality;
mod run;
mod target;

pub use candidates::{Candidate, Named, baselines, learners};
pub use features::{Cells, Table};
pub use quality::Quality;
pub use run::{Outcome, Protocol, order, run};
pub use target::{Target, TargetError};

/// What is asked of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Rank rows without having seen a label; the target only measures.
    Anomaly,
    /// The probability that the target has its positive value.
    Classification,
    /// The target itself, a number.
    Regression,
}

impl Task {
    pub const ALL: [Task; 3] = [Task::Anomaly, Task::Classification, Task::Regression];

    pub fn name(self) -> &'static str {
        match self {
            Task::Anomaly => "anomaly",
            Task::Classification => "classification",
            Task::Regression => "regression",
        }
    }
}

/// A cell without a value: empty, or one of the usual words for it.
fn is_missing(cell: &[u8]) -> bool {
    const WORDS: [&str; 8] = ["", "?", "-", "na", "n/a", "nan", "null", "none"];
    WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes()))
}

/// A number, which may be infinite or NaN.
fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}
