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
    /// A load is at another position than its sender thinks.
    #[error("the load is at position {at}")]
    Elsewhere { at: u64 },
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
    /// Moved with the records.
    load: Option<Load>,
    answer: oneshot::Sender<Result<(), IngestError>>,
}

/// Part of something that is sent from its beginning to its end, and goes on where it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    pub name: String,
    /// Where the sender thinks it is.
    pub from: u64,
    /// Where it is with these records.
    pub to: u64,
}

impl Ingest {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the log says of a new appender.
    pub fn start<L: Log>(log: &L) -> Result<(Ingest, JoinHandle<()>), LogError> {
        let writer = Writer { appender: log.appender()? };
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let thread = std::thread::Builder::new().name("ingest".to_owned());
        let thread = thread.spawn(move || writer.serve(waiting));
        Ok((Ingest { requests }, thread.map_err(|error| LogError::Fatal(error.to_string()))?))
    }

    /// Returns once the records are durable.
    ///
    /// # Errors
    /// `Full` where too many wait; `Elsewhere` where the load is not at its `from`, and nothing is taken;
    /// `Unavailable` where nobody knows whether they are.
    pub async fn append(&self, records: Vec<Outgoing>, load: Option<Load>) -> Result<(), IngestError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { records, load, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => IngestError::Full,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> IngestError {
    IngestError::Unavailable("the service ends".to_owned())
}

struct Writer<A: Appender> {
    appender: A,
}

impl<A: Appender> Writer<A> {
    fn serve(mut self, mut waiting: mpsc::Receiver<Request>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut round = vec![first];
            let mut records = round[0].records.len();
            while records < ROUND_RECORDS
                && let Ok(next) = waiting.try_recv()
            {
                records += next.records.len();
                round.push(next);
            }
            let (loads, plain): (Vec<Request>, Vec<Request>) =
                round.into_iter().partition(|request| request.load.is_some());
            let outcome = self.write(&plain, None);
            for request in plain {
                // Nobody waits any more where a client has gone.
                let _ = request.answer.send(outcome.clone());
            }
            for request in loads {
                let outcome = self.load(&request);
                let _ = request.answer.send(outcome);
            }
        }
    }

    fn load(&mut self, request: &Request) -> Result<(), IngestError> {
        let Some(load) = &request.load else { return Ok(()) };
        // Asked each time: another instance may have taken a part.
        let at = self.appender.cursor(&load.name).map_err(unavailable)?.unwrap_or(0);
        if at != load.from {
            return Err(IngestError::Elsewhere { at });
        }
        self.write(std::slice::from_ref(request), Some((&load.name, load.to)))
    }

    fn write(&mut self, round: &[Request], cursor: Option<(&str, u64)>) -> Result<(), IngestError> {
        let deadline = Instant::now() + PATIENCE;
        for record in round.iter().flat_map(|request| &request.records) {
            loop {
                match self.appender.append(record) {
                    Ok(()) => break,
                    Err(LogError::Retry(_)) if Instant::now() < deadline => {
                        self.appender.flush(Duration::from_millis(10)).map_err(unavailable)?;
                    }
                    Err(error) => return Err(unavailable(error)),
                }
            }
        }
        let wait = Duration::from_millis(100);
        loop {
            let flushed = match cursor {
                Some((name, position)) => self.appender.flush_with_cursor(wait, name, position),
                None => self.appender.flush(wait),
            };
            match flushed {
                Ok(true) => return Ok(()),
                Ok(false) | Err(LogError::Retry(_)) if Instant::now() < deadline => {}
                Ok(false) => return Err(IngestError::Unavailable("it was not durable in time".to_owned())),
                Err(error) => return Err(unavailable(error)),
            }
        }
    }
}

fn unavailable(error: LogError) -> IngestError {
    IngestError::Unavailable(error.to_string())
}
