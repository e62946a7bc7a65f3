//! `habitue status`.

use std::io::Write;

use serde_json::Value;

use super::client::Client;
use super::{Failure, Format, output};
use crate::edge::clock::wall_ms;

/// Show how a running instance is: partitions, lag, restores, snapshots, models.
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

/// A moment of wall time as how long it is gone.
fn ago(time_ms: i64) -> String {
    format!("{} s ago", (wall_ms() - time_ms) / 1000)
}
