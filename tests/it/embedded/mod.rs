//! The embedded log does what every log must do, and survives what only a log on a disk has to.

mod survival;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use habitue::edge::log::Place;
use habitue::edge::log::embedded::{EmbeddedConfig, EmbeddedLog, TopicConfig};
use habitue::signal::Topic;

use crate::log::Bench;

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("habitue-log-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Folder(std::env::temp_dir().join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn config(folder: &Path, partitions: u32) -> EmbeddedConfig {
    let topic = |topic: Topic| match topic {
        Topic::Models => TopicConfig { compacted: true, ..TopicConfig::new(8) },
        Topic::Control => TopicConfig::new(1),
        _ => TopicConfig::new(partitions),
    };
    EmbeddedConfig {
        folder: folder.to_path_buf(),
        owner: "a test".to_owned(),
        topics: Topic::ALL.into_iter().map(|name| (name, topic(name))).collect(),
        session_timeout_ms: 3_000,
        transaction_timeout_ms: 3_000,
        retention_check_ms: 3_600_000,
        free_bytes_min: 0,
    }
}

/// Folders live as long as the bench of one case.
struct Embedded(std::cell::RefCell<Vec<Folder>>);

impl Embedded {
    fn new() -> Embedded {
        Embedded(std::cell::RefCell::default())
    }
}

impl Bench for Embedded {
    type L = EmbeddedLog;

    fn fresh(&self, partitions: u32) -> EmbeddedLog {
        let folder = Folder::new();
        let log = EmbeddedLog::open(config(folder.path(), partitions)).expect("a new folder");
        self.0.borrow_mut().push(folder);
        log
    }

    fn let_time_pass(&self, _log: &EmbeddedLog, time: Duration) {
        std::thread::sleep(time);
    }

    fn delete_before(&self, log: &EmbeddedLog, place: Place, offset: u64) -> bool {
        log.delete_before(place, offset).is_ok()
    }

    fn silence(&self) -> Option<Duration> {
        Some(Duration::from_secs(4))
    }
}

crate::conformance!(Embedded::new());
