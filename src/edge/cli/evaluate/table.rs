//! `habitue evaluate table`.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::input::CsvForm;
use super::{Exit, Failure, output, results};
use crate::edge::evaluate::table::{Measured, Question, Report, evaluate};
use crate::measure::table::{Protocol, Task};

/// Measure learners on a table of labelled rows.
///
/// Rows come in the order of the file. Each is scored, and then learned; a row without a label is left out. The file
/// is CSV, plain, gzip or zstd. A column is a number when 99 % of its cells that are not empty are; what else stands
/// there is missing. Any other column is a category: its most common values become features of 0 and 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue evaluate table customers.csv --target churned --drop customer_id --learner all\n  \
    habitue evaluate table payments.csv.gz --target fraud --label-delay 1000 --json\n  \
    habitue evaluate table shuttle.csv.gz --target y --task anomaly --shuffle 1")]
pub struct Args {
    /// The table.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The column to predict.
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// The target's value that is the positive class [default: the greater of two, or the one that says yes].
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    positive: Option<String>,
    /// Put the rows in order of this column, a number or a date; it is no feature.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Columns that are no features.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    drop: Vec<String>,
    /// Names of learners, or "all"; "default" is what the service uses.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", default_value = "default")]
    learner: Vec<String>,
    /// For anomaly, the label measures and is never learned.
    #[arg(long, value_enum, default_value_t = AskedTask::Classification)]
    task: AskedTask,
    /// prequential, or k-fold:N: learn all blocks but one, and score that one.
    #[arg(long, value_parser = protocol, default_value = "prequential")]
    protocol: Protocol,
    /// Shuffle the rows, in an order that this seed fixes.
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// Use that many rows; cut after shuffling.
    #[arg(long, value_name = "N", value_parser = count)]
    rows: Option<usize>,
    /// A row's label arrives that many rows later.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    label_delay: usize,
    /// Rows at the start that are scored and learned, but not measured.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    warmup: usize,
    /// Write a line for each row: its number from 0, score, label. Of several learners, the first one's scores.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    #[command(flatten)]
    form: CsvForm,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AskedTask {
    Anomaly,
    Classification,
    Regression,
}

/// The order in which numbers are shown.
const SHOWN: [&str; 12] = [
    "n",
    "positives",
    "auc",
    "average_precision",
    "log_loss",
    "brier",
    "accuracy",
    "ece",
    "mae",
    "rmse",
    "events_per_second",
    "bytes",
];

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let protocol = match self.protocol {
            Protocol::KFold(_) if self.label_delay > 0 || self.warmup > 0 => {
                let reason = "--label-delay and --warmup go with --protocol prequential";
                return Err(Failure::new(Exit::Usage, reason));
            }
            Protocol::KFold(folds) => Protocol::KFold(folds),
            Protocol::Prequential { .. } => Protocol::Prequential { label_delay: self.label_delay },
        };
        let question = Question {
            task: match self.task {
                AskedTask::Anomaly => Task::Anomaly,
                AskedTask::Classification => Task::Classification,
                AskedTask::Regression => Task::Regression,
            },
            protocol,
            target: self.target,
            positive: self.positive,
            time: self.time,
            drop: self.drop,
            learners: self.learner,
            shuffle: self.shuffle,
            rows: self.rows,
            warmup: self.warmup,
            scores: self.scores,
        };
        let report = evaluate(&self.file, &self.form.into(), &question)?;
        if self.json {
            output::json(out, &document(&report))?;
        } else {
            print(&report, out)?;
        }
        Ok(())
    }
}

/// The document of DESIGN.md 5.
fn document(report: &Report) -> Value {
    let group = |measured: &[(String, Measured)]| -> Map<String, Value> {
        measured.iter().map(|(name, measured)| (name.clone(), json!(measured))).collect()
    };
    json!({
        "rows": report.rows,
        "rows_unlabelled": report.rows_unlabelled,
        "rows_ragged": report.rows_ragged,
        "features": report.features,
        "task": report.task.name(),
        "positive": report.positive,
        "learners": group(&report.learners),
        "baselines": group(&report.baselines),
    })
}

fn print(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let positive = report.positive.as_ref().map(|value| format!("; positive is {value:?}"));
    writeln!(out, "{} rows, {} features{}", report.rows, report.features, positive.unwrap_or_default())?;
    if report.rows_unlabelled > 0 {
        writeln!(out, "{} rows have no label and are left out", report.rows_unlabelled)?;
    }
    if report.rows_ragged > 0 {
        writeln!(out, "{} rows have too few cells or too many", report.rows_ragged)?;
    }
    writeln!(out)?;
    let learners = report.learners.iter().map(|(name, measured)| (name.clone(), json!(measured)));
    let baselines = report.baselines.iter().map(|(name, measured)| (format!("({name})"), json!(measured)));
    results(out, "LEARNER (BASELINE)", &SHOWN, &learners.chain(baselines).collect::<Vec<_>>())
}

fn protocol(text: &str) -> Result<Protocol, String> {
    if text == "prequential" {
        return Ok(Protocol::Prequential { label_delay: 0 });
    }
    let folds = text.strip_prefix("k-fold:").and_then(|folds| folds.parse().ok());
    let folds = folds.filter(|folds| (2..=1_000).contains(folds));
    folds.map(Protocol::KFold).ok_or_else(|| "it is prequential, or k-fold:N with N from 2 to 1000".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "it is a number from 1".to_owned())
}
