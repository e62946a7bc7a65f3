//! `habitue validate`.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::output;
use super::{Exit, Failure, Format};
use crate::config::{Config, Refusal, Secret, Topics, WireForm};

/// Check a configuration file, without a broker.
///
/// Every error of the file is reported, each with its line, column and what was probably meant. Nothing but the
/// file is read, unless --environment asks for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue validate habitue.toml\n  \
    habitue validate habitue.toml --environment\n  habitue validate habitue.toml --format json | jq .problems")]
pub struct Args {
    /// The configuration.
    file: PathBuf,
    /// Check too that secrets and the schema folder are where the file says.
    #[arg(long)]
    environment: bool,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let outcome = Config::read(&self.file);
        let missing = match &outcome {
            Ok(config) if self.environment => missing(config),
            _ => Vec::new(),
        };
        let valid = outcome.is_ok() && missing.is_empty();
        match (self.format, outcome) {
            (Format::Json, outcome) => {
                let problems = outcome.err().map(|refusal: Refusal| refusal.problems).unwrap_or_default();
                let document =
                    json!({ "file": self.file, "valid": valid, "problems": problems, "missing": missing });
                output::json(out, &document)?;
                if valid { Ok(()) } else { Err(Failure::new(Exit::Configuration, "")) }
            }
            (Format::Text, Err(refusal)) => Err(refusal.into()),
            (Format::Text, Ok(_)) if valid => {
                writeln!(out, "{}: valid", self.file.display())?;
                Ok(())
            }
            (Format::Text, Ok(_)) => {
                let lines: Vec<String> = missing.iter().map(|what| format!("error: {what}")).collect();
                Err(Failure::new(Exit::Configuration, lines.join("\n")))
            }
        }
    }
}

/// What the configuration names and is not there.
fn missing(config: &Config) -> Vec<String> {
    let security = &config.kafka.security;
    let secrets: [(&str, &Option<Secret>); 3] = [
        ("service.http_token", &config.service.http_token),
        ("kafka.security.password", &security.password),
        ("kafka.security.key_password", &security.key_password),
    ];
    let mut missing = Vec::new();
    for (path, secret) in secrets {
        if let Some(Err(error)) = secret.as_ref().map(Secret::resolve) {
            missing.push(format!("{path}: {error}"));
        }
    }
    let files = [
        ("kafka.security.ca_file", &security.ca_file),
        ("kafka.security.certificate_file", &security.certificate_file),
        ("kafka.security.key_file", &security.key_file),
    ];
    for (path, file) in files {
        if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
            missing.push(format!("{path}: {} is no file", file.display()));
        }
    }
    let wire = &config.topics.wire;
    let forms = [wire.purchases, wire.engagements, wire.feedback, wire.outputs];
    if forms.iter().any(|form| *form != WireForm::Json)
        && config.topics.schemas != Topics::default().schemas
        && !config.topics.schemas.is_dir() {
        missing.push(format!("topics.schemas: {} is no folder", config.topics.schemas.display()));
    }
    missing
}
