//! `habitue backtest`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::input::{CsvForm, refuse_nothing_read};
use super::output;
use super::{Exit, Failure};
use crate::config::Mapping;
use crate::edge::backtest::{BacktestError, run};
use crate::edge::csv_file::is_same_file;
use crate::edge::event_files::ReadError;

/// Run event files through the whole service, at full speed in event time.
///
/// The files are CSV, plain, .gz or .zst, each in order of time; several are merged. Labels arrive when they
/// would have, and no score knows of a label that had not arrived. A mapping with [sessions] reads lines of sessions
/// instead of columns, one file after the other.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue backtest online_retail_II.csv.gz --mapping docs/mappings/online_retail.toml\n  \
    habitue backtest payments.csv --mapping mapping.toml --json | jq .analyses.anomaly\n  \
    habitue backtest june.txt.gz july.txt.gz --mapping docs/mappings/sessions.toml")]
pub struct Args {
    /// The event files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the columns mean, see docs/mappings.
    #[arg(long, value_name = "MAPPING.toml")]
    mapping: PathBuf,
    /// Write each customer's totals at the end to this file, as CSV.
    #[arg(long, value_name = "CSV")]
    customers: Option<PathBuf>,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: CsvForm,
    /// Partitions of the service; each has learners of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    partitions: u32,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let mapping = Mapping::read(&self.mapping)?;
        if mapping.sessions.is_some() && self.form.is_given() {
            let reason = "--columns and --separator are for tables, and by the mapping a line is a session";
            return Err(Failure::new(Exit::Usage, reason));
        }
        let is_read = |file: &&Path| self.files.iter().any(|read| is_same_file(read, file));
        if let Some(file) = self.customers.as_deref().filter(is_read) {
            return Err(Failure::new(Exit::Usage, format!("--customers would overwrite {}", file.display())));
        }
        let outcome = run(&self.files, &mapping, &self.form.into(), self.partitions).map_err(|error| {
            let exit = match error {
                BacktestError::Files(ReadError::Columns { .. }) => Exit::Configuration,
                BacktestError::Files(ReadError::Read { .. }) | BacktestError::Service(_) => Exit::Failed,
            };
            Failure::new(exit, error.to_string())
        })?;
        if let Some(file) = &self.customers {
            let failed = |reason: String| Failure::new(Exit::Failed, format!("{}: {reason}", file.display()));
            let mut out = BufWriter::new(File::create(file).map_err(|error| failed(error.to_string()))?);
            outcome.customers(&mut out).map_err(|error| failed(error.to_string()))?;
        }
        if self.json {
            output::json(out, &outcome.document())?;
        } else {
            outcome.print(out, output::table)?;
        }
        refuse_nothing_read(outcome.rows, outcome.events)
    }
}
