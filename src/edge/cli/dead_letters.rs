//! `habitue dead-letters`.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::Value;

use super::client::Client;
use super::{Exit, Failure, Format, output};
use crate::event::Reject;

const RECORDS: &str = "/api/v1/records/dead-letters?from=start&follow=false";
/// Shown of a list at most, the newest.
const LIMIT: usize = 50;

/// Look at records that could not be applied, with the reason of each.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue dead-letters list\n  \
    habitue dead-letters show 3-17 | jq -r .value.raw | xxd -r -p")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Count by reason, and show the newest.
    List(List),
    /// Show one whole, with its raw bytes in hexadecimal.
    Show(Show),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  habitue dead-letters list --reason late")]
struct List {
    /// Only of this reason.
    #[arg(long, value_parser = Reject::ALL.map(Reject::name))]
    reason: Option<String>,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: Client,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  habitue dead-letters show 3-17 | jq -r .value.raw | xxd -r -p")]
struct Show {
    /// Which, as the list calls it: PARTITION-OFFSET.
    id: String,
    #[command(flatten)]
    client: Client,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self.action {
            Action::List(list) => list.run(out),
            Action::Show(show) => show.run(out),
        }
    }
}

fn id(letter: &Value) -> String {
    format!("{}-{}", letter["partition"], letter["offset"])
}

impl List {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut newest = std::collections::VecDeque::new();
        self.client.stream(RECORDS, &mut |name, letter| {
            let reason = letter["value"]["reason"].as_str().unwrap_or("unreadable").to_owned();
            if name == "record" {
                *counts.entry(reason.clone()).or_default() += 1;
                if self.reason.as_ref().is_none_or(|wanted| *wanted == reason) {
                    newest.push_back(letter);
                }
                if newest.len() > LIMIT {
                    newest.pop_front();
                }
            }
            Ok(name != "end")
        })?;
        if self.format == Format::Json {
            let document = serde_json::json!({ "counts": counts, "newest": newest });
            return Ok(output::json(out, &document)?);
        }
        for (reason, count) in &counts {
            writeln!(out, "{reason}: {count}")?;
        }
        let rows: Vec<Vec<String>> = newest
            .iter()
            .rev()
            .map(|letter| {
                let value = &letter["value"];
                let source = &value["source"];
                let from = format!("{} {} {}", source["input"], source["partition"], source["offset"]);
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                vec![id(letter), text(&value["reason"]), from.replace('"', ""), text(&value["detail"])]
            })
            .collect();
        if rows.is_empty() {
            writeln!(out, "no dead letters")?;
        } else {
            output::table(out, &["ID", "REASON", "FROM", "DETAIL"], &rows)?;
        }
        Ok(())
    }
}

impl Show {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut found = None;
        self.client.stream(RECORDS, &mut |name, letter| {
            if name == "record" && id(&letter) == self.id {
                found = Some(letter);
            }
            Ok(name != "end" && found.is_none())
        })?;
        match found {
            Some(letter) => Ok(output::json(out, &letter)?),
            None => Err(Failure::new(Exit::Failed, format!("there is no dead letter {}", self.id))),
        }
    }
}
