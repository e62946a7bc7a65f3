//! Metrics of one process: shards merge what they counted, `/metrics` renders it.
//!
//! Nothing here is global. What is gauged of a partition is one entry of a map, so that giving the
//! partition up takes all its series with it.

mod families;
mod stats;
mod table;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;

pub use stats::{CommitPhase, Latency, Outcome, ShardStats};
pub use table::{Kind, Metric, PROCESS, TABLE, markdown};

use crate::analysis::models::About;
use crate::analysis::recommend;
use crate::edge::clock::wall_ms;
use crate::edge::log::Group;
use crate::edge::version::Version;
use crate::event::{Input, Reject, TimeMs};

/// All metrics of the process. Share it in an `Arc`; every method takes a short lock.
pub struct Metrics {
    state: Mutex<State>,
    process: ProcessCollector,
}

/// How a partition stands; replaces what was said of it before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartitionGauges {
    /// Offsets between position and end, by [`Input::index`]. Only the customer stage has it.
    pub input_lag: [u64; 3],
    /// Newest event time applied; none before the first event.
    pub event_time_max_ms: Option<TimeMs>,
    /// Wall time at which the newest visible snapshot was cut; none while there is none.
    pub snapshot_cut_ms: Option<TimeMs>,
    /// Bytes by section of the snapshot.
    pub state_bytes: Vec<(&'static str, u64)>,
    /// Customers remembered; only the customer stage has them.
    pub customers: u64,
    /// 0 to 1; 1 when live.
    pub restored_ratio: f64,
}

/// Prequential quality of one analysis.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// 0 to 1; none before there is a label of each kind.
    pub auc: Option<f64>,
    /// 0 to 1; none before there is a label of each kind.
    pub average_precision: Option<f64>,
    /// Nats, and 0 to 1; none where no probability was said.
    pub log_loss: Option<f64>,
    pub ece: Option<f64>,
    pub labels: u64,
}

/// Shared tables and models as this process sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelGauges {
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// The version in use, by model.
    pub models: BTreeMap<String, About>,
    pub epoch: u64,
    /// Records that could not be used.
    pub refused: u64,
}

struct State {
    customer: ShardStats,
    market: ShardStats,
    partitions: BTreeMap<(Group, u32), PartitionGauges>,
    models: ModelGauges,
    quality: BTreeMap<&'static str, Quality>,
    /// By analysis and learner.
    learners: BTreeMap<(&'static str, &'static str), Quality>,
    build: Version,
}

impl Metrics {
    pub fn new(build: Version) -> Metrics {
        let state = State {
            customer: ShardStats::new(Group::Customer),
            market: ShardStats::new(Group::Market),
            partitions: BTreeMap::new(),
            models: ModelGauges::default(),
            quality: BTreeMap::new(),
            learners: BTreeMap::new(),
            build,
        };
        Metrics { state: Mutex::new(state), process: ProcessCollector::for_self() }
    }

    /// Adds what a shard has counted; the shard clears its own afterwards.
    pub fn merge(&self, stats: &ShardStats) {
        let mut state = self.state();
        match stats.stage {
            Group::Customer => state.customer.add(stats),
            Group::Market => state.market.add(stats),
        }
    }

    /// Attempts at a transaction of a stage by how they ended, by position in [`Outcome::ALL`], and the mean time from
    /// a transaction's last record to its commit; zero before the first.
    pub fn transactions(&self, stage: Group) -> ([u64; Outcome::ALL.len()], Duration) {
        let state = self.state();
        let stats = match stage {
            Group::Customer => &state.customer,
            Group::Market => &state.market,
        };
        (stats.transactions, stats.commit.iter().map(Latency::mean).sum())
    }

    pub fn set_partition(&self, stage: Group, partition: u32, gauges: PartitionGauges) {
        self.state().partitions.insert((stage, partition), gauges);
    }

    /// The partition is given up: all its series go.
    pub fn remove_partition(&self, stage: Group, partition: u32) {
        self.state().partitions.remove(&(stage, partition));
    }

    pub fn set_models(&self, models: ModelGauges) {
        self.state().models = models;
    }

    pub fn set_quality(&self, analysis: &'static str, quality: Quality) {
        self.state().quality.insert(analysis, quality);
    }

    /// Of a learner or a baseline of the analysis.
    pub fn set_learner(&self, analysis: &'static str, learner: &'static str, quality: Quality) {
        self.state().learners.insert((analysis, learner), quality);
    }

    /// The text of `/metrics` at the wall time of now.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        self.render_at(wall_ms())
    }

    /// The text of `/metrics` at a given wall time.
    pub fn render_at(&self, now_ms: TimeMs) -> Result<String, prometheus::Error> {
        let mut families = families::of(&self.state(), now_ms);
        families.extend(self.process.collect());
        // A family without a series would be an error of the encoder's.
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts stay true when a thread has panicked between two of them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage's name in labels.
pub fn stage_name(stage: Group) -> &'static str {
    match stage {
        Group::Customer => "customer",
        Group::Market => "market",
    }
}

/// The fixed sets that labels take their values from, for the documentation.
fn label_values() -> Vec<(&'static str, String)> {
    let join = |names: &[&str]| format!("`{}`", names.join("`, `"));
    vec![
        ("input", join(&Input::ALL.map(Input::name))),
        ("stage", join(&[stage_name(Group::Customer), stage_name(Group::Market)])),
        ("reason", join(&Reject::ALL.map(Reject::name))),
        ("phase", join(&CommitPhase::ALL.map(CommitPhase::name))),
        ("outcome", join(&Outcome::ALL.map(Outcome::name))),
        ("lane", join(&families::LANES)),
        ("source", format!("`all`, {}", join(&recommend::SOURCES))),
        ("result", join(&families::RESULTS)),
        ("partition", "the partitions this process owns".to_string()),
        ("analysis", "the analyses that are enabled".to_string()),
        ("learner", "the learners and baselines of the analysis".to_string()),
        ("section", "the sections of a snapshot".to_string()),
        ("what", "the capped structures".to_string()),
        ("table, model", "the shared tables and models".to_string()),
        ("version, librdkafka, commit", "of the build".to_string()),
    ]
}
