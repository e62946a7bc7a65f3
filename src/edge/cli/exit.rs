//! How a command ends.

use std::io::IsTerminal;

use crate::config::{Refusal, SecretError};
use crate::edge::log::LogError;

/// The exit codes: stable, and in `docs/errors.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Configuration = 3,
    Guard = 4,
    Broker = 5,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Stands under every `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  failed while it ran
  2  the command line is wrong
  3  the configuration is refused, or a secret is missing
  4  a guard refuses: what is in Kafka does not fit (docs/errors.md)
  5  the broker, or the service that is asked, cannot be reached or does not let us in";

/// A command that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What happened, for people; empty where the output has said it.
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }

    /// To standard error; the word `error` is red on a terminal.
    pub fn print(&self) {
        let terminal = std::io::stderr().is_terminal();
        let (red, plain) =
            if crate::edge::logging::colour(terminal) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        // Some messages are lists of errors and carry the word themselves.
        for (index, line) in self.message.lines().enumerate() {
            match line.strip_prefix("error:") {
                Some(rest) => eprintln!("{red}error:{plain}{rest}"),
                None if index == 0 => eprintln!("{red}error:{plain} {line}"),
                None => eprintln!("{line}"),
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::new(Exit::Configuration, refusal.to_string())
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Failure {
        Failure::new(Exit::Configuration, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        // Whoever reads our output may stop reading it: `habitue topics plan … | head -1`.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::new(Exit::Done, "");
        }
        Failure::new(Exit::Failed, format!("input or output: {error}"))
    }
}

/// A question to the broker that was not answered.
pub fn of_log(error: LogError) -> Failure {
    let exit = match error {
        LogError::OutOfRange { .. } | LogError::Replaced => Exit::Guard,
        LogError::Retry(_) | LogError::Abort(_) | LogError::Indefinite(_) | LogError::Fatal(_) => {
            Exit::Broker
        }
    };
    // By now it was tried again.
    let message = match error {
        LogError::Retry(reason) => format!("the log does not answer: {reason}; see kafka.brokers"),
        error => error.to_string(),
    };
    Failure::new(exit, message)
}
