//! The market stage's partition: facts of all customers in, rows of shared tables and whole models out.
//!
//! It has one input topic, so offset order is the order and it needs no journal. It publishes only
//! while a tick record is applied, never at a transaction's boundary, which a replay would not meet.

use std::sync::Arc;

use super::Config;
use super::snapshot::{Identity, Opened, Snapshot, SnapshotError};
use crate::analysis::{Descriptor, Job, MarketOutput, MarketSide, Quality, REGISTRY};
use crate::event::TimeMs;
use crate::signal::fact::FactRecord;

/// State of one partition of the market stage.
pub struct MarketPartition {
    number: u32,
    fold_version: u64,
    analyses: Vec<Box<dyn MarketSide>>,
    /// Facts folded and ticks applied.
    facts: u64,
    ticks: u64,
    /// Of the newest tick.
    time_ms: TimeMs,
}

impl MarketPartition {
    pub fn new(number: u32, config: &Arc<Config>) -> MarketPartition {
        let analyses = REGISTRY.iter().map(|d| (d.market)(&config.analysis, number)).collect();
        MarketPartition {
            number,
            fold_version: config.fold_version(),
            analyses,
            facts: 0,
            ticks: 0,
            time_ms: TimeMs::MIN,
        }
    }

    /// Applies one record of the facts topic. In a replay the caller drops the output.
    pub fn apply(&mut self, record: &FactRecord, output: &mut MarketOutput) {
        match record {
            FactRecord::Packed(facts) => {
                for fact in facts {
                    self.facts += 1;
                    self.analyses.iter_mut().for_each(|analysis| analysis.fold(fact, output));
                }
            }
            FactRecord::Tick { time_ms } => {
                self.ticks += 1;
                self.time_ms = self.time_ms.max(*time_ms);
                self.analyses.iter_mut().for_each(|analysis| analysis.tick(self.time_ms, output));
            }
            FactRecord::Job { analysis, job, result } => {
                let mut sides = REGISTRY.iter().zip(&mut self.analyses);
                if let Some((descriptor, side)) = sides.find(|(descriptor, _)| descriptor.id == *analysis) {
                    output.answers.push((descriptor.name, side.answer(*job, result)));
                }
            }
        }
    }

    /// Every job that is waited for, with its analysis. To be started while a tick is applied.
    pub fn jobs(&self) -> impl Iterator<Item = (&'static Descriptor, Job)> + '_ {
        let sides = REGISTRY.iter().zip(&self.analyses);
        sides.flat_map(|(descriptor, side)| side.jobs().into_iter().map(move |job| (descriptor, job)))
    }

    /// A snapshot as of now, which is facts offset `position`.
    pub fn freeze(&self, position: u64) -> Snapshot {
        let mut snapshot = Snapshot::new(Identity {
            stage: "market".into(),
            partition: self.number,
            fold_version: self.fold_version,
            position,
        });
        let clock = (self.facts, self.ticks, self.time_ms);
        snapshot.section(
            "clock",
            1,
            Box::new(move || postcard::to_allocvec(&clock).expect("plain data always serialises")),
        );
        for (descriptor, analysis) in REGISTRY.iter().zip(&self.analyses) {
            snapshot.section(descriptor.name, descriptor.version, analysis.freeze());
        }
        snapshot
    }

    /// The partition of a snapshot.
    ///
    /// # Errors
    /// When the snapshot is of another partition or fold, or one of its sections is refused.
    pub fn restore(
        opened: &Opened,
        number: u32,
        config: &Arc<Config>,
    ) -> Result<MarketPartition, SnapshotError> {
        let mut partition = MarketPartition::new(number, config);
        opened.expect("market", number, partition.fold_version)?;
        opened.restore("clock", 1, |bytes| {
            (partition.facts, partition.ticks, partition.time_ms) =
                postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
            Ok(())
        })?;
        for (descriptor, analysis) in REGISTRY.iter().zip(&mut partition.analyses) {
            opened.restore(descriptor.name, descriptor.version, |bytes| analysis.restore(bytes))?;
        }
        Ok(partition)
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    /// Facts folded since the first.
    pub fn facts(&self) -> u64 {
        self.facts
    }

    /// Prequential quality by analysis.
    pub fn quality(&self) -> Vec<(&'static str, Quality)> {
        REGISTRY.iter().zip(&self.analyses).map(|(d, analysis)| (d.name, analysis.quality())).collect()
    }

    /// The same of learners and baselines behind each analysis.
    pub fn learners(&self) -> Vec<(&'static str, Vec<(&'static str, Quality)>)> {
        REGISTRY.iter().zip(&self.analyses).map(|(d, analysis)| (d.name, analysis.learners())).collect()
    }

    /// What went because a cap was reached, by what it was.
    pub fn evicted(&self) -> Vec<(&'static str, u64)> {
        self.analyses.iter().flat_map(|analysis| analysis.evicted()).collect()
    }

    pub fn bytes(&self) -> Vec<(&'static str, usize)> {
        REGISTRY.iter().zip(&self.analyses).map(|(d, analysis)| (d.name, analysis.bytes())).collect()
    }
}
