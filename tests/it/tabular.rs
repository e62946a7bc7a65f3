//! Labelled tables for measuring detectors, and the two numbers by which they are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use habitue::math::rng::Rng;

/// A table in its natural order.
pub struct Table {
    pub rows: Vec<Vec<f64>>,
    /// True for an anomaly.
    pub labels: Vec<bool>,
}

/// Where the data sets lie: `HABITUE_DATA`, or `../shared/data` beside the repository.
pub fn data_root() -> PathBuf {
    match std::env::var_os("HABITUE_DATA") {
        Some(root) => root.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    }
}

/// Reads `tabular/NAME.csv.gz` of the data sets.
pub fn load(name: &str) -> Option<Table> {
    read(&data_root().join(format!("tabular/{name}.csv.gz")))
}

/// Reads a table of numbers, whose last column is the label. When it can not be had it says so and gives none.
pub fn read(path: &Path) -> Option<Table> {
    let output = Command::new("gzip").arg("-dc").arg(path).output();
    let text = match output {
        Ok(output) if output.status.success() => {
            String::from_utf8(output.stdout).expect("a CSV file is text")
        }
        _ => {
            eprintln!("LEFT OUT: {} can not be read (HABITUE_DATA names the data folder)", path.display());
            return None;
        }
    };
    let mut table = Table { rows: Vec::new(), labels: Vec::new() };
    for line in text.lines().skip(1) {
        let mut row: Vec<f64> = line.split(',').map(|cell| cell.parse().expect("a number")).collect();
        let label = row.pop().expect("a label");
        table.rows.push(row);
        table.labels.push(label > 0.5);
    }
    Some(table)
}

impl Table {
    /// The rows in an order fixed by `seed`, the first `n_max` of them.
    pub fn shuffled(&self, seed: u64, n_max: usize) -> Self {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        let mut rng = Rng::seeded(&[seed]);
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i as u64 + 1) as usize);
        }
        order.truncate(n_max);
        Self {
            rows: order.iter().map(|i| self.rows[*i].clone()).collect(),
            labels: order.iter().map(|i| self.labels[*i]).collect(),
        }
    }
}

/// Area under the ROC curve, ties counted half, and average precision, ties taken together.
pub fn auc_and_average_precision(scores: &[f64], labels: &[bool]) -> (f64, f64) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let n_positive = labels.iter().filter(|l| **l).count() as f64;
    let n_negative = labels.len() as f64 - n_positive;
    let (mut hits, mut misses, mut area, mut precision) = (0.0, 0.0, 0.0, 0.0);
    for tied in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let new_hits = tied.iter().filter(|i| labels[**i]).count() as f64;
        let new_misses = tied.len() as f64 - new_hits;
        area += new_misses * (hits + new_hits / 2.0);
        hits += new_hits;
        misses += new_misses;
        precision += new_hits * hits / (hits + misses);
    }
    (area / (n_positive * n_negative), precision / n_positive)
}

#[test]
fn the_numbers_are_those_of_scikit_learn() {
    // roc_auc_score and average_precision_score, with a tie across the labels.
    let scores = [0.1, 0.4, 0.35, 0.8, 0.4, 0.7];
    let labels = [false, false, true, true, true, false];
    let (auc, precision) = auc_and_average_precision(&scores, &labels);
    assert!(
        (auc - 0.611111111111).abs() < 1e-12 && (precision - 0.700000000000).abs() < 1e-12,
        "{auc} {precision}"
    );
}
