//! The committer: takes a sealed batch through one transaction, and makes every failure definite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use crate::edge::log::{Group, Log, LogError, Producer};

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
    Idle,
    Begin,
    Send(usize),
    Drain,
    Offsets,
    Commit,
    Abort,
}

/// Owns the transactional producer of one shard.
pub struct Committer<L: Log> {
    log: L,
    group: Group,
    transactional_id: String,
    producer: Option<L::Producer>,
    phase: Phase,
    job: Option<(Arc<Batch>, L::Metadata)>,
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
            failure: None,
            leads: None,
            phases: Phases::default(),
            elapsed,
        }
    }

    /// Takes the next batch. The one before must have been reported.
    pub fn submit(&mut self, batch: Arc<Batch>, metadata: L::Metadata) {
        assert!(self.job.is_none(), "hand-over has depth one");
        assert!(
            !batch.offsets.is_empty() || !batch.entries.is_empty(),
            "an empty offset list skips the fence"
        );
        self.job = Some((batch, metadata));
        if self.phase == Phase::Idle {
            self.phase = Phase::Begin;
        }
    }

    pub fn is_idle(&self) -> bool {
        self.job.is_none() && self.phase == Phase::Idle
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
                self.producer()?.begin()?;
                self.phase = Phase::Send(0);
            }
            Phase::Send(from) => self.send(from)?,
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
                return Ok(self.failed());
            }
        }
        Ok(None)
    }

    fn init(&mut self) -> Result<Option<Report>, LogError> {
        if self.producer.is_none() {
            self.producer = Some(self.log.producer(&self.transactional_id)?);
        }
        self.producer()?.init()?;
        if self.failure.is_some() {
            return Ok(self.failed());
        }
        self.phase = if self.job.is_some() { Phase::Begin } else { Phase::Idle };
        Ok(None)
    }

    /// Entries last, so that an entry never lies in front of what it tells of.
    fn send(&mut self, from: usize) -> Result<(), LogError> {
        const AT_ONCE: usize = 512;
        let (batch, _) = self.job.as_ref().expect("a batch is at hand in this phase");
        let batch = Arc::clone(batch);
        let all = batch.records.len() + batch.entries.len();
        for at in from..all.min(from + AT_ONCE) {
            let record = batch.records.get(at).unwrap_or_else(|| &batch.entries[at - batch.records.len()]);
            if let Err(error) = self.producer()?.send(record) {
                self.phase = Phase::Send(at);
                if matches!(error, LogError::Retry(_)) {
                    // The queue is full: let some of it go.
                    self.producer()?.drain(Duration::from_millis(1))?;
                    return Ok(());
                }
                return Err(error);
            }
        }
        let sent = all.min(from + AT_ONCE);
        self.phase = if sent == all { Phase::Drain } else { Phase::Send(sent) };
        Ok(())
    }

    fn offsets(&mut self) -> Result<Vec<(crate::edge::log::Place, u64)>, LogError> {
        let (batch, _) = self.job.as_ref().expect("a batch is at hand in this phase");
        let batch = Arc::clone(batch);
        let mut offsets = batch.offsets.clone();
        for entry in &batch.entries {
            let last = self.producer()?.last_offset(entry.place);
            let last = last.ok_or_else(|| LogError::Abort(format!("{:?} was not delivered", entry.place)))?;
            offsets.push((entry.place, last + 1));
        }
        Ok(offsets)
    }

    fn committed(&mut self) -> Option<Report> {
        let (batch, _) = self.job.take()?;
        self.phase = Phase::Idle;
        let leads = self.leads.take().unwrap_or_default();
        Some(Report::Committed { number: batch.number, leads, phases: self.phases })
    }

    fn failed(&mut self) -> Option<Report> {
        let error = self.failure.take()?;
        let (batch, _) = self.job.take()?;
        self.phase = Phase::Idle;
        Some(Report::Failed { number: batch.number, error, leads: self.leads.take() })
    }

    /// Chooses the way to a definite end. The commit call is never made twice.
    fn fail(&mut self, phase: Phase, error: LogError) {
        let in_transaction = !matches!(phase, Phase::Init | Phase::Idle | Phase::Begin);
        match error {
            LogError::Retry(_) if phase != Phase::Commit => {}
            LogError::Abort(_) | LogError::Retry(_) | LogError::OutOfRange { .. }
                if in_transaction && phase != Phase::Abort && phase != Phase::Commit =>
            {
                self.failure.get_or_insert(error);
                self.phase = Phase::Abort;
            }
            LogError::Abort(_) if phase == Phase::Commit => {
                self.failure.get_or_insert(error);
                self.phase = Phase::Abort;
            }
            _ => {
                if self.job.is_some() && phase != Phase::Init {
                    self.failure.get_or_insert(error);
                }
                self.producer = None;
                self.phase = Phase::Init;
            }
        }
    }

    fn producer(&mut self) -> Result<&mut L::Producer, LogError> {
        self.producer.as_mut().ok_or_else(|| LogError::Fatal("there is no producer".into()))
    }
}
