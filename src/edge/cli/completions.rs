//! `habitue completions`.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print what makes a shell complete commands and options.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue completions bash > /etc/bash_completion.d/habitue\n  \
    habitue completions zsh > ~/.zfunc/_habitue")]
pub struct Args {
    /// Which shell.
    shell: Shell,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        clap_complete::generate(self.shell, &mut Cli::command(), "habitue", out);
        Ok(())
    }
}
