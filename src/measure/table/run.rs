//! Score, then learn: one candidate over one table.

use super::{Candidate, Table, Task};
use crate::math::rng::Rng;

/// Which rows teach before which rows are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Each row is scored, and then learned once `label_delay` more rows have been scored. A detector of anomalies
    /// learns at once, for it takes no label.
    Prequential { label_delay: usize },
    /// The rows are cut into this many blocks of like size, 2 or more. A learner of its own for each block learns
    /// the rows outside of it in order, then scores it.
    KFold(usize),
}

/// What a candidate said.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Row and score, in the order of scoring.
    pub scores: Vec<(u32, f64)>,
    /// Bytes of the learner at its end; of the largest where there were several.
    pub bytes: usize,
}

/// Rows in the order in which they come: `rows` in order of `times` where there are any, or shuffled by a seed.
pub fn order(mut rows: Vec<u32>, times: Option<&[f64]>, shuffle: Option<u64>) -> Vec<u32> {
    if let Some(times) = times {
        rows.sort_by(|a, b| times[*a as usize].total_cmp(&times[*b as usize]));
    }
    if let Some(seed) = shuffle {
        let mut rng = Rng::seeded(&[seed]);
        for at in (1..rows.len()).rev() {
            rows.swap(at, rng.below(at as u64 + 1) as usize);
        }
    }
    rows
}

/// Runs a candidate, made anew by `make`, over the rows of `order`; `tick` is told of rows gone by.
pub fn run(
    table: &Table,
    labels: &[f64],
    order: &[u32],
    (task, protocol): (Task, Protocol),
    make: &dyn Fn() -> Box<dyn Candidate>,
    tick: &mut dyn FnMut(u64),
) -> Outcome {
    let mut rows = Rows { table, labels, x: Vec::with_capacity(table.n_features()) };
    match protocol {
        Protocol::Prequential { .. } if task == Task::Anomaly => {
            prequential(&mut rows, order, 0, make(), tick)
        }
        Protocol::Prequential { label_delay } => prequential(&mut rows, order, label_delay, make(), tick),
        Protocol::KFold(folds) => k_fold(&mut rows, order, folds, make, tick),
    }
}

/// Rows go by between two ticks.
const TICK: usize = 1_024;

struct Rows<'a> {
    table: &'a Table,
    labels: &'a [f64],
    /// The features of the row last read.
    x: Vec<f64>,
}

impl Rows<'_> {
    fn score(&mut self, row: u32, candidate: &mut dyn Candidate) -> (u32, f64) {
        self.table.row(row as usize, &mut self.x);
        (row, candidate.score_one(&self.x))
    }

    fn learn(&mut self, row: u32, candidate: &mut dyn Candidate) {
        self.table.row(row as usize, &mut self.x);
        candidate.learn_one(&self.x, self.labels[row as usize]);
    }
}

fn prequential(
    rows: &mut Rows<'_>,
    order: &[u32],
    label_delay: usize,
    mut candidate: Box<dyn Candidate>,
    tick: &mut dyn FnMut(u64),
) -> Outcome {
    let mut scores = Vec::with_capacity(order.len());
    for (at, row) in order.iter().enumerate() {
        scores.push(rows.score(*row, &mut *candidate));
        if let Some(due) = at.checked_sub(label_delay) {
            rows.learn(order[due], &mut *candidate);
        }
        if at % TICK == TICK - 1 {
            tick(TICK as u64);
        }
    }
    Outcome { scores, bytes: candidate.bytes() }
}

fn k_fold(
    rows: &mut Rows<'_>,
    order: &[u32],
    folds: usize,
    make: &dyn Fn() -> Box<dyn Candidate>,
    tick: &mut dyn FnMut(u64),
) -> Outcome {
    let mut outcome = Outcome { scores: Vec::with_capacity(order.len()), bytes: 0 };
    for fold in 0..folds {
        let held = order.len() * fold / folds..order.len() * (fold + 1) / folds;
        let mut candidate = make();
        for row in order[..held.start].iter().chain(&order[held.end..]) {
            rows.learn(*row, &mut *candidate);
        }
        outcome.scores.extend(order[held.clone()].iter().map(|row| rows.score(*row, &mut *candidate)));
        outcome.bytes = outcome.bytes.max(candidate.bytes());
        tick(held.len() as u64);
    }
    outcome
}
