//! Arguments that several commands have.

use std::path::PathBuf;

use super::{Exit, Failure};
use crate::config::Config;
use crate::edge::csv_file::{Form, Separator};

/// The configuration file of a command.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration, see `habitue validate`; without one every option has its default, which needs no Kafka.
    #[arg(long, short, value_name = "FILE", env = "HABITUE_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads and checks it; what is wrong ends the command with exit code 3.
    pub fn read(&self) -> Result<Config, Failure> {
        Ok(self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?)
    }
}

/// How CSV files are written down.
#[derive(Debug, Clone, clap::Args)]
pub struct CsvForm {
    /// Names of the columns, where the files have no header.
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    columns: Option<Vec<String>>,
    /// What stands between two cells: one character, "tab", or "space" for any number of blanks.
    #[arg(long, default_value = ",", value_parser = separator)]
    separator: Separator,
}

impl CsvForm {
    /// Whether anything was said that is not so by default.
    pub fn is_given(&self) -> bool {
        self.columns.is_some() || self.separator != Separator::Byte(b',')
    }
}

impl From<CsvForm> for Form {
    fn from(form: CsvForm) -> Form {
        Form { separator: form.separator, columns: form.columns }
    }
}

/// Of event files: rows without a single event are no success.
pub fn refuse_nothing_read(rows: u64, events: u64) -> Result<(), Failure> {
    if rows == 0 || events > 0 {
        return Ok(());
    }
    let words = "no row could be read as an event: see what was left out, and the mapping";
    Err(Failure::new(Exit::Failed, words))
}

fn separator(text: &str) -> Result<Separator, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(Separator::Byte(b'\t')),
        ("space", _) => Ok(Separator::Blanks),
        (_, [byte]) => Ok(Separator::Byte(*byte)),
        _ => Err(format!("{text:?} is not one character")),
    }
}
