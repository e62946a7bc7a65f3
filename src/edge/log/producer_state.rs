//! What a transactional producer may do next, as Kafka's client has it.

use super::LogError;

#[derive(Debug)]
pub(super) enum ProducerState {
    New,
    Ready,
    Open,
    /// Nothing but an abort is possible.
    Abortable(String),
    Dead(String),
}

impl ProducerState {
    /// Fails unless a transaction is open and may go on.
    pub fn open(&self) -> Result<(), LogError> {
        match self {
            ProducerState::Open => Ok(()),
            ProducerState::Abortable(why) => Err(LogError::Abort(why.clone())),
            ProducerState::Dead(why) => Err(LogError::Fatal(why.clone())),
            ProducerState::New | ProducerState::Ready => {
                Err(LogError::Fatal("no transaction is open".to_owned()))
            }
        }
    }

    /// Fails unless it waits to be initialised.
    pub fn uninitialised(&self) -> Result<(), LogError> {
        match self {
            ProducerState::New => Ok(()),
            ProducerState::Dead(why) => Err(LogError::Fatal(why.clone())),
            _ => Err(LogError::Fatal("the producer is initialised already".to_owned())),
        }
    }

    /// Fails unless a transaction may begin.
    pub fn ready(&self) -> Result<(), LogError> {
        match self {
            ProducerState::Ready => Ok(()),
            ProducerState::Dead(why) => Err(LogError::Fatal(why.clone())),
            _ => Err(LogError::Fatal("no transaction may begin now".to_owned())),
        }
    }

    /// What the producer is left in by an error, which is handed on.
    pub fn after(&mut self, error: LogError) -> LogError {
        match &error {
            LogError::Abort(why) => *self = ProducerState::Abortable(why.clone()),
            LogError::Indefinite(why) => {
                *self = ProducerState::Dead(format!("an earlier outcome is unknown: {why}"))
            }
            LogError::Fatal(why) => *self = ProducerState::Dead(why.clone()),
            LogError::Retry(_) | LogError::OutOfRange { .. } | LogError::Replaced => {}
        }
        error
    }
}
