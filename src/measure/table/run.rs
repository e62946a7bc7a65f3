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
    let mut rows = Rows { table, labels, x: Vec::with_capacity(table.n_features()), row: None };
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
    /// The features of the row last read, and which one that is.
    x: Vec<f64>,
    row: Option<u32>,
}

impl Rows<'_> {
    fn score(&mut self, row: u32, candidate: &mut dyn Candidate) -> (u32, f64) {
        self.read(row);
        (row, candidate.score_one(&self.x))
    }

    fn learn(&mut self, row: u32, candidate: &mut dyn Candidate) {
        self.read(row);
        candidate.learn_one(&self.x, self.labels[row as usize]);
    }

    fn read(&mut self, row: u32) {
        if self.row != Some(row) {
            self.table.row(row as usize, &mut self.x);
            self.row = Some(row);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::table::{Cells, Named, Quality, baselines};

    /// A baseline's name, what it said, and how good that was.
    type Told = (&'static str, Vec<(u32, f64)>, Quality);

    /// Of the baselines of regression, on targets that are known.
    fn told(protocol: Protocol) -> Vec<Told> {
        let labels = [4.0, f64::NAN, 8.0, 6.0, 2.0];
        let mut cells = Cells::new(1);
        labels.iter().for_each(|_| cells.push([&b"1"[..]].into_iter()));
        let (table, order) = (cells.table(), [0, 2, 3, 4]);
        let of = |Named { name, make }: Named| {
            let make = || make(table.n_features(), 0);
            let how = (Task::Regression, protocol);
            let scores = run(&table, &labels, &order, how, &make, &mut |_| ()).scores;
            let pairs: Vec<(f64, f64)> = scores.iter().map(|(row, y)| (*y, labels[*row as usize])).collect();
            (name, scores, Quality::of(Task::Regression, &pairs))
        };
        baselines(Task::Regression).into_iter().map(of).collect()
    }

    #[test]
    fn labels_come_after_their_delay_and_folds_after_the_others() {
        let [(mean, means, quality), (no_change, last, _)] =
            told(Protocol::Prequential { label_delay: 0 }).try_into().expect("two baselines");
        assert_eq!((mean, no_change), ("mean", "no_change"));
        assert_eq!(means, [(0, 0.0), (2, 4.0), (3, 6.0), (4, 6.0)]);
        assert_eq!(last, [(0, 0.0), (2, 4.0), (3, 8.0), (4, 6.0)]);
        let rmse = libm::sqrt((16.0 + 16.0 + 0.0 + 16.0) / 4.0);
        assert_eq!(quality, Quality::Regression { n: 4, mae: 3.0, rmse });
        let late = told(Protocol::Prequential { label_delay: 2 });
        assert_eq!(late[1].1, [(0, 0.0), (2, 0.0), (3, 0.0), (4, 4.0)]);
        let folds = told(Protocol::KFold(2));
        assert_eq!(folds[0].1, [(0, 4.0), (2, 4.0), (3, 6.0), (4, 6.0)]);
    }

    #[test]
    fn rows_come_in_order_of_time_or_of_a_seed() {
        let times = [3.0, 1.0, f64::NEG_INFINITY, 1.0];
        assert_eq!(order(vec![0, 1, 2, 3], Some(&times), None), [2, 1, 3, 0]);
        let shuffled = order((0..1_000).collect(), None, Some(5));
        let mut sorted = shuffled.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..1_000) && shuffled != sorted);
        assert_eq!(shuffled, order((0..1_000).collect(), None, Some(5)));
    }
}
