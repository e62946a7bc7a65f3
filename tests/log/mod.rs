//! What every log must do, as cases that run on any of them: the simulated one (tests/sim) and Apache
//! Kafka (tests/kafka). A case waits with patience and never for an exact time.
//!
//! Include with `#[path = "../log/mod.rs"] mod log;` and run with `log::conformance!(expression);`, where
//! the expression makes a [`Bench`].

pub mod groups;
pub mod offsets;
pub mod records;
pub mod transactions;

use std::time::Duration;

use habitue::edge::log::{
    Appender, Group, GroupConsumer, Log, LogError, Outgoing, Place, Producer, Reader, Rebalance,
};
use habitue::signal::Topic;

/// A log to run the cases on.
pub trait Bench {
    type L: Log;

    /// New, empty topics and new groups. `partitions` of every topic but models (any) and control (1).
    fn fresh(&self, partitions: u32) -> Self::L;
    /// A real log sleeps, a simulated one moves its clock.
    fn let_time_pass(&self, log: &Self::L, time: Duration);
    /// Deletes what lies below the offset; false where the bench cannot.
    fn delete_before(&self, log: &Self::L, place: Place, offset: u64) -> bool;
    /// After how long without a poll a living member is surely out of its group. None: never, or too long
    /// for a test.
    fn silence(&self) -> Option<Duration>;
}

/// Every case as a test of its own, in a module of the caller.
// An argument of another macro cannot be `$crate`; both are of one crate.
#[allow(clippy::crate_in_macro_def)]
#[macro_export]
macro_rules! conformance {
    ($bench:expr) => {
        $crate::every_case!(crate::conformance_cases, $bench);
    };
}

/// `$each!($bench, family: [cases]);` for every family of cases.
#[macro_export]
macro_rules! every_case {
    ($($each:ident)::+, $bench:expr) => {
        $($each)::+!($bench, records: [
            order_and_content, appended_in_order, plain_reader_starts_anywhere, ends, big_transaction,
            largest_record, too_large_record, positions_out_of_range, deleted_from_the_low_end,
            partition_counts, cursor_moves_with_its_flush,
        ]);
        $($each)::+!($bench, transactions: [
            aborted_is_invisible, offsets_have_gaps, open_transaction_blocks, empty_transaction,
            init_fences_and_aborts, fenced_producer_writes_nothing, interleaved_producers,
            last_offset_is_known, timeout_aborts_and_fences,
        ]);
        $($each)::+!($bench, offsets: [
            unknown_is_none, committed_with_outputs, unchanged_by_abort, pending_is_retry,
            topics_outside_the_subscription, stale_generation_is_refused, moved_partition_is_refused,
            proof_before_membership_is_worthless, empty_list_skips_the_fence, later_sent_offset_stays,
        ]);
        $($each)::+!($bench, groups: [
            sole_member_gets_all, every_partition_has_one_owner, asked_back_before_given_away,
            commits_while_asked_back, restart_under_the_same_name, older_instance_is_fenced,
            crashed_member_is_replaced, silent_member_is_lost, reads_only_what_is_fetched,
            reads_follow_new_records, pause_and_resume, fetch_keeps_the_pause, released_is_no_longer_read, at_end,
            position_out_of_range,
        ]);
    };
}

#[macro_export]
macro_rules! conformance_cases {
    ($bench:expr, $family:ident: [$($case:ident),* $(,)?]) => {
        mod $family {
            #[allow(unused_imports)]
            use super::*;
            $(#[test] fn $case() { $crate::log::$family::$case(&$bench) })*
        }
    };
}

/// How long one poll may wait.
pub const WAIT: Duration = Duration::from_millis(20);
/// Pause between two attempts; in simulated time, two attempts are so far apart.
const PACE: Duration = Duration::from_millis(10);
/// Attempts before something that should come is missed: 15 s simulated, up to 45 s real.
const PATIENCE: usize = 1500;
/// Attempts after which something that should not come is not expected any more.
const QUIET: usize = 20;

/// A record as a case sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub place: Place,
    pub offset: u64,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

pub fn seen(record: habitue::edge::log::Record<'_>) -> Seen {
    Seen {
        place: record.place,
        offset: record.offset,
        key: record.key.unwrap_or_default().to_vec(),
        value: record.value.map(<[u8]>::to_vec),
    }
}

pub fn values(records: &[Seen]) -> Vec<String> {
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
    records.iter().map(|record| record.value.as_ref().map_or("-".to_owned(), text)).collect()
}

/// A topic no group leads.
pub fn alerts(partition: u32) -> Place {
    Place::new(Topic::Alerts, partition)
}

pub fn outgoing(place: Place, value: &str) -> Outgoing {
    let value = Some(value.as_bytes().to_vec());
    Outgoing { place, key: b"key".to_vec(), value, timestamp_ms: wall_ms() }
}

/// Real wall time: a broker may refuse or delete what is far from it.
pub fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_millis() as i64
}

/// Tries until there is something.
pub fn eventually<B: Bench, T>(
    bench: &B,
    log: &B::L,
    what: &str,
    mut attempt: impl FnMut() -> Option<T>,
) -> T {
    for _ in 0..PATIENCE {
        if let Some(outcome) = attempt() {
            return outcome;
        }
        bench.let_time_pass(log, PACE);
    }
    panic!("waited in vain for: {what}");
}

/// Tries a while; nothing may come.
pub fn never<B: Bench>(bench: &B, log: &B::L, what: &str, mut attempt: impl FnMut() -> bool) {
    for _ in 0..QUIET {
        assert!(!attempt(), "came though it must not: {what}");
        bench.let_time_pass(log, PACE);
    }
}

/// `None` for an outcome that asks to try again.
pub fn done<T>(outcome: Result<T, LogError>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(LogError::Retry(_)) => None,
        Err(error) => panic!("unexpected: {error}"),
    }
}

/// An initialised producer.
pub fn producer<B: Bench>(bench: &B, log: &B::L, id: &str) -> <B::L as Log>::Producer {
    let mut producer = log.producer(id).expect("a producer");
    eventually(bench, log, "init", || done(producer.init()));
    producer
}

/// Sends without draining.
pub fn send<B: Bench>(bench: &B, log: &B::L, producer: &mut <B::L as Log>::Producer, record: &Outgoing) {
    eventually(bench, log, "room in the queue", || {
        done(producer.send(record)).or_else(|| {
            done(producer.drain(WAIT));
            None
        })
    });
}

pub fn drain<B: Bench>(bench: &B, log: &B::L, producer: &mut <B::L as Log>::Producer) {
    eventually(bench, log, "drain", || done(producer.drain(WAIT)).filter(|&drained| drained));
}

/// Begins a transaction, sends values to a place, drains.
pub fn open<B: Bench>(
    bench: &B,
    log: &B::L,
    producer: &mut <B::L as Log>::Producer,
    place: Place,
    values: &[&str],
) {
    producer.begin().expect("begin");
    values.iter().for_each(|value| send(bench, log, producer, &outgoing(place, value)));
    drain(bench, log, producer);
}

/// One whole transaction.
pub fn write<B: Bench>(
    bench: &B,
    log: &B::L,
    producer: &mut <B::L as Log>::Producer,
    place: Place,
    values: &[&str],
) {
    open(bench, log, producer, place, values);
    producer.commit().expect("commit");
}

/// Appends outside transactions, and waits until that is durable.
pub fn append<B: Bench>(bench: &B, log: &B::L, place: Place, values: &[&str]) {
    let mut appender = log.appender().expect("an appender");
    for value in values {
        eventually(bench, log, "room in the queue", || done(appender.append(&outgoing(place, value))));
    }
    eventually(bench, log, "flush", || done(appender.flush(WAIT)).filter(|&flushed| flushed));
}

/// Reads `count` records of a place from an offset on, and sees that no more come.
pub fn read<B: Bench>(bench: &B, log: &B::L, place: Place, from: u64, count: usize) -> Vec<Seen> {
    let mut reader = log.reader().expect("a reader");
    reader.assign(&[(place, from)]).expect("assign");
    let mut records = Vec::new();
    eventually(bench, log, &format!("{count} records of {place:?} from {from}"), || {
        done(reader.poll(WAIT, &mut |record| records.push(seen(record))));
        (records.len() >= count).then_some(())
    });
    never(bench, log, "a record too many", || {
        done(reader.poll(WAIT, &mut |record| records.push(seen(record))));
        records.len() > count
    });
    records
}

/// Waits until a place has these ends.
pub fn await_ends<B: Bench>(bench: &B, log: &B::L, place: Place, low: u64, stable: u64, high: u64) {
    let mut reader = log.reader().expect("a reader");
    let mut last = None;
    for _ in 0..PATIENCE {
        last = done(reader.ends(place));
        if last.is_some_and(|ends| (ends.low, ends.stable, ends.high) == (low, stable, high)) {
            return;
        }
        bench.let_time_pass(log, PACE);
    }
    panic!("{place:?} has ends {last:?} instead of low {low}, stable {stable}, high {high}");
}

/// A member that answers at once, and writes down what it was told and handed.
pub struct Member<L: Log> {
    pub consumer: L::Consumer,
    pub owned: Vec<u32>,
    pub told: Vec<Rebalance>,
    pub records: Vec<Seen>,
    pub error: Option<LogError>,
}

impl<L: Log> Member<L> {
    pub fn new(log: &L, name: &str) -> Member<L> {
        let consumer = log.consumer(Group::Customer, name).expect("a consumer");
        Member { consumer, owned: Vec::new(), told: Vec::new(), records: Vec::new(), error: None }
    }

    /// Polls once and leaves the question, if there is one, to the caller.
    pub fn ask(&mut self) -> Option<Rebalance> {
        let records = &mut self.records;
        match self.consumer.poll(WAIT, &mut |record| records.push(seen(record))) {
            Ok(told) => {
                self.told.extend(told.clone());
                told
            }
            Err(LogError::Retry(_)) => None,
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    pub fn answer(&mut self, told: Rebalance) {
        match told {
            Rebalance::Assigned(partitions) => {
                self.consumer.accept(&partitions).expect("accept");
                self.owned.extend(partitions);
                self.owned.sort_unstable();
            }
            Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => {
                self.consumer.release(&partitions).expect("release");
                self.owned.retain(|partition| !partitions.contains(partition));
            }
        }
    }

    pub fn step(&mut self) {
        if let Some(told) = self.ask() {
            self.answer(told);
        }
    }

    /// Asks for the committed offsets until they are told.
    pub fn committed<B: Bench<L = L>>(&self, bench: &B, log: &L, places: &[Place]) -> Vec<Option<u64>> {
        eventually(bench, log, "committed offsets", || done(self.consumer.committed(places, WAIT)))
    }
}

/// Lets members poll until `ready` says so.
pub fn serve<B: Bench>(
    bench: &B,
    log: &B::L,
    what: &str,
    members: &mut [&mut Member<B::L>],
    ready: impl Fn(&[&mut Member<B::L>]) -> bool,
) {
    eventually(bench, log, what, || {
        members.iter_mut().for_each(|member| member.step());
        ready(members).then_some(())
    });
}

/// A member that owns all of the lead topic's partitions.
pub fn sole_member<B: Bench>(bench: &B, log: &B::L, name: &str, partitions: u32) -> Member<B::L> {
    let mut member = Member::new(log, name);
    serve(bench, log, "all partitions", &mut [&mut member], |members| {
        members[0].owned.len() == partitions as usize
    });
    member
}
