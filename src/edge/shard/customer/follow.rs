//! Following a customer partition's journal: each step with the record or the customer that it names.
//!
//! Whoever follows applies the steps: a restore takes the decisions and is silent, verify mode makes them anew.

use std::time::Duration;

use crate::edge::log::{Log, LogError, OwnedRecord, Place};
use crate::edge::shard::cursor::Cursor;
use crate::edge::shard::{BEGIN_ANEW, Environment};
use crate::event::{Control, Input, Reject, TimeMs};
use crate::signal::Topic;
use crate::signal::journal::{Decision, Entry, Step};

/// Reads the entries from S up to C, and what they name.
pub(super) struct Follower<L: Log> {
    environment: Environment<L>,
    number: u32,
    fold_version: u64,
    journal: Cursor<L>,
    inputs: [Option<Cursor<L>>; Input::ALL.len()],
    control: Option<Cursor<L>>,
    /// S and C; next is the offset after the last entry followed.
    from: u64,
    to: u64,
    next: u64,
    current: Option<Current>,
    /// Polls without a record since everything up to C can be read, and how many there may be.
    empty_polls: u32,
    empty_polls_max: u32,
}

/// The entry being followed.
pub(super) struct Current {
    pub offset: u64,
    /// The record's own timestamp.
    pub timestamp_ms: TimeMs,
    pub entry: Entry,
    step: usize,
}

/// A step to be applied.
pub(super) enum Followed {
    Record {
        input: Input,
        record: OwnedRecord,
        /// It could not be decoded when it was applied.
        undecodable: Option<Reject>,
    },
    Tick {
        time_ms: TimeMs,
    },
    Active {
        input: Input,
        active: bool,
    },
    Erase {
        customer: String,
    },
    Decision(Decision),
    /// That was all of this entry.
    Entry(Box<Current>),
}

pub(super) enum Next {
    Step(Followed),
    /// The log must be waited for.
    NotYet,
    /// C is reached, or only the marks of transactions lie in front of it.
    End,
}

/// Why a journal cannot be followed.
#[derive(Debug)]
pub(super) enum FollowError {
    /// What the journal needs is not there. The way out, with what goes in front of it, is for a service that
    /// must go on.
    Broken {
        what: String,
        way_out: String,
    },
    Log(LogError),
}

fn broken(what: String, way_out: impl Into<String>) -> FollowError {
    FollowError::Broken { what, way_out: way_out.into() }
}

impl<L: Log> Follower<L> {
    /// `empty_polls_max`: polls, each up to the caller's wait, after which what should be in the journal
    /// before `to` and is not is taken for lost, or for marks; none where all of it can be read by now.
    pub fn open(
        environment: &Environment<L>,
        number: u32,
        (from, to): (u64, u64),
        empty_polls_max: u32,
    ) -> Result<Follower<L>, LogError> {
        Ok(Follower {
            journal: Cursor::open(&environment.log, Place::new(Topic::Journal, number), from)?,
            fold_version: environment.engine.fold_version(),
            environment: environment.clone(),
            number,
            inputs: [None, None, None],
            control: None,
            from,
            to,
            next: from,
            current: None,
            empty_polls: 0,
            empty_polls_max,
        })
    }

    /// The next step, waiting up to `wait` for the log.
    pub fn next(&mut self, wait: Duration) -> Result<Next, FollowError> {
        if self.current.is_none() {
            if self.next >= self.to {
                return Ok(Next::End);
            }
            if let Some(next) = self.next_entry(wait)? {
                return Ok(next);
            }
        }
        let Some(current) = &mut self.current else { return Ok(Next::NotYet) };
        let followed = match current.entry.steps.get(current.step).cloned() {
            Some(Step::Run { input, from, to }) => return self.next_of_run(input, from, to, wait),
            Some(Step::Tick { time_ms }) => Followed::Tick { time_ms },
            Some(Step::Idle { input }) => Followed::Active { input, active: false },
            Some(Step::Active { input }) => Followed::Active { input, active: true },
            Some(Step::Decision(decision)) => Followed::Decision(decision),
            Some(Step::Control { offset }) => {
                let Some(customer) = self.erasure(offset, wait)? else { return Ok(Next::NotYet) };
                Followed::Erase { customer }
            }
            None => {
                self.next = current.offset + 1;
                return Ok(self
                    .current
                    .take()
                    .map_or(Next::NotYet, |current| Next::Step(Followed::Entry(Box::new(current)))));
            }
        };
        self.step_on();
        Ok(Next::Step(followed))
    }

    /// The entry that the step last returned is of, unless that was its end.
    pub fn current(&self) -> Option<&Current> {
        self.current.as_ref()
    }

    /// The offset after the last entry followed.
    pub fn next_offset(&self) -> u64 {
        self.next
    }

    /// 0 to 1.
    pub fn progress(&self) -> f64 {
        (self.next - self.from) as f64 / (self.to - self.from).max(1) as f64
    }

    fn step_on(&mut self) {
        if let Some(current) = &mut self.current {
            current.step += 1;
        }
    }

    /// Takes up the next entry; else why there is none.
    fn next_entry(&mut self, wait: Duration) -> Result<Option<Next>, FollowError> {
        let Some(record) = self.journal.peek(wait).map_err(unreadable)? else {
            // A transaction's marks reach its partitions one by one: the offset may be committed before the
            // entry in front of it can be read.
            let is_ended = self.journal.is_at_end();
            if is_ended && (self.empty_polls > 0 || self.journal.ends().is_ok_and(|e| e.stable >= self.to)) {
                self.empty_polls += 1;
            }
            return Ok(Some(if self.empty_polls > self.empty_polls_max { Next::End } else { Next::NotYet }));
        };
        self.empty_polls = 0;
        if record.offset >= self.to {
            return Ok(Some(Next::End));
        }
        let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
        let entry = self
            .environment
            .wire
            .read_entry(record.value.as_deref().unwrap_or_default())
            .map_err(|reason| broken(format!("journal entry {offset} cannot be read: {reason}"), ""))?;
        self.journal.pop();
        let (ours, theirs) = (self.fold_version, entry.fold_version);
        if ours != theirs {
            return Err(broken(
                format!("journal entry {offset} was written by fold {theirs:016x}, this is {ours:016x}"),
                format!("; run with the code and settings that wrote it, or {BEGIN_ANEW}"),
            ));
        }
        self.current = Some(Current { offset, timestamp_ms, entry, step: 0 });
        Ok(None)
    }

    fn next_of_run(&mut self, input: Input, from: u64, to: u64, wait: Duration) -> Result<Next, FollowError> {
        let Some(record) = self.next_record(input, from, to, wait)? else { return Ok(Next::NotYet) };
        let mut undecodable = None;
        if record.offset + 1 == to {
            self.step_on();
            let after = self.current.as_ref().and_then(|current| current.entry.steps.get(current.step));
            if let Some(Step::Decision(Decision::Undecodable { reason })) = after {
                undecodable = Some(*reason);
            }
        }
        Ok(Next::Step(Followed::Record { input, record, undecodable }))
    }

    fn next_record(
        &mut self,
        input: Input,
        from: u64,
        to: u64,
        wait: Duration,
    ) -> Result<Option<OwnedRecord>, FollowError> {
        let place = Place::new(input.into(), self.number);
        let cursor = &mut self.inputs[input.index()];
        if cursor.is_none() {
            *cursor = Some(Cursor::open(&self.environment.log, place, from).map_err(FollowError::Log)?);
        }
        let Some(cursor) = cursor.as_mut() else { return Ok(None) };
        loop {
            let Some(record) = cursor.peek(wait).map_err(unreadable)? else { return Ok(None) };
            let offset = record.offset;
            if offset >= to {
                return Err(broken(
                    format!(
                        "the journal has {} {from}..{to} applied, but the record at {} is gone",
                        input.name(),
                        to - 1
                    ),
                    format!("; {BEGIN_ANEW}"),
                ));
            }
            let record = cursor.pop();
            if offset >= from {
                return Ok(record);
            }
        }
    }

    fn erasure(&mut self, offset: u64, wait: Duration) -> Result<Option<String>, FollowError> {
        if self.control.is_none() {
            let place = Place::new(Topic::Control, 0);
            let cursor = Cursor::open(&self.environment.log, place, offset).map_err(FollowError::Log)?;
            self.control = Some(cursor);
        }
        let Some(cursor) = self.control.as_mut() else { return Ok(None) };
        loop {
            let Some(record) = cursor.peek(wait).map_err(unreadable)? else { return Ok(None) };
            if record.offset > offset {
                let what = format!("control record {offset}, which the journal applied, is gone");
                return Err(broken(what, ""));
            }
            let is_it = record.offset == offset;
            let value = record.value.as_deref().map(|value| self.environment.wire.read_control(value));
            cursor.pop();
            match value {
                Some(Ok(Control::Erase { customer })) if is_it => return Ok(Some(customer)),
                _ if is_it => {
                    return Err(broken(format!("control record {offset} no longer erases anybody"), ""));
                }
                _ => {}
            }
        }
    }
}

fn unreadable(error: LogError) -> FollowError {
    match error {
        LogError::OutOfRange { place, offset, low, high } => broken(
            format!(
                "the journal has {:?} applied from offset {offset}, but the log holds {low}..{high}",
                place.topic
            ),
            format!("; restore the topic, or {BEGIN_ANEW}"),
        ),
        other => FollowError::Log(other),
    }
}
