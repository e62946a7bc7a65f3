//! The `topics` command against a real broker.

use std::path::PathBuf;
use std::process::{Command, Output};

use habitue::edge::kafka::{KafkaLog, TopicPlan};
use habitue::signal::Topic;

use super::broker::Broker;

pub const CASES: &[crate::Case] = &[
    ("the_topics_command_creates_what_is_missing", creates),
    ("the_topics_command_refuses_what_does_not_fit", refuses),
];

/// A configuration file for the broker, with names that no other test has.
fn file(broker: &Broker) -> (PathBuf, KafkaLog) {
    let config = broker.config();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}toml", config.topic_prefix));
    let text = format!(
        "[kafka]\nbrokers = [\"{}\"]\ntopic_prefix = \"{}\"\n[topics]\npartitions = 3\nreplication = 1\n",
        config.brokers, config.topic_prefix
    );
    std::fs::write(&file, text).expect("a temporary file");
    (file, KafkaLog::new(config).expect("a valid configuration"))
}

fn topics(verb: &[&str], file: &PathBuf) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_habitue"))
        .arg("topics")
        .args(verb)
        .arg("--config")
        .arg(file)
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn lines(out: &str, word: &str) -> usize {
    out.lines().filter(|line| line.split_whitespace().any(|cell| cell == word)).count()
}

fn creates(broker: &Broker) {
    let (file, log) = file(broker);
    let (code, out, err) = topics(&["plan", "--connect"], &file);
    assert_eq!((code, lines(&out, "missing")), (0, Topic::ALL.len()), "{out}{err}");
    let (code, out, err) = topics(&["create"], &file);
    assert_eq!((code, lines(&out, "created")), (0, Topic::ALL.len()), "{out}{err}");
    let facts = log.describe_topics(&[Topic::Journal, Topic::Models, Topic::Control]).expect("it answers");
    assert_eq!(facts[0].partitions, Some(3));
    assert_eq!(facts[0].configs["retention.ms"], "604800000");
    assert_eq!((facts[1].partitions, facts[1].configs["cleanup.policy"].as_str()), (Some(8), "compact"));
    assert_eq!((facts[2].partitions, facts[2].configs["retention.ms"].as_str()), (Some(1), "-1"));
    // A second time nothing is left to do, and nothing differs.
    let (code, out, err) = topics(&["create"], &file);
    assert_eq!((code, lines(&out, "created")), (0, 0), "{out}{err}");
    let (code, out, err) = topics(&["plan", "--connect"], &file);
    assert_eq!((code, lines(&out, "exists")), (0, Topic::ALL.len()), "{out}{err}");
}

fn refuses(broker: &Broker) {
    let (file, log) = file(broker);
    let plan = |topic, partitions, setting: &str, value: &str| TopicPlan {
        topic,
        partitions,
        replication: Some(1),
        configs: [(setting.to_string(), value.to_string())].into(),
    };
    let wrong = [
        plan(Topic::Journal, 2, "retention.ms", "604800000"),
        plan(Topic::Control, 1, "retention.ms", "1000"),
        plan(Topic::Alerts, 3, "retention.ms", "1000"),
    ];
    log.create_topics(&wrong).expect("they are new");
    let (code, out, err) = topics(&["plan", "--connect"], &file);
    assert_eq!((code, lines(&out, "differs")), (4, 3), "{out}{err}");
    assert!(err.contains("journal: partitions is 2, planned is 3"), "{err}");
    assert!(err.contains("control: retention.ms is 1000, planned is -1"), "{err}");
    assert!(out.contains("alerts: retention.ms is 1000, planned is 2592000000"), "{out}");
    let (code, out, err) = topics(&["create"], &file);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    let facts = log.describe_topics(&[Topic::Facts]).expect("it answers");
    assert_eq!(facts[0].partitions, None, "nothing was created");
}
