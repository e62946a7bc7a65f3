//! The broker of the run, its topics, and what is written to them.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use habitue::codec::{built_in, encode_event};
use habitue::config::Config;
use habitue::edge::connect::kafka_config;
use habitue::edge::kafka::{KafkaAppender, KafkaConfig, KafkaLog};
use habitue::edge::log::{Appender, Log, LogError, Outgoing, Place};
use habitue::edge::shard::wire::partition_of;
use habitue::event::{Event, Input};
use habitue::measure::workload::Workload;

use crate::{PARTITIONS, SEED};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker.sh");
const HABITUE: &str = env!("CARGO_BIN_EXE_habitue");

pub struct Cluster {
    pub address: String,
    /// Where configurations, snapshots and logs of this run lie.
    pub scratch: PathBuf,
    /// Before the name of every run, so that a broker can be used twice.
    name: String,
    ours: bool,
    without: String,
}

/// One configuration with topics, groups and ids of its own, and the file that it is in.
pub struct Setting {
    pub file: PathBuf,
    pub http: u16,
}

impl Setting {
    /// The settings of the Kafka edge that `habitue run` would use.
    pub fn kafka(&self) -> KafkaConfig {
        let config = Config::read(&self.file).map_err(|refusal| refusal.to_string()).unwrap();
        kafka_config(&config).unwrap()
    }
}

impl Cluster {
    /// `without`: analyses that are not enabled, comma-separated.
    pub fn start(without: &str) -> Cluster {
        let name = format!("bench{}", std::process::id());
        let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&name);
        std::fs::create_dir_all(&scratch).unwrap();
        let given = std::env::var("HABITUE_KAFKA").ok();
        let ours = given.is_none();
        let address = given.unwrap_or_else(|| broker(&["start", &scratch.join("broker").to_string_lossy()]));
        if ours {
            stop_with_us(&scratch);
        }
        let analyses = without.split(',').filter(|analysis| !analysis.is_empty());
        let without = analyses.map(|analysis| format!("[analysis.{analysis}]\nenabled = false\n")).collect();
        Cluster { address, scratch, name, ours, without }
    }

    /// Writes a configuration and makes its topics. `inputs` names whose input topics it reads; records come
    /// from the [`load`] of that name.
    pub fn setting(&self, run: &str, inputs: &str, interval_ms: u64) -> Setting {
        let name = format!("{}-{run}", self.name);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap().port();
        let inputs = format!("{}-{inputs}", self.name);
        let text = format!(
            r#"[service]
instance = "bench"
http = "127.0.0.1:{http}"
[service.log]
format = "json"
level = "warn"
[kafka]
brokers = ["{brokers}"]
group = "{name}"
topic_prefix = "{name}."
[kafka.names]
purchases = "{inputs}.purchases"
engagements = "{inputs}.engagements"
feedback = "{inputs}.feedback"
[topics]
partitions = {PARTITIONS}
replication = 1
schemas = "{root}/schemas"
[engine]
transaction_interval = "{interval_ms}ms"
[snapshots]
folder = "{scratch}/{run}-snapshots"
{without}"#,
            without = self.without,
            brokers = self.address,
            root = env!("CARGO_MANIFEST_DIR"),
            scratch = self.scratch.display(),
        );
        let file = self.scratch.join(format!("{run}.toml"));
        std::fs::write(&file, text).unwrap();
        let made = Command::new(HABITUE).args(["topics", "create", "--config"]).arg(&file).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Setting { file, http }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ours {
            broker(&["stop", &self.scratch.join("broker").to_string_lossy()]);
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

fn broker(arguments: &[&str]) -> String {
    let output = Command::new(SCRIPT).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A run that is ended from outside takes its broker along.
#[allow(clippy::zombie_processes, reason = "it outlives this process, which is its purpose")]
fn stop_with_us(scratch: &std::path::Path) {
    use std::process::Stdio;
    let wait = r#"while kill -0 "$0" 2>/dev/null; do sleep 1; done; "$1" stop "$2/broker"; rm -rf "$2""#;
    Command::new("sh")
        .args(["-c", wait, &std::process::id().to_string(), SCRIPT])
        .arg(scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

/// Records of each input, by [`Input::index`] and partition.
pub type Counts = [[u64; PARTITIONS as usize]; Input::ALL.len()];

/// Writes events as the shop does: Confluent Avro, to the partition of the key, stamped with wall time.
pub struct Writer {
    appender: KafkaAppender,
    outgoing: Outgoing,
    pub counts: Counts,
}

impl Writer {
    /// `linger_ms`: how long the client gathers a batch.
    pub fn new(setting: &Setting, linger_ms: u32) -> Writer {
        let mut config = setting.kafka();
        config.client.insert("linger.ms".into(), linger_ms.to_string());
        let appender = KafkaLog::new(config).unwrap().appender().unwrap();
        let place = Place::new(Input::Purchases.into(), 0);
        let outgoing = Outgoing { place, key: Vec::new(), value: None, timestamp_ms: 0 };
        Writer { appender, outgoing, counts: Counts::default() }
    }

    pub fn write(&mut self, event: &Event<'_>) {
        let (input, schema) = input_of(event);
        let outgoing = &mut self.outgoing;
        let partition = partition_of(event.key(), PARTITIONS);
        outgoing.place = Place::new(input.into(), partition);
        outgoing.key.clear();
        outgoing.key.extend_from_slice(event.key().as_bytes());
        let mut value = outgoing.value.take().unwrap_or_default();
        value.clear();
        encode_event(event, Some(schema), &mut value);
        outgoing.value = Some(value);
        outgoing.timestamp_ms = now_ms();
        while let Err(error) = self.appender.append(outgoing) {
            assert!(matches!(error, LogError::Retry(_)), "{error}");
            self.appender.flush(Duration::from_millis(50)).unwrap();
        }
        self.counts[input.index()][partition as usize] += 1;
    }

    pub fn finish(&mut self) {
        assert!(self.appender.flush(Duration::from_secs(60)).unwrap(), "the broker did not take it all");
    }
}

/// What writing so many events of a workload will come to.
pub fn counts(workload: Workload, records: u64) -> Counts {
    let mut counts = Counts::default();
    for arrival in workload.events(SEED).take(records as usize) {
        let (input, _) = input_of(&arrival.event);
        counts[input.index()][partition_of(arrival.event.key(), PARTITIONS) as usize] += 1;
    }
    counts
}

fn input_of(event: &Event<'_>) -> (Input, u32) {
    match event {
        Event::Purchase(_) => (Input::Purchases, built_in::PURCHASE),
        Event::Engagement(_) => (Input::Engagements, built_in::ENGAGEMENT),
        Event::Feedback(_) => (Input::Feedback, built_in::FEEDBACK),
    }
}

/// Writes so many events of a workload.
pub fn load(setting: &Setting, workload: Workload, records: u64) -> Counts {
    let mut writer = Writer::new(setting, 20);
    for arrival in workload.events(SEED).take(records as usize) {
        assert!(arrival.arrival_ms < now_ms(), "the clock stands before the workload's events");
        writer.write(&arrival.event);
    }
    writer.finish();
    writer.counts
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
