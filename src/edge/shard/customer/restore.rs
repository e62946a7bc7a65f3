//! Bringing a customer partition back: newest good snapshot, then the journal up to the commit point.

use std::sync::Arc;
use std::time::Duration;

use super::follow::{Current, FollowError, Followed, Follower, Next};
use super::{CustomerState, decode};
use crate::analysis::Output;
use crate::codec::Decoder;
use crate::edge::log::{Group, Log, LogError, Place, Reader};
use crate::edge::shard::shared::Epoch;
use crate::edge::shard::{BEGIN_ANEW, Environment, Restore, Restored, ShardError};
use crate::engine::snapshot::{Opened, SnapshotError};
use crate::engine::{Mode, Partition, RawRecord};
use crate::event::{Input, Rejected};
use crate::signal::journal::Positions;
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
    steps: Follower<L>,
    /// C.
    to: u64,
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
        let steps = Follower::open(&self.environment, self.number, (from, committed), EMPTY_POLLS_MAX)?;
        let follow = Follow { partition, positions, steps, to: committed };
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
            match open_snapshot(&self.environment, self.number, position) {
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

    fn settle(&self, partition: Partition, positions: Positions, committed: u64) -> Phase<L> {
        let rounds = self.environment.shared.epoch().rounds;
        Phase::Settle { partition: Box::new(partition), positions, committed, rounds }
    }

    /// Follows the journal for a while; true when C is reached.
    fn follow(&mut self, follow: &mut Follow<L>, wait: Duration) -> Result<bool, ShardError> {
        let epoch = self.environment.shared.epoch();
        for _ in 0..RECORDS_A_TURN {
            match follow.steps.next(wait).map_err(|error| self.refusal(error))? {
                Next::Step(step) => self.apply(follow, step, &epoch)?,
                Next::NotYet => return Ok(false),
                Next::End if self.committed.is_some() && follow.steps.next_offset() < follow.to => {
                    return Err(self.refuse(format!(
                        "the group has committed journal offset {}, but the last entry before it ends at {}; the journal has lost entries: {BEGIN_ANEW}",
                        follow.to,
                        follow.steps.next_offset()
                    )));
                }
                Next::End => return Ok(true),
            }
        }
        Ok(false)
    }

    fn apply(&mut self, follow: &mut Follow<L>, step: Followed, epoch: &Epoch) -> Result<(), ShardError> {
        let (partition, view) = (&mut follow.partition, epoch.view());
        self.output.clear();
        match step {
            Followed::Record { input, record, undecodable } => {
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                let source = Source { input, partition: self.number, offset: record.offset };
                let raw = RawRecord { source, timestamp_ms: record.timestamp_ms, key, value };
                let event = match undecodable {
                    Some(reason) => Err(Rejected { reason, detail: String::new() }),
                    // What was too large then is told by a decision; what was not, is not now.
                    None => decode(&mut self.decoders[input.index()], key, value, usize::MAX),
                };
                partition.record(raw, event, Mode::Follow, view, &mut self.output);
            }
            Followed::Tick { time_ms } => partition.tick(time_ms, Mode::Follow, view, &mut self.output),
            Followed::Active { input, active } => {
                partition.set_active(input, active, Mode::Follow, view, &mut self.output);
            }
            Followed::Erase { customer } => partition.erase(&customer),
            Followed::Decision(decision) => partition.decide(&decision),
            Followed::Entry(current) => {
                let Current { offset, entry, .. } = *current;
                let chain = partition.close_batch();
                if chain != entry.chain {
                    return Err(self.refuse(format!(
                        "after journal entry {offset} the state's hash is {chain:016x}, the journal says {:016x}; the fold is not the same: report it, and {BEGIN_ANEW}",
                        entry.chain
                    )));
                }
                follow.positions = entry.positions;
            }
        }
        Ok(())
    }

    fn refusal(&self, error: FollowError) -> ShardError {
        match error {
            FollowError::Broken { what, way_out } => self.refuse(format!("{what}{way_out}")),
            FollowError::Log(error) => ShardError::Log(error),
        }
    }
}

/// The partition of a snapshot, and its positions.
pub(super) fn open_snapshot<L: Log>(
    environment: &Environment<L>,
    number: u32,
    position: u64,
) -> Result<(Partition, Positions), SnapshotError> {
    let bytes = environment.store.get("customer", number, position).map_err(SnapshotError::Format)?;
    let opened = Opened::read(&bytes)?;
    opened.expect_position(position)?;
    let partition = Partition::restore(&opened, number, Arc::clone(&environment.engine))?;
    let mut positions = Positions::default();
    opened.restore("positions", 1, |bytes| {
        positions = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        Ok(())
    })?;
    Ok((partition, positions))
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
            Phase::Follow(follow) => 0.95 * follow.steps.progress(),
            Phase::Settle { .. } | Phase::Done => 0.95,
        }
    }
}
