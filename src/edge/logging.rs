//! Logs on standard error: text for people, JSON for machines.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("RUST_LOG is not understood: {0}")]
    Filter(String),
    #[error("logs are set up already: {0}")]
    Twice(String),
}

/// Sets up logs for the whole process, once. `RUST_LOG` overrides the level.
pub fn init(logging: &Logging) -> Result<(), LoggingError> {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = filter(logging, &wanted)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let set = match logging.format {
        LogFormat::Text => builder.with_ansi(colour(stderr().is_terminal())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
    };
    set.map_err(|error| LoggingError::Twice(error.to_string()))
}

/// Colours only for a terminal, and only where `NO_COLOR` is unset or empty (no-color.org).
pub fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(logging: &Logging, wanted: &str) -> Result<EnvFilter, LoggingError> {
    // Of the store's own steps only what is wrong.
    let own = format!("{},fjall=warn,lsm_tree=warn", logging.level.name());
    let directives = if wanted.is_empty() { &own } else { wanted };
    EnvFilter::try_new(directives).map_err(|error| LoggingError::Filter(format!("`{directives}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_overrides_the_configuration() {
        let logging = Logging::default();
        let own = filter(&logging, "").expect("a level").to_string();
        assert!(own.contains("info") && own.contains("fjall=warn"), "{own}");
        assert_eq!(filter(&logging, "habitue=debug").expect("a filter").to_string(), "habitue=debug");
        assert!(filter(&logging, "habitue=loud").is_err());
    }
}
