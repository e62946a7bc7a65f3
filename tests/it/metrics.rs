//! The table of metrics, what `/metrics` shows and `docs/metrics.md` are one, and follow the
//! conventions of Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use habitue::analysis::models::About;
use habitue::edge::log::Group;
use habitue::edge::metrics::{
    CommitPhase, Kind, Metrics, ModelGauges, Outcome, PROCESS, PartitionGauges, Quality, ShardStats, TABLE,
    markdown,
};
use habitue::edge::version::Version;
use habitue::event::{Input, Reject};

const NOW_MS: i64 = 1_700_000_000_000;

/// One of everything.
fn filled() -> Metrics {
    let metrics = Metrics::new(Version::of_this_build());
    for stage in [Group::Customer, Group::Market] {
        let mut stats = ShardStats::new(stage);
        stats.events[Input::Purchases.index()] = 3;
        stats.facts = 2;
        stats.dead_letter(Input::Feedback, Reject::Late);
        stats.decode[0].observe(Duration::from_micros(2));
        stats.apply.observe(Duration::from_micros(40));
        stats.commit_phase(CommitPhase::Offsets, Duration::from_millis(3));
        stats.transaction(Outcome::Committed);
        stats.event_to_commit.observe(Duration::from_millis(52));
        stats.recommendations = 3;
        stats.hits.insert("all", [2, 1]);
        for counts in [&mut stats.alerts, &mut stats.alerts_fast, &mut stats.scores, &mut stats.decisions] {
            counts.insert("anomaly", 1);
        }
        stats.evictions.insert("customers", 1);
        stats.models_published.insert("churn".to_string(), 4);
        stats.jobs_started.insert("churn", 3);
        stats.jobs_answered.insert("churn", [1, 2]);
        stats.job_seconds.entry("churn").or_default().observe(Duration::from_millis(140));
        metrics.merge(&stats);
        metrics.set_partition(stage, 4, gauges());
    }
    metrics.set_models(ModelGauges {
        rows: BTreeMap::from([("entity_risk".to_string(), 12)]),
        models: BTreeMap::from([(
            "churn".to_string(),
            About { version: 3, time_ms: NOW_MS - 5_000, bytes: 2_300 },
        )]),
        epoch: 9,
        refused: 1,
    });
    let (auc, log_loss) = (Some(0.91), Some(0.5));
    let quality = Quality { auc, average_precision: Some(0.4), log_loss, ece: Some(0.02), labels: 77 };
    metrics.set_quality("anomaly", quality);
    metrics.set_learner("churn", "bg_nbd", quality);
    metrics
}

fn gauges() -> PartitionGauges {
    PartitionGauges {
        input_lag: [5, 0, 0],
        event_time_max_ms: Some(NOW_MS - 90_000),
        snapshot_cut_ms: Some(NOW_MS - 12_000),
        state_bytes: vec![("customers", 4096)],
        customers: 4,
        restored_ratio: 1.0,
    }
}

fn text(metrics: &Metrics) -> String {
    metrics.render_at(NOW_MS).expect("it renders")
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|other| other == line), "no line `{line}` in\n{text}");
}

#[test]
fn the_table_is_what_is_exposed() {
    let text = text(&filled());
    let exposed: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').expect("name and type"))
        .map(|(name, kind)| (name.to_string(), kind.to_string()))
        .collect();
    let ours = TABLE.iter().map(|metric| (metric.name, metric.kind));
    let table: BTreeSet<(String, String)> = ours
        .chain(PROCESS.iter().copied())
        .map(|(name, kind)| (name.to_string(), kind.name().to_string()))
        .collect();
    assert_eq!(exposed, table);
    for metric in TABLE {
        assert_line(&text, &format!("# HELP {} {}", metric.name, metric.help));
        let series = text.lines().find(|line| {
            line.starts_with(&format!("{}{{", metric.name))
                || line.starts_with(&format!("{}_bucket{{", metric.name))
                || line.starts_with(&format!("{} ", metric.name))
        });
        let series = series.unwrap_or_else(|| panic!("{} has no series", metric.name));
        for label in metric.labels {
            assert!(series.contains(&format!("{label}=\"")), "{series} has no label {label}");
        }
    }
}

#[test]
fn names_follow_the_conventions() {
    let mut seen = BTreeSet::new();
    for metric in TABLE {
        let name = metric.name;
        assert!(seen.insert(name), "{name} stands twice");
        assert!(name.starts_with("habitue_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        for reserved in ["_bucket", "_count", "_sum"] {
            assert!(!name.ends_with(reserved), "{name}");
        }
        for word in name.split('_') {
            let wrong = [
                "counter",
                "gauge",
                "histogram",
                "summary",
                "ms",
                "us",
                "milliseconds",
                "microseconds",
                "minutes",
                "hours",
                "kib",
                "mib",
                "percent",
                "sec",
                "s",
            ];
            assert!(!wrong.contains(&word), "{name}: {word}");
        }
        if ["seconds", "bytes", "ratio"].contains(&metric.unit) {
            assert!(name.ends_with(&format!("_{}", metric.unit)), "{name} is in {}", metric.unit);
        }
        if metric.kind == Kind::Histogram {
            assert_eq!(metric.unit, "seconds", "{name}");
        }
        assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}: {}", metric.help);
        for label in metric.labels {
            let fixed = [
                "input",
                "reason",
                "stage",
                "phase",
                "outcome",
                "partition",
                "section",
                "what",
                "table",
                "model",
                "analysis",
                "learner",
                "lane",
                "source",
                "result",
                "version",
                "librdkafka",
                "commit",
            ];
            assert!(fixed.contains(label), "{name}: {label} is no label of a fixed set");
        }
    }
}

#[test]
fn the_documentation_is_written_from_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("HABITUE_BLESS").is_some() {
        std::fs::write(file, markdown()).expect("docs/metrics.md is writable");
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(found == markdown(), "docs/metrics.md is stale: HABITUE_BLESS=1 cargo test --test it metrics");
}

#[test]
fn what_shards_merge_is_added_up() {
    let metrics = filled();
    let mut more = ShardStats::new(Group::Customer);
    more.events[Input::Purchases.index()] = 4;
    more.apply.observe(Duration::from_micros(60));
    more.alerts.insert("anomaly", 2);
    metrics.merge(&more);
    more.clear();
    assert_eq!(more, ShardStats::new(Group::Customer));
    let text = text(&metrics);
    for line in [
        "habitue_events_applied_total{input=\"purchases\"} 7",
        "habitue_events_applied_total{input=\"feedback\"} 0",
        "habitue_facts_applied_total 4",
        "habitue_late_events_total{input=\"feedback\"} 1",
        "habitue_dead_letters_total{reason=\"late\"} 1",
        "habitue_dead_letters_total{reason=\"malformed\"} 0",
        "habitue_alerts_total{analysis=\"anomaly\",lane=\"exact\"} 4",
        "habitue_apply_duration_seconds_bucket{stage=\"customer\",le=\"0.000025\"} 0",
        "habitue_apply_duration_seconds_bucket{stage=\"customer\",le=\"0.00005\"} 1",
        "habitue_apply_duration_seconds_bucket{stage=\"customer\",le=\"0.0001\"} 2",
        "habitue_apply_duration_seconds_bucket{stage=\"customer\",le=\"+Inf\"} 2",
        "habitue_apply_duration_seconds_sum{stage=\"customer\"} 0.0001",
        "habitue_apply_duration_seconds_count{stage=\"customer\"} 2",
        "habitue_commit_duration_seconds_count{stage=\"market\",phase=\"offsets\"} 1",
        "habitue_transactions_total{stage=\"market\",outcome=\"committed\"} 1",
        "habitue_snapshot_age_seconds{stage=\"market\",partition=\"4\"} 12",
        "habitue_event_time_lag_seconds{partition=\"4\"} 90",
        "habitue_input_lag_records{input=\"purchases\",partition=\"4\"} 5",
        "habitue_prequential_auc_ratio{analysis=\"anomaly\"} 0.91",
        "habitue_prequential_labels_total{analysis=\"anomaly\"} 77",
    ] {
        assert_line(&text, line);
    }
}

#[test]
fn a_partition_that_is_given_up_takes_its_series_along() {
    let metrics = filled();
    assert!(text(&metrics).contains("partition=\"4\""));
    metrics.remove_partition(Group::Customer, 4);
    metrics.remove_partition(Group::Market, 4);
    let text = text(&metrics);
    assert!(!text.contains("partition="), "{text}");
    assert!(!text.contains("habitue_customers"), "{text}");
}

#[test]
fn silence_is_not_lag() {
    let metrics = filled();
    metrics.set_partition(Group::Customer, 4, PartitionGauges { input_lag: [0; 3], ..gauges() });
    assert_line(&text(&metrics), "habitue_event_time_lag_seconds{partition=\"4\"} 0");
}

/// Prometheus' own linter, where it is installed.
#[test]
fn promtool_finds_nothing() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(text(&filled()).as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
