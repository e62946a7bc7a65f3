//! `habitue evaluate orders`.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::input::CsvForm;
use super::{Failure, output, results};
use crate::config::show_day;
use crate::edge::evaluate::orders::{self, Question, Report, evaluate};
use crate::measure::orders::{Day, Ending, Unit, Window};

/// Measure churn on an order log.
///
/// BG/NBD is fitted on all orders up to and with the split's day. For each customer known by then it gives the
/// chance of no order within the horizon after it, which is held against what happened. A customer's orders of one
/// day count as one. Days are those of UTC. The file is CSV, plain, gzip or zstd, in any order.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue evaluate orders orders.csv --customer customer_id --time ordered_at --split 2025-06-30 --horizon 90\n  \
    habitue evaluate orders online_retail_II.csv.gz --customer cust --guests 0 --time ts --order Invoice \
    --amount Quantity --split 2010-09-09 --horizon 90\n  \
    habitue evaluate orders CDNOW_sample.txt --columns master,customer,date,cds,dollars --separator space \
    --customer customer --time date --split 1997-09-30 --horizon 273 --unit weeks --json")]
pub struct Args {
    /// The order log, a line for each order or for each item of one.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The column of customers; a line where it is empty is nobody's.
    #[arg(long, value_name = "COLUMN")]
    customer: String,
    /// The column of times: seconds or milliseconds since 1970, or dates such as 2010-12-09 or 20101209, with or
    /// without a time of day.
    #[arg(long, value_name = "COLUMN")]
    time: String,
    /// The column of money or pieces. An order in which they add up to less than 0 is a return, and does not count.
    #[arg(long, value_name = "COLUMN")]
    amount: Option<String>,
    /// The column that the lines of an order share, where an order has several [default: each line is an order].
    #[arg(long, value_name = "COLUMN")]
    order: Option<String>,
    /// Values of the customer's column that mean nobody.
    #[arg(long, value_delimiter = ',', value_name = "VALUE,...")]
    guests: Vec<String>,
    /// The last day of what is known.
    #[arg(long, value_name = "DATE", value_parser = date)]
    split: Day,
    /// Days after the split in which customers are watched.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_525))]
    horizon: u32,
    /// The unit of time of alpha and of the log-likelihood. It changes no score.
    #[arg(long, value_enum, default_value_t = AskedUnit::Days)]
    unit: AskedUnit,
    /// Write a line for each customer: customer, chance of no order, 1 where there was none.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    #[command(flatten)]
    form: CsvForm,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AskedUnit {
    Days,
    Weeks,
}

/// The order in which numbers are shown.
const SHOWN: [&str; 11] = [
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
    "total_ratio",
];

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let question = Question {
            customer: self.customer,
            time: self.time,
            amount: self.amount,
            order: self.order,
            guests: self.guests,
            window: Window { split: self.split, horizon_days: self.horizon },
            unit: match self.unit {
                AskedUnit::Days => Unit::Days,
                AskedUnit::Weeks => Unit::Weeks,
            },
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

/// The document of DESIGN.md 5; of learners, the default is BG/NBD.
fn document(report: &Report) -> Value {
    let baselines: Map<String, Value> =
        report.baselines.iter().map(|(name, rated)| ((*name).to_owned(), json!(rated))).collect();
    let found = report.fit.parameters;
    json!({
        "rows": report.rows,
        "rows_without_customer": report.rows_without_customer,
        "rows_without_time": report.rows_without_time,
        "rows_without_amount": report.rows_without_amount,
        "split": show_day(report.window.split),
        "horizon_days": report.window.horizon_days,
        "customers": report.customers,
        "customers_later": report.customers_later,
        "orders": report.orders,
        "orders_in_horizon": report.orders_in_window,
        "unit": report.unit.name(),
        "parameters": { "r": found.r, "alpha": found.alpha, "a": found.a, "b": found.b },
        "log_likelihood": report.fit.log_likelihood,
        "converged": report.fit.ending == Ending::Converged,
        "fit_seconds": report.fit_seconds,
        "learners": { "bg_nbd": report.bg_nbd, "default": report.bg_nbd },
        "baselines": baselines,
    })
}

fn print(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let split = show_day(report.window.split);
    writeln!(
        out,
        "{} customers with {} orders up to {split}, a customer's orders of one day counted as one",
        report.customers, report.orders
    )?;
    writeln!(out, "{} orders of theirs in the {} days after it", report.orders_in_window, report.window.horizon_days)?;
    for (count, what) in [
        (report.customers_later as u64, "customers ordered later for the first time and are not measured"),
        (report.rows_without_customer, "rows have no customer and are left out"),
        (report.rows_without_time, "rows have no time that can be read and are left out"),
        (report.rows_without_amount, "rows have no amount that can be read, which counts as 0"),
    ] {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    let (found, unit) = (report.fit.parameters, report.unit.name());
    writeln!(
        out,
        "\nr {:.4}, alpha {:.4} {unit}, a {:.4}, b {:.4}; log-likelihood {:.3}; {:.2} s",
        found.r, found.alpha, found.a, found.b, report.fit.log_likelihood, report.fit_seconds
    )?;
    if report.fit.ending != Ending::Converged {
        writeln!(out, "the fit is not finished: better parameters may exist")?;
    }
    writeln!(out)?;
    let learners = ["bg_nbd", "default"].map(|name| (name.to_owned(), json!(report.bg_nbd)));
    let baselines = report.baselines.iter().map(|(name, rated)| (format!("({name})"), json!(rated)));
    results(out, "LEARNER (BASELINE)", &SHOWN, &learners.into_iter().chain(baselines).collect::<Vec<_>>())
}

fn date(text: &str) -> Result<Day, String> {
    orders::date(text).ok_or_else(|| "it is a date such as 2010-09-09".to_owned())
}
