//! The broker of this run, and a cluster's worth of topics for each test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use habitue::edge::kafka::{KafkaConfig, KafkaLog, TopicPlan};
use habitue::signal::Topic;

pub struct Broker {
    pub address: String,
    /// None where the broker is somebody else's.
    folder: Option<PathBuf>,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker.sh");

fn script(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(SCRIPT).args(arguments).output().map_err(|error| format!("{SCRIPT}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// A run that is killed takes its broker along, within a second.
fn stop_with_us(folder: &Path) -> Result<(), String> {
    Command::new("sh")
        .args(["-c", r#"while kill -0 "$0" 2>/dev/null; do sleep 1; done; "$1" stop "$2"; rm -rf "$2""#])
        .args([std::process::id().to_string(), SCRIPT.to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| format!("sh: {error}"))
}

impl Broker {
    pub fn start() -> Result<Broker, String> {
        if let Ok(address) = std::env::var("HABITUE_KAFKA") {
            return Ok(Broker { address, folder: None });
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{}", std::process::id()));
        let address = script(&["start", &folder.to_string_lossy()])?;
        stop_with_us(&folder)?;
        Ok(Broker { address, folder: Some(folder) })
    }

    /// A configuration whose topics, groups and ids no other test has.
    pub fn config(&self) -> KafkaConfig {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        KafkaConfig {
            brokers: self.address.clone(),
            group: name.clone(),
            instance: name.clone(),
            topic_prefix: format!("{name}."),
            ..KafkaConfig::default()
        }
    }

    /// A log with all topics in as many partitions, but control in one.
    pub fn log(&self, partitions: u32) -> KafkaLog {
        self.log_of(self.config(), partitions)
    }

    pub fn log_of(&self, config: KafkaConfig, partitions: u32) -> KafkaLog {
        let log = KafkaLog::new(config).unwrap();
        let plan = |topic: &Topic| TopicPlan {
            topic: *topic,
            partitions: if *topic == Topic::Control { 1 } else { partitions },
            replication: Some(1),
            configs: BTreeMap::new(),
        };
        let plans: Vec<TopicPlan> = Topic::ALL.iter().map(plan).collect();
        log.create_topics(&plans).unwrap();
        log
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let Some(folder) = &self.folder else { return };
        match script(&["stop", &folder.to_string_lossy()]) {
            // Or the watcher has done so already.
            Ok(_) => drop(std::fs::remove_dir_all(folder)),
            Err(error) => eprintln!("the broker in {} did not stop: {error}", folder.display()),
        }
    }
}
