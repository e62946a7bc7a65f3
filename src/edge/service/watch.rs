//! What shards tell metrics and probes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::lag::Lags;
use crate::analysis;
use crate::edge::http::Health;
use crate::edge::inbox::Inbox;
use crate::edge::log::{Group, Place};
use crate::edge::metrics::{Metrics, ModelGauges, PartitionGauges, Quality, ShardStats, stage_name};
use crate::edge::shard::INPUT_TOPICS;
use crate::edge::shard::customer::CustomerState;
use crate::edge::shard::market::MarketState;
use crate::edge::shard::shared::{Epoch, Shared};
use crate::edge::shard::store::ObjectSnapshots;
use crate::edge::shard::threads::Watcher;
use crate::signal::Topic;

/// Gauges are set this often; probes are told at every call.
const GAUGED_EVERY: Duration = Duration::from_secs(1);

/// An analysis, and a learner or baseline of it.
type Of = (&'static str, Option<&'static str>);

/// Where it all goes; one for the process.
pub struct Observed {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub snapshots: Arc<ObjectSnapshots>,
    pub lags: Lags,
    /// Questions about customers.
    pub inbox: Arc<Inbox>,
    /// Set when everything shared is read.
    pub shared: OnceLock<Arc<Shared>>,
    /// Of every market partition that was seen, by analysis and learner; no learner is what was published.
    quality: Mutex<BTreeMap<(u32, Of), analysis::Quality>>,
}

impl Observed {
    pub fn new(metrics: Arc<Metrics>, health: Arc<Health>, snapshots: Arc<ObjectSnapshots>) -> Observed {
        Observed {
            metrics,
            health,
            snapshots,
            lags: Lags::default(),
            inbox: Arc::default(),
            shared: OnceLock::new(),
            quality: Mutex::default(),
        }
    }

    /// The shared tables as they are now.
    pub fn models(&self, epoch: &Epoch) {
        self.metrics.set_models(ModelGauges {
            rows: epoch.tables.rows_by_table().clone(),
            models: epoch.whole.iter().map(|(name, about)| (name.to_owned(), about)).collect(),
            epoch: epoch.control + epoch.models.iter().sum::<u64>(),
            refused: epoch.unreadable + epoch.refused_rows,
        });
    }

    /// One partition's quality; what is shown is the mean over this process' partitions by labels.
    fn quality(&self, partition: u32, found: impl Iterator<Item = (Of, analysis::Quality)>) {
        let mut quality = self.quality.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, found) in found {
            quality.insert((partition, of), found);
            let parts: Vec<_> =
                quality.iter().filter(|((_, other), _)| *other == of).map(|(_, q)| *q).collect();
            match of {
                (analysis, None) => self.metrics.set_quality(analysis, mean(&parts)),
                (analysis, Some(learner)) => self.metrics.set_learner(analysis, learner, mean(&parts)),
            }
        }
    }

    fn forget_quality(&self, partition: u32) {
        let mut quality = self.quality.lock().unwrap_or_else(PoisonError::into_inner);
        quality.retain(|(of, _), _| *of != partition);
    }
}

fn mean(parts: &[analysis::Quality]) -> Quality {
    let weighted = |value: fn(&analysis::Quality) -> Option<f64>| {
        let known = parts.iter().filter_map(|part| Some((value(part)?, part.labels as f64)));
        let (sum, weight) = known.fold((0.0, 0.0), |(sum, weight), (v, w)| (sum + v * w, weight + w));
        (weight > 0.0).then(|| sum / weight)
    };
    Quality {
        auc: weighted(|part| part.auc),
        average_precision: weighted(|part| part.average_precision),
        log_loss: weighted(|part| part.log_loss),
        ece: weighted(|part| part.ece),
        labels: parts.iter().map(|part| part.labels).sum(),
    }
}

/// What one stage shows of its live partitions.
pub trait Shows: Send {
    const GROUP: Group;

    /// Where it reads on.
    fn positions(&self, partition: u32) -> Vec<(Place, u64)>;
    /// All but lag, snapshot and restore.
    fn gauges(&self, observed: &Observed, partition: u32) -> PartitionGauges;
    /// Answers what waits in the inbox.
    fn answer(&self, _observed: &Observed) {}
}

impl Shows for CustomerState {
    const GROUP: Group = Group::Customer;

    fn positions(&self, partition: u32) -> Vec<(Place, u64)> {
        let places = INPUT_TOPICS.map(|topic| Place::new(topic, partition));
        places.into_iter().zip(self.positions.inputs).collect()
    }

    fn answer(&self, observed: &Observed) {
        observed.inbox.passed(&self.partition);
        if observed.inbox.is_asked(self.partition.number())
            && let Some(shared) = observed.shared.get()
        {
            observed.inbox.answer(&self.partition, &shared.epoch());
        }
    }

    fn gauges(&self, _observed: &Observed, _partition: u32) -> PartitionGauges {
        PartitionGauges {
            event_time_max_ms: self.partition.watermark().newest_ms(),
            state_bytes: sizes(self.partition.bytes()),
            customers: self.partition.customers().len() as u64,
            ..PartitionGauges::default()
        }
    }
}

impl Shows for MarketState {
    const GROUP: Group = Group::Market;

    fn positions(&self, partition: u32) -> Vec<(Place, u64)> {
        vec![(Place::new(Topic::Facts, partition), self.next)]
    }

    fn gauges(&self, observed: &Observed, partition: u32) -> PartitionGauges {
        let published = self.partition.quality().into_iter().map(|(name, found)| ((name, None), found));
        let learners = self.partition.learners().into_iter().flat_map(|(name, learners)| {
            learners.into_iter().map(move |(learner, found)| ((name, Some(learner)), found))
        });
        observed.quality(partition, published.chain(learners));
        PartitionGauges { state_bytes: sizes(self.partition.bytes()), ..PartitionGauges::default() }
    }
}

fn sizes(sections: Vec<(&'static str, usize)>) -> Vec<(&'static str, u64)> {
    sections.into_iter().map(|(name, bytes)| (name, bytes as u64)).collect()
}

/// The watcher of one shard.
pub struct ShardWatcher {
    observed: Arc<Observed>,
    live: BTreeSet<u32>,
    restoring: BTreeSet<u32>,
    /// Some places of a partition that is given up are to be forgotten.
    places: BTreeMap<u32, Vec<Place>>,
    gauged: Option<Instant>,
}

impl ShardWatcher {
    pub fn new(observed: Arc<Observed>) -> ShardWatcher {
        ShardWatcher {
            observed,
            live: BTreeSet::new(),
            restoring: BTreeSet::new(),
            places: BTreeMap::new(),
            gauged: None,
        }
    }

    fn live<S: Shows>(&mut self, partition: u32, state: &S, gauge: bool) {
        let observed = &self.observed;
        state.answer(observed);
        let positions = state.positions(partition);
        let lags: Vec<u64> = positions.iter().map(|(place, at)| observed.lags.at(*place, *at)).collect();
        let (sum, lag) = (positions.iter().map(|(_, at)| at).sum(), lags.iter().sum());
        observed.health.live(S::GROUP, partition, sum, lag);
        self.places.insert(partition, positions.into_iter().map(|(place, _)| place).collect());
        if gauge {
            let mut gauges = state.gauges(observed, partition);
            gauges.input_lag.iter_mut().zip(lags).for_each(|(shown, lag)| *shown = lag);
            gauges.snapshot_cut_ms = observed.snapshots.newest_ms(stage_name(S::GROUP), partition);
            gauges.restored_ratio = 1.0;
            observed.metrics.set_partition(S::GROUP, partition, gauges);
        }
    }

    fn given_up(&mut self, group: Group, partition: u32) {
        tracing::info!(stage = stage_name(group), partition, "partition given up");
        self.observed.health.remove(group, partition);
        self.observed.metrics.remove_partition(group, partition);
        if group == Group::Customer {
            self.observed.inbox.forget(partition);
        }
        for place in self.places.remove(&partition).unwrap_or_default() {
            self.observed.lags.remove(place);
        }
        if group == Group::Market {
            self.observed.forget_quality(partition);
        }
    }
}

impl<S: Shows> Watcher<S> for ShardWatcher {
    fn stats(&mut self, stats: ShardStats) {
        self.observed.metrics.merge(&stats);
    }

    fn partitions(&mut self, live: &mut dyn Iterator<Item = (u32, &S)>, restoring: &[(u32, f64)]) {
        let gauge = self.gauged.is_none_or(|gauged| gauged.elapsed() >= GAUGED_EVERY);
        if gauge {
            self.gauged = Some(Instant::now());
        }
        let stage = stage_name(S::GROUP);
        let before = std::mem::take(&mut self.live);
        for (partition, state) in live {
            self.live.insert(partition);
            if !before.contains(&partition) {
                let positions = state.positions(partition);
                let shown: Vec<String> =
                    positions.iter().map(|(place, at)| format!("{} {at}", place.topic.name())).collect();
                tracing::info!(stage, partition, positions = shown.join(", "), "partition live");
            }
            self.live(partition, state, gauge || !before.contains(&partition));
        }
        let restoring_before = std::mem::take(&mut self.restoring);
        for (partition, ratio) in restoring {
            self.restoring.insert(*partition);
            self.observed.health.restoring(S::GROUP, *partition, *ratio);
            if gauge {
                let gauges = PartitionGauges { restored_ratio: *ratio, ..PartitionGauges::default() };
                self.observed.metrics.set_partition(S::GROUP, *partition, gauges);
            }
        }
        for partition in before.union(&restoring_before).copied().collect::<Vec<_>>() {
            if !self.live.contains(&partition) && !self.restoring.contains(&partition) {
                self.given_up(S::GROUP, partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_several_partitions_is_weighed_by_labels() {
        let part =
            |labels, auc| analysis::Quality { labels, positives: 1, auc, ..analysis::Quality::default() };
        let found = mean(&[part(10, Some(0.5)), part(30, Some(0.9)), part(5, None)]);
        assert_eq!(found.labels, 45);
        assert!(found.auc.is_some_and(|auc| (auc - 0.8).abs() < 1e-12));
        assert_eq!(found.average_precision, None);
    }
}
