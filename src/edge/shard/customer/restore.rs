//! Bringing a customer partition back: newest good snapshot, then the journal up to the commit point.

use std::sync::Arc;
use std::time::Duration;

use super::{CustomerState, decode};
use crate::analysis::{Output, View};
use crate::codec::Decoder;
use crate::edge::log::{Group, Log, LogError, Place, Reader};
use crate::edge::shard::cursor::{Cursor, OwnedRecord};
use crate::edge::shard::shared::Epoch;
use crate::edge::shard::{BEGIN_ANEW, Environment, Restore, Restored, ShardError};
use crate::engine::snapshot::{Opened, SnapshotError};
use crate::engine::{Mode, Partition, RawRecord};
use crate::event::{Control, Input, Rejected};
use crate::signal::journal::{Decision, Entry, Positions, Step};
use crate::signal::{Source, Topic};

/// Records applied in one turn at most.
const RECORDS_A_TURN: usize = 2_000;
/// After so many polls, each up to 100 ms, what should be in the journal and is not is taken for lost.
const EMPTY_POLLS_MAX: u32 = 100;

/// See PROTOCOL section 5: C is the group's committed journal offset, S the snapshot's.
pub struct CustomerRestore<L: Log> {
    environment: Environment<L>,
    number: u32,
    committed: Option<u64>,
    decoders: [Decoder; Input::ALL.len()],
    output: Output,
    phase: Phase<L>,
}

enum Phase<L: Log> {
    Begin,
    Follow(Box<Follow<L>>),
    /// Waiting for `models` and `control` to be read as far as the journal had, and to their ends.
    Settle {
        partition: Box<Partition>,
        positions: Positions,
        committed: u64,
        rounds: u64,
    },
    Done,
}

/// A journal being followed.
struct Follow<L: Log> {
    partition: Partition,
    positions: Positions,
    journal: Cursor<L>,
    inputs: [Option<Cursor<L>>; Input::ALL.len()],
    control: Option<Cursor<L>>,
    /// S and C; next is the offset after the last entry followed.
    from: u64,
    to: u64,
    next: u64,
    entry: Option<(u64, Entry)>,
    step: usize,
    /// Polls without a record since everything up to C can be read.
    empty_polls: u32,
}

impl<L: Log> CustomerRestore<L> {
    pub fn new(environment: Environment<L>, number: u32, committed: Option<u64>) -> CustomerRestore<L> {
        let decoders = Input::ALL.map(|input| environment.wire.decoder(input));
        let output = Output::default();
        CustomerRestore { environment, number, committed, decoders, output, phase: Phase::Begin }
    }

    fn refuse(&self, reason: String) -> ShardError {
        ShardError::Refused { group: Group::Customer, partition: self.number, reason }
    }

    /// Learns C and S. None where the log must be asked again.
    fn begin(&mut self) -> Result<Option<Phase<L>>, ShardError> {
        let journal = Place::new(Topic::Journal, self.number);
        let mut reader = self.environment.log.reader()?;
        let ends = reader.ends(journal)?;
        let committed = match self.committed {
            Some(committed) if committed > ends.high || committed < ends.low => {
                return Err(self.refuse(format!(
                    "the group has committed journal offset {committed}, but the journal holds {}..{}; it was deleted or made anew: restore it, or {BEGIN_ANEW}",
                    ends.low, ends.high
                )));
            }
            Some(committed) => committed,
            // The group's own offset has expired, or this is the first start: all that is in the
            // journal is committed as soon as nothing is open in it.
            None if ends.stable < ends.high => return Ok(None),
            None => ends.high,
        };
        if committed == 0 {
            let mut positions = Positions::default();
            for input in Input::ALL {
                positions.inputs[input.index()] = reader.ends(Place::new(input.into(), self.number))?.low;
            }
            let partition = Partition::new(self.number, Arc::clone(&self.environment.engine));
            return Ok(Some(self.settle(partition, positions, 0)));
        }
        let (partition, positions, from) = self.snapshot(committed)?;
        let (partition, positions, from) = match partition {
            Some(partition) => (partition, positions, from),
            // Nothing was ever stored: a snapshot at offset 0. The journal tells where inputs began.
            None if ends.low == 0 => {
                let fresh = Partition::new(self.number, Arc::clone(&self.environment.engine));
                (fresh, Positions::default(), 0)
            }
            None => {
                return Err(self.refuse(format!(
                    "there is no good snapshot and the journal begins at offset {}, not 0; restore a snapshot at or after it, or {BEGIN_ANEW}",
                    ends.low
                )));
            }
        };
        if from < ends.low {
            return Err(self.refuse(format!(
                "the newest good snapshot stands at journal offset {from}, but the journal begins at {}; snapshots are older than its retention: {BEGIN_ANEW}",
                ends.low
            )));
        }
        let follow = Follow {
            journal: Cursor::open(&self.environment.log, journal, from)?,
            partition,
            positions,
            inputs: [None, None, None],
            control: None,
            from,
            to: committed,
            next: from,
            entry: None,
            step: 0,
            empty_polls: 0,
        };
        Ok(Some(Phase::Follow(Box::new(follow))))
    }

    /// The newest good snapshot at or before C.
    fn snapshot(&self, committed: u64) -> Result<(Option<Partition>, Positions, u64), ShardError> {
        let store = &self.environment.store;
        let listed = store.list("customer", self.number).unwrap_or_else(|reason| {
            tracing::warn!(
                partition = self.number,
                reason,
                "snapshots cannot be listed; following the journal"
            );
            Vec::new()
        });
        for position in listed.into_iter().filter(|position| *position <= committed) {
            match self.open(position) {
                Ok((partition, positions)) => return Ok((Some(partition), positions, position)),
                Err(error @ SnapshotError::Identity { .. }) => {
                    return Err(self.refuse(format!(
                        "{error}; run with the code and settings that wrote it, or {BEGIN_ANEW}"
                    )));
                }
                Err(error) => {
                    tracing::warn!(partition = self.number, position, %error, "a snapshot is not usable");
                }
            }
        }
        Ok((None, Positions::default(), 0))
    }

    fn open(&self, position: u64) -> Result<(Partition, Positions), SnapshotError> {
        let bytes =
            self.environment.store.get("customer", self.number, position).map_err(SnapshotError::Format)?;
        let opened = Opened::read(&bytes)?;
        opened.expect_position(position)?;
        let partition = Partition::restore(&opened, self.number, Arc::clone(&self.environment.engine))?;
        let mut positions = Positions::default();
        opened.restore("positions", 1, |bytes| {
            positions = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
            Ok(())
        })?;
        Ok((partition, positions))
    }

    fn settle(&self, partition: Partition, positions: Positions, committed: u64) -> Phase<L> {
        let rounds = self.environment.shared.epoch().rounds;
        Phase::Settle { partition: Box::new(partition), positions, committed, rounds }
    }

    /// Follows the journal for a while; the next phase when C is reached.
    fn follow(&mut self, follow: &mut Follow<L>, wait: Duration) -> Result<bool, ShardError> {
        let epoch = self.environment.shared.epoch();
        for _ in 0..RECORDS_A_TURN {
            if follow.entry.is_none() {
                if follow.next >= follow.to {
                    return Ok(true);
                }
                match self.next_entry(follow, wait)? {
                    Next::Entry => {}
                    Next::NotYet => return Ok(false),
                    // Only markers lie between the last entry and C.
                    Next::End if self.committed.is_none() => return Ok(true),
                    Next::End => {
                        return Err(self.refuse(format!(
                            "the group has committed journal offset {}, but the last entry before it ends at {}; the journal has lost entries: {BEGIN_ANEW}",
                            follow.to, follow.next
                        )));
                    }
                }
            }
            if !self.step(follow, &epoch, wait)? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn next_entry(&self, follow: &mut Follow<L>, wait: Duration) -> Result<Next, ShardError> {
        let Some(record) = follow.journal.peek(wait).map_err(|error| self.unreadable(&error))? else {
            // A transaction's marks reach its partitions one by one: the offset may be committed before the
            // entry in front of it can be read.
            let is_ended = follow.journal.is_at_end();
            if is_ended
                && (follow.empty_polls > 0 || follow.journal.stable_end().is_ok_and(|end| end >= follow.to))
            {
                follow.empty_polls += 1;
            }
            return Ok(if follow.empty_polls > EMPTY_POLLS_MAX { Next::End } else { Next::NotYet });
        };
        follow.empty_polls = 0;
        if record.offset >= follow.to {
            return Ok(Next::End);
        }
        let offset = record.offset;
        let value = record.value.as_deref().unwrap_or_default();
        let entry = self
            .environment
            .wire
            .read_entry(value)
            .map_err(|reason| self.refuse(format!("journal entry {offset} cannot be read: {reason}")))?;
        follow.journal.pop();
        let (ours, theirs) = (follow.partition.fold_version(), entry.fold_version);
        if ours != theirs {
            return Err(self.refuse(format!(
                "journal entry {offset} was written by fold {theirs:016x}, this is {ours:016x}; run with the code and settings that wrote it, or {BEGIN_ANEW}"
            )));
        }
        follow.entry = Some((offset, entry));
        follow.step = 0;
        Ok(Next::Entry)
    }

    /// Applies one record or other step of the entry at hand; false where the log must be waited for.
    fn step(&mut self, follow: &mut Follow<L>, epoch: &Epoch, wait: Duration) -> Result<bool, ShardError> {
        let Some((offset, entry)) = &follow.entry else { return Ok(true) };
        let offset = *offset;
        match entry.steps.get(follow.step).cloned() {
            Some(Step::Run { input, from, to }) => {
                let undecodable = match entry.steps.get(follow.step + 1) {
                    Some(Step::Decision(Decision::Undecodable { reason })) => Some(*reason),
                    _ => None,
                };
                let Some(record) = self.next_record(follow, input, from, to, wait)? else { return Ok(false) };
                let is_last = record.offset + 1 == to;
                self.apply(follow, input, &record, undecodable.filter(|_| is_last), epoch);
                if is_last {
                    follow.step += 1;
                }
                return Ok(true);
            }
            Some(Step::Tick { time_ms }) => follow.partition.tick(time_ms),
            Some(Step::Idle { input }) => follow.partition.set_active(input, false),
            Some(Step::Active { input }) => follow.partition.set_active(input, true),
            Some(Step::Decision(decision)) => follow.partition.decide(&decision),
            Some(Step::Control { offset }) => {
                let Some(customer) = self.erasure(follow, offset, wait)? else { return Ok(false) };
                follow.partition.erase(&customer);
            }
            None => {
                self.end_entry(follow, offset)?;
                return Ok(true);
            }
        }
        follow.step += 1;
        Ok(true)
    }

    fn end_entry(&self, follow: &mut Follow<L>, offset: u64) -> Result<(), ShardError> {
        let Some((_, entry)) = follow.entry.take() else { return Ok(()) };
        let chain = follow.partition.close_batch();
        if chain != entry.chain {
            return Err(self.refuse(format!(
                "after journal entry {offset} the state's hash is {chain:016x}, the journal says {:016x}; the fold is not the same: report it, and {BEGIN_ANEW}",
                entry.chain
            )));
        }
        follow.positions = entry.positions;
        follow.next = offset + 1;
        Ok(())
    }

    fn next_record(
        &self,
        follow: &mut Follow<L>,
        input: Input,
        from: u64,
        to: u64,
        wait: Duration,
    ) -> Result<Option<OwnedRecord>, ShardError> {
        let place = Place::new(input.into(), self.number);
        let cursor = &mut follow.inputs[input.index()];
        if cursor.is_none() {
            *cursor = Some(Cursor::open(&self.environment.log, place, from)?);
        }
        let Some(cursor) = cursor.as_mut() else { return Ok(None) };
        loop {
            let Some(record) = cursor.peek(wait).map_err(|error| self.unreadable(&error))? else {
                return Ok(None);
            };
            let offset = record.offset;
            if offset >= to {
                return Err(self.refuse(format!(
                    "the journal has {} {}..{to} applied, but the record at {} is gone; {BEGIN_ANEW}",
                    input.name(),
                    from,
                    to - 1
                )));
            }
            let record = cursor.pop();
            if offset >= from {
                return Ok(record);
            }
        }
    }

    fn apply(
        &mut self,
        follow: &mut Follow<L>,
        input: Input,
        record: &OwnedRecord,
        undecodable: Option<crate::event::Reject>,
        epoch: &Epoch,
    ) {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let source = Source { input, partition: self.number, offset: record.offset };
        let raw = RawRecord { source, timestamp_ms: record.timestamp_ms, key, value };
        let event = match undecodable {
            Some(reason) => Err(Rejected { reason, detail: String::new() }),
            // What was too large then is told by a decision; what was not, is not now.
            None => decode(&mut self.decoders[input.index()], key, value, usize::MAX),
        };
        let view = View { tables: &epoch.tables, published: &epoch.published };
        self.output.clear();
        follow.partition.record(raw, event, Mode::Follow, view, &mut self.output);
    }

    fn erasure(
        &self,
        follow: &mut Follow<L>,
        offset: u64,
        wait: Duration,
    ) -> Result<Option<String>, ShardError> {
        if follow.control.is_none() {
            let place = Place::new(Topic::Control, 0);
            follow.control = Some(Cursor::open(&self.environment.log, place, offset)?);
        }
        let Some(cursor) = follow.control.as_mut() else { return Ok(None) };
        loop {
            let Some(record) = cursor.peek(wait).map_err(|error| self.unreadable(&error))? else {
                return Ok(None);
            };
            if record.offset > offset {
                return Err(
                    self.refuse(format!("control record {offset}, which the journal applied, is gone"))
                );
            }
            let is_it = record.offset == offset;
            let value = record.value.as_deref().map(|value| self.environment.wire.read_control(value));
            cursor.pop();
            match value {
                Some(Ok(Control::Erase { customer })) if is_it => return Ok(Some(customer)),
                _ if is_it => {
                    return Err(self.refuse(format!("control record {offset} no longer erases anybody")));
                }
                _ => {}
            }
        }
    }

    fn unreadable(&self, error: &LogError) -> ShardError {
        match error {
            LogError::OutOfRange { place, offset, low, high } => self.refuse(format!(
                "the journal has {:?} applied from offset {offset}, but the log holds {low}..{high}; restore the topic, or {BEGIN_ANEW}",
                place.topic
            )),
            other => ShardError::Log(other.clone()),
        }
    }
}

enum Next {
    Entry,
    NotYet,
    End,
}

impl<L: Log> Restore for CustomerRestore<L> {
    type State = CustomerState;

    fn turn(&mut self, wait: Duration) -> Result<Option<Restored<CustomerState>>, ShardError> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Begin => match self.begin() {
                Ok(phase) => self.phase = phase.unwrap_or(Phase::Begin),
                // Nothing has begun: the log may be asked again.
                Err(ShardError::Log(LogError::Retry(_))) => self.phase = Phase::Begin,
                Err(error) => return Err(error),
            },
            Phase::Follow(mut follow) => {
                self.phase = if self.follow(&mut follow, wait)? {
                    let Follow { partition, positions, to, .. } = *follow;
                    self.settle(partition, positions, to)
                } else {
                    Phase::Follow(follow)
                };
            }
            Phase::Settle { partition, positions, committed, rounds } => {
                let epoch = self.environment.shared.epoch();
                if epoch.rounds > rounds && epoch.has_reached(positions.control, &positions.models) {
                    let now_ms = self.environment.clock.now_ms();
                    let state = CustomerState::new(*partition, positions, now_ms);
                    return Ok(Some(Restored { state, committed }));
                }
                self.phase = Phase::Settle { partition, positions, committed, rounds };
            }
            Phase::Done => {}
        }
        Ok(None)
    }

    fn progress(&self) -> f64 {
        match &self.phase {
            Phase::Begin => 0.0,
            Phase::Follow(follow) => {
                let all = (follow.to - follow.from).max(1) as f64;
                0.95 * (follow.next - follow.from) as f64 / all
            }
            Phase::Settle { .. } | Phase::Done => 0.95,
        }
    }
}
