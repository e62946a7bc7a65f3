//! Threads: a restore beside its shard, an apply thread with its committer thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::apply::{Apply, HandOver};
use super::commit::{Committer, Report};
use super::{Restore, Restored, ShardError, Stage};
use crate::edge::log::Log;
use crate::edge::metrics::ShardStats;

/// A restore, on a thread of its own or driven by its owner.
pub enum RestoreSlot<R: Restore> {
    Inline(Box<R>),
    Thread { done: Receiver<Result<Restored<R::State>, ShardError>>, progress: Arc<AtomicU64> },
}

impl<R> RestoreSlot<R>
where
    R: Restore + 'static,
    R::State: Send + 'static,
{
    pub fn new(mut restore: R, thread: bool) -> RestoreSlot<R> {
        if !thread {
            return RestoreSlot::Inline(Box::new(restore));
        }
        let (send, done) = channel();
        let progress = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&progress);
        thread::spawn(move || {
            loop {
                let turned = restore.turn(Duration::from_millis(100)).transpose();
                shown.store(restore.progress().to_bits(), Ordering::Relaxed);
                if let Some(result) = turned {
                    // Nobody listens any more when the partition was given up meanwhile.
                    let _ = send.send(result);
                    return;
                }
                if Arc::strong_count(&shown) == 1 {
                    return;
                }
            }
        });
        RestoreSlot::Thread { done, progress }
    }

    /// # Errors
    /// When the restore was refused.
    pub fn turn(&mut self) -> Result<Option<Restored<R::State>>, ShardError> {
        match self {
            RestoreSlot::Inline(restore) => restore.turn(Duration::ZERO),
            RestoreSlot::Thread { done, .. } => match done.try_recv() {
                Ok(result) => result.map(Some),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(ShardError::Log(crate::edge::log::LogError::Fatal(
                    "the restore thread ended without an answer".into(),
                ))),
            },
        }
    }

    pub fn progress(&self) -> f64 {
        match self {
            RestoreSlot::Inline(restore) => restore.progress(),
            RestoreSlot::Thread { progress, .. } => f64::from_bits(progress.load(Ordering::Relaxed)),
        }
    }
}

/// Set once: everything is to finish and stop.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a shard tells the rest of the process, about every 50 ms.
pub trait Watcher<S>: Send {
    fn stats(&mut self, stats: ShardStats);
    /// Live partitions, and restoring ones with their progress.
    fn partitions(&mut self, live: &mut dyn Iterator<Item = (u32, &S)>, restoring: &[(u32, f64)]);
}

/// Runs a shard until `stop` is set and everything is committed, or until it fails. Blocks.
///
/// # Errors
/// When a guard refuses a partition, or the log is broken beyond use.
pub fn run<L: Log, S: Stage<L>>(
    mut apply: Apply<L, S>,
    committer: Committer<L>,
    stop: &Stop,
    watcher: &mut dyn Watcher<S::State>,
) -> Result<(), ShardError>
where
    S::State: 'static,
    S::Restore: 'static,
{
    let (submit, jobs) = channel();
    let (answer, reports) = channel();
    let committing = thread::Builder::new()
        .name("committer".into())
        .spawn(move || commit_thread(committer, &jobs, &answer))
        .map_err(|error| ShardError::Log(crate::edge::log::LogError::Fatal(error.to_string())))?;
    let result = apply_loop(&mut apply, &submit, &reports, stop, watcher);
    drop(submit);
    let _ = committing.join();
    result
}

/// Longest time to finish after `stop`.
const DRAIN_MAX: Duration = Duration::from_secs(20);
const WATCH_EVERY: Duration = Duration::from_millis(50);

fn apply_loop<L: Log, S: Stage<L>>(
    apply: &mut Apply<L, S>,
    submit: &Sender<HandOver<L>>,
    reports: &Receiver<Report>,
    stop: &Stop,
    watcher: &mut dyn Watcher<S::State>,
) -> Result<(), ShardError> {
    let mut watched = Instant::now();
    let mut draining: Option<Instant> = None;
    loop {
        while let Ok(report) = reports.try_recv() {
            apply.report(report);
        }
        if draining.is_none() && stop.is_set() {
            apply.drain();
            draining = Some(Instant::now());
        }
        if let Some(since) = draining
            && (apply.is_drained() || since.elapsed() > DRAIN_MAX)
        {
            // What is not drained stands ahead of the committed offset; a snapshot of it would be wrong.
            if apply.is_drained() {
                apply.last_snapshots();
            } else {
                tracing::warn!("could not drain in time; the journal will be followed at the next start");
            }
            watcher.stats(apply.take_stats());
            return Ok(());
        }
        if let Some(hand_over) = apply.turn(Duration::from_millis(2))?
            && submit.send(hand_over).is_err()
        {
            return Err(ShardError::Log(crate::edge::log::LogError::Fatal("the committer has died".into())));
        }
        if watched.elapsed() >= WATCH_EVERY {
            watched = Instant::now();
            watcher.stats(apply.take_stats());
            let restoring: Vec<(u32, f64)> = apply.restoring().collect();
            watcher.partitions(&mut apply.live(), &restoring);
        }
    }
}

fn commit_thread<L: Log>(mut committer: Committer<L>, jobs: &Receiver<HandOver<L>>, answer: &Sender<Report>) {
    loop {
        let wait = if committer.is_waiting() { Duration::from_millis(500) } else { Duration::ZERO };
        match jobs.recv_timeout(wait) {
            Ok(hand_over) => committer.take(hand_over),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody waits for an outcome. What is left open is ended by the next producer of this id.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(report) = committer.turn(Duration::from_millis(10))
            && answer.send(report).is_err()
        {
            return;
        }
    }
}
