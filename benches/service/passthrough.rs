//! The yardstick: consume, decode, produce the same bytes, exactly once. One thread, one consumer and one
//! transactional producer for each partition; transactions by the clock, drained and then committed.

use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use habitue::codec::{Decoder, SchemaSet, WireForm};
use habitue::config::Config;
use habitue::edge::connect::kafka_config;
use habitue::edge::kafka::{KafkaConsumer, KafkaLog, KafkaProducer};
use habitue::edge::log::{Group, GroupConsumer, Log, LogError, Outgoing, Place, Producer, Rebalance, Record};
use habitue::event::Input;
use habitue::signal::Topic;
use serde::{Deserialize, Serialize};

use crate::cluster::{Counts, Setting};
use crate::{PARTITIONS, machine};

const COUNTS: &str = "BENCH_COUNTS";
const INTERVAL_MS: &str = "BENCH_INTERVAL_MS";
const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds of drain, offsets and commit of one transaction.
pub type Phases = [f64; 3];

/// What the child tells on its standard output, as JSON.
#[derive(Serialize, Deserialize)]
pub struct Report {
    /// Both since the process began.
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
    /// Of all transactions with records, partition by partition.
    pub phases: Vec<Phases>,
}

/// Starts the child, which copies so many records and ends.
pub fn spawn(setting: &Setting, counts: &Counts, interval_ms: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .arg("passthrough")
        .arg(&setting.file)
        .env(COUNTS, serde_json::to_string(counts).unwrap())
        .env(INTERVAL_MS, interval_ms.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the child's end.
pub fn report(child: Child) -> Report {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the passthrough ended: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Copies everything and tells of it.
pub fn child(file: &str) {
    let begun = Instant::now();
    let counts: Counts = serde_json::from_str(&std::env::var(COUNTS).unwrap()).unwrap();
    let interval = Duration::from_millis(std::env::var(INTERVAL_MS).unwrap().parse().unwrap());
    let config = Config::read(Path::new(file)).map_err(|refusal| refusal.to_string()).unwrap();
    let log = KafkaLog::new(kafka_config(&config).unwrap()).unwrap();
    // A member begins when each holds its one partition.
    let settled = AtomicUsize::new(0);
    let phases = std::thread::scope(|scope| {
        let (log, counts, settled) = (&log, &counts, &settled);
        let copy = |number| scope.spawn(move || Copy::new(log, number, settled).run(counts, interval));
        let threads: Vec<_> = (0..PARTITIONS).map(copy).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let cpu_seconds = machine::cpu_seconds(std::process::id()).unwrap();
    let report = Report { cpu_seconds, wall_seconds: begun.elapsed().as_secs_f64(), phases };
    println!("{}", serde_json::to_string(&report).unwrap());
}

struct Copy {
    partition: u32,
    consumer: KafkaConsumer,
    producer: KafkaProducer,
    decoders: [Decoder; Input::ALL.len()],
    /// Next offsets, by [`Input::index`].
    next: [u64; Input::ALL.len()],
}

impl Copy {
    fn new(log: &KafkaLog, number: u32, settled: &AtomicUsize) -> Copy {
        let schemas = SchemaSet::new::<&str>([]).unwrap();
        let mut consumer = log.consumer(Group::Customer, &format!("member-{number}")).unwrap();
        let mut producer = log.producer(&format!("copy-{number}")).unwrap();
        while let Err(error) = producer.init() {
            assert!(matches!(error, LogError::Retry(_)), "{error}");
        }
        let partition = await_one(&mut consumer, settled);
        let decoders =
            Input::ALL.map(|input| Decoder::new(input, WireForm::ConfluentAvro, &schemas).unwrap());
        Copy { partition, consumer, producer, decoders, next: [0; Input::ALL.len()] }
    }

    fn run(mut self, counts: &Counts, interval: Duration) -> Vec<Phases> {
        let mut phases = Vec::new();
        let ends = Input::ALL.map(|input| counts[input.index()][self.partition as usize]);
        let places = Input::ALL.map(|input| Place::new(input.into(), self.partition));
        self.consumer.fetch(&places.map(|place| (place, 0))).unwrap();
        let place = Place::new(Topic::Scores, self.partition);
        let mut outgoing = Outgoing { place, key: Vec::new(), value: Some(Vec::new()), timestamp_ms: 0 };
        while self.next != ends {
            let before = self.next;
            self.producer.begin().unwrap();
            let opened = Instant::now();
            while opened.elapsed() < interval && self.next != ends {
                let Copy { consumer, producer, decoders, next, .. } = &mut self;
                let rebalance = consumer
                    .poll(Duration::from_millis(2), &mut |record| {
                        copy(record, decoders, next, producer, &mut outgoing);
                    })
                    .unwrap();
                assert_eq!(rebalance, None);
            }
            let offsets: Vec<(Place, u64)> = places.into_iter().zip(self.next).collect();
            let took = self.commit(&offsets);
            if self.next != before {
                phases.push(took);
            }
        }
        phases
    }

    fn commit(&mut self, offsets: &[(Place, u64)]) -> Phases {
        let begun = Instant::now();
        while !self.producer.drain(PATIENCE).unwrap() {}
        let drained = Instant::now();
        let metadata = self.consumer.metadata().unwrap();
        self.producer.send_offsets(Group::Customer, offsets, &metadata).unwrap();
        let sent = Instant::now();
        self.producer.commit().unwrap();
        [drained - begun, sent - drained, sent.elapsed()].map(|took| took.as_secs_f64() * 1000.0)
    }
}

fn copy(
    record: Record<'_>,
    decoders: &mut [Decoder; Input::ALL.len()],
    next: &mut [u64; Input::ALL.len()],
    producer: &mut KafkaProducer,
    outgoing: &mut Outgoing,
) {
    let input = match record.place.topic {
        Topic::Purchases => Input::Purchases,
        Topic::Engagements => Input::Engagements,
        _ => Input::Feedback,
    };
    let (key, value) = (record.key.unwrap(), record.value.unwrap());
    black_box(decoders[input.index()].decode(value).unwrap());
    // Buffers that are kept: nothing is allocated for a record.
    outgoing.key.clear();
    outgoing.key.extend_from_slice(key);
    let copied = outgoing.value.get_or_insert_default();
    copied.clear();
    copied.extend_from_slice(value);
    outgoing.timestamp_ms = record.timestamp_ms;
    while let Err(error) = producer.send(outgoing) {
        assert!(matches!(error, LogError::Retry(_)), "{error}");
        producer.drain(Duration::from_millis(1)).unwrap();
    }
    next[input.index()] = record.offset + 1;
}

/// Serves the group until every member holds one partition, which is returned.
fn await_one(consumer: &mut KafkaConsumer, settled: &AtomicUsize) -> u32 {
    let mut held: Vec<u32> = Vec::new();
    let mut is_settled = false;
    let begun = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(5), &mut |_| {}).unwrap() {
            Some(Rebalance::Assigned(partitions)) => {
                consumer.accept(&partitions).unwrap();
                held.extend(partitions);
            }
            Some(Rebalance::Revoked(partitions) | Rebalance::Lost(partitions)) => {
                consumer.release(&partitions).unwrap();
                held.retain(|partition| !partitions.contains(partition));
            }
            None => {}
        }
        let now_settled = held.len() == 1;
        if now_settled != is_settled {
            is_settled = now_settled;
            if is_settled {
                settled.fetch_add(1, Ordering::SeqCst)
            } else {
                settled.fetch_sub(1, Ordering::SeqCst)
            };
        }
        if is_settled && settled.load(Ordering::SeqCst) == PARTITIONS as usize {
            return held[0];
        }
        assert!(begun.elapsed() < PATIENCE, "the group does not settle");
    }
}
