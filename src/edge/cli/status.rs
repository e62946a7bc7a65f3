//! `habitue status`.

use std::io::Write;

use serde_json::Value;

use super::client::Client;
use super::{Failure, Format, output};
use crate::edge::clock::wall_ms;

/// Show how a running instance is: partitions, lag, restores, snapshots, transactions, models, and who has the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue status\n  habitue status --format json | jq '.partitions[] | select(.lag > 0)'")]
pub struct Args {
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: Client,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let status = self.client.get("/api/v1/status")?.success()?;
        if self.format == Format::Json {
            return Ok(output::json(out, &status)?);
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "{} on {}: {}", text(&status["instance"]), text(&status["log"]), text(&status["ready"]))?;
        let partitions = status["partitions"].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = partitions
            .map(|partition| {
                let restored = partition["restored"].as_f64().unwrap_or(0.0);
                vec![
                    text(&partition["stage"]),
                    text(&partition["partition"]),
                    text(&partition["state"]),
                    format!("{:.0} %", 100.0 * restored),
                    text(&partition["lag"]),
                    partition["snapshot_ms"].as_i64().map_or_else(|| "none".to_owned(), ago),
                ]
            })
            .collect();
        output::table(out, &["STAGE", "PARTITION", "STATE", "RESTORED", "LAG", "SNAPSHOT"], &rows)?;
        let instances = status["instances"].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = instances
            .map(|claim| {
                let address = claim["address"].as_str().unwrap_or("says none");
                vec![text(&claim["instance"]), address.to_owned(), list(&claim["customer"]), list(&claim["market"])]
            })
            .collect();
        writeln!(out)?;
        output::table(out, &["INSTANCE", "ADDRESS", "CUSTOMER", "MARKET"], &rows)?;
        let stages = status["transactions"].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = stages
            .map(|of| {
                let commit = format!("{:.1} ms", of["commit_ms"].as_f64().unwrap_or(0.0));
                let counts = ["stage", "committed", "retried", "aborted", "indefinite"].map(|name| text(&of[name]));
                counts.into_iter().chain([commit]).collect()
            })
            .collect();
        writeln!(out)?;
        output::table(
            out,
            &["TRANSACTIONS", "COMMITTED", "RETRIED", "ABORTED", "INDEFINITE", "MEAN COMMIT"],
            &rows,
        )?;
        let models = status["models"].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = models
            .map(|model| vec![text(&model["name"]), text(&model["version"]), text(&model["bytes"])])
            .collect();
        if !rows.is_empty() {
            writeln!(out)?;
            output::table(out, &["MODEL", "VERSION", "BYTES"], &rows)?;
        }
        for (table, count) in status["rows"].as_object().into_iter().flatten() {
            writeln!(out, "table {table}: {count} rows")?;
        }
        Ok(())
    }
}

/// Partitions, of which those in a row are told by the first and the last.
fn list(partitions: &Value) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for partition in partitions.as_array().into_iter().flatten().filter_map(Value::as_u64) {
        match ranges.last_mut().filter(|(_, last)| *last + 1 == partition) {
            Some((_, last)) => *last = partition,
            None => ranges.push((partition, partition)),
        }
    }
    let one = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    if ranges.is_empty() { "none".to_owned() } else { ranges.iter().map(one).collect::<Vec<_>>().join(",") }
}

/// A moment of wall time as how long it is gone.
fn ago(time_ms: i64) -> String {
    format!("{} s ago", (wall_ms() - time_ms) / 1000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn partitions_in_a_row_are_one_range() {
        assert_eq!(list(&json!([])), "none");
        assert_eq!(list(&json!([0, 1, 2, 5, 7, 8])), "0-2,5,7-8");
    }
}
