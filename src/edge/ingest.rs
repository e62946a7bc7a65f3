//! Events from outside a topic on their way into one: appended by one thread, which answers once they are
//! durable. Who comes while it waits for the disk or the broker is in its next round.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::edge::log::{Appender, Log, LogError, Outgoing};

/// Requests that may wait; with more, senders are told to slow down.
const REQUESTS_MAX: usize = 256;
/// Records of one round.
const ROUND_RECORDS: usize = 5_000;
/// Longest time for a round. What is not durable by then may still become so: the sender sends it again, and
/// its event ids keep it from counting twice.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why records were not taken, or are not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    #[error("too many requests wait already")]
    Full,
    /// The disk is full, the broker away, or the service ends.
    #[error("the log does not take events now: {0}")]
    Unavailable(String),
}

/// Where events are handed in. Clones hand in to the same thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Ingest {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    records: Vec<Outgoing>,
    answer: oneshot::Sender<Result<(), IngestError>>,
}

impl Ingest {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the log says of a new appender.
    pub fn start<L: Log>(log: &L) -> Result<(Ingest, JoinHandle<()>), LogError> {
        let appender = log.appender()?;
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let thread = std::thread::Builder::new().name("ingest".to_owned());
        let thread = thread.spawn(move || serve(appender, waiting));
        Ok((Ingest { requests }, thread.map_err(|error| LogError::Fatal(error.to_string()))?))
    }

    /// Returns once the records are durable.
    ///
    /// # Errors
    /// `Full` where too many wait; `Unavailable` where nobody knows whether they are.
    pub async fn append(&self, records: Vec<Outgoing>) -> Result<(), IngestError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { records, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => IngestError::Full,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> IngestError {
    IngestError::Unavailable("the service ends".to_owned())
}

fn serve<A: Appender>(mut appender: A, mut waiting: mpsc::Receiver<Request>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut round = vec![first];
        let mut records = round[0].records.len();
        while records < ROUND_RECORDS
            && let Ok(next) = waiting.try_recv()
        {
            records += next.records.len();
            round.push(next);
        }
        let outcome = write(&mut appender, &round);
        for request in round {
            // Nobody waits any more where a client has gone.
            let _ = request.answer.send(outcome.clone());
        }
    }
}

fn write<A: Appender>(appender: &mut A, round: &[Request]) -> Result<(), IngestError> {
    let unavailable = |error: LogError| IngestError::Unavailable(error.to_string());
    let deadline = Instant::now() + PATIENCE;
    for record in round.iter().flat_map(|request| &request.records) {
        loop {
            match appender.append(record) {
                Ok(()) => break,
                Err(LogError::Retry(_)) if Instant::now() < deadline => {
                    appender.flush(Duration::from_millis(10)).map_err(unavailable)?;
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
    }
    loop {
        match appender.flush(Duration::from_millis(100)) {
            Ok(true) => return Ok(()),
            Ok(false) | Err(LogError::Retry(_)) if Instant::now() < deadline => {}
            Ok(false) => return Err(IngestError::Unavailable("it was not durable in time".to_owned())),
            Err(error) => return Err(unavailable(error)),
        }
    }
}
