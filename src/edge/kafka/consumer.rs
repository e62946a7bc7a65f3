//! A member of the consumer group.
//!
//! The group knows of the lead topic only. librdkafka asks for an answer to each rebalance and goes on
//! heartbeating until it has one, so the callback merely notes the event and `accept` and `release` give
//! the answer. The answer to an assignment is an empty one: the lead partition is owned without being
//! read; `fetch` adds what is read, of whatever topic, as further assignments at explicit offsets.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::ends::{Ends, end_offset};
use super::names::Names;
use super::{Shared, error, forward_log};
use crate::edge::log::{Group, GroupConsumer, LogError, Place, Rebalance, Record};
use crate::signal::Topic;

/// Most records handed over by one poll.
const RECORDS_MAX: usize = 256;

/// A client that was told to give up everything has ended within this time.
const CLOSED_AFTER: Duration = Duration::from_millis(500);

/// One member; used by one thread.
pub struct KafkaConsumer {
    client: BaseConsumer<GroupContext>,
    shared: Arc<Shared>,
    lead: Topic,
    owned: BTreeSet<u32>,
    /// Handed over, waiting for its answer.
    asked: Option<Rebalance>,
    /// The client forgets it of a place that is given up.
    paused: BTreeSet<Place>,
    ends: Ends,
}

/// What the callbacks leave for the thread that polls.
#[derive(Default)]
struct GroupContext {
    events: Mutex<VecDeque<Rebalance>>,
    /// Text of the last error event: at a partition's end it holds the offset.
    reason: Mutex<String>,
    closing: AtomicBool,
    /// Closing, and has given the one answer that this takes.
    given_up: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn stats_raw(&self, _json: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let at_end = error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF);
        if !at_end {
            super::complaint::complain(&error, reason);
        }
        let mut last = lock(&self.reason);
        last.clear();
        last.push_str(reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, client: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<u32> = list.elements().iter().map(|at| at.partition() as u32).collect();
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            self.answer_closing(client);
        } else if partitions.is_empty() && assigned {
            answered(client.incremental_assign(list));
        } else if partitions.is_empty() {
            answered(client.incremental_unassign(list));
        } else if assigned {
            lock(&self.events).push_back(Rebalance::Assigned(partitions));
        } else if client.assignment_lost() {
            lock(&self.events).push_back(Rebalance::Lost(partitions));
        } else {
            lock(&self.events).push_back(Rebalance::Revoked(partitions));
        }
    }
}

impl GroupContext {
    /// A client that closes takes any answer as giving up everything, and one is enough. It then answers
    /// no more calls at all, while an older rebalance may still lie in its queue: to answer that too would
    /// wait for ever.
    fn answer_closing(&self, client: &BaseConsumer<GroupContext>) {
        if self.given_up.swap(true, Ordering::Relaxed) {
            let deadline = Instant::now() + CLOSED_AFTER;
            while !client.closed() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if !client.closed() {
            answered(client.incremental_unassign(&TopicPartitionList::new()));
        }
    }
}

fn answered(result: Result<(), KafkaError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the group did not take the answer to a rebalance");
    }
}

impl KafkaConsumer {
    pub(super) fn new(shared: Arc<Shared>, group: Group, member: &str) -> Result<KafkaConsumer, LogError> {
        let config = shared.config.member(group, member);
        let client: BaseConsumer<GroupContext> =
            BaseConsumer::from_config_and_context(&config, GroupContext::default())
                .map_err(error::creation)?;
        let lead = group.lead();
        client.subscribe(&[shared.names.of(lead)]).map_err(|e| error::question("subscribe", e))?;
        Ok(KafkaConsumer {
            client,
            shared,
            lead,
            owned: BTreeSet::new(),
            asked: None,
            paused: BTreeSet::new(),
            ends: Ends::default(),
        })
    }

    /// The next rebalance, unless one still waits for its answer.
    fn ask(&mut self) -> Option<Rebalance> {
        if self.asked.is_some() {
            return None;
        }
        self.asked = lock(&self.client.context().events).pop_front();
        self.asked.clone()
    }

    /// An error event of the client: most are passing, and the client goes on by itself.
    fn trouble(&mut self, error: KafkaError) -> Result<(), LogError> {
        match &error {
            KafkaError::PartitionEOF(partition) => {
                let offset = end_offset(&lock(&self.client.context().reason));
                self.ends.reached(&self.client, &self.shared.names, *partition as u32, offset);
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)
            | KafkaError::MessageConsumption(RDKafkaErrorCode::FencedInstanceId) => Err(LogError::Replaced),
            KafkaError::MessageConsumptionFatal(code) => Err(LogError::Fatal(format!("consumer: {code}"))),
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => Err(self.out_of_range()),
            KafkaError::MessageConsumption(code) if error::refused(*code) => {
                Err(LogError::Fatal(format!("consumer: {code}: {}", lock(&self.client.context().reason))))
            }
            _ => Ok(()),
        }
    }

    /// The wrapper does not say which place it was: the one whose position is not held.
    fn out_of_range(&self) -> LogError {
        for (place, next) in self.ends.positions() {
            if let Err(error @ LogError::OutOfRange { .. }) =
                in_range(&self.client, &self.shared, place, next)
            {
                return error;
            }
        }
        LogError::Retry("a position was out of range and is no longer".into())
    }

    fn list(&self, places: &[Place]) -> TopicPartitionList {
        self.shared.names.list(places.iter().copied().filter(|place| self.ends.reads(*place)))
    }

    /// Moves places that are read already. Not by giving them up and adding them anew: while a revocation
    /// waits, giving anything up would answer it. Only a place whose position was refused cannot be moved
    /// in another way.
    fn seek(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        if from.is_empty() {
            return Ok(());
        }
        let list = self.shared.names.list_at(from.iter().copied())?;
        let done = self
            .client
            .seek_partitions(list, self.shared.config.request_timeout())
            .map_err(|e| error::question("seek", e))?;
        let failed = |(place, _): &&(Place, u64)| {
            let at = done.find_partition(self.shared.names.of(place.topic), place.partition as i32);
            at.is_none_or(|at| at.error().is_err())
        };
        let standing: Vec<(Place, u64)> = from.iter().filter(failed).copied().collect();
        if standing.is_empty() {
            return Ok(());
        }
        if self.asked.is_some() || !lock(&self.client.context().events).is_empty() {
            return Err(LogError::Retry("a rebalance waits for its answer".into()));
        }
        let anew = self.shared.names.list_at(standing.iter().copied())?;
        self.client
            .incremental_unassign(&self.shared.names.list(standing.iter().map(|(place, _)| *place)))
            .and_then(|()| self.client.incremental_assign(&anew))
            .map_err(|e| error::question("seek", e))?;
        let paused: Vec<Place> =
            standing.iter().map(|(place, _)| *place).filter(|place| self.paused.contains(place)).collect();
        self.pause(&paused)
    }
}

/// A position can be read from when it is held, or is the next to be written.
pub(super) fn in_range<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    shared: &Shared,
    place: Place,
    offset: u64,
) -> Result<(), LogError> {
    let (low, high) = client
        .fetch_watermarks(
            shared.names.of(place.topic),
            place.partition as i32,
            shared.config.request_timeout(),
        )
        .map_err(|e| error::question("watermarks", e))?;
    let (low, high) = (low as u64, high as u64);
    if offset < low || offset > high {
        return Err(LogError::OutOfRange { place, offset, low, high });
    }
    Ok(())
}

/// The message as a record of ours; none where its topic is not one of ours.
pub(super) fn record<'a>(message: &'a BorrowedMessage<'_>, names: &Names) -> Option<Record<'a>> {
    let topic = names.topic(message.topic())?;
    Some(Record {
        place: Place::new(topic, message.partition() as u32),
        offset: message.offset() as u64,
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key(),
        value: message.payload(),
    })
}

impl GroupConsumer for KafkaConsumer {
    type Metadata = Arc<ConsumerGroupMetadata>;

    fn poll(
        &mut self,
        wait: Duration,
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<Option<Rebalance>, LogError> {
        if let Some(rebalance) = self.ask() {
            return Ok(Some(rebalance));
        }
        let deadline = Instant::now() + wait;
        let mut wait = wait;
        let mut handed = 0;
        while handed < RECORDS_MAX {
            match self.client.poll(wait) {
                // Nothing, or a callback was served.
                None => break,
                Some(Ok(message)) => {
                    if let Some(record) = record(&message, &self.shared.names)
                        && self.ends.handed_over(record.place, record.offset)
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
            self.ends.settle(&self.client, &self.shared.names);
        }
        Ok(self.ask())
    }

    fn accept(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.client
            .incremental_assign(&TopicPartitionList::new())
            .map_err(|e| error::question("accept", e))?;
        self.asked = None;
        self.owned.extend(partitions);
        Ok(())
    }

    fn release(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        let places: Vec<Place> = self
            .ends
            .positions()
            .map(|(place, _)| place)
            .filter(|p| partitions.contains(&p.partition))
            .collect();
        self.client
            .incremental_unassign(&self.shared.names.list(places.iter().copied()))
            .map_err(|e| error::question("release", e))?;
        self.asked = None;
        self.owned.retain(|partition| !partitions.contains(partition));
        self.paused.retain(|place| !partitions.contains(&place.partition));
        self.ends.forget(&places);
        Ok(())
    }

    fn fetch(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        for (place, _) in from {
            if !self.owned.contains(&place.partition) {
                return Err(LogError::Fatal(format!("{place:?} is not owned: {:?} is not", self.lead)));
            }
        }
        let (moved, added): (Vec<_>, Vec<_>) = from.iter().partition(|(place, _)| self.ends.reads(*place));
        self.seek(&moved)?;
        if !added.is_empty() {
            self.client
                .incremental_assign(&self.shared.names.list_at(added)?)
                .map_err(|e| error::question("fetch", e))?;
        }
        for (place, offset) in from {
            self.ends.start(*place, *offset);
        }
        Ok(())
    }

    fn pause(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.client.pause(&self.list(places)).map_err(|e| error::question("pause", e))?;
        self.paused.extend(places.iter().filter(|place| self.ends.reads(**place)));
        Ok(())
    }

    fn resume(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.client.resume(&self.list(places)).map_err(|e| error::question("resume", e))?;
        self.paused.retain(|place| !places.contains(place));
        Ok(())
    }

    fn at_end(&self, place: Place) -> bool {
        self.ends.at_end(place)
    }

    /// Refused with `Retry` where the membership is gone: metadata without a member would be taken by
    /// the broker without any check.
    fn metadata(&self) -> Result<Arc<ConsumerGroupMetadata>, LogError> {
        let metadata = self.client.group_metadata();
        // In this order: the client notes the loss before it forgets who it was.
        let lost = self.client.assignment_lost() || self.owned.is_empty();
        match metadata {
            Some(metadata) if !lost => Ok(Arc::new(metadata)),
            _ => Err(LogError::Retry("not a member of the group now".into())),
        }
    }

    fn committed(&self, places: &[Place], wait: Duration) -> Result<Vec<Option<u64>>, LogError> {
        let list = self.shared.names.list(places.iter().copied());
        let answer =
            self.client.committed_offsets(list, wait).map_err(|e| error::question("committed offsets", e))?;
        let mut offsets = Vec::with_capacity(places.len());
        for place in places {
            let Some(at) = answer.find_partition(self.shared.names.of(place.topic), place.partition as i32)
            else {
                return Err(LogError::Retry(format!("no answer for {place:?}")));
            };
            at.error().map_err(|e| error::question("committed offsets", e))?;
            offsets.push(match at.offset() {
                Offset::Offset(offset) => Some(offset as u64),
                _ => None,
            });
        }
        Ok(offsets)
    }
}

impl Drop for KafkaConsumer {
    /// The client's own drop waits for every rebalance to be answered, and nobody would.
    fn drop(&mut self) {
        self.client.context().closing.store(true, Ordering::Relaxed);
        let unanswered = self.asked.take().or_else(|| lock(&self.client.context().events).pop_front());
        match unanswered {
            None => {}
            Some(Rebalance::Assigned(_)) => {
                answered(self.client.incremental_assign(&TopicPartitionList::new()));
            }
            Some(Rebalance::Revoked(_) | Rebalance::Lost(_)) => {
                let places = self.ends.positions().map(|(place, _)| place);
                answered(self.client.incremental_unassign(&self.shared.names.list(places)));
            }
        }
    }
}
