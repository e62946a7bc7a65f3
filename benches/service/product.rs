//! The real `habitue run` as a child, seen from outside.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use habitue::edge::kafka::KafkaLog;
use habitue::edge::log::{Group, Place};
use habitue::signal::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::cluster::Setting;
use crate::machine;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Product {
    child: Child,
    http: u16,
    /// Standard error, one JSON object a line.
    pub log: PathBuf,
}

impl Product {
    /// Starts it. `filter` is for `RUST_LOG`.
    pub fn start(setting: &Setting, filter: &str) -> Product {
        let log = setting.file.with_extension("log");
        let child = Command::new(env!("CARGO_BIN_EXE_habitue"))
            .args(["run", "--config"])
            .arg(&setting.file)
            .env("RUST_LOG", filter)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Product { child, http: setting.http, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time so far, of the whole process.
    pub fn cpu_seconds(&mut self) -> f64 {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("habitue ended: {status}\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        machine::cpu_seconds(self.child.id()).unwrap()
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Waits until it owns its partitions and says that it is ready.
    pub fn await_ready(&mut self) {
        let begun = Instant::now();
        while !self.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            self.cpu_seconds();
            assert!(begun.elapsed() < PATIENCE, "habitue is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sum of a metric over all its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values =
            text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Committed offsets of a group, read without belonging to it.
pub struct Committed {
    client: BaseConsumer,
    log: KafkaLog,
}

impl Committed {
    pub fn new(setting: &Setting, address: &str, group: Group) -> Committed {
        let log = KafkaLog::new(setting.kafka()).unwrap();
        let client = ClientConfig::new()
            .set("bootstrap.servers", address)
            .set("group.id", log.group_name(group))
            .create()
            .unwrap();
        Committed { client, log }
    }

    /// Whether the group has committed all these next offsets or later ones.
    pub fn has_reached(&self, wanted: &[(Place, u64)]) -> bool {
        let mut list = TopicPartitionList::new();
        for (place, _) in wanted {
            list.add_partition(self.log.topic_name(place.topic), place.partition as i32);
        }
        let Ok(found) = self.client.committed_offsets(list, Duration::from_secs(5)) else { return false };
        wanted.iter().all(|(place, next)| {
            let at = found.find_partition(self.log.topic_name(place.topic), place.partition as i32);
            let offset = at.map(|at| at.offset());
            matches!(offset, Some(Offset::Offset(offset)) if offset >= *next as i64) || *next == 0
        })
    }

    /// Where the places end now.
    pub fn ends(&self, topic: Topic, partitions: u32) -> Vec<(Place, u64)> {
        let end = |partition| {
            let name = self.log.topic_name(topic);
            let (_, high) = self.client.fetch_watermarks(name, partition as i32, PATIENCE).unwrap();
            (Place::new(topic, partition), high as u64)
        };
        (0..partitions).map(end).collect()
    }
}
