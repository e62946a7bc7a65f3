//! The transactional producer, and the plain one.
//!
//! Neither flushes or commits with records in flight: the wrapper then waits 100 ms at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::cursor::Cursor;
use super::error::{self, Call};
use super::{Shared, forward_log};
use crate::edge::log::{Appender, Group, LogError, Outgoing, Place, Producer};
use crate::signal::Topic;

/// Between two looks at records in flight.
const PAUSE: Duration = Duration::from_micros(200);
/// The client's first try to abort, which only drops what is queued.
const ABORT_FIRST: Duration = Duration::from_millis(10);

/// A transactional producer; used by one thread.
pub struct KafkaProducer {
    client: BaseProducer<DeliveryContext>,
    shared: Arc<Shared>,
    transactional_id: String,
}

/// A plain idempotent producer; used by one thread.
pub struct KafkaAppender {
    client: BaseProducer<DeliveryContext>,
    shared: Arc<Shared>,
    /// The last one that was asked for.
    cursor: Option<Cursor>,
}

/// What became of the records since the last [`DeliveryContext::clear`].
#[derive(Default)]
struct DeliveryContext {
    delivered: Mutex<Delivered>,
}

#[derive(Default)]
struct Delivered {
    /// By [`opaque`] of the place.
    last_offsets: BTreeMap<usize, u64>,
    first_error: Option<LogError>,
}

/// A place as the number that travels with a record.
fn opaque(place: Place) -> usize {
    (place.topic as usize) << 32 | place.partition as usize
}

fn place(opaque: usize) -> Place {
    Place::new(Topic::ALL[opaque >> 32], opaque as u32)
}

impl DeliveryContext {
    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        *self.delivered() = Delivered::default();
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn stats_raw(&self, _json: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        super::complaint::complain(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let mut delivered = self.delivered();
        match result {
            Ok(message) => {
                delivered.last_offsets.insert(opaque, message.offset() as u64);
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let at = format!("{:?}", place(opaque));
                delivered.first_error.get_or_insert_with(|| error::delivery(code, &at));
            }
        }
    }
}

/// Queues a record; librdkafka copies it.
fn send(client: &BaseProducer<DeliveryContext>, shared: &Shared, record: &Outgoing) -> Result<(), LogError> {
    let mut message: BaseRecord<'_, [u8], [u8], usize> =
        BaseRecord::with_opaque_to(shared.names.of(record.place.topic), opaque(record.place))
            .partition(record.place.partition as i32)
            .key(record.key.as_slice())
            .timestamp(record.timestamp_ms);
    if let Some(value) = &record.value {
        message = message.payload(value.as_slice());
    }
    client.send(message).map_err(|(e, _)| error::send(e))
}

/// Serves delivery reports until nothing is in flight; true when so.
///
/// Sleeps between looks, and never lets the wrapper wait (rdkafka 0.39): `poll` goes on until its time is
/// up whatever comes, and cuts what is left to whole milliseconds, so that it spins through the last one.
/// With `poll` of 1 ms the committers took two thirds of the process' processor time.
fn drain(client: &BaseProducer<DeliveryContext>, wait: Duration) -> bool {
    let deadline = Instant::now() + wait;
    let mut in_flight = client.in_flight_count();
    loop {
        // Serves one event, which may be of many records.
        client.poll(Duration::ZERO);
        let left = client.in_flight_count();
        if left == 0 {
            return true;
        }
        if left == in_flight {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        in_flight = left;
    }
}

fn connect(shared: &Shared, transactional_id: &str) -> Result<BaseProducer<DeliveryContext>, LogError> {
    let config = shared.config.transactional(transactional_id);
    BaseProducer::from_config_and_context(&config, DeliveryContext::default()).map_err(error::creation)
}

impl KafkaProducer {
    pub(super) fn new(shared: Arc<Shared>, transactional_id: &str) -> Result<KafkaProducer, LogError> {
        let client = connect(&shared, transactional_id)?;
        Ok(KafkaProducer { client, shared, transactional_id: transactional_id.into() })
    }

    /// Whether the client is beyond use; what becomes of single records then says less.
    fn fatal(&self) -> Option<LogError> {
        let (code, reason) = self.client.client().fatal_error()?;
        Some(LogError::Fatal(format!("{code}: {reason}")))
    }

    fn timeout(&self) -> Duration {
        self.shared.config.request_timeout()
    }
}

impl Producer for KafkaProducer {
    type Metadata = Arc<ConsumerGroupMetadata>;

    fn init(&mut self) -> Result<(), LogError> {
        self.client.init_transactions(self.timeout()).map_err(|e| error::transaction(Call::Init, e))
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.client.context().clear();
        self.client.begin_transaction().map_err(|e| error::transaction(Call::Begin, e))
    }

    fn send(&mut self, record: &Outgoing) -> Result<(), LogError> {
        send(&self.client, &self.shared, record).map_err(|error| match error {
            LogError::Retry(_) => error,
            other => self.fatal().unwrap_or(other),
        })
    }

    fn drain(&mut self, wait: Duration) -> Result<bool, LogError> {
        let drained = drain(&self.client, wait);
        match self.client.context().delivered().first_error.clone() {
            Some(error) => Err(self.fatal().unwrap_or(error)),
            None => Ok(drained),
        }
    }

    fn last_offset(&self, place: Place) -> Option<u64> {
        self.client.context().delivered().last_offsets.get(&opaque(place)).copied()
    }

    fn send_offsets(
        &mut self,
        // The metadata names it.
        _group: Group,
        offsets: &[(Place, u64)],
        metadata: &Arc<ConsumerGroupMetadata>,
    ) -> Result<(), LogError> {
        let list = self.shared.names.list_at(offsets.iter().copied())?;
        self.client
            .send_offsets_to_transaction(&list, metadata, self.timeout())
            .map_err(|e| error::transaction(Call::SendOffsets, e))
    }

    fn commit(&mut self) -> Result<(), LogError> {
        if self.client.in_flight_count() > 0 && !drain(&self.client, self.timeout()) {
            return Err(LogError::Abort("records are still in flight".into()));
        }
        self.client.commit_transaction(self.timeout()).map_err(|e| error::transaction(Call::Commit, e))
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let deadline = Instant::now() + self.timeout();
        let refused = self.client.context().delivered().first_error.is_some();
        // The client waits in vain for records in flight, as only we can serve their reports: a short
        // first call drops what is queued, the reports are served, a second call goes on from there.
        if self.client.in_flight_count() > 0 && self.client.abort_transaction(ABORT_FIRST).is_ok() {
            return Ok(());
        }
        drain(&self.client, deadline.saturating_duration_since(Instant::now()));
        self.client.context().clear();
        self.client
            .abort_transaction(deadline.saturating_duration_since(Instant::now()).max(ABORT_FIRST))
            .map_err(|e| error::transaction(Call::Abort, e))?;
        if refused {
            // The client has counted the refused record and the broker has not, so that the next
            // transaction would fail over a gap in the sequence (librdkafka 2.12.1). A new client has none.
            self.client = connect(&self.shared, &self.transactional_id)?;
            self.init().map_err(|error| match error {
                LogError::Fatal(_) => error,
                other => LogError::Indefinite(other.to_string()),
            })?;
        }
        Ok(())
    }
}

impl KafkaAppender {
    pub(super) fn new(shared: Arc<Shared>) -> Result<KafkaAppender, LogError> {
        let client =
            BaseProducer::from_config_and_context(&shared.config.appending(), DeliveryContext::default())
                .map_err(error::creation)?;
        Ok(KafkaAppender { client, shared, cursor: None })
    }

    fn cursor_of(&mut self, name: &str) -> Result<&Cursor, LogError> {
        let cursor = match self.cursor.take().filter(|cursor| cursor.name() == name) {
            Some(cursor) => cursor,
            None => Cursor::open(&self.shared, name)?,
        };
        Ok(self.cursor.insert(cursor))
    }
}

impl Appender for KafkaAppender {
    fn append(&mut self, record: &Outgoing) -> Result<(), LogError> {
        send(&self.client, &self.shared, record)?;
        // Serves reports of earlier records, so that they do not pile up between flushes.
        self.client.poll(Duration::ZERO);
        Ok(())
    }

    fn flush(&mut self, wait: Duration) -> Result<bool, LogError> {
        let drained = drain(&self.client, wait);
        match self.client.context().delivered().first_error.take() {
            Some(error) => Err(error),
            None => Ok(drained),
        }
    }

    /// The position is committed after the records are: a kill between the two leaves it behind by one flush.
    fn flush_with_cursor(&mut self, wait: Duration, name: &str, position: u64) -> Result<bool, LogError> {
        let flushed = self.flush(wait)?;
        if flushed {
            self.cursor_of(name)?.write(position)?;
        }
        Ok(flushed)
    }

    fn cursor(&mut self, name: &str) -> Result<Option<u64>, LogError> {
        self.cursor_of(name)?.read()
    }
}
