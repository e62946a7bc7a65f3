//! The smallest service that is exactly once: copies purchases[p] to alerts[p], by the rules of the
//! commit protocol. Each rule can be taken away, to see that the simulation notices.

use std::collections::BTreeMap;

use habitue::edge::log::sim::{Faults, SimConfig, SimConsumer, SimLog, SimProducer};
use habitue::edge::log::{Group, GroupConsumer, Log, LogError, Outgoing, Place, Producer, Rebalance};
use habitue::signal::Topic;

use crate::log::WAIT;
use crate::seeds::Rng;

const PARTITIONS: u32 = 3;
const WORKERS: usize = 2;
pub const INPUTS: usize = 60;

/// What a worker abides by; all true is the protocol.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Offsets go with every transaction, so that the generation is checked.
    pub never_an_empty_list: bool,
    /// After an unknown outcome the committed offset is read before anything is sent again.
    pub read_after_unknown: bool,
    /// Nothing is read while a transaction that touches the offset is pending.
    pub wait_for_pending: bool,
}

impl Rules {
    pub const ALL: Rules =
        Rules { never_an_empty_list: true, read_after_unknown: true, wait_for_pending: true };
}

#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Of the log at the end.
    pub digest: u64,
    /// Records, of [`INPUTS`].
    pub copied_under_faults: usize,
}

fn purchases(partition: u32) -> Place {
    Place::new(Topic::Purchases, partition)
}

fn alerts(partition: u32) -> Place {
    Place::new(Topic::Alerts, partition)
}

/// Copies a fixed input with two workers that fail, crash, hang and come back; in the end without
/// faults. `Err` says what the output lacks or has too much.
pub fn run(seed: u64, rules: Rules, faults: Faults) -> Result<Report, String> {
    let mut rng = Rng::new(seed);
    let log = SimLog::new(SimConfig {
        faults,
        poll_records_max: 1 + seed as usize % 7,
        // Longer than a session every second time: partitions move while their transaction is open.
        transaction_timeout_ms: if rng.once_in(2) { 3_000 } else { 30_000 },
        ..SimConfig::new(seed, PARTITIONS)
    });
    let mut workers: Vec<Worker> = (0..WORKERS).map(|name| Worker::new(&log, name, rules)).collect();
    let mut inputs = 0;
    for _ in 0..500 {
        log.advance(rng.below(40) as u64);
        if inputs < INPUTS && rng.once_in(4) {
            let place = purchases(rng.below(PARTITIONS as usize) as u32);
            log.append_record(place, None, Some(format!("{inputs}").as_bytes()), log.now_ms()).unwrap();
            inputs += 1;
        }
        match rng.below(100) {
            // A crash and a start; once in a while the old process is only thought to be dead.
            0 => {
                let name = rng.below(WORKERS);
                let zombie = rng.once_in(2);
                workers.retain(|worker| zombie || worker.name != name);
                workers.push(Worker::new(&log, name, rules));
            }
            1 => log.advance(rng.below(7_000) as u64),
            _ => {
                let index = rng.below(workers.len());
                if !workers[index].step(&mut rng) {
                    let name = workers.swap_remove(index).name;
                    if workers.iter().all(|worker| worker.name != name) {
                        workers.push(Worker::new(&log, name, rules));
                    }
                }
            }
        }
    }
    let count = |partition| log.all_committed(alerts(partition)).unwrap().len();
    let copied_under_faults = (0..PARTITIONS).map(count).sum();
    log.set_faults(Faults::default());
    (0..WORKERS).for_each(|name| workers.push(Worker::new(&log, name, rules)));
    for _ in 0..1_000 {
        log.advance(50);
        workers.retain_mut(|worker| worker.step(&mut rng));
    }
    for partition in 0..PARTITIONS {
        let values = |place| -> Vec<String> {
            let records = log.all_committed(place).unwrap().into_iter();
            records.map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
        };
        let (given, made) = (values(purchases(partition)), values(alerts(partition)));
        if given != made {
            return Err(format!("partition {partition}: in {given:?}, out {made:?}"));
        }
    }
    Ok(Report { digest: log.digest(), copied_under_faults })
}

/// One process.
struct Worker {
    log: SimLog,
    name: usize,
    rules: Rules,
    consumer: SimConsumer,
    producer: Option<SimProducer>,
    asked: Option<Rebalance>,
    owned: Vec<u32>,
    /// Next offset to commit, of partitions that are being read; the others wait for their offset.
    positions: BTreeMap<u32, u64>,
    batch: Vec<Outgoing>,
    /// The batch and its offsets are sent, and not committed yet.
    sent: bool,
}

impl Worker {
    fn new(log: &SimLog, name: usize, rules: Rules) -> Worker {
        Worker {
            log: log.clone(),
            name,
            rules,
            consumer: log.consumer(Group::Customer, &format!("worker {name}")).unwrap(),
            producer: None,
            asked: None,
            owned: Vec::new(),
            positions: BTreeMap::new(),
            batch: Vec::new(),
            sent: false,
        }
    }

    /// False: the process is at its end.
    fn step(&mut self, rng: &mut Rng) -> bool {
        // What happens between the two is what the protocol is about.
        if self.sent {
            if rng.once_in(2) {
                self.commit(rng);
            }
            return true;
        }
        if self.producer.is_none() {
            let mut producer = self.log.producer(&format!("worker {}", self.name)).unwrap();
            match producer.init() {
                Ok(()) => self.producer = Some(producer),
                Err(_) => return true,
            }
        }
        self.restore();
        let (positions, batch) = (&mut self.positions, &mut self.batch);
        let told = self.consumer.poll(WAIT, &mut |record| {
            positions.insert(record.place.partition, record.offset + 1);
            batch.push(Outgoing {
                place: alerts(record.place.partition),
                key: Vec::new(),
                value: record.value.map(<[u8]>::to_vec),
                timestamp_ms: record.timestamp_ms,
            });
        });
        match told {
            Ok(None) => {}
            Ok(told) => self.asked = told,
            Err(LogError::Retry(_)) => {}
            Err(error) if error.is_final() => return false,
            Err(error) => panic!("{error}"),
        }
        if let Some(asked) = self.asked.take_if(|_| rng.once_in(2)) {
            self.answer(asked, rng);
            return true;
        }
        if !self.batch.is_empty() && !rng.once_in(3) {
            self.send(rng);
        }
        true
    }

    fn answer(&mut self, asked: Rebalance, rng: &mut Rng) {
        let (partitions, commits) = match asked {
            Rebalance::Assigned(partitions) => {
                self.consumer.accept(&partitions).unwrap();
                self.owned.extend(partitions);
                return;
            }
            Rebalance::Revoked(partitions) => (partitions, true),
            Rebalance::Lost(partitions) => (partitions, false),
        };
        if commits && !self.batch.is_empty() {
            self.commit(rng);
        }
        self.consumer.release(&partitions).unwrap();
        self.owned.retain(|partition| !partitions.contains(partition));
        self.positions.retain(|partition, _| !partitions.contains(partition));
        self.batch.retain(|record| !partitions.contains(&record.place.partition));
    }

    /// Begins to read what is owned and not read yet, at the committed offset.
    fn restore(&mut self) {
        for &partition in &self.owned {
            if self.positions.contains_key(&partition) {
                continue;
            }
            let place = purchases(partition);
            let committed = match self.consumer.committed(&[place], WAIT) {
                Ok(committed) => committed[0],
                Err(_) if self.rules.wait_for_pending => continue,
                Err(_) => self.log.offsets(Group::Customer).get(&place).copied(),
            };
            let position = committed.unwrap_or(0);
            let fetched = self.consumer.fetch(&[(place, position)]);
            if fetched.and_then(|()| self.consumer.resume(&[place])).is_ok() {
                self.positions.insert(partition, position);
            }
        }
    }

    /// Sends what is read, with its offsets.
    fn send(&mut self, rng: &mut Rng) {
        match self.try_send(rng) {
            Ok(()) => self.sent = true,
            Err(error) => self.recover(&error),
        }
    }

    fn commit(&mut self, rng: &mut Rng) {
        if !self.sent {
            self.send(rng);
        }
        let Some(producer) = self.producer.as_mut().filter(|_| self.sent) else { return };
        self.sent = false;
        match producer.commit() {
            Ok(()) => self.batch.clear(),
            Err(error) => self.recover(&error),
        }
    }

    /// Makes the outcome definite, then drops the state: what is committed is read anew.
    fn recover(&mut self, error: &LogError) {
        let gone = matches!(error, LogError::Indefinite(_) | LogError::Fatal(_));
        if gone || self.producer.as_mut().is_none_or(|producer| producer.abort().is_err()) {
            self.producer = None;
        }
        if matches!(error, LogError::Indefinite(_)) && !self.rules.read_after_unknown {
            return;
        }
        self.batch.clear();
        self.positions.clear();
        for partition in 0..PARTITIONS {
            self.consumer.pause(&[purchases(partition)]).ok();
        }
    }

    fn try_send(&mut self, rng: &mut Rng) -> Result<(), LogError> {
        let Some(producer) = &mut self.producer else {
            return Err(LogError::Fatal("no producer".to_owned()));
        };
        let metadata = self.consumer.metadata()?;
        producer.begin()?;
        for record in &self.batch {
            producer.send(record)?;
        }
        let mut drains = 0;
        while !producer.drain(WAIT)? {
            drains += 1;
            if drains > 50 {
                return Err(LogError::Indefinite("it does not drain".to_owned()));
            }
            self.log.advance(rng.below(40) as u64);
        }
        let offsets: Vec<(Place, u64)> =
            self.positions.iter().map(|(&partition, &offset)| (purchases(partition), offset)).collect();
        let sent = if self.rules.never_an_empty_list { &offsets[..] } else { &[] };
        producer.send_offsets(Group::Customer, sent, &metadata)
    }
}
