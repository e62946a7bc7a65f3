//! Short forms of what every case does.

use std::time::{Duration, Instant};

use habitue::edge::kafka::{KafkaConsumer, KafkaLog, KafkaProducer, KafkaReader};
use habitue::edge::log::{
    Appender, GroupConsumer, Log, LogError, Outgoing, Place, Producer, Reader, Rebalance,
};
use habitue::signal::Topic;

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const STEP: Duration = Duration::from_millis(20);

pub fn place(topic: Topic, partition: u32) -> Place {
    Place::new(topic, partition)
}

pub fn record(place: Place, value: &str) -> Outgoing {
    Outgoing {
        place,
        key: b"k".to_vec(),
        value: Some(value.as_bytes().to_vec()),
        timestamp_ms: 1_700_000_000_000,
    }
}

/// Repeats until something comes; panics when nothing does.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for: {what}");
    }
}

/// Repeats while the log says that nothing happened.
pub fn definite<T>(mut call: impl FnMut() -> Result<T, LogError>) -> T {
    until("an answer other than Retry", || match call() {
        Err(LogError::Retry(_)) => {
            std::thread::sleep(STEP);
            None
        }
        other => Some(other.unwrap()),
    })
}

pub fn append(log: &KafkaLog, records: &[Outgoing]) {
    let mut appender = log.appender().unwrap();
    for record in records {
        appender.append(record).unwrap();
    }
    assert!(appender.flush(PATIENCE).unwrap());
}

pub fn producer(log: &KafkaLog, id: &str) -> KafkaProducer {
    let mut producer = log.producer(id).unwrap();
    definite(|| producer.init());
    producer
}

pub fn sent(producer: &mut KafkaProducer, records: &[Outgoing]) {
    producer.begin().unwrap();
    for record in records {
        producer.send(record).unwrap();
    }
    assert!(producer.drain(PATIENCE).unwrap());
}

/// A member with what it has read.
pub struct Member {
    pub consumer: KafkaConsumer,
    pub read: Vec<(Place, u64, String)>,
}

impl Member {
    pub fn new(consumer: KafkaConsumer) -> Member {
        Member { consumer, read: Vec::new() }
    }

    pub fn poll(&mut self) -> Option<Rebalance> {
        let read = &mut self.read;
        self.consumer
            .poll(STEP, &mut |record| {
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                read.push((record.place, record.offset, value));
            })
            .unwrap()
    }

    pub fn rebalance(&mut self) -> Rebalance {
        until("a rebalance", || self.poll())
    }

    /// Waits for the first assignment and accepts it.
    pub fn accept(&mut self) -> Vec<u32> {
        match self.rebalance() {
            Rebalance::Assigned(mut partitions) => {
                self.consumer.accept(&partitions).unwrap();
                partitions.sort_unstable();
                partitions
            }
            other => panic!("assigned expected, not {other:?}"),
        }
    }

    pub fn values(&self, place: Place) -> Vec<&str> {
        self.read.iter().filter(|(at, ..)| *at == place).map(|(.., value)| value.as_str()).collect()
    }

    /// Polls until the place is at its end.
    pub fn read_to_end(&mut self, place: Place) {
        until("the end", || {
            assert_eq!(self.poll(), None);
            self.consumer.at_end(place).then_some(())
        });
    }
}

/// Everything committed in a place.
pub fn read_all(log: &KafkaLog, place: Place) -> Vec<String> {
    let mut reader: KafkaReader = log.reader().unwrap();
    let ends = definite(|| reader.ends(place));
    let mut values = Vec::new();
    definite(|| reader.assign(&[(place, ends.low)]));
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(500) {
        let count = reader
            .poll(STEP, &mut |record| {
                values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            })
            .unwrap();
        if count > 0 {
            quiet = Instant::now();
        }
    }
    values
}
