//! `habitue run`.

use std::io::Write;

use super::exit::of_log;
use super::input::ConfigFile;
use super::{Exit, Failure};
use crate::edge::logging;
use crate::edge::service::{self, ServiceError};

/// Run the service until SIGTERM or SIGINT, which drain it; a second signal ends it at once.
///
/// Checks first that topics, control and keys fit, and refuses with the way out where they do not (exit code 4).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue run\n  habitue run --config habitue.toml\n  \
    habitue run --config habitue.toml --apply-settings")]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Write the file's published settings to the control topic where they differ; all instances follow.
    #[arg(long)]
    apply_settings: bool,
}

impl Args {
    pub fn run(self, _out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.config.read()?;
        logging::init(&config.service.log)
            .map_err(|error| Failure::new(Exit::Configuration, error.to_string()))?;
        Ok(service::run(&config, self.apply_settings)?)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Failure {
        match error {
            ServiceError::Configuration(message) => Failure::new(Exit::Configuration, message),
            ServiceError::Guard(message) => Failure::new(Exit::Guard, message),
            ServiceError::Broker(error) => of_log(error),
            ServiceError::Failed(message) => Failure::new(Exit::Failed, message),
        }
    }
}
