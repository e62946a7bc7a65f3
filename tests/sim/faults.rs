//! Each fault does what it says, one at a time.

use std::collections::BTreeMap;

use habitue::edge::log::sim::{
    Failure, Failures, Faults, Operation, SimConfig, SimConsumer, SimLog, SimProducer, Strike,
};
use habitue::edge::log::{Appender, Group, GroupConsumer, Log, LogError, Place, Producer, Reader, Rebalance};
use habitue::signal::Topic;

use crate::log::{WAIT, alerts, outgoing};

const JOURNAL: Place = Place { topic: Topic::Journal, partition: 0 };

fn log() -> SimLog {
    SimLog::new(SimConfig::new(7, 1))
}

fn producer(log: &SimLog) -> SimProducer {
    let mut producer = log.producer("writer").unwrap();
    producer.init().unwrap();
    producer
}

/// A member that owns the only partition.
fn member(log: &SimLog) -> SimConsumer {
    let mut consumer = log.consumer(Group::Customer, "member").unwrap();
    let told = consumer.poll(WAIT, &mut |_| {}).unwrap();
    assert_eq!(told, Some(Rebalance::Assigned(vec![0])));
    consumer.accept(&[0]).unwrap();
    consumer
}

fn visible(log: &SimLog) -> usize {
    log.all_committed(alerts(0)).unwrap().len()
}

/// Opens a transaction with one record and the offset 5 of the journal.
fn open(log: &SimLog, member: &SimConsumer) -> SimProducer {
    let mut producer = producer(log);
    producer.begin().unwrap();
    producer.send(&outgoing(alerts(0), "record")).unwrap();
    while !producer.drain(WAIT).unwrap() {}
    let proof = member.metadata().unwrap();
    producer.send_offsets(Group::Customer, &[(JOURNAL, 5)], &proof).unwrap();
    producer
}

#[test]
fn a_commit_of_unknown_outcome_did_or_did_not_happen() {
    for (failure, after) in [
        (Failure::Indefinite, false),
        (Failure::Indefinite, true),
        (Failure::Fatal, false),
        (Failure::Fatal, true),
    ] {
        let log = log();
        let member = member(&log);
        let mut old = open(&log, &member);
        log.fail_next(Operation::Commit, Strike { failure, after });
        let error = old.commit().unwrap_err();
        assert_eq!(matches!(error, LogError::Fatal(_)), failure == Failure::Fatal, "{error}");
        assert!(matches!(old.abort(), Err(LogError::Fatal(_))), "only a new producer makes it definite");
        assert_eq!(member.committed(&[JOURNAL], WAIT).is_ok(), after, "until then it is pending");
        producer(&log);
        let committed = after.then_some(5);
        assert_eq!(member.committed(&[JOURNAL], WAIT), Ok(vec![committed]));
        assert_eq!(visible(&log), usize::from(after));
    }
}

#[test]
fn a_refused_commit_did_not_happen() {
    for failure in [Failure::Abort, Failure::Retry] {
        let log = log();
        let member = member(&log);
        let mut producer = open(&log, &member);
        // Even if the test asks for "after": both promise that nothing happened.
        log.fail_next(Operation::Commit, Strike { failure, after: true });
        producer.commit().unwrap_err();
        producer.abort().unwrap();
        assert_eq!(visible(&log), 0);
        assert_eq!(member.committed(&[JOURNAL], WAIT), Ok(vec![None]));
        producer.begin().unwrap();
        producer.send(&outgoing(alerts(0), "the producer lives on")).unwrap();
        producer.commit().unwrap();
        assert_eq!(visible(&log), 1);
    }
}

#[test]
fn every_operation_fails_with_every_error_when_told() {
    for failure in [Failure::Retry, Failure::Abort, Failure::Indefinite, Failure::Fatal] {
        for operation in [Operation::Send, Operation::Drain, Operation::SendOffsets, Operation::Abort] {
            let log = log();
            let member = member(&log);
            let mut producer = open(&log, &member);
            log.fail_next(operation, Strike { failure, after: false });
            let outcome = match operation {
                Operation::Send => producer.send(&outgoing(alerts(0), "more")),
                Operation::Drain => producer.drain(WAIT).map(|_| ()),
                Operation::Abort => producer.abort(),
                _ => {
                    let proof = member.metadata().unwrap();
                    producer.send_offsets(Group::Customer, &[(JOURNAL, 6)], &proof)
                }
            };
            let error = outcome.unwrap_err();
            assert_eq!(kind(&error), Some(failure), "{operation:?}");
            let goes_on = matches!(failure, Failure::Retry | Failure::Abort);
            assert_eq!(producer.abort().is_ok(), goes_on, "abort after {error}");
        }
        let log = log();
        let mut member = member(&log);
        for operation in [Operation::Committed, Operation::Poll] {
            log.fail_next(operation, Strike { failure, after: false });
        }
        assert_eq!(kind(&member.committed(&[JOURNAL], WAIT).unwrap_err()), Some(failure));
        assert_eq!(kind(&member.poll(WAIT, &mut |_| {}).unwrap_err()), Some(failure));
        let broken = member.poll(WAIT, &mut |_| {}).is_err();
        assert_eq!(broken, failure == Failure::Fatal, "a consumer is broken by what is fatal only");
    }
}

fn kind(error: &LogError) -> Option<Failure> {
    match error {
        LogError::Retry(_) => Some(Failure::Retry),
        LogError::Abort(_) => Some(Failure::Abort),
        LogError::Indefinite(_) => Some(Failure::Indefinite),
        LogError::Fatal(_) => Some(Failure::Fatal),
        LogError::OutOfRange { .. } | LogError::Replaced => None,
    }
}

#[test]
fn probabilities_are_kept() {
    let failures = Failures { retry: 0.2, abort: 0.1, indefinite: 0.1, fatal: 0.1, after: 0.0 };
    let log = log();
    log.set_faults(Faults { failures: BTreeMap::from([(Operation::Ends, failures)]), ..Faults::default() });
    let mut reader = log.reader().unwrap();
    let mut counts = [0; 5];
    for _ in 0..10_000 {
        let index = match reader.ends(alerts(0)).err().as_ref().and_then(kind) {
            None => 0,
            Some(Failure::Retry) => 1,
            Some(Failure::Abort) => 2,
            Some(Failure::Indefinite) => 3,
            Some(Failure::Fatal) => 4,
        };
        counts[index] += 1;
    }
    let expected = [5_000_i32, 2_000, 1_000, 1_000, 1_000];
    let near =
        counts.iter().zip(expected).all(|(count, expected): (&i32, i32)| (count - expected).abs() < 200);
    assert!(near, "{counts:?} of {expected:?}");
}

#[test]
fn a_slow_drain_takes_several_calls() {
    let log = log();
    log.set_faults(Faults { slow_drain: 0.9, ..Faults::default() });
    let mut producer = producer(&log);
    producer.begin().unwrap();
    (0..100).for_each(|_| producer.send(&outgoing(alerts(0), "record")).unwrap());
    let mut calls = 1;
    while !producer.drain(WAIT).unwrap() {
        calls += 1;
    }
    assert!(calls > 2, "{calls} calls");
    assert_eq!(producer.last_offset(alerts(0)), Some(99));
}

/// The commit is decided and reported; its marks come later, each at its own time.
#[test]
fn slow_marks_tear_a_commit_apart_for_a_while() {
    let mut torn = 0;
    for seed in 0..20 {
        let log = SimLog::new(SimConfig::new(seed, 2));
        let mut producer = producer(&log);
        log.set_faults(Faults { slow_marks: 1.0, ..Faults::default() });
        producer.begin().unwrap();
        producer.send(&outgoing(alerts(0), "record")).unwrap();
        producer.send(&outgoing(alerts(1), "record")).unwrap();
        assert!(producer.drain(WAIT).unwrap());
        producer.commit().unwrap();
        let count = |partition| log.all_committed(alerts(partition)).unwrap().len();
        for _ in 0..10 {
            log.advance(20);
            torn += usize::from(count(0) != count(1));
        }
        assert_eq!((count(0), count(1)), (1, 1), "all marks are written after 200 ms");
    }
    assert!(torn > 20, "seen torn {torn} times");
}

/// A new producer of the id waits for them.
#[test]
fn init_leaves_no_marks_behind() {
    for seed in 0..20 {
        let log = SimLog::new(SimConfig::new(seed, 1));
        let member = member(&log);
        let mut old = open(&log, &member);
        log.set_faults(Faults { slow_marks: 1.0, ..Faults::default() });
        if seed % 2 == 0 {
            old.commit().unwrap();
        }
        producer(&log);
        let committed = (seed % 2 == 0).then_some(5);
        assert_eq!(member.committed(&[JOURNAL], WAIT), Ok(vec![committed]));
    }
}

#[test]
fn a_lost_connection_hears_nothing() {
    let log = log();
    let mut member = member(&log);
    member.fetch(&[(Place::new(Topic::Purchases, 0), 0)]).unwrap();
    log.append_record(Place::new(Topic::Purchases, 0), None, Some(b"x"), log.now_ms()).unwrap();
    log.set_faults(Faults { disconnect: 1.0, disconnect_ms_max: 20_000, ..Faults::default() });
    let mut producer = producer_while_connected(&log);
    assert_eq!(member.poll(WAIT, &mut |record| panic!("{record:?}")), Ok(None));
    producer.begin().unwrap();
    producer.send(&outgoing(alerts(0), "record")).unwrap();
    assert_eq!(producer.drain(WAIT), Ok(false));
    assert!(matches!(producer.commit(), Err(LogError::Indefinite(_))));
    log.advance(6_000);
    assert_eq!(log.members(Group::Customer), Vec::<String>::new(), "silent for a session");
    log.set_faults(Faults::default());
    log.advance(20_000);
    assert_eq!(member.poll(WAIT, &mut |_| {}), Ok(Some(Rebalance::Lost(vec![0]))));
}

fn producer_while_connected(log: &SimLog) -> SimProducer {
    let faults = Faults { disconnect: 1.0, disconnect_ms_max: 20_000, ..Faults::default() };
    log.set_faults(Faults::default());
    let producer = producer(log);
    log.set_faults(faults);
    producer
}

/// It reads on, it does not know; what it does is refused.
#[test]
fn late_news_make_a_zombie() {
    let log = log();
    let mut member = member(&log);
    let purchases = Place::new(Topic::Purchases, 0);
    member.fetch(&[(purchases, 0)]).unwrap();
    log.append_record(purchases, None, Some(b"x"), log.now_ms()).unwrap();
    log.remove_member(Group::Customer, "member");
    log.set_faults(Faults { late_news: 1.0, ..Faults::default() });
    let mut read = 0;
    assert_eq!(member.poll(WAIT, &mut |_| read += 1), Ok(None));
    assert_eq!(read, 1);
    let mut producer = producer(&log);
    producer.begin().unwrap();
    let proof = member.metadata().unwrap();
    let outcome = producer.send_offsets(Group::Customer, &[(purchases, 1)], &proof);
    assert!(matches!(outcome, Err(LogError::Abort(_))), "{outcome:?}");
    log.set_faults(Faults::default());
    assert_eq!(member.poll(WAIT, &mut |_| {}), Ok(Some(Rebalance::Lost(vec![0]))));
}

#[test]
fn the_rest_happens_by_itself() {
    let calls = |faults: Faults| {
        let log = log();
        let mut member = member(&log);
        let mut producer = producer(&log);
        producer.begin().unwrap();
        producer.send(&outgoing(alerts(0), "record")).unwrap();
        let generation = log.generation(Group::Customer);
        log.set_faults(faults);
        let mut told = Vec::new();
        for _ in 0..50 {
            told.extend(member.poll(WAIT, &mut |_| {}).unwrap());
        }
        (log.generation(Group::Customer) - generation, told, producer.commit())
    };
    let (rounds, told, committed) = calls(Faults { rebalance: 0.5, ..Faults::default() });
    assert!(rounds > 0 && told.is_empty() && committed.is_ok(), "{rounds} {told:?} {committed:?}");
    let (_, told, committed) = calls(Faults { member_loss: 0.5, ..Faults::default() });
    assert_eq!(told, [Rebalance::Lost(vec![0])]);
    assert!(committed.is_ok());
    let (_, _, committed) = calls(Faults { transaction_timeout: 0.5, ..Faults::default() });
    assert!(matches!(committed, Err(LogError::Fatal(_))), "{committed:?}");
}

#[test]
fn an_appender_that_fails_did_or_did_not_write() {
    for after in [false, true] {
        let log = log();
        log.fail_next(Operation::Flush, Strike { failure: Failure::Indefinite, after });
        let mut appender = log.appender().unwrap();
        appender.append(&outgoing(alerts(0), "record")).unwrap();
        let outcome = appender.flush(WAIT);
        assert!(matches!(outcome, Err(LogError::Indefinite(_))), "{outcome:?}");
        assert_eq!(appender.flush(WAIT), Ok(true));
        assert_eq!(visible(&log), usize::from(after));
    }
}
