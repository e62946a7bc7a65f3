//! A small shop on a simulated log: one customer stage a process, every step of it ordered by the test.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use habitue::codec::{self, SchemaSet, WireForm};
use habitue::edge::clock::Clock;
use habitue::edge::log::sim::{SimConfig, SimLog};
use habitue::edge::log::{Group, Place};
use habitue::edge::shard::apply::{Apply, HandOver};
use habitue::edge::shard::commit::{Committer, Report};
use habitue::edge::shard::contents::{Contents, MemoryContents};
use habitue::edge::shard::customer::CustomerStage;
use habitue::edge::shard::jobs::InlineJobs;
use habitue::edge::shard::shared::{Epoch, Shared, SharedReader};
use habitue::edge::shard::store::SnapshotStore;
use habitue::edge::shard::wire::Wire;
use habitue::edge::shard::{Environment, ShardConfig, ShardError};
use habitue::engine::snapshot::Snapshot;
use habitue::engine::{self, Mode, Partition};
use habitue::event::{Currency, Engagement, EngagementKind, Event, Line, Purchase};
use habitue::signal::Topic;

use super::rig::Rig;
use crate::service::replay::Story;
use crate::service::world::{MODELS, SimClock};

pub const PARTITIONS: u32 = 2;

/// Snapshots by partition and position, open to the test.
#[derive(Default)]
pub struct Shelf(pub Mutex<BTreeMap<(u32, u64), Vec<u8>>>);

impl Shelf {
    /// Positions of partition 0, oldest first.
    pub fn positions(&self) -> Vec<u64> {
        self.0.lock().unwrap().keys().filter(|(partition, _)| *partition == 0).map(|(_, at)| *at).collect()
    }
}

impl SnapshotStore for Shelf {
    fn submit(&self, snapshot: Snapshot) {
        let at = (snapshot.identity.partition, snapshot.identity.position);
        self.0.lock().unwrap().entry(at).or_insert(snapshot.encode().0);
    }

    fn list(&self, _stage: &str, partition: u32) -> Result<Vec<u64>, String> {
        let shelf = self.0.lock().unwrap();
        Ok(shelf.keys().filter(|(of, _)| *of == partition).map(|(_, at)| *at).rev().collect())
    }

    fn get(&self, _stage: &str, partition: u32, position: u64) -> Result<Vec<u8>, String> {
        self.0.lock().unwrap().get(&(partition, position)).cloned().ok_or("no such snapshot".into())
    }
}

pub struct Shop {
    pub log: SimLog,
    clock: Arc<SimClock>,
    pub shelf: Arc<Shelf>,
    contents: Arc<MemoryContents>,
    pub wire: Arc<Wire>,
    pub engine: Arc<engine::Config>,
    pub config: ShardConfig,
}

/// One process with a customer stage.
pub struct Process {
    pub apply: Apply<Rig, CustomerStage<Rig>>,
    committer: Committer<Rig>,
    reader: SharedReader<Rig>,
    pub rig: Rig,
}

pub fn wire(more: Vec<(u32, String)>) -> Arc<Wire> {
    let schemas = SchemaSet::new(more).unwrap();
    Arc::new(Wire::new(schemas, [WireForm::ConfluentAvro; 3], WireForm::ConfluentAvro).unwrap())
}

impl Shop {
    /// No snapshots but where `config` is changed.
    pub fn open() -> Shop {
        let log = SimLog::new(SimConfig { keep_deleted: true, ..SimConfig::new(7, PARTITIONS) });
        Shop {
            clock: Arc::new(SimClock(AtomicI64::new(log.now_ms()))),
            log,
            shelf: Arc::default(),
            contents: Arc::default(),
            wire: wire(Vec::new()),
            engine: Arc::new(engine::Config {
                lateness_ms: 2_000,
                dedupe_ids: 4096,
                ..engine::Config::default()
            }),
            config: ShardConfig {
                transaction_interval_ms: 20,
                snapshot_interval_ms: 3_600_000,
                snapshot_records: u64::MAX,
                idle_after_ms: 400,
                tick_interval_ms: 150,
                partitions: PARTITIONS,
                market_partitions: PARTITIONS,
                ..ShardConfig::default()
            },
        }
    }

    /// What the process of this name stands in; nothing is read yet.
    pub fn environment(&self, name: &str, rig: Rig) -> Environment<Rig> {
        Environment {
            log: rig,
            store: Arc::clone(&self.shelf) as Arc<dyn SnapshotStore>,
            contents: Arc::clone(&self.contents) as Arc<dyn Contents>,
            jobs: Arc::new(InlineJobs),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            shared: Arc::new(Shared::new(Epoch::new(
                habitue::analysis::Published::default(),
                MODELS,
                10_000,
            ))),
            wire: Arc::clone(&self.wire),
            config: Arc::new(ShardConfig { instance: name.to_owned(), ..self.config.clone() }),
            engine: Arc::clone(&self.engine),
        }
    }

    pub fn start(&self, name: &str, rig: Rig) -> Process {
        let environment = self.environment(name, rig.clone());
        let shared = Arc::clone(&environment.shared);
        let reader =
            SharedReader::new(&rig, Arc::clone(&self.wire), Arc::clone(&environment.contents), shared)
                .unwrap();
        let committer =
            Committer::new(rig.clone(), Group::Customer, name.into(), Box::new(|| Duration::ZERO));
        let apply = Apply::new(CustomerStage::new(environment, None), false).unwrap();
        Process { apply, committer, reader, rig }
    }

    /// Starts a process that keeps all rules, and lets it come to rest.
    pub fn settled(&self, name: &str) -> Process {
        let mut process = self.start(name, Rig::new(&self.log, None));
        self.settle(&mut [&mut process]);
        process
    }

    pub fn advance(&self, time_ms: u64) {
        self.log.advance(time_ms);
        self.clock.0.store(self.log.now_ms(), Ordering::Relaxed);
    }

    /// Six seconds with all of them at work: longer than a session and a transaction.
    pub fn settle(&self, processes: &mut [&mut Process]) {
        for _ in 0..600 {
            self.advance(10);
            for process in processes.iter_mut() {
                process.turn().unwrap();
            }
        }
    }

    /// Lets the process run until a guard refuses a partition; the refusal's text.
    pub fn refusal(&self, mut process: Process) -> String {
        for _ in 0..600 {
            self.advance(10);
            if let Err(error) = process.turn() {
                assert!(matches!(error, ShardError::Refused { .. }), "{error}");
                return error.to_string();
            }
        }
        panic!("nothing is refused; live: {:?}", process.apply.live().map(|(p, _)| p).collect::<Vec<_>>());
    }

    /// A payment at terminal `t1`, written to partition 0.
    pub fn buy(&self, event_id: &str, customer: &str) -> u64 {
        let purchase = self.purchase(event_id, customer);
        self.write(Topic::Purchases, customer, &Event::Purchase(purchase), codec::built_in::PURCHASE)
    }

    pub fn purchase<'a>(&self, event_id: &'a str, customer: &'a str) -> Purchase<'a> {
        Purchase {
            event_id: event_id.into(),
            customer: Some(customer.into()),
            order: event_id.into(),
            time_ms: self.log.now_ms(),
            lines: vec![Line { item: "i1".into(), category: None, quantity: 1, unit_price_minor: 990 }],
            currency: Currency::parse("EUR").unwrap(),
            instrument: None,
            channel: None,
            terminal: Some("t1".into()),
            device: None,
            country: None,
            refund: false,
        }
    }

    pub fn view(&self, event_id: &str, customer: &str) -> u64 {
        let engagement = Engagement::new(event_id, customer, self.log.now_ms(), EngagementKind::View);
        let event = Event::Engagement(engagement);
        self.write(Topic::Engagements, customer, &event, codec::built_in::ENGAGEMENT)
    }

    pub fn write(&self, topic: Topic, key: &str, event: &Event<'_>, schema: u32) -> u64 {
        let mut value = Vec::new();
        codec::encode_event(event, Some(schema), &mut value);
        self.append(topic, key, &value)
    }

    pub fn append(&self, topic: Topic, key: &str, value: &[u8]) -> u64 {
        let place = Place::new(topic, 0);
        self.log.append_record(place, Some(key.as_bytes()), Some(value), self.log.now_ms()).unwrap()
    }

    /// C of partition 0.
    pub fn committed(&self) -> u64 {
        self.log.offsets(Group::Customer).get(&Place::new(Topic::Journal, 0)).copied().unwrap_or(0)
    }

    pub fn story(&self) -> Story<'_> {
        let read = (&self.log, &*self.wire, &*self.contents as &dyn Contents);
        Story::read(read, &self.engine, 0, self.config.record_bytes_max)
    }

    /// Whether every record of partition 0 is in the journal exactly once, and every signal is what a live
    /// replay of it says. `Err` is the first thing that is wrong.
    pub fn exactly_once(&self) -> Result<(), String> {
        let told = catch_unwind(AssertUnwindSafe(|| {
            let story = self.story();
            story.covers_every_record_once();
            let mut verified = Partition::new(0, Arc::clone(&self.engine));
            let said = story.apply(&mut verified, 0..story.entries.len(), Mode::Live);
            story.outputs_are(&said);
        }));
        told.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or("it panicked".into()))
    }

    /// With all rules the outcome must be right; without the one it must not be.
    pub fn is_right(&self, kept: bool) {
        let outcome = self.exactly_once();
        assert_eq!(outcome.is_ok(), kept, "with all rules: {kept}, outcome: {outcome:?}");
    }
}

impl Process {
    pub fn turn(&mut self) -> Result<(), ShardError> {
        self.apply_turn()?;
        if let Some(report) = self.commit_turn() {
            self.apply.report(report);
        }
        Ok(())
    }

    /// The apply thread alone. The number of the batch where it has handed one over.
    pub fn apply_turn(&mut self) -> Result<Option<u64>, ShardError> {
        self.reader.turn(Duration::ZERO)?;
        let Some(hand_over) = self.apply.turn(Duration::ZERO)? else { return Ok(None) };
        let number = match &hand_over {
            HandOver::Submit { batch, .. } => Some(batch.number),
            HandOver::Feed { .. } | HandOver::Drop => None,
        };
        self.committer.take(hand_over);
        Ok(number)
    }

    /// The committer thread alone.
    pub fn commit_turn(&mut self) -> Option<Report> {
        self.committer.turn(Duration::ZERO)
    }

    /// Runs the apply thread until a batch is at the committer, who has not begun; the batch's number.
    pub fn hands_over(&mut self, shop: &Shop) -> u64 {
        let mut turn = || {
            shop.advance(5);
            self.apply_turn().unwrap()
        };
        (0..1_000).find_map(|_| turn()).expect("a batch is handed over")
    }

    /// Runs the committer until it has made the call.
    pub fn commits_until(&mut self, call: &str) {
        for _ in 0..100 {
            assert_eq!(self.commit_turn(), None, "the batch has ended before {call}");
            if self.rig.heard().calls.last() == Some(&call) {
                return;
            }
        }
        panic!("{call} was not called");
    }

    /// Runs the committer until the batch has ended.
    pub fn outcome(&mut self) -> Report {
        (0..100).find_map(|_| self.commit_turn()).expect("the batch ends")
    }

    pub fn is_live(&self, partition: u32) -> bool {
        self.apply.live().any(|(live, _)| live == partition)
    }
}
