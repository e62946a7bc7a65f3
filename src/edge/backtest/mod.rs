//! Backtest: event files through the whole service, in event time, with labels when they would have come.

mod chunks;
mod report;
mod said;
mod service;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use chunks::Chunks;
pub use report::Outcome;
pub use said::{Made, RecordPlace, Said};
pub use service::{Continued, Counts, Held, Service};

use crate::analysis::churn;
use crate::config::Mapping;
use crate::edge::csv_file::{Form, progress};
use crate::edge::event_files::{EventFiles, Next, ReadError};
use crate::edge::log::LogError;
use crate::edge::shard::ShardError;
use crate::event::{Event, TimeMs};
use crate::measure::churn::Moments;
use crate::measure::lists::Lists;
use crate::measure::prequential::Prequential;

/// Event time and events of a chunk at most. What one chunk causes is seen by the next.
const CHUNK_MS: TimeMs = 60_000;
const CHUNK_EVENTS: usize = 512;

/// Why a backtest ends early.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error(transparent)]
    Files(#[from] ReadError),
    #[error(transparent)]
    Service(#[from] ShardError),
}

impl From<LogError> for BacktestError {
    fn from(error: LogError) -> BacktestError {
        BacktestError::Service(error.into())
    }
}

/// Runs the files, merged in time, through the service; those of sessions one after the other.
///
/// # Errors
/// When a file cannot be read, or does not have the mapping's columns.
pub fn run(
    files: &[PathBuf],
    mapping: &Mapping,
    form: &Form,
    partitions: u32,
) -> Result<Outcome, BacktestError> {
    let progress = progress(files);
    let files = EventFiles::open(files, mapping, form, &progress)?;
    let began = Instant::now();
    let mut feeder = Feeder {
        files,
        prequential: Prequential::default(),
        lists: Lists::default(),
        moments: Moments::default(),
        taken: Vec::new(),
        service: None,
        partitions,
        chunks: Chunks::new(CHUNK_MS, CHUNK_EVENTS),
        events: 0,
    };
    feeder.all()?;
    progress.finish_and_clear();
    Ok(feeder.outcome(began.elapsed()))
}

struct Feeder {
    files: EventFiles,
    prequential: Prequential,
    lists: Lists,
    moments: Moments,
    /// Of the chunk at hand.
    taken: Vec<Taken>,
    /// From the first event on.
    service: Option<Service>,
    partitions: u32,
    chunks: Chunks,
    events: u64,
}

/// An event with items, and the place of its record.
struct Taken {
    source: RecordPlace,
    customer: Option<String>,
    items: Vec<String>,
    time_ms: TimeMs,
}

impl Feeder {
    fn all(&mut self) -> Result<(), BacktestError> {
        while let Some(next) = self.files.next_event()? {
            if let Next::Event(mapped) = &next
                && let Event::Purchase(purchase) = &mapped.event
            {
                self.feed(&mapped.event)?;
                self.prequential.payment(purchase, mapped.fraud);
            } else {
                self.feed(&next.event())?;
            }
        }
        self.catch_up()
    }

    fn feed(&mut self, event: &Event<'_>) -> Result<(), BacktestError> {
        let time_ms = event.time_ms();
        if self.chunks.ends_before(time_ms) {
            self.catch_up()?;
        }
        if self.chunks.advance(time_ms) {
            self.catch_up()?;
        }
        if let Event::Feedback(feedback) = event {
            self.prequential.verdict(feedback);
        }
        let service = match &mut self.service {
            Some(service) => service,
            None => self.service.insert(Service::start(self.chunks.now_ms(), self.partitions)?),
        };
        let source = service.feed(event, self.chunks.now_ms())?;
        self.chunks.fed(time_ms);
        let items: Vec<String> = event.taken().into_iter().map(str::to_owned).collect();
        let customer = event.customer().map(str::to_owned);
        self.taken.push(Taken { source, customer, items, time_ms });
        self.events += 1;
        Ok(())
    }

    fn catch_up(&mut self) -> Result<(), BacktestError> {
        self.chunks.caught_up();
        let Feeder { service: Some(service), prequential, lists, moments, taken, chunks, .. } = self else {
            return Ok(());
        };
        let mut made = service.catch_up(chunks.now_ms(), &mut |said| match said {
            Said::Scored { event_id, value } => prequential.score(event_id, value),
            Said::Moment(moment) => moments.push(moment),
            Said::Alerted { .. } => {}
        })?;
        for Taken { source, customer, items, time_ms } in taken.drain(..) {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            lists.taken(customer.as_deref(), &items, time_ms);
            if let Some(list) = made.remove(&source) {
                lists.list(&list.customer, list.items);
            }
        }
        Ok(())
    }

    fn outcome(mut self, took: Duration) -> Outcome {
        Outcome {
            rows: self.files.rows(),
            events: self.events,
            seconds: took.as_secs_f64(),
            left_out: self.files.left_out().clone(),
            counts: self.service.as_mut().map(Service::counts).unwrap_or_default(),
            prequential: self.prequential,
            lists: self.lists,
            churn: self.moments.rated(churn::Config::default().horizon_days, self.chunks.now_ms()),
            service: self.service,
        }
    }
}
