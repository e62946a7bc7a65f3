//! Arguments that several commands have.

use std::path::PathBuf;

use super::Failure;
use crate::config::Config;

/// The configuration file of a command.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration, see `habitue validate`.
    #[arg(long, short, value_name = "FILE", env = "HABITUE_CONFIG")]
    config: PathBuf,
}

impl ConfigFile {
    /// Reads and checks it; what is wrong ends the command with exit code 3.
    pub fn read(&self) -> Result<Config, Failure> {
        Ok(Config::read(&self.config)?)
    }
}
