//! Instances of the whole service on one simulated log, driven turn by turn from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use habitue::analysis::models::Models;
use habitue::codec::{SchemaSet, WireForm};
use habitue::edge::clock::Clock;
use habitue::edge::log::sim::SimLog;
use habitue::edge::log::{Group, LogError};
use habitue::edge::shard::apply::Apply;
use habitue::edge::shard::commit::{Committer, Report};
use habitue::edge::shard::contents::{Contents, MemoryContents};
use habitue::edge::shard::customer::CustomerStage;
use habitue::edge::shard::jobs::{Jobs, Outcome, Running, Work};
use habitue::edge::shard::market::MarketStage;
use habitue::edge::shard::shared::{Epoch, Shared, SharedReader};
use habitue::edge::shard::store::SnapshotStore;
use habitue::edge::shard::wire::Wire;
use habitue::edge::shard::{Environment, ShardConfig, ShardError, Stage};
use habitue::engine;
use habitue::engine::snapshot::Snapshot;
use habitue::event::TimeMs;
use habitue::math::rng::Rng;

pub const MODELS: u32 = 8;

/// The log's time, kept apart: records are handed over under the log's lock.
pub struct SimClock(pub AtomicI64);

impl Clock for SimClock {
    fn now_ms(&self) -> TimeMs {
        self.0.load(Ordering::Relaxed)
    }
}

/// Snapshots in memory; some writes are lost and some are damaged.
#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Stored>,
}

#[derive(Default)]
struct Stored {
    snapshots: BTreeMap<(String, u32, u64), Vec<u8>>,
    dice: Option<(Rng, f64)>,
    pub written: u64,
}

impl MemoryStore {
    pub fn failing(seed: u64, rate: f64) -> MemoryStore {
        let store = MemoryStore::default();
        store.inner.lock().unwrap().dice = Some((Rng::seeded(&[seed, 77]), rate));
        store
    }

    pub fn mend(&self) {
        self.inner.lock().unwrap().dice = None;
    }

    pub fn written(&self) -> u64 {
        self.inner.lock().unwrap().written
    }
}

impl SnapshotStore for MemoryStore {
    fn submit(&self, snapshot: Snapshot) {
        let identity = snapshot.identity.clone();
        let (mut bytes, _) = snapshot.encode();
        let mut inner = self.inner.lock().unwrap();
        if let Some((dice, rate)) = &mut inner.dice {
            if dice.uniform() < *rate {
                return;
            }
            if dice.uniform() < *rate {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 0x40;
            }
        }
        inner.written += 1;
        inner.snapshots.entry((identity.stage, identity.partition, identity.position)).or_insert(bytes);
    }

    fn list(&self, stage: &str, partition: u32) -> Result<Vec<u64>, String> {
        let mut inner = self.inner.lock().unwrap();
        if let Some((dice, rate)) = &mut inner.dice
            && dice.uniform() < *rate / 4.0
        {
            return Err("the store does not answer".into());
        }
        let of = inner.snapshots.keys().filter(|(s, p, _)| s == stage && *p == partition);
        Ok(of.map(|(_, _, position)| *position).rev().collect())
    }

    fn get(&self, stage: &str, partition: u32, position: u64) -> Result<Vec<u8>, String> {
        let inner = self.inner.lock().unwrap();
        inner
            .snapshots
            .get(&(stage.to_owned(), partition, position))
            .cloned()
            .ok_or("no such snapshot".into())
    }
}

/// Contents of whole models in memory; the store fails to answer as often as the snapshots' does. All versions
/// are kept, because the oracle looks at all.
pub struct SimContents {
    held: MemoryContents,
    dice: Mutex<Option<(Rng, f64)>>,
}

impl SimContents {
    fn like(store: &MemoryStore, seed: u64) -> SimContents {
        let rate = store.inner.lock().unwrap().dice.as_ref().map(|(_, rate)| *rate);
        let dice = rate.map(|rate| (Rng::seeded(&[seed, 78]), rate));
        SimContents { held: MemoryContents::default(), dice: Mutex::new(dice) }
    }

    pub fn mend(&self) {
        *self.dice.lock().unwrap() = None;
    }

    fn answers(&self) -> Result<(), String> {
        let mut dice = self.dice.lock().unwrap();
        let fails = dice.as_mut().is_some_and(|(dice, rate)| dice.uniform() < *rate);
        if fails { Err("the store does not answer".into()) } else { Ok(()) }
    }
}

impl Contents for SimContents {
    /// May do it and say that it did not.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), String> {
        self.answers()?;
        self.held.put(path, bytes)?;
        self.answers()
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.answers()?;
        self.held.get(path)
    }

    fn prune(&self, _folder: &str, _kept: usize) -> Result<(), String> {
        self.answers()
    }
}

/// Jobs of one process, one at a time, done after a while of the log's time. They die with the process.
struct SimJobs {
    clock: Arc<SimClock>,
    dice: Mutex<Rng>,
    busy: Arc<AtomicBool>,
}

struct SimJob {
    clock: Arc<SimClock>,
    ready_ms: TimeMs,
    result: Vec<u8>,
    busy: Arc<AtomicBool>,
}

impl SimJobs {
    fn new(seed: u64, clock: &Arc<SimClock>) -> SimJobs {
        let begun_ms = clock.now_ms().cast_unsigned();
        let dice = Mutex::new(Rng::seeded(&[seed, 79, begun_ms]));
        SimJobs { clock: Arc::clone(clock), dice, busy: Arc::default() }
    }
}

impl Jobs for SimJobs {
    fn start(&self, work: Work) -> Option<Box<dyn Running>> {
        if self.busy.swap(true, Ordering::Relaxed) {
            return None;
        }
        let ready_ms = self.clock.now_ms() + self.dice.lock().unwrap().below(1_500).cast_signed();
        let (clock, busy) = (Arc::clone(&self.clock), Arc::clone(&self.busy));
        Some(Box::new(SimJob { clock, ready_ms, result: work(), busy }))
    }
}

impl Running for SimJob {
    fn poll(&mut self) -> Option<Outcome> {
        if self.clock.now_ms() < self.ready_ms {
            return None;
        }
        Some(Outcome::Done { result: std::mem::take(&mut self.result), took: Duration::ZERO })
    }
}

impl Drop for SimJob {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Relaxed);
    }
}

/// One shard: apply and committer, and what is under way between them.
pub struct Pair<S: Stage<SimLog>> {
    pub apply: Apply<SimLog, S>,
    committer: Committer<SimLog>,
    reports: VecDeque<Report>,
}

impl<S: Stage<SimLog>> Pair<S> {
    fn new(stage: S, id: String) -> Result<Pair<S>, ShardError> {
        let log = stage.environment().log.clone();
        let committer = Committer::new(log, S::GROUP, id, Box::new(|| Duration::ZERO));
        Ok(Pair { apply: Apply::new(stage, false)?, committer, reports: VecDeque::new() })
    }

    fn turn(&mut self, dice: &mut Rng) -> Result<(), ShardError> {
        match dice.below(4) {
            0 => {
                if let Some(hand_over) = self.apply.turn(Duration::ZERO)? {
                    self.committer.take(hand_over);
                }
            }
            1 => {
                if let Some(report) = self.reports.pop_front() {
                    self.apply.report(report);
                }
            }
            _ => self.reports.extend(self.committer.turn(Duration::ZERO)),
        }
        Ok(())
    }
}

/// One process.
pub struct Instance {
    pub customer: Pair<CustomerStage<SimLog>>,
    pub market: Pair<MarketStage<SimLog>>,
    reader: SharedReader<SimLog>,
}

pub struct World {
    pub log: SimLog,
    clock: Arc<SimClock>,
    pub store: Arc<MemoryStore>,
    pub contents: Arc<SimContents>,
    seed: u64,
    pub wire: Arc<Wire>,
    pub engine: Arc<engine::Config>,
    pub config: ShardConfig,
    pub instances: Vec<Option<Instance>>,
    /// Processes that were taken for dead and are not.
    pub zombies: Vec<Instance>,
    pub dice: Rng,
    /// Refusals, which no fault that is simulated may cause.
    pub refused: Vec<String>,
    pub restarts: u64,
    /// Models that every instance begins with, as if they had been read from before the log.
    pub given: Models,
}

impl World {
    pub fn new(
        seed: u64,
        log: SimLog,
        store: MemoryStore,
        engine: engine::Config,
        config: ShardConfig,
    ) -> World {
        let schemas = SchemaSet::new(Vec::<(u32, String)>::new()).unwrap();
        let wire = Wire::new(schemas, [WireForm::ConfluentAvro; 3], WireForm::ConfluentAvro).unwrap();
        World {
            clock: Arc::new(SimClock(AtomicI64::new(log.now_ms()))),
            log,
            contents: Arc::new(SimContents::like(&store, seed)),
            store: Arc::new(store),
            seed,
            wire: Arc::new(wire),
            engine: Arc::new(engine),
            config,
            instances: Vec::new(),
            zombies: Vec::new(),
            dice: Rng::seeded(&[seed, 1]),
            refused: Vec::new(),
            restarts: 0,
            given: Models::default(),
        }
    }

    /// Starts or restarts the process of this number.
    pub fn start(&mut self, number: usize) {
        while self.instances.len() <= number {
            self.instances.push(None);
        }
        let name = format!("instance-{number}");
        match self.boot(&name) {
            Ok(instance) => self.instances[number] = Some(instance),
            Err(error) => self.note(&error),
        }
    }

    /// What the process of this name stands in; nothing is read yet.
    pub fn environment(&self, name: &str) -> Environment<SimLog> {
        let mut epoch = Epoch::new(habitue::analysis::Published::default(), MODELS, 10_000);
        epoch.whole = self.given.clone();
        Environment {
            log: self.log.clone(),
            store: Arc::clone(&self.store) as Arc<dyn SnapshotStore>,
            contents: Arc::clone(&self.contents) as Arc<dyn Contents>,
            jobs: Arc::new(SimJobs::new(self.seed, &self.clock)),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            shared: Arc::new(Shared::new(epoch)),
            wire: Arc::clone(&self.wire),
            config: Arc::new(ShardConfig { instance: name.to_owned(), ..self.config.clone() }),
            engine: Arc::clone(&self.engine),
        }
    }

    fn boot(&self, name: &str) -> Result<Instance, ShardError> {
        let environment = self.environment(name);
        let shared = Arc::clone(&environment.shared);
        let contents = Arc::clone(&environment.contents);
        let reader = SharedReader::new(&self.log, Arc::clone(&self.wire), contents, shared)?;
        let market = MarketStage::new(environment.clone())?;
        Ok(Instance {
            customer: Pair::new(CustomerStage::new(environment, None), format!("{name}-customer"))?,
            market: Pair::new(market, format!("{name}-market"))?,
            reader,
        })
    }

    pub fn advance(&self, time_ms: u64) {
        self.log.advance(time_ms);
        self.clock.0.store(self.log.now_ms(), Ordering::Relaxed);
    }

    fn note(&mut self, error: &ShardError) {
        if let ShardError::Refused { .. } = error {
            self.refused.push(error.to_string());
        }
    }

    pub fn crash(&mut self, number: usize) -> Option<Instance> {
        self.instances.get_mut(number)?.take()
    }

    /// A turn of something that lives; a process that fails is started anew.
    pub fn turn(&mut self) {
        let zombies = self.zombies.len();
        let all = self.instances.len() + zombies;
        let chosen = self.dice.below(all as u64) as usize;
        if chosen < self.instances.len() {
            let Some(mut instance) = self.instances[chosen].take() else { return };
            match instance.turn(&mut self.dice) {
                Ok(()) => self.instances[chosen] = Some(instance),
                Err(error) => {
                    self.note(&error);
                    self.restarts += 1;
                    drop(instance);
                    self.start(chosen);
                }
            }
        } else {
            let at = chosen - self.instances.len();
            if self.zombies[at].turn(&mut self.dice).is_err() {
                self.zombies.remove(at);
            }
        }
    }

    /// Whether everything written so far is applied and committed, and nothing is under way.
    pub fn is_settled(&self, partitions: u32) -> bool {
        use habitue::edge::log::Place;
        let customer = self.log.offsets(Group::Customer);
        let inputs = habitue::edge::shard::INPUT_TOPICS;
        let read = inputs.into_iter().flat_map(|topic| (0..partitions).map(move |p| Place::new(topic, p)));
        read.into_iter().all(|place| {
            let records = self.log.all_committed(place).unwrap();
            let next = records.last().map_or(0, |record| record.offset + 1);
            customer.get(&place).copied().unwrap_or(0) >= next
        })
    }
}

impl Instance {
    fn turn(&mut self, dice: &mut Rng) -> Result<(), ShardError> {
        match dice.below(8) {
            0 => match self.reader.turn(Duration::ZERO) {
                Ok(_) | Err(LogError::Retry(_)) => Ok(()),
                Err(error) => Err(error.into()),
            },
            1..=5 => self.customer.turn(dice),
            _ => self.market.turn(dice),
        }
    }
}
