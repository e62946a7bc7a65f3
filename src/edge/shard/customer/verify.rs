//! Verify mode: the journal followed with the models and settings of each entry, decisions and signals made
//! anew and compared with those that lie committed.
//!
//! It needs no group: an entry that can be read under read_committed is committed, and C is the journal's end.
//! What is no longer held cannot be compared; that is said, and is no difference.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::decode;
use super::follow::{Current, FollowError, Followed, Follower, Next};
use super::restore::open_snapshot;
use crate::analysis::{Output, REGISTRY};
use crate::codec::Decoder;
use crate::edge::log::{Log, LogError, OwnedRecord, Place, Reader};
use crate::edge::shard::Environment;
use crate::engine::{Mode, Partition, RawRecord};
use crate::event::{Input, Reject, Rejected, TimeMs};
use crate::signal::journal::Decision;
use crate::signal::{Signal, Source, Topic};

mod lane;
mod seen;

use lane::Lane;
use seen::Seen;

/// Steps of one turn at most.
const STEPS_A_TURN: usize = 2_000;
/// Turns without a step after which the log is taken for having nothing more.
const SILENT_TURNS_MAX: u32 = 300;

/// What became of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    pub partition: u32,
    /// The journal was followed from here, from its start or from a snapshot, up to its end C.
    pub from: u64,
    pub to: u64,
    /// The first entry whose decisions and signals were made anew, and the entries before it, of which only hashes
    /// were compared.
    pub verified_from: Option<u64>,
    pub followed: u64,
    /// Entries and the input records in them, verified.
    pub entries: u64,
    pub events: u64,
    /// Found equal.
    pub signals: u64,
    pub decisions: u64,
    /// Why not everything could be compared.
    pub notes: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome {
    /// All that could be compared is equal, up to C.
    Equal,
    /// The first difference, with the offset of its journal entry.
    Differs { offset: u64, what: String },
    /// Not up to C; the notes say why.
    #[default]
    Unverified,
}

/// Verifies one partition, a turn at a time.
pub struct Verify<L: Log> {
    environment: Environment<L>,
    report: Verified,
    /// Journal offsets to begin at, the best last; 0 is a fresh partition. None before the log was asked.
    starts: Option<Vec<u64>>,
    run: Option<Box<Run<L>>>,
}

/// Why a run ends early.
#[derive(Debug)]
enum Stop {
    Differs(String),
    /// Something needed is no longer held.
    Gone(String),
    Log(LogError),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Stop {
        match error {
            LogError::OutOfRange { .. } => Stop::Gone(error.to_string()),
            other => Stop::Log(other),
        }
    }
}

impl Stop {
    /// A step cannot be made again: what it has said is compared in part.
    fn for_good(self) -> Stop {
        match self {
            Stop::Log(LogError::Retry(reason)) => Stop::Log(LogError::Indefinite(reason)),
            other => other,
        }
    }
}

impl From<FollowError> for Stop {
    fn from(error: FollowError) -> Stop {
        match error {
            FollowError::Broken { what, .. } => Stop::Gone(what),
            FollowError::Log(error) => Stop::Log(error),
        }
    }
}

impl<L: Log> Verify<L> {
    /// The environment's shared epoch must have been read to the ends of `models` and `control`: it knows
    /// which versions are gone.
    pub fn new(environment: Environment<L>, number: u32) -> Verify<L> {
        let report = Verified { partition: number, ..Verified::default() };
        Verify { environment, report, starts: None, run: None }
    }

    /// Does a bounded piece of work, waiting up to `wait` at a time for the log. Some when done.
    ///
    /// # Errors
    /// When the log does not answer; what it no longer holds is no error.
    pub fn turn(&mut self, wait: Duration) -> Result<Option<Verified>, LogError> {
        let Some(run) = &mut self.run else { return self.start() };
        let stop = match run.turn(wait) {
            Ok(false) => return Ok(None),
            Ok(true) => None,
            Err(Stop::Log(error)) => return Err(error),
            Err(stop) => Some(stop),
        };
        let mut report = run.report(&self.report);
        match stop {
            None if report.verified_from.is_some() || report.from == report.to => {
                report.outcome = Outcome::Equal;
            }
            None => {}
            Some(Stop::Differs(what)) if run.seen.is_certain() => {
                report.outcome = Outcome::Differs { offset: run.begun.unwrap_or(report.from), what };
            }
            Some(Stop::Differs(what)) => {
                report.notes.push(format!(
                    "rows of models were refused for want of room, which depends on when an instance began; {what}"
                ));
            }
            Some(Stop::Gone(what)) => {
                let note = format!("followed from {} up to {}: {what}", report.from, run.steps.next_offset());
                self.report.notes.push(note.clone());
                report.notes.push(note);
                if self.starts.as_ref().is_some_and(|starts| !starts.is_empty()) {
                    self.run = None;
                    return Ok(None);
                }
            }
            Some(Stop::Log(error)) => return Err(error),
        }
        Ok(Some(report))
    }

    /// 0 to 1.
    pub fn progress(&self) -> f64 {
        self.run.as_ref().map_or(0.0, |run| run.steps.progress())
    }

    fn start(&mut self) -> Result<Option<Verified>, LogError> {
        let Some(starts) = &mut self.starts else {
            self.starts = Some(self.ask()?);
            return Ok(None);
        };
        let Some(from) = starts.pop() else { return Ok(Some(self.report.clone())) };
        let number = self.report.partition;
        let partition = match from {
            0 => Partition::new(number, Arc::clone(&self.environment.engine)),
            _ => match open_snapshot(&self.environment, number, from) {
                Ok((partition, _)) => partition,
                Err(error) => {
                    self.report.notes.push(format!("the snapshot at {from} is not usable: {error}"));
                    return Ok(None);
                }
            },
        };
        self.run = Some(Box::new(Run::new(&self.environment, partition, from, self.report.to)?));
        Ok(None)
    }

    /// Learns C and where to begin.
    fn ask(&mut self) -> Result<Vec<u64>, LogError> {
        let number = self.report.partition;
        let ends = self.environment.log.reader()?.ends(Place::new(Topic::Journal, number))?;
        (self.report.from, self.report.to) = (ends.low, ends.stable);
        let listed = self.environment.store.list("customer", number).unwrap_or_else(|reason| {
            self.report.notes.push(format!("snapshots cannot be listed: {reason}"));
            Vec::new()
        });
        // Newest first, so that the oldest is tried first.
        let held = ends.low..ends.stable;
        let mut starts: Vec<u64> = listed.into_iter().filter(|position| held.contains(position)).collect();
        if ends.low == 0 {
            starts.push(0);
        } else if starts.is_empty() {
            let note = format!("the journal begins at {} and there is no snapshot at or after it", ends.low);
            self.report.notes.push(note);
        }
        Ok(starts)
    }
}

/// One way through the journal.
struct Run<L: Log> {
    environment: Environment<L>,
    partition: Partition,
    steps: Follower<L>,
    seen: Seen<L>,
    /// None until decisions and signals are made anew.
    lanes: Option<Vec<Lane<L>>>,
    decoders: [Decoder; Input::ALL.len()],
    output: Output,
    /// Decisions made that the journal has still to have.
    made: VecDeque<Decision>,
    from: u64,
    to: u64,
    /// The entry at hand, or the last.
    begun: Option<u64>,
    silent_turns: u32,
    counts: Verified,
}

impl<L: Log> Run<L> {
    fn new(
        environment: &Environment<L>,
        partition: Partition,
        from: u64,
        to: u64,
    ) -> Result<Run<L>, LogError> {
        Ok(Run {
            steps: Follower::open(environment, partition.number(), (from, to), 0)?,
            seen: Seen::open(environment)?,
            lanes: None,
            decoders: Input::ALL.map(|input| environment.wire.decoder(input)),
            output: Output::default(),
            made: VecDeque::new(),
            environment: environment.clone(),
            partition,
            from,
            to,
            begun: None,
            silent_turns: 0,
            counts: Verified::default(),
        })
    }

    /// True when C is reached and nothing is left over.
    fn turn(&mut self, wait: Duration) -> Result<bool, Stop> {
        for _ in 0..STEPS_A_TURN {
            match self.steps.next(wait)? {
                Next::Step(step) => {
                    self.silent_turns = 0;
                    self.step(step, wait).map_err(Stop::for_good)?;
                }
                Next::NotYet if self.silent_turns < SILENT_TURNS_MAX => {
                    self.silent_turns += 1;
                    return Ok(false);
                }
                Next::NotYet => return Err(Stop::Gone("the log gives nothing more".into())),
                Next::End => {
                    self.nothing_is_left(wait)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn mode(&self) -> Mode {
        if self.lanes.is_some() { Mode::Live } else { Mode::Follow }
    }

    fn step(&mut self, step: Followed, wait: Duration) -> Result<(), Stop> {
        self.begin_entry(wait)?;
        let is_decision = matches!(step, Followed::Decision(_));
        if let (Some(made), false) = (self.made.front(), is_decision) {
            return Err(Stop::Differs(format!("made anew, and not in the journal: {}", told(made))));
        }
        self.output.clear();
        let mut is_taken = false;
        let (mode, view) = (self.mode(), self.seen.view());
        match step {
            Followed::Record { input, record, undecodable } => {
                is_taken = self.record(input, &record, undecodable);
            }
            Followed::Tick { time_ms } => self.partition.tick(time_ms, mode, view, &mut self.output),
            Followed::Active { input, active } => {
                self.partition.set_active(input, active, mode, view, &mut self.output);
            }
            Followed::Erase { customer } => self.partition.erase(&customer),
            Followed::Decision(decision) => self.decision(&decision)?,
            Followed::Entry(current) => self.end_entry(&current)?,
        }
        self.compare(is_taken, wait)
    }

    /// Before an entry's first step: what its batch saw.
    fn begin_entry(&mut self, wait: Duration) -> Result<(), Stop> {
        let Some(Current { offset, timestamp_ms, entry, .. }) = self.steps.current() else { return Ok(()) };
        if self.begun == Some(*offset) {
            return Ok(());
        }
        let is_first = self.from == 0 && self.begun.is_none();
        self.begun = Some(*offset);
        if self.lanes.is_none() {
            if !self.seen.is_whole_at(&entry.positions) {
                return Ok(());
            }
            self.lanes = Some(lanes(&self.environment, self.partition.number(), is_first, *timestamp_ms)?);
            self.counts.verified_from = Some(*offset);
        }
        self.seen.advance(&entry.positions, &self.environment.wire, wait)
    }

    /// Applies a record. True where its being undecodable is taken from the journal: it can be decoded now, or
    /// fails otherwise, because schemas were added or a limit was changed.
    fn record(&mut self, input: Input, record: &OwnedRecord, undecodable: Option<Reject>) -> bool {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let mut event = decode(&mut self.decoders[input.index()], key, value, usize::MAX);
        let mut is_taken = false;
        if let Some(reason) = undecodable
            && event.as_ref().err().is_none_or(|rejected| rejected.reason != reason)
        {
            is_taken = true;
            event = Err(Rejected { reason, detail: String::new() });
        }
        let source = Source { input, partition: self.partition.number(), offset: record.offset };
        let raw = RawRecord { source, timestamp_ms: record.timestamp_ms, key, value };
        let mode = self.mode();
        self.partition.record(raw, event, mode, self.seen.view(), &mut self.output);
        self.counts.events += u64::from(mode == Mode::Live);
        is_taken
    }

    fn decision(&mut self, decision: &Decision) -> Result<(), Stop> {
        if self.mode() == Mode::Follow {
            self.partition.decide(decision);
            return Ok(());
        }
        match self.made.pop_front() {
            Some(made) if made == *decision => {
                self.counts.decisions += 1;
                Ok(())
            }
            Some(made) => Err(Stop::Differs(format!(
                "the journal has: {}; made anew it is: {}",
                told(decision),
                told(&made)
            ))),
            None => Err(Stop::Differs(format!("in the journal, and not made anew: {}", told(decision)))),
        }
    }

    fn end_entry(&mut self, current: &Current) -> Result<(), Stop> {
        let (ours, theirs) = (self.partition.close_batch(), current.entry.chain);
        if ours != theirs {
            return Err(Stop::Differs(format!(
                "after it the state's hash is {ours:016x}, the journal says {theirs:016x}"
            )));
        }
        match self.mode() {
            Mode::Live => self.counts.entries += 1,
            Mode::Follow => self.counts.followed += 1,
        }
        Ok(())
    }

    /// Compares what the step has said, whatever caused it.
    fn compare(&mut self, is_taken: bool, wait: Duration) -> Result<(), Stop> {
        let Some(lanes) = &mut self.lanes else { return Ok(()) };
        self.made.extend(self.output.decisions.drain(..));
        for signal in self.output.signals.drain(..) {
            let lane = lanes.iter_mut().find(|lane| lane.topic() == signal.topic());
            let lane = lane.expect("Signal::TOPICS has the topic of every signal");
            self.counts.signals += u64::from(lane.expect(&signal, is_taken, &self.environment.wire, wait)?);
        }
        Ok(())
    }

    /// Records behind the last signal are a difference, unless entries behind C may have written them.
    fn nothing_is_left(&mut self, wait: Duration) -> Result<(), Stop> {
        let journal = Place::new(Topic::Journal, self.partition.number());
        for lane in self.lanes.iter_mut().flatten() {
            let Some(offset) = lane.left(wait)? else { continue };
            if self.environment.log.reader()?.ends(journal)?.high == self.to {
                let topic = lane.topic().name();
                return Err(Stop::Differs(format!("record {offset} of {topic} belongs to no journal entry")));
            }
        }
        Ok(())
    }

    fn report(&self, before: &Verified) -> Verified {
        let mut notes = before.notes.clone();
        if let (Some(why), 1..) = (self.seen.missing(), self.counts.followed) {
            let until = self.counts.verified_from.unwrap_or(self.steps.next_offset());
            notes.push(format!("{why}; of entries before {until} only hashes were compared"));
        }
        notes.extend(self.lanes.iter().flatten().filter_map(Lane::note));
        Verified { partition: before.partition, from: self.from, to: self.to, notes, ..self.counts.clone() }
    }
}

/// `is_first`: nothing was said before this entry, of that time.
fn lanes<L: Log>(
    environment: &Environment<L>,
    number: u32,
    is_first: bool,
    entry_ms: TimeMs,
) -> Result<Vec<Lane<L>>, LogError> {
    let begins_ms = is_first.then_some(entry_ms);
    Signal::TOPICS.iter().map(|topic| Lane::open(&environment.log, *topic, number, begins_ms)).collect()
}

fn told(decision: &Decision) -> String {
    match decision {
        Decision::Undecodable { reason } => format!("a record is undecodable ({reason:?})"),
        Decision::Remember { analysis, customer, memory } => {
            let name = REGISTRY.iter().find(|d| d.id == *analysis).map_or("an analysis", |d| d.name);
            format!("{name} remembers {memory:02x?} of customer {customer:032x}")
        }
    }
}
