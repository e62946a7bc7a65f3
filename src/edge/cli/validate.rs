//! `habitue validate`.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::output;
use super::{Exit, Failure, Format};
use crate::config::{Config, Refusal, Secret, Topics, WireForm};
use crate::edge::service::check::{Checked, check};

/// Check a configuration file, and what it names.
///
/// Every error of the file is reported, each with its line, column and what was probably meant. Nothing but the
/// file is read, unless --environment or --connect asks for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue validate habitue.toml\n  \
    habitue validate habitue.toml --environment\n  habitue validate habitue.toml --connect\n  habitue validate habitue.toml --format json | jq .problems")]
pub struct Args {
    /// The configuration.
    file: PathBuf,
    /// Check too that secrets and the schema folder are where the file says.
    #[arg(long)]
    environment: bool,
    /// Check all that --environment does, and ask the broker, its topics, keys and transactions, or the log's folder, and
    /// the folder of snapshots. Nothing is changed.
    #[arg(long)]
    connect: bool,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let outcome = Config::read(&self.file);
        let missing = match &outcome {
            Ok(config) if self.environment || self.connect => missing(config),
            _ => Vec::new(),
        };
        let checks = match &outcome {
            Ok(config) if self.connect && missing.is_empty() => check(config),
            _ => Vec::new(),
        };
        let failed = checks.iter().find_map(|checked| checked.found.as_ref().err());
        let failed = failed.map(|error| Failure::from(error.clone()));
        let valid = outcome.is_ok() && missing.is_empty() && failed.is_none();
        match (self.format, outcome) {
            (Format::Json, outcome) => {
                let problems = outcome.err().map(|refusal: Refusal| refusal.problems).unwrap_or_default();
                let mut document =
                    json!({ "file": self.file, "valid": valid, "problems": problems, "missing": missing });
                if self.connect {
                    let checked = |checked: &Checked| {
                        let said = checked.found.as_ref().map_or_else(ToString::to_string, Clone::clone);
                        json!({ "what": checked.what, "ok": checked.found.is_ok(), "found": said })
                    };
                    document["checks"] = checks.iter().map(checked).collect();
                }
                output::json(out, &document)?;
                let exit = failed.map_or(Exit::Configuration, |failure| failure.exit);
                if valid { Ok(()) } else { Err(Failure::new(exit, "")) }
            }
            (Format::Text, Err(refusal)) => Err(refusal.into()),
            (Format::Text, Ok(_)) if !checks.is_empty() => {
                for Checked { what, found } in &checks {
                    match found {
                        Ok(found) => writeln!(out, "ok: {what}: {found}")?,
                        Err(error) => writeln!(out, "FAILED: {what}: {error}")?,
                    }
                }
                failed.map_or(Ok(()), |failure| Err(Failure::new(failure.exit, "")))
            }
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
