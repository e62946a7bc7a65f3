//! The one table of names. Prometheus conventions: one prefix, base units, the unit last, `_total` on
//! counters, labels from fixed sets, and never a customer.

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, begins at 0 with the process.
    Counter,
    Gauge,
    /// Buckets of [`super::Latency::BOUNDS_NANOS`].
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// "seconds", "bytes", "ratio", or what is counted.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Declares the rows and their list together, so that no row can be left out of the list.
macro_rules! table {
    ($($id:ident: $kind:ident $name:literal $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $id: Metric = Metric {
            name: concat!("habitue_", $name),
            kind: Kind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// Every series of ours, in the order of the documentation.
        pub const TABLE: &[Metric] = &[$($id),*];
    };
}

table! {
    EVENTS: Counter "events_applied_total" "events" ["input"]
        "Events applied to a customer's or a guest's partition.";
    FACTS: Counter "facts_applied_total" "facts" []
        "Facts folded by the market stage.";
    DEAD_LETTERS: Counter "dead_letters_total" "records" ["reason"]
        "Records that could not be applied and went to dead-letters.";
    LATE: Counter "late_events_total" "events" ["input"]
        "Events older than the watermark; each is a dead letter too.";
    DUPLICATES: Counter "duplicate_events_total" "events" ["input"]
        "Events dropped because their id had been seen.";
    MISPLACED: Counter "misplaced_keys_total" "records" ["input"]
        "Records whose key does not hash to the partition they came in.";
    DECODE: Histogram "decode_duration_seconds" "seconds" ["input"]
        "Time to turn a record's bytes into an event.";
    APPLY: Histogram "apply_duration_seconds" "seconds" ["stage"]
        "Time to score and learn one event, or to fold one record of facts.";
    COMMIT: Histogram "commit_duration_seconds" "seconds" ["stage", "phase"]
        "Time of each phase of a transaction's end: drain, offsets, commit.";
    EVENT_TO_COMMIT: Histogram "event_to_commit_seconds" "seconds" ["stage"]
        "Time from a record's Kafka timestamp to the commit of the transaction that applied it.";
    TRANSACTIONS: Counter "transactions_total" "transactions" ["stage", "outcome"]
        "Attempts at a transaction by how they ended.";
    JOURNAL_ENTRIES: Counter "journal_entries_total" "entries" []
        "Journal entries committed.";
    EVENT_TIME_LAG: Gauge "event_time_lag_seconds" "seconds" ["partition"]
        "Wall time less the newest event time applied; 0 when every input is at its end.";
    INPUT_LAG: Gauge "input_lag_records" "records" ["input", "partition"]
        "Offsets between the position and the end of an input.";
    SNAPSHOT_AGE: Gauge "snapshot_age_seconds" "seconds" ["stage", "partition"]
        "Age of the newest visible snapshot; compare it with the journal's retention.";
    STATE_BYTES: Gauge "state_bytes" "bytes" ["stage", "partition", "section"]
        "State held in memory, by section of the snapshot.";
    CUSTOMERS: Gauge "customers" "customers" ["partition"]
        "Customers remembered.";
    EVICTIONS: Counter "evictions_total" "entries" ["what"]
        "Entries dropped because a cap was reached.";
    RESTORES: Counter "restores_total" "restores" ["stage"]
        "Partitions brought back from snapshot and journal.";
    RESTORE_PROGRESS: Gauge "restore_progress_ratio" "ratio" ["stage", "partition"]
        "How much of a restore is done; 1 when live.";
    HASH_MISMATCHES: Counter "hash_mismatches_total" "mismatches" ["stage"]
        "Replayed journal entries whose hash differed; each stops its partition.";
    MODEL_ROWS: Gauge "model_rows" "rows" ["table"]
        "Rows of a shared table.";
    MODEL_VERSION: Gauge "model_version" "version" ["model"]
        "Version of a shared model in use.";
    MODEL_EPOCH: Gauge "model_epoch" "epoch" []
        "Directory of shared tables and models in use; rises with every change.";
    MODEL_AGE: Gauge "model_age_seconds" "seconds" ["model"]
        "Wall time less the tick that published the version of a shared model in use.";
    MODEL_BYTES: Gauge "model_bytes" "bytes" ["model"]
        "Content of the version of a shared model in use.";
    MODELS_PUBLISHED: Counter "models_published_total" "versions" ["model"]
        "Versions of shared models published by the market partitions of this process.";
    MODELS_REFUSED: Counter "model_records_refused_total" "records" []
        "Records of models and control that this process could not use.";
    JOBS_STARTED: Counter "jobs_started_total" "jobs" ["analysis"]
        "Jobs of the market stage, such as refits, started by this process.";
    JOBS_ANSWERED: Counter "jobs_answered_total" "results" ["analysis"]
        "Results of jobs that a market partition waited for.";
    JOBS_IGNORED: Counter "jobs_ignored_total" "results" ["analysis"]
        "Results of jobs that nobody waited for any more.";
    JOB_SECONDS: Histogram "job_duration_seconds" "seconds" ["analysis"]
        "Time that jobs of this process took.";
    ALERTS: Counter "alerts_total" "alerts" ["analysis", "lane"]
        "Alerts published, in the exact and in the fast lane.";
    SCORES: Counter "scores_total" "scores" ["analysis"]
        "Scores published.";
    LISTS: Counter "recommendations_total" "lists" []
        "Lists of recommendations published.";
    LISTS_RATED: Counter "recommendations_rated_total" "events" ["source", "result"]
        "Events with items of customers who had been given a list, by whether it held one of them.";
    DECISIONS: Counter "decisions_total" "decisions" ["analysis"]
        "Decisions written to the journal.";
    AUC: Gauge "prequential_auc_ratio" "ratio" ["analysis"]
        "Area under the ROC curve of scores made before their labels came.";
    AVERAGE_PRECISION: Gauge "prequential_average_precision_ratio" "ratio" ["analysis"]
        "Average precision of scores made before their labels came.";
    LOG_LOSS: Gauge "prequential_log_loss_nats" "nats" ["analysis"]
        "Mean log loss of probabilities said before their labels came.";
    CALIBRATION_ERROR: Gauge "prequential_calibration_error_ratio" "ratio" ["analysis"]
        "Expected calibration error, over ten bins, of probabilities said before their labels came.";
    LEARNER_AUC: Gauge "prequential_learner_auc_ratio" "ratio" ["analysis", "learner"]
        "Area under the ROC curve of each learner and baseline behind and beside what is published.";
    LEARNER_LOG_LOSS: Gauge "prequential_learner_log_loss_nats" "nats" ["analysis", "learner"]
        "Mean log loss of each learner and baseline that says probabilities.";
    LABELS: Counter "prequential_labels_total" "labels" ["analysis"]
        "Labels that the prequential figures rest on.";
    BUILD: Gauge "build_info" "info" ["version", "librdkafka", "commit"]
        "Always 1; the build is in the labels.";
}

/// Series of the process, by the names that Prometheus gives them everywhere. Linux only.
pub const PROCESS: &[(&str, Kind)] = &[
    ("process_cpu_seconds_total", Kind::Counter),
    ("process_max_fds", Kind::Gauge),
    ("process_open_fds", Kind::Gauge),
    ("process_resident_memory_bytes", Kind::Gauge),
    ("process_start_time_seconds", Kind::Gauge),
    ("process_threads", Kind::Gauge),
    ("process_virtual_memory_bytes", Kind::Gauge),
];

/// `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Served at `/metrics` in Prometheus' text format. This file is written from the one table in \
         `src/edge/metrics/table.rs`\nby `HABITUE_BLESS=1 cargo test --test it metrics`; the test fails \
         when it is stale.\n\n\
         A series with a `partition` goes away when the partition is given up. No label holds a \
         customer.\n\n\
         | name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for metric in TABLE {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.name,
            metric.kind.name(),
            metric.unit,
            labels.join(", "),
            metric.help
        ));
    }
    text.push_str("\nAnd of the process, on Linux: ");
    let names: Vec<String> = PROCESS.iter().map(|(name, _)| format!("`{name}`")).collect();
    text.push_str(&names.join(", "));
    text.push_str(".\n\n## Values of labels\n\n");
    for (label, values) in super::label_values() {
        text.push_str(&format!("- `{label}`: {values}\n"));
    }
    text
}
