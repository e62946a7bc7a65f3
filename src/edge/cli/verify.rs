//! `habitue verify`.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use super::input::ConfigFile;
use super::output;
use super::{Exit, Failure};
use crate::edge::service::verify::verify;
use crate::edge::shard::customer::verify::{Outcome, Verified};

/// Replay the journal with the models and settings of its time, and compare what is published.
///
/// Every decision and every record of alerts, scores and dead-letters is made anew and must be the committed one,
/// byte for byte; the state's hash after every entry must be the journalled one. Runs beside the service or while it
/// is stopped (where the log is a folder, only then), joins no group, writes nothing. What retention or compaction has taken away cannot be compared:
/// that is said, and is no failure. A difference is exit code 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue verify --config habitue.toml\n  \
    habitue verify --config habitue.toml --partition 0,3 --json | jq .partitions[].result")]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Only these partitions.
    #[arg(long, value_delimiter = ',', value_name = "P,…")]
    partition: Vec<u32>,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.config.read()?;
        let all = 0..config.topics.partitions;
        if let Some(unknown) = self.partition.iter().find(|partition| !all.contains(partition)) {
            let message = format!("there is no partition {unknown}: topics.partitions is {}", all.end);
            return Err(Failure::new(Exit::Usage, message));
        }
        let chosen: Vec<u32> = if self.partition.is_empty() { all.collect() } else { self.partition };
        let shows = std::io::stderr().is_terminal();
        let mut shown = String::new();
        let verified = verify(&config, &chosen, &mut |partition, part| {
            let line = format!("partition {partition}: {:3.0} %", 100.0 * part);
            if shows && line != shown {
                eprint!("\r{line}");
                shown = line;
            }
        });
        if !shown.is_empty() {
            eprint!("\r{:width$}\r", "", width = shown.len());
        }
        let verified = verified?;
        if self.json {
            output::json(out, &document(&verified))?;
        } else {
            print(out, &verified)?;
        }
        let differences = differences(&verified);
        if differences.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Failed, differences.join("\n"))) }
    }
}

fn result(verified: &Verified) -> &'static str {
    match verified.outcome {
        Outcome::Equal => "equal",
        Outcome::Differs { .. } => "differs",
        Outcome::Unverified => "unverified",
    }
}

fn differences(verified: &[Verified]) -> Vec<String> {
    let differs = verified.iter().filter_map(|of| match &of.outcome {
        Outcome::Differs { offset, what } => {
            Some(format!("error: partition {}, journal entry {offset}: {what}", of.partition))
        }
        Outcome::Equal | Outcome::Unverified => None,
    });
    differs.collect()
}

fn print(out: &mut dyn Write, verified: &[Verified]) -> std::io::Result<()> {
    let head = ["PARTITION", "ENTRIES", "EVENTS", "SIGNALS", "DECISIONS", "FROM", "TO", "RESULT"];
    let row = |of: &Verified| {
        let from = of.verified_from.map_or("-".to_string(), |from| from.to_string());
        let counts = [of.entries, of.events, of.signals, of.decisions].map(|count| count.to_string());
        let mut row = vec![of.partition.to_string()];
        row.extend(counts);
        row.extend([from, of.to.to_string(), result(of).to_string()]);
        row
    };
    output::table(out, &head, &verified.iter().map(row).collect::<Vec<_>>())?;
    for of in verified {
        for note in &of.notes {
            writeln!(out, "note: partition {}: {note}", of.partition)?;
        }
    }
    Ok(())
}

fn document(verified: &[Verified]) -> Value {
    let partition = |of: &Verified| {
        let difference = match &of.outcome {
            Outcome::Differs { offset, what } => json!({ "journal_offset": offset, "what": what }),
            Outcome::Equal | Outcome::Unverified => Value::Null,
        };
        json!({
            "partition": of.partition,
            "result": result(of),
            "followed_from": of.from,
            "followed": of.followed,
            "verified_from": of.verified_from,
            "to": of.to,
            "entries": of.entries,
            "events": of.events,
            "signals": of.signals,
            "decisions": of.decisions,
            "notes": of.notes,
            "difference": difference,
        })
    };
    json!({ "partitions": verified.iter().map(partition).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_in_table_document_and_error() {
        let outcome = Outcome::Differs { offset: 41, what: "record 7 of alerts differs".into() };
        let of = |partition, outcome| Verified {
            partition,
            to: 50,
            verified_from: Some(3),
            notes: vec!["as it is".into()],
            outcome,
            ..Verified::default()
        };
        let verified = [of(0, Outcome::Equal), of(2, outcome)];
        assert_eq!(
            differences(&verified),
            ["error: partition 2, journal entry 41: record 7 of alerts differs"]
        );
        let document = document(&verified);
        assert_eq!(document["partitions"][0]["result"], "equal");
        assert_eq!(document["partitions"][1]["difference"]["journal_offset"], 41);
        let mut out = Vec::new();
        print(&mut out, &verified).expect("memory takes it");
        let text = String::from_utf8(out).expect("text");
        assert!(text.lines().nth(2).is_some_and(|line| line.starts_with("2 ") && line.ends_with("differs")));
        assert!(text.ends_with("note: partition 2: as it is\n"), "{text}");
    }
}
