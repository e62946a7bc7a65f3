//! Jobs of the market stage: work too long for one call, whose result comes back as a record of facts.
//!
//! A job is started while a tick is applied to a live partition, at once: its number and its input are functions of
//! the facts up to that tick, whoever folds them, so it makes no difference whether the batch is committed, sent
//! again or folded anew by another owner. What dies with its process is started again by whoever restores the
//! partition, because the partition waits for it still. A result that is written twice is ignored the second time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::analysis::{Descriptor, Job};
use crate::edge::metrics::ShardStats;
use crate::event::TimeMs;
use crate::signal::fact::FactRecord;

/// Writes out the input and computes the result.
pub type Work = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// What runs jobs; one for the process.
pub trait Jobs: Send + Sync {
    /// Begins the work. None where there is no room for it now.
    fn start(&self, work: Work) -> Option<Box<dyn Running>>;
}

/// Work under way. Dropping it forgets the result.
pub trait Running: Send {
    /// None while it goes on.
    fn poll(&mut self) -> Option<Outcome>;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Done {
        result: Vec<u8>,
        took: Duration,
    },
    /// It has panicked, and would again.
    Died,
}

/// One job at a time, on a thread of its own.
#[derive(Debug, Default)]
pub struct JobThread(Arc<AtomicBool>);

struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Jobs for JobThread {
    fn start(&self, work: Work) -> Option<Box<dyn Running>> {
        self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let busy = Busy(Arc::clone(&self.0));
        let (done, answer) = channel();
        let run = move || {
            let _busy = busy;
            let began = Instant::now();
            let result = work();
            // Nobody listens any more when the partition was given up meanwhile.
            let _ = done.send(Outcome::Done { result, took: began.elapsed() });
        };
        thread::Builder::new().name("job".into()).spawn(run).ok()?;
        Some(Box::new(OnThread(answer)))
    }
}

struct OnThread(Receiver<Outcome>);

impl Running for OnThread {
    fn poll(&mut self) -> Option<Outcome> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Outcome::Died),
        }
    }
}

/// Jobs done where they are started, for a caller who waits for everything anyway.
#[derive(Debug, Default)]
pub struct InlineJobs;

struct Finished(Option<Outcome>);

impl Jobs for InlineJobs {
    fn start(&self, work: Work) -> Option<Box<dyn Running>> {
        let began = Instant::now();
        let result = work();
        Some(Box::new(Finished(Some(Outcome::Done { result, took: began.elapsed() }))))
    }
}

impl Running for Finished {
    fn poll(&mut self) -> Option<Outcome> {
        self.0.take()
    }
}

/// A written result that is not applied after so long is taken for lost: plain records may be.
const LOST_AFTER_MS: TimeMs = 30_000;

/// The jobs of one live partition, by analysis and number.
#[derive(Default)]
pub struct Attended(BTreeMap<(u8, u64), State>);

enum State {
    Running(Box<dyn Running>),
    Written {
        at_ms: TimeMs,
    },
    /// Not to be tried again in this process.
    Failed,
}

impl Attended {
    /// Starts those of `awaited` that are not under way. Returns the results that have come, to be written. A result
    /// larger than `bytes_max` is refused: no job of ours comes near, the largest has 40 bytes.
    pub fn attend(
        &mut self,
        awaited: impl Iterator<Item = (&'static Descriptor, Job)>,
        jobs: &dyn Jobs,
        (now_ms, bytes_max): (TimeMs, usize),
        stats: &mut ShardStats,
    ) -> Vec<FactRecord> {
        let mut results = Vec::new();
        let mut before = std::mem::take(&mut self.0);
        for (descriptor, job) in awaited {
            let (key, name) = ((descriptor.id, job.number), descriptor.name);
            let state = match before.remove(&key) {
                Some(State::Written { at_ms }) if now_ms - at_ms >= LOST_AFTER_MS => None,
                state => state,
            };
            let Some(state) = state.or_else(|| start(descriptor, job, jobs, stats)) else { continue };
            let state = match state {
                State::Running(mut running) => match running.poll() {
                    None => State::Running(running),
                    Some(Outcome::Done { result, took }) if result.len() <= bytes_max => {
                        stats.job_seconds.entry(name).or_default().observe(took);
                        let (analysis, job) = key;
                        results.push(FactRecord::Job { analysis, job, result });
                        State::Written { at_ms: now_ms }
                    }
                    Some(outcome) => {
                        let died = outcome == Outcome::Died;
                        tracing::error!(
                            analysis = name,
                            job = key.1,
                            died,
                            "a job has failed; it is left out"
                        );
                        State::Failed
                    }
                },
                state => state,
            };
            self.0.insert(key, state);
        }
        results
    }
}

fn start(descriptor: &Descriptor, job: Job, jobs: &dyn Jobs, stats: &mut ShardStats) -> Option<State> {
    let run = descriptor.job?;
    let input = job.input;
    let running = jobs.start(Box::new(move || run(&input())))?;
    *stats.jobs_started.entry(descriptor.name).or_default() += 1;
    Some(State::Running(running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::REGISTRY;
    use crate::edge::log::Group;

    const PLAIN: Descriptor = Descriptor { job: Some(|input| [input, b"!"].concat()), ..REGISTRY[0] };
    const PANICS: Descriptor = Descriptor { job: Some(|_| panic!("as told")), ..REGISTRY[1] };

    fn job(number: u64) -> Job {
        Job { number, input: Box::new(move || vec![number as u8]) }
    }

    /// Attends until nothing is under way; what is to be written.
    fn attend(attended: &mut Attended, jobs: &dyn Jobs, numbers: &[u64], now_ms: TimeMs) -> Vec<u64> {
        let mut written = Vec::new();
        for _ in 0..2_000 {
            let mut stats = ShardStats::new(Group::Market);
            let awaited = numbers.iter().map(|number| (&PLAIN, job(*number)));
            for record in attended.attend(awaited, jobs, (now_ms, 10), &mut stats) {
                let FactRecord::Job { job, result, .. } = record else { panic!("{record:?}") };
                assert_eq!(result, vec![job as u8, b'!']);
                written.push(job);
            }
            let state = |number: &u64| attended.0.get(&(PLAIN.id, *number));
            if numbers.iter().all(|number| matches!(state(number), Some(State::Written { .. }))) {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        written
    }

    #[test]
    fn a_job_is_run_once_and_again_where_its_result_is_lost() {
        for jobs in [&InlineJobs as &dyn Jobs, &JobThread::default()] {
            let mut attended = Attended::default();
            assert_eq!(attend(&mut attended, jobs, &[1, 2], 0), [1, 2]);
            assert_eq!(attend(&mut attended, jobs, &[1, 2], LOST_AFTER_MS - 1), [0; 0]);
            assert_eq!(attend(&mut attended, jobs, &[2], LOST_AFTER_MS - 1), [0; 0]);
            assert_eq!(attend(&mut attended, jobs, &[2], LOST_AFTER_MS), [2]);
            assert_eq!(attended.0.len(), 1, "what was answered is forgotten");
        }
    }

    #[test]
    fn one_at_a_time_and_a_panic_is_the_end_of_one_job_only() {
        let jobs = JobThread::default();
        let (go, wait) = channel::<()>();
        let mut first =
            jobs.start(Box::new(move || wait.recv().map(|()| Vec::new()).unwrap_or_default())).expect("room");
        assert!(jobs.start(Box::new(Vec::new)).is_none());
        go.send(()).expect("it waits");
        while first.poll().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        let (mut attended, mut stats) = (Attended::default(), ShardStats::new(Group::Market));
        let mut failed = false;
        for _ in 0..2_000 {
            let awaited = std::iter::once((&PANICS, job(1)));
            assert_eq!(attended.attend(awaited, &jobs, (0, 10), &mut stats), []);
            failed = matches!(attended.0.get(&(PANICS.id, 1)), Some(State::Failed));
            thread::sleep(Duration::from_millis(1));
        }
        assert!(failed);
        assert_eq!(stats.jobs_started.values().sum::<u64>(), 1);
        assert_eq!(attend(&mut Attended::default(), &jobs, &[9], 0), [9], "others go on");
    }

    #[test]
    fn a_result_that_is_too_large_is_not_written() {
        let (mut attended, mut stats) = (Attended::default(), ShardStats::new(Group::Market));
        let awaited = std::iter::once((&PLAIN, job(1)));
        assert_eq!(attended.attend(awaited, &InlineJobs, (0, 1), &mut stats), []);
        assert!(matches!(attended.0.get(&(PLAIN.id, 1)), Some(State::Failed)));
    }
}
