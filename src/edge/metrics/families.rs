//! The counts as Prometheus' families, one for each row of the table.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, MetricFamily, MetricType};

use super::table::{self, Kind, Metric};
use super::{CommitPhase, Latency, Outcome, ShardStats, State, stage_name};
use crate::edge::log::Group;
use crate::event::{Input, Reject, TimeMs};

/// Values of the label `lane`.
pub const LANES: [&str; 2] = ["exact", "fast"];
/// In the order in which shards count them.
pub const RESULTS: [&str; 2] = ["miss", "hit"];

/// All families, some of them without a series.
pub fn of(state: &State, now_ms: TimeMs) -> Vec<MetricFamily> {
    let mut families = inputs(&state.customer);
    families.extend(stages(&[&state.customer, &state.market]));
    families.extend(partitions(state, now_ms));
    families.extend(models(state, now_ms));
    families.extend(jobs(&state.market));
    families.extend(analyses(state));
    families.extend(quality(state));
    families
}

fn inputs(stats: &ShardStats) -> Vec<MetricFamily> {
    let by_input = |metric: &Metric, counts: &[u64; 3]| {
        let mut family = Family::new(metric);
        for input in Input::ALL {
            family.count(&[input.name()], counts[input.index()]);
        }
        family.done()
    };
    let mut dead_letters = Family::new(&table::DEAD_LETTERS);
    for reason in Reject::ALL {
        dead_letters.count(&[reason.name()], stats.dead_letters[reason as usize]);
    }
    let mut decode = Family::new(&table::DECODE);
    for input in Input::ALL {
        decode.latency(&[input.name()], &stats.decode[input.index()]);
    }
    let mut journal = Family::new(&table::JOURNAL_ENTRIES);
    journal.count(&[], stats.journal_entries);
    vec![
        by_input(&table::EVENTS, &stats.events),
        by_input(&table::LATE, &stats.late),
        by_input(&table::DUPLICATES, &stats.duplicates),
        by_input(&table::MISPLACED, &stats.misplaced_keys),
        dead_letters.done(),
        decode.done(),
        journal.done(),
    ]
}

fn stages(stages: &[&ShardStats; 2]) -> Vec<MetricFamily> {
    let mut apply = Family::new(&table::APPLY);
    let mut commit = Family::new(&table::COMMIT);
    let mut event_to_commit = Family::new(&table::EVENT_TO_COMMIT);
    let mut transactions = Family::new(&table::TRANSACTIONS);
    let mut restores = Family::new(&table::RESTORES);
    let mut mismatches = Family::new(&table::HASH_MISMATCHES);
    for stats in stages {
        let stage = stage_name(stats.stage);
        apply.latency(&[stage], &stats.apply);
        event_to_commit.latency(&[stage], &stats.event_to_commit);
        for phase in CommitPhase::ALL {
            commit.latency(&[stage, phase.name()], &stats.commit[phase as usize]);
        }
        for outcome in Outcome::ALL {
            transactions.count(&[stage, outcome.name()], stats.transactions[outcome as usize]);
        }
        restores.count(&[stage], stats.restores);
        mismatches.count(&[stage], stats.hash_mismatches);
    }
    let mut facts = Family::new(&table::FACTS);
    facts.count(&[], stages.iter().map(|stats| stats.facts).sum());
    let mut evictions = Family::new(&table::EVICTIONS);
    for (what, count) in sum_by_name(stages, |stats| &stats.evictions) {
        evictions.count(&[what], count);
    }
    [apply, commit, event_to_commit, transactions, restores, mismatches, facts, evictions]
        .map(Family::done)
        .to_vec()
}

fn partitions(state: &State, now_ms: TimeMs) -> Vec<MetricFamily> {
    let mut event_time_lag = Family::new(&table::EVENT_TIME_LAG);
    let mut input_lag = Family::new(&table::INPUT_LAG);
    let mut snapshot_age = Family::new(&table::SNAPSHOT_AGE);
    let mut state_bytes = Family::new(&table::STATE_BYTES);
    let mut customers = Family::new(&table::CUSTOMERS);
    let mut restored = Family::new(&table::RESTORE_PROGRESS);
    for ((stage, partition), gauges) in &state.partitions {
        let (name, partition) = (stage_name(*stage), partition.to_string());
        if *stage == Group::Customer {
            customers.gauge(&[&partition], gauges.customers as f64);
            for input in Input::ALL {
                input_lag.gauge(&[input.name(), &partition], gauges.input_lag[input.index()] as f64);
            }
            // Silence is not lag: an input at its end has nothing newer to apply.
            if let Some(event_time_ms) = gauges.event_time_max_ms {
                let behind = gauges.input_lag.iter().any(|lag| *lag > 0);
                let lag = if behind { seconds_since(event_time_ms, now_ms) } else { 0.0 };
                event_time_lag.gauge(&[&partition], lag);
            }
        }
        if let Some(cut_ms) = gauges.snapshot_cut_ms {
            snapshot_age.gauge(&[name, &partition], seconds_since(cut_ms, now_ms));
        }
        for (section, bytes) in &gauges.state_bytes {
            state_bytes.gauge(&[name, &partition, section], *bytes as f64);
        }
        restored.gauge(&[name, &partition], gauges.restored_ratio);
    }
    [event_time_lag, input_lag, snapshot_age, state_bytes, customers, restored].map(Family::done).to_vec()
}

fn seconds_since(then_ms: TimeMs, now_ms: TimeMs) -> f64 {
    now_ms.saturating_sub(then_ms).max(0) as f64 / 1e3
}

fn models(state: &State, now_ms: TimeMs) -> Vec<MetricFamily> {
    let mut rows = Family::new(&table::MODEL_ROWS);
    for (table, count) in &state.models.rows {
        rows.gauge(&[table], *count as f64);
    }
    let mut versions = Family::new(&table::MODEL_VERSION);
    let mut age = Family::new(&table::MODEL_AGE);
    let mut bytes = Family::new(&table::MODEL_BYTES);
    for (model, about) in &state.models.models {
        versions.gauge(&[model], about.version as f64);
        age.gauge(&[model], seconds_since(about.time_ms, now_ms));
        bytes.gauge(&[model], about.bytes as f64);
    }
    let mut published = Family::new(&table::MODELS_PUBLISHED);
    for (model, count) in &state.market.models_published {
        published.count(&[model], *count);
    }
    let mut refused = Family::new(&table::MODELS_REFUSED);
    refused.count(&[], state.models.refused);
    let mut epoch = Family::new(&table::MODEL_EPOCH);
    epoch.gauge(&[], state.models.epoch as f64);
    let mut build = Family::new(&table::BUILD);
    let commit = state.build.commit.unwrap_or("");
    build.gauge(&[state.build.version, &state.build.librdkafka, commit], 1.0);
    [rows, versions, age, bytes, published, refused, epoch, build].map(Family::done).to_vec()
}

fn jobs(stats: &ShardStats) -> Vec<MetricFamily> {
    let mut started = Family::new(&table::JOBS_STARTED);
    for (analysis, count) in &stats.jobs_started {
        started.count(&[analysis], *count);
    }
    let mut answered = Family::new(&table::JOBS_ANSWERED);
    let mut ignored = Family::new(&table::JOBS_IGNORED);
    for (analysis, [unawaited, awaited]) in &stats.jobs_answered {
        answered.count(&[analysis], *awaited);
        ignored.count(&[analysis], *unawaited);
    }
    let mut seconds = Family::new(&table::JOB_SECONDS);
    for (analysis, took) in &stats.job_seconds {
        seconds.latency(&[analysis], took);
    }
    [started, answered, ignored, seconds].map(Family::done).to_vec()
}

fn analyses(state: &State) -> Vec<MetricFamily> {
    let stages = [&state.customer, &state.market];
    let mut alerts = Family::new(&table::ALERTS);
    for (analysis, count) in sum_by_name(&stages, |stats| &stats.alerts) {
        alerts.count(&[analysis, LANES[0]], count);
    }
    for (analysis, count) in sum_by_name(&stages, |stats| &stats.alerts_fast) {
        alerts.count(&[analysis, LANES[1]], count);
    }
    let mut scores = Family::new(&table::SCORES);
    for (analysis, count) in sum_by_name(&stages, |stats| &stats.scores) {
        scores.count(&[analysis], count);
    }
    let mut lists = Family::new(&table::LISTS);
    lists.count(&[], stages.iter().map(|stats| stats.recommendations).sum());
    let mut rated = Family::new(&table::LISTS_RATED);
    for (source, counts) in &state.customer.hits {
        for (result, count) in RESULTS.iter().zip(counts) {
            rated.count(&[source, result], *count);
        }
    }
    let mut decisions = Family::new(&table::DECISIONS);
    for (analysis, count) in sum_by_name(&stages, |stats| &stats.decisions) {
        decisions.count(&[analysis], count);
    }
    [alerts, scores, lists, rated, decisions].map(Family::done).to_vec()
}

fn quality(state: &State) -> Vec<MetricFamily> {
    let mut auc = Family::new(&table::AUC);
    let mut average_precision = Family::new(&table::AVERAGE_PRECISION);
    let mut log_loss = Family::new(&table::LOG_LOSS);
    let mut calibration_error = Family::new(&table::CALIBRATION_ERROR);
    let mut labels = Family::new(&table::LABELS);
    for (analysis, quality) in &state.quality {
        auc.gauge_if_known(&[analysis], quality.auc);
        average_precision.gauge_if_known(&[analysis], quality.average_precision);
        log_loss.gauge_if_known(&[analysis], quality.log_loss);
        calibration_error.gauge_if_known(&[analysis], quality.ece);
        labels.count(&[analysis], quality.labels);
    }
    let mut learner_auc = Family::new(&table::LEARNER_AUC);
    let mut learner_log_loss = Family::new(&table::LEARNER_LOG_LOSS);
    for ((analysis, learner), quality) in &state.learners {
        learner_auc.gauge_if_known(&[analysis, learner], quality.auc);
        learner_log_loss.gauge_if_known(&[analysis, learner], quality.log_loss);
    }
    [auc, average_precision, log_loss, calibration_error, learner_auc, learner_log_loss, labels]
        .map(Family::done)
        .to_vec()
}

fn sum_by_name(
    stages: &[&ShardStats; 2],
    counts: fn(&ShardStats) -> &BTreeMap<&'static str, u64>,
) -> BTreeMap<&'static str, u64> {
    let mut sum = BTreeMap::new();
    for (name, count) in stages.iter().flat_map(|stats| counts(stats)) {
        *sum.entry(*name).or_default() += count;
    }
    sum
}

/// A family in the making; labels are given as values, in the table's order.
struct Family {
    metric: Metric,
    series: Vec<prometheus::proto::Metric>,
}

impl Family {
    fn new(metric: &Metric) -> Family {
        Family { metric: *metric, series: Vec::new() }
    }

    fn count(&mut self, labels: &[&str], value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        self.push(Kind::Counter, labels, |series| series.set_counter(counter));
    }

    fn gauge(&mut self, labels: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.push(Kind::Gauge, labels, |series| series.set_gauge(gauge));
    }

    fn gauge_if_known(&mut self, labels: &[&str], value: Option<f64>) {
        if let Some(value) = value {
            self.gauge(labels, value);
        }
    }

    fn latency(&mut self, labels: &[&str], latency: &Latency) {
        let buckets = latency.cumulative().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(latency.count());
        histogram.set_sample_sum(latency.sum_seconds());
        self.push(Kind::Histogram, labels, |series| series.set_histogram(histogram));
    }

    fn push(&mut self, kind: Kind, values: &[&str], set: impl FnOnce(&mut prometheus::proto::Metric)) {
        debug_assert_eq!(self.metric.kind, kind, "{}", self.metric.name);
        debug_assert_eq!(self.metric.labels.len(), values.len(), "{}", self.metric.name);
        let labels = self.metric.labels.iter().zip(values).map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name((*name).to_string());
            label.set_value((*value).to_string());
            label
        });
        let mut series = prometheus::proto::Metric::from_label(labels.collect());
        set(&mut series);
        self.series.push(series);
    }

    fn done(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.metric.name.to_string());
        family.set_help(self.metric.help.to_string());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(self.series);
        family
    }
}
