//! The command line. A command is one file with an `Args` that runs, and one line in `commands!`.

mod client;
mod exit;
mod input;
mod output;

use clap::{CommandFactory, FromArgMatches, Parser};

pub use exit::{Exit, Failure};
pub use input::ConfigFile;
pub use output::Format;

/// Declares the commands of a module: the module of each is its name. The first sentence of its `Args` is its help.
macro_rules! commands {
    ($($variant:ident = $module:ident;)*) => {
        $(mod $module;)*

        #[derive(Debug, clap::Subcommand)]
        enum Command {
            $($variant($module::Args),)*
        }

        impl Command {
            fn run(self, out: &mut dyn std::io::Write) -> Result<(), Failure> {
                match self {
                    $(Command::$variant(args) => args.run(out),)*
                }
            }
        }
    };
}

commands! {
    Run = run;
    Load = load;
    Send = send;
    Status = status;
    Explain = explain;
    Tap = tap;
    DeadLetters = dead_letters;
    Backtest = backtest;
    Demo = demo;
    Evaluate = evaluate;
    Topics = topics;
    Validate = validate;
    Verify = verify;
    Snapshots = snapshots;
    Completions = completions;
    Version = version;
}

/// Habitué: a streaming customer-intelligence engine.
#[derive(Debug, Parser)]
#[command(name = "habitue", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Runs a command line, program name first. Results go to `out`, words about them to standard error.
pub fn run<I, T>(arguments: I, out: &mut dyn std::io::Write) -> Exit
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let colour =
        if crate::edge::logging::colour(true) { clap::ColorChoice::Auto } else { clap::ColorChoice::Never };
    let parsed = Cli::command()
        .color(colour)
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help that was asked for is no error, and goes to standard output.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit;
        }
    };
    match cli.command.run(out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            failure.print();
            failure.exit
        }
    }
}
