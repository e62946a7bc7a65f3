//! `habitue snapshots`.

use std::io::Write;

use super::Failure;
use super::input::ConfigFile;
use crate::edge::service::totals;

/// Read what is in the snapshots, without a broker.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  habitue snapshots totals --config habitue.toml > totals.csv")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Totals(TotalsArgs),
}

/// Print each customer's totals as of the newest snapshots, as CSV sorted by customer.
///
/// A snapshot is as old as `snapshots.interval` at most; after a drain it holds everything.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  habitue snapshots totals --config habitue.toml > totals.csv")]
struct TotalsArgs {
    #[command(flatten)]
    config: ConfigFile,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self.command {
            Command::Totals(args) => Ok(out.write_all(&totals::csv(&args.config.read()?)?)?),
        }
    }
}
