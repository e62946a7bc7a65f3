//! `habitue evaluate`: one file for each kind of data, and one line in `commands!`.

use std::io::{self, Write};

use serde_json::Value;

use super::{Exit, Failure, input, output};
use crate::edge::evaluate::EvaluateError;

commands! {
    Table = table;
    Sessions = sessions;
    Orders = orders;
}

/// Measure learners on your own data.
///
/// Every score is made before its row is learned.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue evaluate table customers.csv --target churned --learner all\n  \
    habitue evaluate sessions --train june.txt.gz --test july.txt.gz --method all")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        self.command.run(out)
    }
}

/// Named results as rows: those of the numbers in `keys` that any of them has.
fn results(out: &mut dyn Write, what: &str, keys: &[&str], named: &[(String, Value)]) -> io::Result<()> {
    let has = |key: &&&str| named.iter().any(|(_, result)| result.get(**key).is_some());
    let keys: Vec<&str> = keys.iter().filter(has).copied().collect();
    let head: Vec<String> = keys.iter().map(|key| key.replace('_', " ").to_uppercase()).collect();
    let head: Vec<&str> = std::iter::once(what).chain(head.iter().map(String::as_str)).collect();
    let row = |(name, result): &(String, Value)| {
        std::iter::once(name.clone()).chain(keys.iter().map(|key| cell(&result[key]))).collect()
    };
    output::table(out, &head, &named.iter().map(row).collect::<Vec<Vec<String>>>())
}

/// A count as it is, a large number without its fraction, any other with four digits.
fn cell(value: &Value) -> String {
    match value.as_f64() {
        _ if value.is_u64() => value.to_string(),
        Some(number) if number.abs() >= 10_000.0 => format!("{number:.0}"),
        Some(number) => format!("{number:.4}"),
        None => "-".to_owned(),
    }
}

impl From<EvaluateError> for Failure {
    fn from(error: EvaluateError) -> Failure {
        let exit = match error {
            EvaluateError::File { .. } => Exit::Failed,
            EvaluateError::Question(_) => Exit::Usage,
        };
        Failure::new(exit, error.to_string())
    }
}
