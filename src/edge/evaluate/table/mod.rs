//! `evaluate table`: reads a file, runs learners and baselines over its rows, and says how good they were.

mod read;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use serde::Serialize;

use super::{EvaluateError, unknown};
use crate::edge::csv_file::{self, Form};
use crate::measure::table::{
    Named, Outcome, Protocol, Quality, Table, TargetError, Task, baselines, learners, order, run,
};

/// What is asked of a file.
#[derive(Debug, Clone)]
pub struct Question {
    pub task: Task,
    pub protocol: Protocol,
    /// The column to predict, and the value of it that is the positive class.
    pub target: String,
    pub positive: Option<String>,
    /// The column by which rows are ordered, and those that are left out; none of them is a feature.
    pub time: Option<String>,
    pub drop: Vec<String>,
    /// Names of learners, `default` or `all`.
    pub learners: Vec<String>,
    pub shuffle: Option<u64>,
    /// Rows that are used at most; and rows at the start that are scored and learned but not measured.
    pub rows: Option<usize>,
    pub warmup: usize,
    /// Where the scores of the first learner go.
    pub scores: Option<PathBuf>,
}

/// Everything that is known at the end.
#[derive(Debug, Clone)]
pub struct Report {
    pub task: Task,
    /// Rows that were scored.
    pub rows: usize,
    /// Rows without a label, which were neither scored nor learned.
    pub rows_unlabelled: usize,
    /// Rows with too few or too many cells.
    pub rows_ragged: u64,
    pub features: usize,
    /// The value that is the positive class.
    pub positive: Option<String>,
    pub learners: Vec<(String, Measured)>,
    pub baselines: Vec<(String, Measured)>,
}

/// How good and how fast one learner was.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub quality: Quality,
    pub events_per_second: f64,
    pub bytes: usize,
}

/// The name of what the product uses for a task, and of all learners.
const DEFAULT: &str = "default";
const ALL: &str = "all";

/// Measures the learners of a question on a file.
///
/// # Errors
/// When the file cannot be read, or the question does not fit it.
pub fn evaluate(file: &Path, form: &Form, question: &Question) -> Result<Report, EvaluateError> {
    let registered = learners(question.task);
    let chosen = choose(&registered, question)?;
    let (trial, mut report) = Trial::read(file, form, question)?;
    let mut scores = question.scores.as_deref().map(|path| Scores::create(path, file)).transpose()?;
    let baselines = baselines(question.task);
    let bar = csv_file::bar((trial.order.len() * (chosen.len() + baselines.len())) as u64);
    let mut measured: Vec<(&str, Measured)> = Vec::new();
    for (name, learner) in &chosen {
        // The default is one of the learners: it runs once.
        let known = measured.iter().find(|(known, _)| *known == learner.name).map(|(_, found)| found.clone());
        let found = match known {
            Some(found) => found,
            None => {
                let (outcome, found) = trial.measure(learner, question, &bar);
                if let Some(scores) = scores.take() {
                    scores.write(&outcome, &trial.labels)?;
                }
                measured.push((learner.name, found.clone()));
                found
            }
        };
        report.learners.push(((*name).to_owned(), found));
    }
    for baseline in &baselines {
        let (_, found) = trial.measure(baseline, question, &bar);
        report.baselines.push((baseline.name.to_owned(), found));
    }
    bar.finish_and_clear();
    Ok(report)
}

/// The learners that are asked for, each under the name it is shown by.
fn choose<'a>(
    registered: &'a [Named],
    question: &Question,
) -> Result<Vec<(&'a str, &'a Named)>, EvaluateError> {
    if registered.is_empty() {
        let tasks = Task::ALL.iter().filter(|task| !learners(**task).is_empty()).map(|task| task.name());
        let tasks: Vec<&str> = tasks.collect();
        return Err(EvaluateError::Question(format!(
            "no learner is built in for {}; there are some for {}",
            question.task.name(),
            tasks.join(" and ")
        )));
    }
    let default = question.task.default_learner();
    let default = registered.iter().find(|learner| Some(learner.name) == default);
    let named = registered.iter().map(|learner| (learner.name, learner));
    let known: Vec<(&str, &Named)> =
        default.map(|learner| (DEFAULT, learner)).into_iter().chain(named).collect();
    if question.learners.iter().any(|name| name == ALL) {
        return Ok(known);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let of_name = |name: &String| {
        known.iter().find(|(known, _)| known == name).copied().ok_or_else(|| unknown("learner", name, &names))
    };
    question.learners.iter().map(of_name).collect()
}

/// A file that has been read, and the order in which its rows come.
struct Trial {
    table: Table,
    labels: Vec<f64>,
    order: Vec<u32>,
}

impl Trial {
    fn read(file: &Path, form: &Form, question: &Question) -> Result<(Trial, Report), EvaluateError> {
        let read = read::read(file, form, question)?;
        let refused = |error: TargetError| EvaluateError::Question(format!("{}: {error}", question.target));
        let (labels, positive) = match question.task {
            Task::Regression => (read.target.numbers().map_err(refused)?, None),
            Task::Anomaly | Task::Classification => {
                let (labels, positive) =
                    read.target.classes(question.positive.as_deref()).map_err(refused)?;
                (labels, Some(positive))
            }
        };
        let labelled = read.target.labelled();
        let rows_unlabelled = read.target.n_rows() - labelled.len();
        let mut order = order(labelled, read.times.as_deref(), question.shuffle);
        order.truncate(question.rows.unwrap_or(usize::MAX));
        let needed = match question.protocol {
            Protocol::Prequential { .. } => question.warmup.saturating_add(1),
            Protocol::KFold(folds) => folds,
        };
        if order.len() < needed {
            let found = order.len();
            return Err(EvaluateError::Question(format!("{found} rows with a label; {needed} are needed")));
        }
        let table = read.cells.table();
        let report = Report {
            task: question.task,
            rows: order.len(),
            rows_unlabelled,
            rows_ragged: read.ragged,
            features: table.n_features(),
            positive,
            learners: Vec::new(),
            baselines: Vec::new(),
        };
        Ok((Trial { table, labels, order }, report))
    }

    fn measure(&self, named: &Named, question: &Question, bar: &ProgressBar) -> (Outcome, Measured) {
        let seed = question.shuffle.unwrap_or(0);
        let make = || (named.make)(self.table.n_features(), seed);
        let how = (question.task, question.protocol);
        let began = Instant::now();
        let outcome = run(&self.table, &self.labels, &self.order, how, &make, &mut |rows| bar.inc(rows));
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        let passes = if let Protocol::KFold(folds) = question.protocol { folds } else { 1 };
        let counted = outcome.scores[question.warmup..].iter();
        let counted: Vec<(f64, f64)> =
            counted.map(|(row, score)| (*score, self.labels[*row as usize])).collect();
        let measured = Measured {
            quality: Quality::of(question.task, &counted),
            events_per_second: (passes * self.order.len()) as f64 / seconds,
            bytes: outcome.bytes,
        };
        (outcome, measured)
    }
}

/// The file of `--scores`.
struct Scores<'a> {
    path: &'a Path,
    out: BufWriter<File>,
}

impl Scores<'_> {
    /// Never over the table itself.
    fn create<'a>(path: &'a Path, table: &Path) -> Result<Scores<'a>, EvaluateError> {
        if csv_file::is_same_file(path, table) {
            return Err(EvaluateError::Question(format!("--scores would overwrite {}", table.display())));
        }
        let out = File::create(path).map_err(|error| EvaluateError::file(path, error))?;
        Ok(Scores { path, out: BufWriter::new(out) })
    }

    /// A line for each row in the order of scoring: its number in the file from 0, its score, its label.
    fn write(mut self, outcome: &Outcome, labels: &[f64]) -> Result<(), EvaluateError> {
        let mut lines = || -> io::Result<()> {
            for (row, score) in &outcome.scores {
                writeln!(self.out, "{row},{score},{}", labels[*row as usize])?;
            }
            self.out.flush()
        };
        lines().map_err(|error| EvaluateError::file(self.path, error))
    }
}
