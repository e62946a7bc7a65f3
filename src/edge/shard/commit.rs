//! The committer: takes a sealed batch through one transaction, and makes every failure definite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::apply::HandOver;
use super::batch::{Batch, Chunk};
use crate::edge::log::{Group, Log, LogError, Place, Producer};

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// By partition: the new committed offset of the lead.
    Committed { number: u64, leads: BTreeMap<u32, u64>, phases: Phases },
    /// Definitely ended by now, committed or not: read the committed offsets to know. `leads` is what they
    /// are if this very batch was committed; None where it cannot have been.
    Failed { number: u64, error: LogError, leads: Option<BTreeMap<u32, u64>> },
}

/// Time spent, for the histograms, by a clock that the committer is given.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Phases {
    pub drain: Duration,
    pub offsets: Duration,
    pub commit: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No usable producer: make one and initialise it.
    Init,
    /// No transaction is open.
    Idle,
    Begin,
    /// A transaction is open, and chunks are sent or awaited.
    Send,
    Drain,
    Offsets,
    Commit,
    Abort,
}

/// Owns the transactional producer of one shard.
///
/// A batch may be fed while it is still open: its first chunks then lie with the broker when it is sealed, and
/// the drain is short. Nothing is fed before the batch in front of it is committed.
pub struct Committer<L: Log> {
    log: L,
    group: Group,
    transactional_id: String,
    producer: Option<L::Producer>,
    phase: Phase,
    job: Option<(Arc<Batch>, L::Metadata)>,
    /// The batch that the chunks are of, and how many of them are sent, with records of the next.
    number: Option<u64>,
    chunks: Vec<Chunk>,
    sent: (usize, usize),
    /// A batch that failed while it was fed: it is sent when it comes whole.
    unfed: Option<u64>,
    /// Why the batch at hand failed, while it is being made definite.
    failure: Option<LogError>,
    /// Offsets handed to the transaction, from the moment it may be committed.
    leads: Option<BTreeMap<u32, u64>>,
    phases: Phases,
    /// Elapsed time since an arbitrary moment.
    elapsed: Box<dyn Fn() -> Duration + Send>,
}

impl<L: Log> Committer<L> {
    /// `transactional_id` is group, instance and shard: a restart under the same name ends the
    /// transaction that it left open.
    pub fn new(
        log: L,
        group: Group,
        transactional_id: String,
        elapsed: Box<dyn Fn() -> Duration + Send>,
    ) -> Committer<L> {
        Committer {
            log,
            group,
            transactional_id,
            producer: None,
            phase: Phase::Init,
            job: None,
            number: None,
            chunks: Vec::new(),
            sent: (0, 0),
            unfed: None,
            failure: None,
            leads: None,
            phases: Phases::default(),
            elapsed,
        }
    }

    /// Takes what apply hands over. The batch before must have been reported.
    pub fn take(&mut self, hand_over: HandOver<L>) {
        assert!(self.job.is_none(), "hand-over has depth one");
        match hand_over {
            HandOver::Feed { number, chunks } => self.feed(number, chunks),
            HandOver::Drop => self.forget(),
            HandOver::Submit { batch, metadata } => self.submit(batch, metadata),
        }
    }

    /// Whether there is nothing to do before the next hand-over.
    pub fn is_waiting(&self) -> bool {
        match self.phase {
            Phase::Idle => true,
            Phase::Send => self.job.is_none() && self.sent.0 == self.chunks.len(),
            _ => false,
        }
    }

    fn feed(&mut self, number: u64, chunks: Vec<Chunk>) {
        if self.unfed == Some(number) {
            return;
        }
        if self.number != Some(number) {
            self.forget();
            self.number = Some(number);
        }
        self.chunks.extend(chunks);
        if self.phase == Phase::Idle {
            self.phase = Phase::Begin;
        }
    }

    /// What was fed must not be committed.
    fn forget(&mut self) {
        self.number = None;
        self.chunks.clear();
        self.phase = match self.phase {
            Phase::Begin => Phase::Idle,
            Phase::Send => Phase::Abort,
            other => other,
        };
    }

    fn submit(&mut self, batch: Arc<Batch>, metadata: L::Metadata) {
        let is_listed = !batch.offsets.is_empty() || !batch.leads.is_empty();
        assert!(is_listed, "an empty offset list skips the fence");
        if self.number != Some(batch.number) {
            self.forget();
        }
        // What was fed of it stands in front.
        self.chunks.clone_from(&batch.chunks);
        self.number = Some(batch.number);
        self.job = Some((batch, metadata));
        if self.phase == Phase::Idle {
            self.phase = Phase::Begin;
        }
    }

    /// One call of the log at most, waiting at most `wait`.
    pub fn turn(&mut self, wait: Duration) -> Option<Report> {
        let before = (self.elapsed)();
        let phase = self.phase;
        let result = self.step(wait);
        let spent = (self.elapsed)().saturating_sub(before);
        match phase {
            Phase::Drain => self.phases.drain += spent,
            Phase::Offsets => self.phases.offsets += spent,
            Phase::Commit => self.phases.commit += spent,
            _ => {}
        }
        match result {
            // The report was made inside the step, before the step's own time was known.
            Ok(Some(Report::Committed { number, leads, .. })) => {
                Some(Report::Committed { number, leads, phases: self.phases })
            }
            Ok(report) => report,
            Err(error) => {
                self.fail(phase, error);
                None
            }
        }
    }

    fn step(&mut self, wait: Duration) -> Result<Option<Report>, LogError> {
        match self.phase {
            Phase::Init => return self.init(),
            Phase::Idle => {}
            Phase::Begin => {
                self.phases = Phases::default();
                self.leads = None;
                self.sent = (0, 0);
                self.producer()?.begin()?;
                self.phase = Phase::Send;
            }
            Phase::Send => self.send()?,
            Phase::Drain => {
                if self.producer()?.drain(wait)? {
                    self.phase = Phase::Offsets;
                }
            }
            Phase::Offsets => {
                let offsets = self.offsets()?;
                let lead = self.group.lead();
                let leads = offsets.iter().filter(|(place, _)| place.topic == lead);
                let leads = leads.map(|(place, next)| (place.partition, *next)).collect();
                let group = self.group;
                let metadata = self.job.as_ref().map(|(_, metadata)| metadata.clone());
                let metadata = metadata.expect("a batch is at hand in this phase");
                self.producer()?.send_offsets(group, &offsets, &metadata)?;
                self.leads = Some(leads);
                self.phase = Phase::Commit;
            }
            Phase::Commit => {
                self.producer()?.commit()?;
                return Ok(self.committed());
            }
            Phase::Abort => {
                self.producer()?.abort()?;
                return Ok(self.ended());
            }
        }
        Ok(None)
    }

    fn init(&mut self) -> Result<Option<Report>, LogError> {
        if self.producer.is_none() {
            self.producer = Some(self.log.producer(&self.transactional_id)?);
        }
        self.producer()?.init()?;
        Ok(self.ended())
    }

    fn send(&mut self) -> Result<(), LogError> {
        const AT_ONCE: usize = 512;
        for _ in 0..AT_ONCE {
            let (chunk, at) = self.sent;
            let Some(records) = self.chunks.get(chunk).map(Arc::clone) else { break };
            let Some(record) = records.get(at) else {
                self.sent = (chunk + 1, 0);
                continue;
            };
            match self.producer()?.send(record) {
                Ok(()) => self.sent = (chunk, at + 1),
                // The queue is full: let some of it go.
                Err(LogError::Retry(_)) => {
                    self.producer()?.drain(Duration::from_millis(1))?;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if self.job.is_some() && self.sent.0 == self.chunks.len() {
            self.phase = Phase::Drain;
        }
        Ok(())
    }

    fn offsets(&mut self) -> Result<Vec<(Place, u64)>, LogError> {
        let (batch, _) = self.job.as_ref().expect("a batch is at hand in this phase");
        let batch = Arc::clone(batch);
        let mut offsets = batch.offsets.clone();
        for place in &batch.leads {
            let last = self.producer()?.last_offset(*place);
            let last = last.ok_or_else(|| LogError::Abort(format!("{place:?} was not delivered")))?;
            offsets.push((*place, last + 1));
        }
        Ok(offsets)
    }

    fn committed(&mut self) -> Option<Report> {
        let (batch, _) = self.job.take()?;
        self.phase = Phase::Idle;
        self.number = None;
        self.chunks.clear();
        let leads = self.leads.take().unwrap_or_default();
        Some(Report::Committed { number: batch.number, leads, phases: self.phases })
    }

    /// No transaction is open any more: the batch that failed is told of, the one that waits begins.
    fn ended(&mut self) -> Option<Report> {
        let failed = self.failure.take().and_then(|error| Some((error, self.job.take()?)));
        if let Some((error, (batch, _))) = failed {
            self.number = None;
            self.chunks.clear();
            self.phase = Phase::Idle;
            return Some(Report::Failed { number: batch.number, error, leads: self.leads.take() });
        }
        self.phase = if self.number.is_some() { Phase::Begin } else { Phase::Idle };
        None
    }

    /// Chooses the way to a definite end. The commit call is never made twice.
    fn fail(&mut self, phase: Phase, error: LogError) {
        if matches!(error, LogError::Retry(_)) && phase != Phase::Commit {
            return;
        }
        self.phase = match (&error, phase) {
            (
                LogError::Abort(_) | LogError::OutOfRange { .. },
                Phase::Send | Phase::Drain | Phase::Offsets,
            )
            | (LogError::Abort(_), Phase::Commit) => Phase::Abort,
            _ => {
                self.producer = None;
                Phase::Init
            }
        };
        if self.job.is_none() {
            // Nothing of it can have been committed.
            self.unfed = self.number.take().or(self.unfed);
            self.chunks.clear();
        } else if phase != Phase::Init {
            self.failure.get_or_insert(error);
        }
    }

    fn producer(&mut self) -> Result<&mut L::Producer, LogError> {
        self.producer.as_mut().ok_or_else(|| LogError::Fatal("there is no producer".into()))
    }
}
