//! What can go wrong, how often, and the dice that decide it.

use std::collections::{BTreeMap, VecDeque};

use crate::edge::log::LogError;

/// Probabilities of faults, each 0 to 1 and 0 by default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// Per call of an operation.
    pub failures: BTreeMap<Operation, Failures>,
    /// Per call of a client: its connection is lost for up to `disconnect_ms_max`. Meanwhile it reads
    /// nothing, drains nothing and is silent to its group; its other calls fail.
    pub disconnect: f64,
    pub disconnect_ms_max: u64,
    /// Per call of `drain` and `flush`: only part of what is in flight arrives.
    pub slow_drain: f64,
    /// Per end of a transaction: its marks reach the partitions and the group one at a time, in any
    /// order, within 200 ms or a few calls. The outcome is decided and reported all the same.
    pub slow_marks: f64,
    /// Per poll of a member: records are handed over before its news or its error; per read of any
    /// client: only one place is read, and few records of it.
    pub uneven_poll: f64,
    /// Per poll of a member: it does not hear from its group this time, neither of work nor of its loss.
    pub late_news: f64,
    /// Per call of any client: some group begins a round; every second one deals its partitions anew.
    pub rebalance: f64,
    /// Per call of any client: some member is removed from its group.
    pub member_loss: f64,
    /// Per call of any client: some open transaction runs into its timeout.
    pub transaction_timeout: f64,
    /// Per call of any client: retention and compaction run, as configured.
    pub retention: f64,
}

/// How often an operation fails with each kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Failures {
    pub retry: f64,
    pub abort: f64,
    pub indefinite: f64,
    pub fatal: f64,
    /// Share of the indefinite and fatal failures that come after the operation took effect.
    pub after: f64,
}

/// The operations that can fail, named as the methods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Init,
    Begin,
    Send,
    Drain,
    SendOffsets,
    Commit,
    Abort,
    /// Of a member.
    Poll,
    Fetch,
    Committed,
    /// Poll of a plain reader.
    Read,
    Ends,
    Append,
    Flush,
}

/// A kind of [`LogError`] that can be made to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Retry,
    Abort,
    Indefinite,
    Fatal,
}

/// A failure that happens: before the operation takes effect or after.
/// Only `Indefinite` and `Fatal` ever come after: the two others promise that nothing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    pub failure: Failure,
    pub after: bool,
}

impl Strike {
    pub(super) fn error(self, operation: Operation) -> LogError {
        let when = if self.after { "after it took effect" } else { "before it took effect" };
        let text = format!("simulated failure of {operation:?}, {when}");
        match self.failure {
            Failure::Retry => LogError::Retry(text),
            Failure::Abort => LogError::Abort(text),
            Failure::Indefinite => LogError::Indefinite(text),
            Failure::Fatal => LogError::Fatal(text),
        }
    }
}

impl Faults {
    /// A bit of everything that Kafka does to its clients: `rate` is the probability of each kind of
    /// failure per call; what concerns a whole group or transaction is ten times rarer.
    pub fn mixed(rate: f64) -> Faults {
        let lost = Failures { retry: rate, indefinite: rate, fatal: rate / 4.0, after: 0.5, abort: 0.0 };
        let refused = Failures { abort: rate, ..lost };
        let again = Failures { retry: rate, ..Failures::default() };
        let broken = Failures { retry: rate, fatal: rate / 10.0, ..Failures::default() };
        Faults {
            failures: BTreeMap::from([
                (Operation::Init, Failures { retry: rate, fatal: rate / 4.0, ..Failures::default() }),
                (
                    Operation::Send,
                    Failures { retry: rate / 10.0, fatal: rate / 100.0, ..Failures::default() },
                ),
                (Operation::Drain, Failures { retry: 0.0, ..refused }),
                (Operation::SendOffsets, refused),
                (Operation::Commit, refused),
                (Operation::Abort, lost),
                (Operation::Poll, broken),
                (Operation::Committed, again),
                (Operation::Read, broken),
                (Operation::Ends, again),
                (Operation::Append, Failures { retry: rate / 10.0, ..Failures::default() }),
                (Operation::Flush, Failures { indefinite: rate, after: 0.5, ..Failures::default() }),
            ]),
            disconnect: rate / 10.0,
            disconnect_ms_max: 3_000,
            slow_drain: 0.2,
            slow_marks: 0.2,
            uneven_poll: 0.5,
            late_news: 0.1,
            rebalance: rate / 10.0,
            member_loss: rate / 10.0,
            transaction_timeout: rate / 10.0,
            retention: rate / 10.0,
        }
    }
}

/// The faults, the failures ordered by a test, and the randomness of one log.
#[derive(Debug)]
pub(super) struct Dice {
    state: u64,
    faults: Faults,
    /// False: no die is ever thrown.
    on: bool,
    ordered: VecDeque<(Operation, Strike)>,
}

impl Dice {
    pub fn new(seed: u64, faults: Faults) -> Dice {
        let mut dice = Dice { state: seed, faults: Faults::default(), on: false, ordered: VecDeque::new() };
        dice.set(faults);
        dice
    }

    pub fn set(&mut self, faults: Faults) {
        self.on = faults != Faults::default();
        self.faults = faults;
    }

    /// The next call of `operation`, by whomever, fails.
    pub fn order(&mut self, operation: Operation, strike: Strike) {
        self.ordered.push_back((operation, strike));
    }

    /// True where calls may not go as they should.
    pub fn on(&self) -> bool {
        self.on || !self.ordered.is_empty()
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whether this call fails, and how.
    pub fn strike(&mut self, operation: Operation) -> Option<Strike> {
        if let Some(index) = self.ordered.iter().position(|(ordered, _)| *ordered == operation) {
            return self.ordered.remove(index).map(|(_, strike)| normal(strike));
        }
        let failures = *self.faults.failures.get(&operation)?;
        let mut roll = self.unit();
        let kinds = [
            (Failure::Retry, failures.retry),
            (Failure::Abort, failures.abort),
            (Failure::Indefinite, failures.indefinite),
            (Failure::Fatal, failures.fatal),
        ];
        for (failure, probability) in kinds {
            if roll < probability {
                let after = self.chance(failures.after);
                return Some(normal(Strike { failure, after }));
            }
            roll -= probability;
        }
        None
    }

    /// True with the probability; throws no die for 0.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Uniform in `0..end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn normal(strike: Strike) -> Strike {
    let may_follow = matches!(strike.failure, Failure::Indefinite | Failure::Fatal);
    Strike { after: strike.after && may_follow, ..strike }
}
