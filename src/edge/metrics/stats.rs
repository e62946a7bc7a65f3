//! What a shard counts by itself, without a lock, and hands over once a transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::edge::log::Group;
use crate::event::{Input, Reject};

/// Counts of one shard since the last hand-over. Plain numbers: filling it costs additions.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardStats {
    /// Which stage the shard runs.
    pub stage: Group,
    /// By [`Input::index`], as are the next four. Restored events do not count.
    pub events: [u64; 3],
    pub late: [u64; 3],
    pub duplicates: [u64; 3],
    pub misplaced_keys: [u64; 3],
    /// Bytes to event, for each record.
    pub decode: [Latency; 3],
    /// By position in [`Reject::ALL`].
    pub dead_letters: [u64; Reject::ALL.len()],
    /// Facts folded by the market stage.
    pub facts: u64,
    /// One event (customer stage) or one record of facts (market stage): scored and learned.
    pub apply: Latency,
    /// By position in [`CommitPhase::ALL`], for each transaction.
    pub commit: [Latency; CommitPhase::ALL.len()],
    /// From a record's Kafka timestamp to the commit of its transaction, for each record.
    pub event_to_commit: Latency,
    /// By position in [`Outcome::ALL`].
    pub transactions: [u64; Outcome::ALL.len()],
    pub journal_entries: u64,
    pub restores: u64,
    pub hash_mismatches: u64,
    /// Alerts of the exact and of the fast lane, by analysis.
    pub alerts: BTreeMap<&'static str, u64>,
    pub alerts_fast: BTreeMap<&'static str, u64>,
    /// Scores published, by analysis.
    pub scores: BTreeMap<&'static str, u64>,
    /// Lists published; and of those that customers took something after, by source: misses, hits.
    pub recommendations: u64,
    pub hits: BTreeMap<&'static str, [u64; 2]>,
    /// Decisions written to the journal, by analysis.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Versions of whole models published, by model.
    pub models_published: BTreeMap<String, u64>,
    /// Jobs started by this shard, by analysis; results applied: nobody waited, somebody did; time of those that it ran.
    pub jobs_started: BTreeMap<&'static str, u64>,
    pub jobs_answered: BTreeMap<&'static str, [u64; 2]>,
    pub job_seconds: BTreeMap<&'static str, Latency>,
    /// Things dropped because a cap was reached, by what was dropped: "customers", "waiting_payments".
    pub evictions: BTreeMap<&'static str, u64>,
}

/// The parts of a commit, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPhase {
    /// Waiting until nothing is in flight.
    Drain,
    /// Adding the offsets.
    Offsets,
    /// The commit itself.
    Commit,
}

impl CommitPhase {
    pub const ALL: [CommitPhase; 3] = [CommitPhase::Drain, CommitPhase::Offsets, CommitPhase::Commit];

    pub fn name(self) -> &'static str {
        match self {
            CommitPhase::Drain => "drain",
            CommitPhase::Offsets => "offsets",
            CommitPhase::Commit => "commit",
        }
    }
}

/// How one attempt at a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// Aborted, and the same batch sent again.
    Retried,
    /// Aborted, and the state dropped: what follows is a restore.
    Aborted,
    /// Nobody knew; it was made definite with a new producer.
    Indefinite,
}

impl Outcome {
    pub const ALL: [Outcome; 4] =
        [Outcome::Committed, Outcome::Retried, Outcome::Aborted, Outcome::Indefinite];

    pub fn name(self) -> &'static str {
        match self {
            Outcome::Committed => "committed",
            Outcome::Retried => "retried",
            Outcome::Aborted => "aborted",
            Outcome::Indefinite => "indefinite",
        }
    }
}

impl ShardStats {
    pub fn new(stage: Group) -> ShardStats {
        ShardStats {
            stage,
            events: [0; 3],
            late: [0; 3],
            duplicates: [0; 3],
            misplaced_keys: [0; 3],
            decode: Default::default(),
            dead_letters: [0; Reject::ALL.len()],
            facts: 0,
            apply: Latency::default(),
            commit: Default::default(),
            event_to_commit: Latency::default(),
            transactions: [0; Outcome::ALL.len()],
            journal_entries: 0,
            restores: 0,
            hash_mismatches: 0,
            alerts: BTreeMap::new(),
            alerts_fast: BTreeMap::new(),
            scores: BTreeMap::new(),
            recommendations: 0,
            hits: BTreeMap::new(),
            decisions: BTreeMap::new(),
            models_published: BTreeMap::new(),
            jobs_started: BTreeMap::new(),
            jobs_answered: BTreeMap::new(),
            job_seconds: BTreeMap::new(),
            evictions: BTreeMap::new(),
        }
    }

    /// Counts a dead letter; one that is late counts as late too.
    pub fn dead_letter(&mut self, input: Input, reason: Reject) {
        self.dead_letters[reason as usize] += 1;
        if reason == Reject::Late {
            self.late[input.index()] += 1;
        }
    }

    /// Counts an attempt at a transaction.
    pub fn transaction(&mut self, outcome: Outcome) {
        self.transactions[outcome as usize] += 1;
    }

    pub fn commit_phase(&mut self, phase: CommitPhase, took: Duration) {
        self.commit[phase as usize].observe(took);
    }

    /// Back to nothing, after a hand-over.
    pub fn clear(&mut self) {
        *self = ShardStats::new(self.stage);
    }

    /// Adds another's counts; the stages must be the same.
    pub(super) fn add(&mut self, other: &ShardStats) {
        debug_assert_eq!(self.stage, other.stage);
        add_each(&mut self.events, &other.events);
        add_each(&mut self.late, &other.late);
        add_each(&mut self.duplicates, &other.duplicates);
        add_each(&mut self.misplaced_keys, &other.misplaced_keys);
        add_each(&mut self.dead_letters, &other.dead_letters);
        add_each(&mut self.transactions, &other.transactions);
        self.facts += other.facts;
        self.journal_entries += other.journal_entries;
        self.restores += other.restores;
        self.recommendations += other.recommendations;
        for (source, counts) in &other.hits {
            add_each(self.hits.entry(source).or_default(), counts);
        }
        self.hash_mismatches += other.hash_mismatches;
        for (mine, theirs) in self.decode.iter_mut().zip(&other.decode) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.commit.iter_mut().zip(&other.commit) {
            mine.add(theirs);
        }
        self.apply.add(&other.apply);
        self.event_to_commit.add(&other.event_to_commit);
        add_named(&mut self.alerts, &other.alerts);
        add_named(&mut self.alerts_fast, &other.alerts_fast);
        add_named(&mut self.scores, &other.scores);
        add_named(&mut self.decisions, &other.decisions);
        add_named(&mut self.evictions, &other.evictions);
        add_named(&mut self.models_published, &other.models_published);
        add_named(&mut self.jobs_started, &other.jobs_started);
        for (analysis, counts) in &other.jobs_answered {
            add_each(self.jobs_answered.entry(analysis).or_default(), counts);
        }
        for (analysis, took) in &other.job_seconds {
            self.job_seconds.entry(analysis).or_default().add(took);
        }
    }
}

fn add_each(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

fn add_named<N: Ord + Clone>(mine: &mut BTreeMap<N, u64>, theirs: &BTreeMap<N, u64>) {
    for (name, count) in theirs {
        *mine.entry(name.clone()).or_default() += count;
    }
}

/// A histogram of durations in fixed buckets, from 1 µs to 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// One for each bound and one for what lies above; not cumulative.
    counts: [u64; Latency::BOUNDS_NANOS.len() + 1],
    sum_nanos: u64,
}

impl Latency {
    /// Upper bounds, inclusive, in nanoseconds.
    pub const BOUNDS_NANOS: [u64; 24] = [
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
        30_000_000_000,
        60_000_000_000,
    ];

    pub fn observe(&mut self, took: Duration) {
        self.observe_nanos(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn observe_nanos(&mut self, nanos: u64) {
        let bucket = Latency::BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        self.counts[bucket] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Zero before the first.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos.checked_div(self.count()).unwrap_or(0))
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// Upper bound in seconds and observations at or below it, for each bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let counts = self.counts.iter().scan(0_u64, |below, count| {
            *below += count;
            Some(*below)
        });
        Latency::BOUNDS_NANOS.iter().map(|nanos| *nanos as f64 / 1e9).zip(counts)
    }

    fn add(&mut self, other: &Latency) {
        add_each(&mut self.counts, &other.counts);
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let mut latency = Latency::default();
        for nanos in [0, 1_000, 1_001, 60_000_000_000, 60_000_000_001] {
            latency.observe_nanos(nanos);
        }
        let cumulative: Vec<(f64, u64)> = latency.cumulative().collect();
        assert_eq!(cumulative[0], (1e-6, 2));
        assert_eq!(cumulative[1], (2.5e-6, 3));
        assert_eq!(cumulative[23], (60.0, 4));
        assert_eq!(latency.count(), 5);
    }

    #[test]
    fn reasons_phases_and_outcomes_are_in_the_order_of_their_numbers() {
        assert!(Reject::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
        assert!(CommitPhase::ALL.iter().enumerate().all(|(index, phase)| *phase as usize == index));
        assert!(Outcome::ALL.iter().enumerate().all(|(index, outcome)| *outcome as usize == index));
    }
}
