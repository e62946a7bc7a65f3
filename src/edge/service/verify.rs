//! Verify mode: every partition's journal followed and what it says made anew, beside the service or
//! while it is stopped. Joins no group and writes nothing. On the embedded log only while the service is stopped:
//! one process owns the folder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::home::{Home, existing_log, kafka_log};
use super::{ServiceError, control, patiently, settings, snapshots};
use crate::config::Config;
use crate::edge::clock::WallClock;
use crate::edge::log::LogError;
use crate::edge::shard::Environment;
use crate::edge::shard::contents::Contents;
use crate::edge::shard::customer::verify::{Verified, Verify};
use crate::edge::shard::jobs::JobThread;
use crate::edge::shard::shared::{Shared, SharedReader};
use crate::edge::shard::threads::Stop;
use crate::signal::Topic;

/// Longest wait for the log at a time.
const WAIT: Duration = Duration::from_millis(100);
/// Times in a row that the log may say "not yet".
const RETRIES_MAX: u32 = 50;

/// Verifies these partitions in turn. `progress` is told of partition and part done, 0 to 1.
///
/// # Errors
/// `Configuration`, `Guard` and `Broker` as at the start of the service. A difference is no error: it is in
/// what is returned.
pub fn verify(
    config: &Config,
    partitions: &[u32],
    progress: &mut dyn FnMut(u32, f64),
) -> Result<Vec<Verified>, ServiceError> {
    if config.has_embedded_log() {
        return verify_on(existing_log(config)?, config, partitions, progress);
    }
    verify_on(kafka_log(config)?, config, partitions, progress)
}

fn verify_on<L: Home>(
    log: L,
    config: &Config,
    partitions: &[u32],
    progress: &mut dyn FnMut(u32, f64),
) -> Result<Vec<Verified>, ServiceError> {
    let (patience, never) = (Instant::now() + config.kafka.connect_timeout, Stop::default());
    patiently(patience, &never, || log.guard_topics(config))?;
    let models = patiently(patience, &never, || Ok(log.partitions(Topic::Models)?))?.unwrap_or(1);
    let wire = Arc::new(settings::wire(config)?);
    let shared = Arc::new(Shared::new(settings::epoch(config, models)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime =
        runtime.map_err(|error| ServiceError::Failed(format!("the runtime cannot start: {error}")))?;
    let store = Arc::new(snapshots(config, runtime.handle().clone())?);
    let contents = Arc::clone(&store) as Arc<dyn Contents>;
    let new_reader =
        || Ok(SharedReader::new(&log, Arc::clone(&wire), Arc::clone(&contents), Arc::clone(&shared))?);
    let mut reader = patiently(patience, &never, new_reader)?;
    control::read_to_end(&mut reader, &shared, &never)?;
    drop(reader);
    let environment = Environment {
        log,
        store,
        contents,
        jobs: Arc::new(JobThread::default()),
        clock: Arc::new(WallClock),
        shared,
        wire,
        config: Arc::new(settings::shard(config, 0)),
        engine: Arc::new(settings::engine(config)),
    };
    partitions.iter().map(|partition| one(&environment, *partition, progress)).collect()
}

fn one<L: Home>(
    environment: &Environment<L>,
    partition: u32,
    progress: &mut dyn FnMut(u32, f64),
) -> Result<Verified, ServiceError> {
    let mut verify = Verify::new(environment.clone(), partition);
    let mut retries = 0;
    loop {
        match verify.turn(WAIT) {
            Ok(Some(verified)) => return Ok(verified),
            Ok(None) => retries = 0,
            Err(LogError::Retry(_)) if retries < RETRIES_MAX => {
                retries += 1;
                std::thread::sleep(WAIT);
            }
            Err(error) => return Err(error.into()),
        }
        progress(partition, verify.progress());
    }
}
