//! The service: from a configuration to running shards, and back down without losing anything.
//!
//! Start-up goes from what costs nothing to what joins the group: settings, topics, shared state, control,
//! keys, then shards. Whatever a guard refuses is refused before the group is joined, so that an instance
//! that cannot work takes no partition from one that can.

mod api;
pub mod check;
mod control;
mod guards;
mod home;
mod lag;
pub mod settings;
pub mod totals;
pub mod verify;
mod watch;

use std::cell::Cell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::config::Config;
use crate::edge::clock::{Clock, WallClock};
use crate::edge::http::api::Late;
use crate::edge::http::{Health, Server, Shown};
use crate::edge::log::embedded::EmbeddedLog;
use crate::edge::log::{Log, LogError};
use crate::edge::metrics::{Metrics, stage_name};
use crate::edge::recent::Recent;
use crate::edge::shard::apply::Apply;
use crate::edge::shard::commit::Committer;
use crate::edge::shard::contents::Contents;
use crate::edge::shard::customer::CustomerStage;
use crate::edge::shard::jobs::JobThread;
use crate::edge::shard::market::MarketStage;
use crate::edge::shard::shared::{Shared, SharedReader};
use crate::edge::shard::store::ObjectSnapshots;
use crate::edge::shard::threads::{Stop, run as run_shard};
use crate::edge::shard::{Environment, ShardError, Stage};
use crate::edge::version::Version;
use crate::signal::Topic;
use home::{Home, embedded_log, kafka_log};
use watch::{Observed, ShardWatcher, Shows};

/// Why the service did not start, or ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The file, a secret, a schema, a folder.
    #[error("{0}")]
    Configuration(String),
    /// What is in the log or in the snapshots does not fit; names the way out.
    #[error("{0}")]
    Guard(String),
    #[error(transparent)]
    Broker(#[from] LogError),
    #[error("{0}")]
    Failed(String),
}

impl From<ShardError> for ServiceError {
    fn from(error: ShardError) -> ServiceError {
        match error {
            ShardError::Refused { .. } => ServiceError::Guard(error.to_string()),
            ShardError::Log(error) => ServiceError::Broker(error),
        }
    }
}

/// Longest time for snapshots to be written out at the end.
const SETTLE: Duration = Duration::from_secs(20);
/// An instance that gets no partition within this long is ready all the same: there are enough others.
const JOINED_AFTER: Duration = Duration::from_secs(10);

/// Runs until a signal or a fault. SIGTERM and SIGINT drain; a second one ends the process at once.
///
/// # Errors
/// Why it did not start or could not go on. A drain that was asked for is no error.
pub fn run(config: &Config, apply_settings: bool) -> Result<(), ServiceError> {
    run_with(config, apply_settings, Companion::default())
}

/// What a run is given where it is part of something larger.
#[derive(Default)]
pub struct Companion {
    /// Already open; else the configuration says which.
    pub log: Option<EmbeddedLog>,
    /// What "now" is to events that come without a time; else wall time.
    pub clock: Option<Arc<dyn Clock>>,
    /// Called when the service has started, on a thread that waits for it.
    pub started: Option<OnStart>,
}

/// What is called when the service has started.
pub type OnStart = Box<dyn FnOnce(Started)>;

/// A service that has started.
pub struct Started {
    /// Set it to drain and end; it is set where the service ends by itself.
    pub stop: Stop,
    /// Where it serves HTTP.
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub recent: Arc<Recent>,
}

/// As [`run`], with a companion.
///
/// # Errors
/// As [`run`].
pub fn run_with(config: &Config, apply_settings: bool, companion: Companion) -> Result<(), ServiceError> {
    let failed = |what: &str, error: std::io::Error| ServiceError::Failed(format!("{what}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("runtime")
        .enable_all()
        .build()
        .map_err(|error| failed("the runtime cannot start", error))?;
    let (stop, health) = (Stop::default(), Arc::new(Health::new()));
    stop_on_signals(&runtime, &stop, &health).map_err(|error| failed("signals cannot be heard", error))?;
    let metrics = Arc::new(Metrics::new(Version::of_this_build()));
    let token = config.service.http_token.as_ref().map(|secret| secret.resolve()).transpose();
    let token = token.map_err(|error| ServiceError::Configuration(error.to_string()))?.map(Arc::from);
    let api = Late::default();
    let shown =
        Shown { metrics: Arc::clone(&metrics), health: Arc::clone(&health), token, api: Arc::clone(&api) };
    let server = Server::start(config.service.http, shown).map_err(|error| {
        ServiceError::Configuration(format!(
            "service.http: {} cannot be served: {error}",
            config.service.http
        ))
    })?;
    tracing::info!(instance = config.service.instance, http = %server.address(), "starting");
    let snapshots = Arc::new(snapshots(config, runtime.handle().clone())?);
    let observed = Arc::new(Observed::new(metrics, Arc::clone(&health), snapshots));
    let Companion { log, clock, started } = companion;
    let run = Run {
        config,
        apply_settings,
        stop: &stop,
        observed: &observed,
        api: &api,
        clock: clock.unwrap_or_else(|| Arc::new(WallClock)),
        started: Cell::new(started),
        address: server.address(),
    };
    let result = match log {
        Some(log) => run.on(Ok(log)),
        None if config.has_embedded_log() => run.on(embedded_log(config)),
        None => run.on(kafka_log(config)),
    };
    if let Err(error) = &result {
        health.failed(&error.to_string());
    }
    if !observed.snapshots.settle(SETTLE) {
        tracing::warn!("the last snapshots could not be written in time; the journal will be followed");
    }
    server.stop();
    tracing::info!("ended");
    result
}

/// What a run needs beside its log.
struct Run<'a> {
    config: &'a Config,
    apply_settings: bool,
    stop: &'a Stop,
    observed: &'a Arc<Observed>,
    /// Filled when everything has started.
    api: &'a Late,
    clock: Arc<dyn Clock>,
    started: Cell<Option<OnStart>>,
    address: SocketAddr,
}

impl Run<'_> {
    fn on<L: Home>(&self, log: Result<L, ServiceError>) -> Result<(), ServiceError> {
        match Service::start(log?, self)? {
            Some(service) => service.until_stopped(self.stop, self.observed),
            None => Ok(()),
        }
    }
}

/// Snapshots in the configured folder, which is made when missing.
///
/// # Errors
/// `Configuration` where the folder cannot be used.
pub fn snapshots(config: &Config, runtime: tokio::runtime::Handle) -> Result<ObjectSnapshots, ServiceError> {
    let folder = &config.snapshots.folder;
    let refuse = |error: String| {
        ServiceError::Configuration(format!("snapshots.folder: {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| refuse(error.to_string()))?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| refuse(error.to_string()))?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    Ok(ObjectSnapshots::new(store, runtime, config.snapshots.keep as usize))
}

fn stop_on_signals(
    runtime: &tokio::runtime::Runtime,
    stop: &Stop,
    health: &Arc<Health>,
) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _inside = runtime.enter();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, health) = (stop.clone(), Arc::clone(health));
    runtime.spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("draining; a second signal ends the process at once");
                health.draining();
                stop.set();
            } else {
                tracing::warn!("ended at once; the next start follows the journal");
                std::process::exit(1);
            }
        }
    });
    Ok(())
}

/// The threads of a running service.
struct Service {
    /// Shards, whose end is the service's end.
    shards: Vec<JoinHandle<()>>,
    /// Threads that serve them, and end after them.
    servants: Vec<JoinHandle<()>>,
    servants_stop: Stop,
    results: Receiver<Result<(), ServiceError>>,
}

impl Service {
    /// Passes every guard and starts the threads. None where a signal came first.
    fn start<L: Home>(log: L, run: &Run<'_>) -> Result<Option<Service>, ServiceError> {
        let Run { config, apply_settings, stop, observed, .. } = *run;
        let engine = Arc::new(settings::engine(config));
        let wire = Arc::new(settings::wire(config)?);
        let patience = Instant::now() + config.kafka.connect_timeout;
        patiently(patience, stop, || log.guard_topics(config))?;
        let models = patiently(patience, stop, || Ok(log.partitions(Topic::Models)?))?.unwrap_or(1);
        let shared = Arc::new(Shared::new(settings::epoch(config, models)));
        let contents = Arc::clone(&observed.snapshots) as Arc<dyn Contents>;
        let new_reader =
            || Ok(SharedReader::new(&log, Arc::clone(&wire), Arc::clone(&contents), Arc::clone(&shared))?);
        let mut reader = patiently(patience, stop, new_reader)?;
        control::read_to_end(&mut reader, &shared, stop)?;
        if stop.is_set() {
            return Ok(None);
        }
        let published = settings::published(config);
        let now_ms = WallClock.now_ms();
        control::agree(&log, &wire, (&mut reader, &shared), &published, apply_settings, now_ms)?;
        patiently(patience, stop, || guards::keys(&log, config.topics.partitions))?;
        if stop.is_set() {
            return Ok(None);
        }
        let environment = Environment {
            log,
            store: Arc::clone(&observed.snapshots) as _,
            contents,
            jobs: Arc::new(JobThread::default()),
            clock: Arc::new(WallClock),
            shared,
            wire,
            config: Arc::new(settings::shard(config, 0)),
            engine,
        };
        Service::spawn(run, &environment, reader).map(Some)
    }

    fn spawn<L: Log>(
        run: &Run<'_>,
        environment: &Environment<L>,
        reader: SharedReader<L>,
    ) -> Result<Service, ServiceError> {
        let Run { config, stop, observed, .. } = *run;
        let (report, results) = channel();
        let servants_stop = Stop::default();
        let mut service = Service { shards: Vec::new(), servants: Vec::new(), servants_stop, results };
        service.spawn_servants(environment, reader, &report, observed)?;
        service.serve_api(run, environment)?;
        for number in 0..shards(config) {
            let environment = of_shard(environment, config, number);
            let fast = config.engine.fast_alerts.then(|| environment.log.appender()).transpose()?;
            let stage = move || Ok(CustomerStage::new(environment, fast));
            service.spawn_shard(config, number, stage, stop, &report, observed)?;
        }
        let environment = of_shard(environment, config, 0);
        let stage = move || Ok(MarketStage::new(environment)?);
        service.spawn_shard(config, 0, stage, stop, &report, observed)?;
        Ok(service)
    }

    fn spawn_servants<L: Log>(
        &mut self,
        environment: &Environment<L>,
        mut reader: SharedReader<L>,
        report: &Sender<Result<(), ServiceError>>,
        observed: &Arc<Observed>,
    ) -> Result<(), ServiceError> {
        let (stop, shared) = (self.servants_stop.clone(), Arc::clone(&environment.shared));
        let (seen, failed) = (Arc::clone(observed), report.clone());
        self.servants.push(thread("shared", move || {
            let mut shown = Instant::now();
            while !stop.is_set() {
                match reader.turn(Duration::from_millis(50)) {
                    Ok(_) => {}
                    Err(error) => {
                        let _ = failed.send(Err(error.into()));
                        return;
                    }
                }
                if shown.elapsed() > Duration::from_secs(5) {
                    shown = Instant::now();
                    seen.models(&shared.epoch());
                }
            }
        })?);
        let (stop, log, seen) = (self.servants_stop.clone(), environment.log.clone(), Arc::clone(observed));
        self.servants.push(thread("lag", move || {
            if let Err(error) = seen.lags.follow(&log, &seen.health, &stop) {
                tracing::warn!(%error, "lag will not be shown");
            }
        })?);
        Ok(())
    }

    fn spawn_shard<L: Log, S: Stage<L> + 'static>(
        &mut self,
        config: &Config,
        number: usize,
        stage: impl FnOnce() -> Result<S, ServiceError> + Send + 'static,
        stop: &Stop,
        report: &Sender<Result<(), ServiceError>>,
        observed: &Arc<Observed>,
    ) -> Result<(), ServiceError>
    where
        S::State: Shows,
    {
        let name = stage_name(S::GROUP);
        // The log puts the group in front. The same after a restart, so that it ends what was left open.
        let transactional_id = format!("{name}-{}-{number}", config.service.instance);
        let (stop, report) = (stop.clone(), report.clone());
        let mut watcher = ShardWatcher::new(Arc::clone(observed));
        let shard = move || {
            let stage = stage()?;
            let log = stage.environment().log.clone();
            let begun = Instant::now();
            let committer =
                Committer::new(log, S::GROUP, transactional_id, Box::new(move || begun.elapsed()));
            run_shard(Apply::new(stage, true)?, committer, &stop, &mut watcher)?;
            Ok(())
        };
        let thread_name = format!("{name}-{number}");
        let called = thread_name.clone();
        self.shards.push(thread(&thread_name, move || {
            let result = catch_unwind(AssertUnwindSafe(shard))
                .unwrap_or_else(|_| Err(ServiceError::Failed(format!("shard {called} has panicked"))));
            // Nobody listens only when the service has ended already.
            let _ = report.send(result);
        })?);
        Ok(())
    }

    /// Waits for the shards; the first fault stops them all and is the result.
    fn until_stopped(self, stop: &Stop, observed: &Observed) -> Result<(), ServiceError> {
        let (mut running, mut result, begun, mut is_ready) =
            (self.shards.len(), Ok(()), Instant::now(), false);
        while running > 0 {
            match self.results.recv_timeout(Duration::from_millis(100)) {
                Ok(Ok(())) => running -= 1,
                Ok(Err(error)) => {
                    running -= 1;
                    tracing::error!(%error, "cannot go on; the other shards drain");
                    observed.health.failed(&error.to_string());
                    stop.set();
                    result = result.and(Err(error));
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let joined = observed.health.has_partitions() || begun.elapsed() > JOINED_AFTER;
            if joined && !is_ready && !stop.is_set() {
                is_ready = true;
                observed.health.started();
            }
        }
        self.servants_stop.set();
        for thread in self.shards.into_iter().chain(self.servants) {
            // A panic was reported by the thread itself, or is in the log.
            let _ = thread.join();
        }
        result
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServiceError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| ServiceError::Failed(format!("thread {name} cannot start: {error}")))
}

/// Asks again while the broker says "not yet", as it does for a moment after topics were made, until
/// `deadline` or a signal.
fn patiently<T>(
    deadline: Instant,
    stop: &Stop,
    mut ask: impl FnMut() -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    loop {
        match ask() {
            Err(ServiceError::Broker(LogError::Retry(reason)))
                if Instant::now() < deadline && !stop.is_set() =>
            {
                tracing::debug!(reason, "asking again");
                std::thread::sleep(Duration::from_millis(100));
            }
            answer => return answer,
        }
    }
}

fn shards(config: &Config) -> usize {
    match config.service.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        shards => usize::from(shards),
    }
}

fn of_shard<L: Log>(environment: &Environment<L>, config: &Config, number: usize) -> Environment<L> {
    Environment { config: Arc::new(settings::shard(config, number)), ..environment.clone() }
}
