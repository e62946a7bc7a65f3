//! Those who write: a transactional producer, and a plain appender.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::broker::{Broker, Shared, lock};
use super::faults::{Operation, Strike};
use super::fetcher::Link;
use crate::edge::log::group::GroupMetadata;
use crate::edge::log::producer_state::ProducerState;
use crate::edge::log::{Appender, Group, LogError, Outgoing, Place, Producer};

/// A transactional producer. Dropping it is a crash: what it left open stays open until its
/// transaction times out or its id is initialised again.
#[derive(Debug)]
pub struct SimProducer {
    broker: Shared,
    transactional_id: String,
    number: u32,
    epoch: u32,
    state: ProducerState,
    /// Sent and not arrived; empty while no faults are on.
    in_flight: VecDeque<Outgoing>,
    last_offsets: BTreeMap<Place, u64>,
    link: Link,
}

impl SimProducer {
    pub(super) fn new(broker: Shared, transactional_id: &str) -> SimProducer {
        SimProducer {
            broker,
            transactional_id: transactional_id.to_owned(),
            number: 0,
            epoch: 0,
            state: ProducerState::New,
            in_flight: VecDeque::new(),
            last_offsets: BTreeMap::new(),
            link: Link::default(),
        }
    }
}

/// Lets `effect` happen unless the strike comes first, and fails if there is a strike.
fn struck(
    operation: Operation,
    strike: Option<Strike>,
    effect: impl FnOnce() -> Result<(), LogError>,
) -> Result<(), LogError> {
    match strike {
        Some(strike) if !strike.after => Err(strike.error(operation)),
        Some(strike) => effect().and(Err(strike.error(operation))),
        None => effect(),
    }
}

/// Lets the first `count` records in flight arrive; one that is refused ends it.
fn arrive(
    broker: &mut Broker,
    producer: (u32, u32),
    in_flight: &mut VecDeque<Outgoing>,
    last_offsets: &mut BTreeMap<Place, u64>,
    count: usize,
) -> Result<(), LogError> {
    for record in in_flight.drain(..count) {
        let offset = broker.produce(producer.0, producer.1, &record)?;
        last_offsets.insert(record.place, offset);
    }
    Ok(())
}

impl Producer for SimProducer {
    type Metadata = GroupMetadata;

    fn init(&mut self) -> Result<(), LogError> {
        self.state.uninitialised()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            return Err(LogError::Retry("connection lost".to_owned()));
        }
        let strike = broker.dice.strike(Operation::Init);
        let outcome = struck(Operation::Init, strike, || {
            (self.number, self.epoch) = broker.init_producer(&self.transactional_id);
            Ok(())
        });
        match outcome {
            Ok(()) => self.state = ProducerState::Ready,
            // There is no transaction to abort, so it may only be tried again.
            Err(LogError::Abort(why)) => return Err(LogError::Retry(why)),
            Err(error) => return Err(self.state.after(error)),
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.state.ready()?;
        if let Some(strike) = lock(&self.broker).dice.strike(Operation::Begin) {
            return Err(self.state.after(strike.error(Operation::Begin)));
        }
        self.last_offsets.clear();
        self.state = ProducerState::Open;
        Ok(())
    }

    fn send(&mut self, record: &Outgoing) -> Result<(), LogError> {
        self.state.open()?;
        let mut broker = lock(&self.broker);
        let producer = (self.number, self.epoch);
        if !broker.dice.on() && self.in_flight.is_empty() {
            match broker.produce(producer.0, producer.1, record) {
                Ok(offset) => drop(self.last_offsets.insert(record.place, offset)),
                // As with a real client, the drain tells.
                Err(error) => drop(self.state.after(error)),
            }
            return Ok(());
        }
        broker.stir();
        if self.in_flight.len() >= broker.config.queue_records_max {
            return Err(LogError::Retry("the queue is full".to_owned()));
        }
        if let Some(strike) = broker.dice.strike(Operation::Send) {
            return Err(self.state.after(strike.error(Operation::Send)));
        }
        self.in_flight.push_back(record.clone());
        if broker.dice.chance(0.3) && !self.link.is_lost(&mut broker) {
            let count = broker.dice.below(self.in_flight.len() + 1);
            let outcome = arrive(&mut broker, producer, &mut self.in_flight, &mut self.last_offsets, count);
            if let Err(error) = outcome {
                self.state.after(error);
            }
        }
        Ok(())
    }

    fn drain(&mut self, _wait: Duration) -> Result<bool, LogError> {
        self.state.open()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            return Ok(self.in_flight.is_empty());
        }
        let mut count = self.in_flight.len();
        let slow_drain = broker.dice.faults().slow_drain;
        if broker.dice.chance(slow_drain) {
            count = broker.dice.below(count + 1);
        }
        let strike = broker.dice.strike(Operation::Drain);
        let outcome = struck(Operation::Drain, strike, || {
            let producer = (self.number, self.epoch);
            arrive(&mut broker, producer, &mut self.in_flight, &mut self.last_offsets, count)
        });
        outcome.map(|()| self.in_flight.is_empty()).map_err(|error| self.state.after(error))
    }

    fn last_offset(&self, place: Place) -> Option<u64> {
        self.last_offsets.get(&place).copied()
    }

    fn send_offsets(
        &mut self,
        group: Group,
        offsets: &[(Place, u64)],
        metadata: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.state.open()?;
        if offsets.is_empty() {
            // librdkafka: nothing is sent, so nothing is checked.
            return Ok(());
        }
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            let error = LogError::Indefinite("connection lost while offsets were sent".to_owned());
            return Err(self.state.after(error));
        }
        let strike = broker.dice.strike(Operation::SendOffsets);
        let outcome = struck(Operation::SendOffsets, strike, || {
            broker.send_offsets(self.number, self.epoch, group, offsets, metadata)
        });
        outcome.map_err(|error| self.state.after(error))
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.state.open()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            let error = LogError::Indefinite("connection lost during the commit".to_owned());
            return Err(self.state.after(error));
        }
        let strike = broker.dice.strike(Operation::Commit);
        let outcome = struck(Operation::Commit, strike, || {
            let (producer, count) = ((self.number, self.epoch), self.in_flight.len());
            arrive(&mut broker, producer, &mut self.in_flight, &mut self.last_offsets, count)?;
            broker.end(self.number, self.epoch, true)
        });
        match outcome {
            Ok(()) => self.state = ProducerState::Ready,
            Err(error) => return Err(self.state.after(error)),
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        match self.state.open() {
            Ok(()) | Err(LogError::Abort(_)) => {}
            Err(error) => return Err(error),
        }
        let mut broker = lock(&self.broker);
        broker.stir();
        self.in_flight.clear();
        if self.link.is_lost(&mut broker) {
            let error = LogError::Indefinite("connection lost during the abort".to_owned());
            return Err(self.state.after(error));
        }
        let strike = broker.dice.strike(Operation::Abort);
        let outcome = struck(Operation::Abort, strike, || broker.end(self.number, self.epoch, false));
        match outcome {
            Ok(()) => self.state = ProducerState::Ready,
            Err(error) => return Err(self.state.after(error)),
        }
        Ok(())
    }
}

/// Writes outside transactions.
#[derive(Debug)]
pub struct SimAppender {
    broker: Shared,
    /// Empty while no faults are on.
    in_flight: VecDeque<Outgoing>,
    refused: Option<LogError>,
    link: Link,
}

impl SimAppender {
    pub(super) fn new(broker: Shared) -> SimAppender {
        SimAppender { broker, in_flight: VecDeque::new(), refused: None, link: Link::default() }
    }
}

impl Appender for SimAppender {
    fn append(&mut self, record: &Outgoing) -> Result<(), LogError> {
        let mut broker = lock(&self.broker);
        if broker.dice.on() || !self.in_flight.is_empty() {
            broker.stir();
            if self.in_flight.len() >= broker.config.queue_records_max {
                return Err(LogError::Retry("the queue is full".to_owned()));
            }
            if let Some(strike) = broker.dice.strike(Operation::Append) {
                return Err(strike.error(Operation::Append));
            }
            self.in_flight.push_back(record.clone());
            return Ok(());
        }
        if let Err(error) = append(&mut broker, record) {
            self.refused.get_or_insert(error);
        }
        Ok(())
    }

    fn flush(&mut self, _wait: Duration) -> Result<bool, LogError> {
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            return Ok(self.in_flight.is_empty());
        }
        let mut count = self.in_flight.len();
        let slow_drain = broker.dice.faults().slow_drain;
        if broker.dice.chance(slow_drain) {
            count = broker.dice.below(count + 1);
        }
        let strike = broker.dice.strike(Operation::Flush);
        for record in self.in_flight.drain(..count) {
            // What is lost before it takes effect is gone; nobody else sends it again.
            if strike.is_some_and(|strike| !strike.after) {
                continue;
            }
            if let Err(error) = append(&mut broker, &record) {
                self.refused.get_or_insert(error);
            }
        }
        if let Some(strike) = strike {
            return Err(strike.error(Operation::Flush));
        }
        self.refused.take().map_or(Ok(self.in_flight.is_empty()), Err)
    }

    fn flush_with_cursor(&mut self, wait: Duration, name: &str, position: u64) -> Result<bool, LogError> {
        let flushed = self.flush(wait)?;
        if flushed {
            lock(&self.broker).cursors.insert(name.to_owned(), position);
        }
        Ok(flushed)
    }

    fn cursor(&mut self, name: &str) -> Result<Option<u64>, LogError> {
        Ok(lock(&self.broker).cursors.get(name).copied())
    }
}

fn append(broker: &mut Broker, record: &Outgoing) -> Result<u64, LogError> {
    broker.append(record.place, Some(&record.key), record.value.as_deref(), record.timestamp_ms)
}
