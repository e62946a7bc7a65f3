//! Reads committed records of chosen places, outside any group.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{in_range, record};
use super::ends::{Ends as Ended, end_offset};
use super::{PlainContext, Shared, error, forward_log};
use crate::edge::log::{Ends, LogError, Place, Reader, Record};

/// Most records handed over by one poll.
const RECORDS_MAX: usize = 256;

/// Used by one thread.
pub struct KafkaReader {
    client: BaseConsumer<ReaderContext>,
    /// Sees what is not committed, for the high end; made when first needed.
    uncommitted: Option<BaseConsumer<PlainContext>>,
    shared: Arc<Shared>,
    ended: Ended,
}

/// Keeps the text of the last error event: at a partition's end it holds the offset.
#[derive(Default)]
struct ReaderContext(Mutex<String>);

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn stats_raw(&self, _json: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            super::complaint::complain(&error, reason);
        }
        reason.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ConsumerContext for ReaderContext {}
impl ConsumerContext for PlainContext {}

impl KafkaReader {
    pub(super) fn new(shared: Arc<Shared>) -> Result<KafkaReader, LogError> {
        let client = BaseConsumer::from_config_and_context(&shared.config.reader(), ReaderContext::default())
            .map_err(error::creation)?;
        Ok(KafkaReader { client, uncommitted: None, shared, ended: Ended::default() })
    }

    fn trouble(&mut self, error: KafkaError) -> Result<(), LogError> {
        match error {
            KafkaError::PartitionEOF(partition) => {
                let reason = self.client.context().0.lock().unwrap_or_else(PoisonError::into_inner);
                let offset = end_offset(&reason);
                drop(reason);
                self.ended.reached(&self.client, &self.shared.names, partition as u32, offset);
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(code) => Err(LogError::Fatal(format!("reader: {code}"))),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => Err(self.out_of_range()),
            KafkaError::MessageConsumption(code) if error::refused(code) => {
                Err(LogError::Fatal(format!("reader: {code}")))
            }
            // Passing: the client goes on by itself.
            _ => Ok(()),
        }
    }

    /// The wrapper does not say which place it was: the one whose position is not held.
    fn out_of_range(&self) -> LogError {
        for (place, next) in self.ended.positions() {
            if let Err(error @ LogError::OutOfRange { .. }) =
                in_range(&self.client, &self.shared, place, next)
            {
                return error;
            }
        }
        LogError::Retry("a position was out of range and is no longer".into())
    }

    fn uncommitted(&mut self) -> Result<&BaseConsumer<PlainContext>, LogError> {
        if self.uncommitted.is_none() {
            let mut config = self.shared.config.plain();
            config.set("isolation.level", "read_uncommitted");
            let client =
                BaseConsumer::from_config_and_context(&config, PlainContext).map_err(error::creation)?;
            self.uncommitted = Some(client);
        }
        Ok(self.uncommitted.as_ref().expect("made just above"))
    }
}

impl Reader for KafkaReader {
    fn assign(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        let list = self.shared.names.list_at(from.iter().copied())?;
        self.client.assign(&list).map_err(|e| error::question("assign", e))?;
        self.ended = Ended::default();
        from.iter().for_each(|(place, offset)| self.ended.start(*place, *offset));
        Ok(())
    }

    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError> {
        let deadline = Instant::now() + wait;
        let mut wait = wait;
        let mut handed = 0;
        while handed < RECORDS_MAX {
            match self.client.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    if let Some(record) = record(&message, &self.shared.names)
                        && self.ended.handed_over(record.place, record.offset)
                    {
                        each(record);
                        handed += 1;
                    }
                    wait = Duration::ZERO;
                }
                Some(Err(error)) => {
                    self.trouble(error)?;
                    wait = wait.min(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
        if handed == 0 {
            self.ended.settle(&self.client, &self.shared.names);
        }
        Ok(handed)
    }

    fn at_end(&self, place: Place) -> bool {
        self.ended.at_end(place)
    }

    fn ends(&mut self, place: Place) -> Result<Ends, LogError> {
        let timeout = self.shared.config.request_timeout();
        let shared = self.shared.clone();
        let (topic, partition) = (shared.names.of(place.topic), place.partition as i32);
        // The stable end first: asked the other way round it could lie above the high one.
        let (_, stable) = self
            .client
            .fetch_watermarks(topic, partition, timeout)
            .map_err(|e| error::question("stable end", e))?;
        let (low, high) = self
            .uncommitted()?
            .fetch_watermarks(topic, partition, timeout)
            .map_err(|e| error::question("ends", e))?;
        Ok(Ends { low: low as u64, stable: stable as u64, high: high as u64 })
    }
}
