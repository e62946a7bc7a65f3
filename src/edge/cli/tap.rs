//! `habitue tap`.

use std::io::Write;

use super::Failure;
use super::client::{Client, encoded};

/// Follow a topic, decoded: one JSON object a record and line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue tap alerts\n  habitue tap scores --key ada --from start\n  \
    habitue tap purchases --from start --no-follow | jq .value.order")]
pub struct Args {
    /// Which: purchases, engagements, feedback, alerts, scores, recommendations, dead-letters, journal, …
    topic: String,
    /// Only records with this key, which is the customer.
    #[arg(long)]
    key: Option<String>,
    /// Where to begin: "start" or "end".
    #[arg(long, default_value = "end", value_parser = ["start", "end"])]
    from: String,
    /// End when everything that is there has been shown.
    #[arg(long)]
    no_follow: bool,
    /// End after so many records.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    client: Client,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let key = self.key.as_deref().map(|key| format!("&key={}", encoded(key))).unwrap_or_default();
        let (topic, from, follow) = (encoded(&self.topic), &self.from, !self.no_follow);
        let path = format!("/api/v1/records/{topic}?from={from}&follow={follow}{key}");
        let mut left = self.limit.unwrap_or(u64::MAX);
        self.client.stream(&path, &mut |name, record| {
            if name == "end" {
                return Ok(false);
            }
            writeln!(out, "{record}")?;
            out.flush()?;
            left -= 1;
            Ok(left > 0)
        })
    }
}
