//! The analyses, one folder each, and the one table in which they are registered.
//!
//! An analysis has a customer side, which scores a partition's events and may learn from them, and a
//! market side, which folds facts of all customers. A ninth analysis is one folder and one line in
//! [`REGISTRY`]; its descriptor gives it a snapshot section, a metric label and a configuration table.

pub mod anomaly;
pub mod churn;
pub mod models;
pub mod recommend;
pub mod shared;
pub mod tally;
pub mod waiting;

use serde::{Deserialize, Serialize};

use crate::customer::Customer;
use crate::event::{Event, TimeMs};
use crate::signal::fact::Fact;
use crate::signal::journal::Decision;
use crate::signal::model::{Row, Whole};
use crate::signal::{Reason, Signal, Source};
use models::{Compile, Models};
use shared::Tables;

/// Every analysis there is.
pub const REGISTRY: &[Descriptor] = &[anomaly::DESCRIPTOR, recommend::DESCRIPTOR, churn::DESCRIPTOR];

/// What the engine needs to know of an analysis before it runs.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// Never reused: it stands in journals and snapshots.
    pub id: u8,
    /// Snapshot section, metric label, configuration table.
    pub name: &'static str,
    pub purpose: &'static str,
    /// Bytes that it remembers of a customer at most.
    pub memory_bytes_max: usize,
    /// Raised when the same events no longer give the same state.
    pub version: u16,
    pub customer: fn(&Config) -> Box<dyn CustomerSide>,
    /// Of a partition of this number.
    pub market: fn(&Config, u32) -> Box<dyn MarketSide>,
    /// The whole models that its market side publishes, by name.
    pub models: &'static [(&'static str, Compile)],
    /// What a job's input comes to: a pure function, run on a thread of its own.
    pub job: Option<JobFunction>,
}

/// From a job's input to its result.
pub type JobFunction = fn(&[u8]) -> Vec<u8>;

/// Settings that shape state, by analysis. Part of a snapshot's identity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub anomaly: anomaly::Config,
    pub recommend: recommend::Config,
    pub churn: churn::Config,
}

impl Config {
    /// Rows of shared tables that one market partition publishes at most.
    pub fn rows_max(&self) -> usize {
        self.anomaly.entities_max as usize + self.recommend.items_max as usize + 1
    }
}

/// Settings that change what is published and nothing else, by analysis. They come through `control`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    pub anomaly: anomaly::Published,
    pub recommend: recommend::Published,
    pub churn: churn::Published,
}

impl Published {
    /// Changes one setting, named "anomaly.risk_min" and the like.
    ///
    /// # Errors
    /// Says what is wrong with the name or the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.split_once('.') {
            Some(("anomaly", rest)) => self.anomaly.set(rest, value),
            Some(("recommend", rest)) => self.recommend.set(rest, value),
            Some(("churn", rest)) => self.churn.set(rest, value),
            _ => Err(format!("there is no setting {name}")),
        }
    }

    /// Every setting by name, in a fixed order.
    pub fn entries(&self) -> Vec<(String, String)> {
        let anomaly = self.anomaly.entries().into_iter().map(|entry| ("anomaly", entry));
        let recommend = self.recommend.entries().into_iter().map(|entry| ("recommend", entry));
        let churn = self.churn.entries().into_iter().map(|entry| ("churn", entry));
        let named = anomaly.chain(recommend).chain(churn);
        named.map(|(analysis, (name, value))| (format!("{analysis}.{name}"), value)).collect()
    }
}

/// A setting's value.
fn parsed<T: std::str::FromStr>(analysis: &str, name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is no value of {analysis}.{name}"))
}

/// What an analysis has to say about one event.
#[derive(Debug, Default)]
pub struct Output {
    pub signals: Vec<Signal>,
    pub facts: Vec<Fact>,
    pub decisions: Vec<Decision>,
    /// For metrics only.
    pub hits: Vec<Hit>,
}

/// Whether a list that a customer had been given held what the customer took next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// "all", or a source that the list had items of.
    pub source: &'static str,
    pub hit: bool,
}

impl Output {
    pub fn clear(&mut self) {
        self.signals.clear();
        self.facts.clear();
        self.decisions.clear();
        self.hits.clear();
    }
}

/// What an analysis thinks of a customer without an event: no signal, and remembered by nobody.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Opinion {
    /// In the unit of the analysis' scores.
    pub value: f64,
    pub band: &'static str,
    /// Of the model.
    pub version: u64,
    pub reasons: Vec<Reason>,
}

/// What a judgement may look at besides state.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub tables: &'a Tables,
    pub models: &'a Models,
    pub published: &'a Published,
}

/// The side of an analysis that lives in a customer partition.
///
/// Per event the engine calls `assess`, then, unless it replays, `judge`, then `learn`, and only then
/// folds the event into the customer's record: what is scored has been learned from by nobody.
pub trait CustomerSide: Send {
    /// Looks at the event with what state knows. Must not depend on memory, shared tables or published
    /// settings, and must not change anything that a snapshot holds.
    fn assess(&mut self, _event: &Event<'_>, _customer: Option<&Customer>) {}
    /// Turns the assessment into signals, facts and decisions. Not called in a replay.
    fn judge(
        &mut self,
        source: Source,
        event: &Event<'_>,
        customer: Option<&Customer>,
        view: View<'_>,
        output: &mut Output,
    );
    /// The customer, who has ordered before, is silent still at `due_ms`. Judges like `judge`; `source` is of the
    /// record that the partition applied last. Not called in a replay.
    fn wake(
        &mut self,
        _source: Source,
        _due_ms: TimeMs,
        _customer: &Customer,
        _view: View<'_>,
        _output: &mut Output,
    ) {
    }
    /// What it would say of the customer at `now_ms` in partition `partition`, to whoever asks. None where it has
    /// nothing to say without an event.
    fn opinion(
        &self,
        _customer: &Customer,
        _partition: u32,
        _now_ms: TimeMs,
        _view: View<'_>,
    ) -> Option<Opinion> {
        None
    }
    /// Learns from the event just assessed. A side that learns has state, and needs the three below.
    fn learn(&mut self, _event: &Event<'_>) {}
    /// A copy of the state, cheap to take, to be written out on another thread.
    fn freeze(&self) -> Frozen {
        Box::new(Vec::new)
    }
    /// # Errors
    /// When the bytes are not this analysis' section.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() { Ok(()) } else { Err(format!("{} bytes where none are", bytes.len())) }
    }
    fn bytes(&self) -> usize {
        0
    }
}

/// A section of a snapshot that is still to be written out.
pub type Frozen = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// What a market partition has to say: only a tick may fill `rows` and `models`.
#[derive(Debug, Default)]
pub struct MarketOutput {
    /// For other market partitions.
    pub facts: Vec<Fact>,
    pub rows: Vec<Row>,
    /// Their contents inline, whatever their size.
    pub models: Vec<Whole>,
    /// For metrics only: the analysis of each job that was answered, and whether anybody waited for it.
    pub answers: Vec<(&'static str, bool)>,
}

impl MarketOutput {
    pub fn clear(&mut self) {
        self.facts.clear();
        self.rows.clear();
        self.models.clear();
        self.answers.clear();
    }
}

/// Work too long for one call: a sample cut at one offset, for the analysis' [`Descriptor::job`].
pub struct Job {
    /// Counted by the market side, so that it names the same sample wherever the facts are folded.
    pub number: u64,
    /// Written out where the job runs.
    pub input: Frozen,
}

/// The side of an analysis that lives in a market partition and folds facts of all customers.
pub trait MarketSide: Send {
    /// May send facts on to other partitions; publishes nothing.
    fn fold(&mut self, fact: &Fact, output: &mut MarketOutput);
    /// The only moment to publish, and to begin to wait for a job.
    fn tick(&mut self, time_ms: TimeMs, output: &mut MarketOutput);
    /// Every job that is waited for. State: a restored side names the same ones, with the same inputs.
    fn jobs(&self) -> Vec<Job> {
        Vec::new()
    }
    /// What the job of this number came to. False where nobody waits for it, and then nothing changes.
    fn answer(&mut self, _job: u64, _result: &[u8]) -> bool {
        false
    }
    fn freeze(&self) -> Frozen;
    /// # Errors
    /// When the bytes are not this analysis' section.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), String>;
    fn bytes(&self) -> usize;
    /// Prequential quality of what was published so far, by the names of DESIGN.md 5.
    fn quality(&self) -> Quality;
    /// The same of what stands behind it and beside it: learners and baselines by name.
    fn learners(&self) -> Vec<(&'static str, Quality)> {
        Vec::new()
    }
    /// What went since the first fact because a cap was reached, by what it was.
    fn evicted(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Prequential quality of an analysis, on labels that came when they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub labels: u64,
    pub positives: u64,
    pub auc: Option<f64>,
    pub average_precision: Option<f64>,
    /// Of what says probabilities: mean log loss in nats, and expected calibration error over ten bins.
    pub log_loss: Option<f64>,
    pub ece: Option<f64>,
}
