//! The shop goes on: its past is handed over to a service on a log in a folder, and its people act by the clock.
//!
//! Shop time runs faster than life, from the end of the past until it has caught up with the wall; then both are one.
//! An event that comes without a time happens now, in shop time.

mod driver;
mod latency;
mod view;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::past::Past;
use super::shop::Shop;
use crate::config::{Config, LogLevel, WireForm};
use crate::edge::backtest::Continued;
use crate::edge::clock::{Clock, wall_ms};
use crate::edge::connect::embedded_config;
use crate::edge::log::embedded::EmbeddedLog;
use crate::edge::service::{self, Companion, ServiceError, Started};
use crate::edge::shard::store::SnapshotStore;
use crate::event::TimeMs;
use driver::{Driver, Truths};
pub use view::Totals;
use view::View;

/// The past ends at midnight, and nobody wants to watch a shop asleep: what happens until ten comes at once.
const MORNING_MS: TimeMs = 10 * 3_600_000;
/// Longest time for snapshots to be written out.
const SETTLE: Duration = Duration::from_secs(30);

/// How the demo goes on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of log and snapshots; empty or not there.
    pub folder: PathBuf,
    pub http: SocketAddr,
    /// Shop time as a multiple of life, at least 1.
    pub speed: f64,
    /// Ends by itself after so long. None: with Ctrl-C.
    pub lasts: Option<Duration>,
}

/// Shop time: from where the past ends, faster than life, never ahead of the wall.
#[derive(Debug)]
pub struct ShopClock {
    from_ms: TimeMs,
    speed: f64,
    begun: OnceLock<Instant>,
}

impl Clock for ShopClock {
    fn now_ms(&self) -> TimeMs {
        let gone = self.begun.get().map_or(Duration::ZERO, Instant::elapsed);
        let gone_ms = (gone.as_secs_f64() * 1_000.0 * self.speed) as TimeMs;
        self.from_ms.saturating_add(gone_ms).min(wall_ms().max(self.from_ms))
    }
}

/// The configuration of the demo's service.
pub fn configuration(settings: &Settings) -> Config {
    let mut config = Config::default();
    config.service.http = settings.http;
    config.service.shards = 1;
    config.service.log.level = LogLevel::Error;
    config.log.folder = settings.folder.join("log");
    config.log.free_bytes_min = 64 << 20;
    config.snapshots.folder = settings.folder.join("snapshots");
    // As the past has it.
    config.topics.partitions = 1;
    config.topics.wire.outputs = WireForm::Json;
    config.analysis.anomaly.publish_scores = true;
    config
}

/// Runs until Ctrl-C. `shop` stands where `past` ends.
///
/// # Errors
/// Where the folder cannot be used, or the service cannot go on.
pub fn run(shop: Shop, past: &Past, left: Continued, settings: &Settings) -> Result<Totals, ServiceError> {
    let config = configuration(settings);
    let log = hand_over(left, &config)?;
    let from_ms = past.end_ms + MORNING_MS;
    let clock = ShopClock { from_ms, speed: settings.speed.max(1.0), begun: OnceLock::new() };
    let (clock, truths) = (Arc::new(clock), Arc::new(Mutex::new(Truths::after(past))));
    let wire = Arc::new(service::settings::wire(&config)?);
    let driver = Driver::new(shop, &log, wire, Arc::clone(&clock), Arc::clone(&truths))?;
    let ended = Arc::new(AtomicBool::new(false));
    let totals = Arc::new(Mutex::new(Totals::default()));
    let view = View::new(past, settings.speed, Arc::clone(&clock), Arc::clone(&truths), Arc::clone(&totals));
    let now = Arc::clone(&clock) as Arc<dyn Clock>;
    let (over, lasts) = (Arc::clone(&ended), settings.lasts);
    let started = move |started: Started| {
        // It is set once.
        let _ = clock.begun.set(Instant::now());
        let stop = started.stop.clone();
        let stopped = Arc::clone(&over);
        std::thread::spawn(move || driver.run(&stop, &stopped));
        std::thread::spawn(move || view.run(&started, &over, lasts));
    };
    let companion = Companion { log: Some(log.clone()), clock: Some(now), started: Some(Box::new(started)) };
    let result = service::run_with(&config, false, companion);
    ended.store(true, Ordering::Relaxed);
    log.closed(SETTLE);
    result?;
    let totals = totals.lock().map(|totals| totals.clone()).unwrap_or_default();
    Ok(totals)
}

/// Puts what the past left into a new log and a new folder of snapshots.
fn hand_over(left: Continued, config: &Config) -> Result<EmbeddedLog, ServiceError> {
    if has_anything(&config.log.folder) {
        let folder = config.log.folder.display();
        return Err(ServiceError::Guard(format!(
            "{folder} holds a log already; the demo begins with a new shop: name another folder"
        )));
    }
    let log = EmbeddedLog::open(embedded_config(config));
    let log = log.map_err(|error| ServiceError::Guard(error.to_string()))?;
    let held: Vec<_> = left.places.iter().map(|held| (held.place, held.ends, &*held.records)).collect();
    log.adopt(&held, &left.offsets)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| ServiceError::Failed(error.to_string()))?;
    let snapshots = service::snapshots(config, runtime.handle().clone())?;
    left.snapshots.into_iter().for_each(|snapshot| snapshots.submit(snapshot));
    if snapshots.settle(SETTLE) {
        return Ok(log);
    }
    Err(ServiceError::Failed("the snapshots of the past could not be written in time".to_owned()))
}

fn has_anything(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
