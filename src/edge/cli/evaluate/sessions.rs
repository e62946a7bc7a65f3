//! `habitue evaluate sessions`.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Failure, output, results};
use crate::edge::evaluate::sessions::{Counts, Report, evaluate};
use crate::measure::sessions::{Plan, Protocol};

/// Measure lists of recommendations on sessions.
///
/// A file has one session a line, in order of time: the items in order, separated by blanks. It is plain, gzip or
/// zstd. A method learns the sessions of the first file, and then makes a list of 20 at every step of those of the
/// second; each session is learned once it is over. Lines have no times, so one a minute is taken.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue evaluate sessions --train june.txt.gz --test july.txt.gz --method all\n  \
    habitue evaluate sessions --train june.txt --test july.txt --protocol shop --frozen --json")]
pub struct Args {
    /// Sessions to learn first.
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Sessions to measure.
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// Names of methods, or "all"; "default" is what the service does.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", default_value = "default")]
    method: Vec<String>,
    /// Which steps count.
    #[arg(long, value_enum, default_value_t = AskedProtocol::Published)]
    protocol: AskedProtocol,
    /// Learn nothing of the test.
    #[arg(long)]
    frozen: bool,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AskedProtocol {
    /// Every step, one to the item on the screen included: compare with published figures.
    Published,
    /// Lists without the items of the session, and steps to new items only.
    Shop,
}

/// The order in which numbers are shown.
const SHOWN: [&str; 8] =
    ["n", "hit_rate_20", "mrr_20", "events_per_second", "p50_us", "p90_us", "p99_us", "bytes"];

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let protocol = match self.protocol {
            AskedProtocol::Published => Protocol::Published,
            AskedProtocol::Shop => Protocol::Shop,
        };
        let plan = Plan { protocol, online: !self.frozen };
        let report = evaluate(&self.train, &self.test, plan, &self.method)?;
        if self.json {
            output::json(out, &document(&report, plan))?;
        } else {
            print(&report, plan, out)?;
        }
        Ok(())
    }
}

/// The document of DESIGN.md 5.
fn document(report: &Report, plan: Plan) -> Value {
    let counts = |counts: Counts| {
        json!({ "sessions": counts.sessions, "events": counts.events, "empty_lines": counts.empty })
    };
    let methods = report.methods.iter().map(|(name, measured)| ((*name).to_owned(), json!(measured)));
    json!({
        "protocol": plan.protocol.name(),
        "online": plan.online,
        "train": counts(report.train),
        "test": counts(report.test),
        "items": report.items,
        "methods": methods.collect::<Map<String, Value>>(),
    })
}

fn print(report: &Report, plan: Plan, out: &mut dyn Write) -> io::Result<()> {
    let counts = |counts: Counts| format!("{} sessions with {} events", counts.sessions, counts.events);
    writeln!(out, "learned from {}; measured on {}", counts(report.train), counts(report.test))?;
    let learns = if plan.online { "each learned once it is over" } else { "none of them learned" };
    writeln!(out, "protocol {}, {learns}; {} items\n", plan.protocol.name(), report.items)?;
    let flat = report.methods.iter().map(|(name, measured)| {
        let mut numbers = json!(measured);
        for (number, key) in [("p50", "p50_us"), ("p90", "p90_us"), ("p99", "p99_us")] {
            numbers[key] = numbers["query_us"][number].clone();
        }
        ((*name).to_owned(), numbers)
    });
    results(out, "METHOD", &SHOWN, &flat.collect::<Vec<_>>())
}
