//! `habitue version`.

use std::io::Write;

use serde_json::json;

use super::output;
use super::{Failure, Format};
use crate::edge::version::Version;

/// Say which build this is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue version\n  habitue version --format json | jq -r .librdkafka")]
pub struct Args {
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let build = Version::of_this_build();
        match self.format {
            Format::Json => output::json(out, &json!(build))?,
            Format::Text => {
                let commit = build.commit.map(|commit| format!(" ({commit})")).unwrap_or_default();
                writeln!(out, "habitue {}{commit}, librdkafka {}", build.version, build.librdkafka)?;
            }
        }
        Ok(())
    }
}
