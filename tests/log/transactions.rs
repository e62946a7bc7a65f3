//! Transactions, their fences and their visibility.

use habitue::edge::log::{LogError, Producer, Reader};

use super::*;

pub fn aborted_is_invisible(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["no", "neither"]);
    producer.abort().expect("abort");
    write(bench, &log, &mut producer, alerts(0), &["yes"]);
    open(bench, &log, &mut producer, alerts(0), &["no again"]);
    producer.abort().expect("abort");
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["yes"]);
}

pub fn offsets_have_gaps(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut producer = producer(bench, &log, "writer");
    for value in ["a", "b", "c"] {
        write(bench, &log, &mut producer, alerts(0), &[value]);
    }
    let records = read(bench, &log, alerts(0), 0, 3);
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(values(&read(bench, &log, alerts(0), 1, 2)), ["b", "c"], "from the mark of a commit");
    await_ends(bench, &log, alerts(0), 0, 6, 6);
}

/// Nobody reads past the oldest open transaction, not even plain records.
pub fn open_transaction_blocks(bench: &impl Bench) {
    let log = bench.fresh(1);
    let (mut one, mut two) = (producer(bench, &log, "one"), producer(bench, &log, "two"));
    append(bench, &log, alerts(0), &["before"]);
    open(bench, &log, &mut one, alerts(0), &["of one"]);
    append(bench, &log, alerts(0), &["plain"]);
    write(bench, &log, &mut two, alerts(0), &["of two"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["before"]);
    one.commit().expect("commit");
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 4)), ["before", "of one", "plain", "of two"]);
}

pub fn empty_transaction(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut producer = producer(bench, &log, "writer");
    producer.begin().expect("begin");
    drain(bench, &log, &mut producer);
    producer.commit().expect("commit");
    producer.begin().expect("begin");
    producer.abort().expect("abort");
    write(bench, &log, &mut producer, alerts(0), &["after"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["after"]);
}

pub fn init_fences_and_aborts(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut old = producer(bench, &log, "writer");
    write(bench, &log, &mut old, alerts(0), &["committed"]);
    open(bench, &log, &mut old, alerts(0), &["left open"]);
    let mut new = producer(bench, &log, "writer");
    // The open transaction has ended: what comes after it is visible.
    append(bench, &log, alerts(0), &["plain"]);
    write(bench, &log, &mut new, alerts(0), &["of the new"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 3)), ["committed", "plain", "of the new"]);
    let error = old.commit().expect_err("a fenced producer commits nothing");
    assert!(matches!(error, LogError::Fatal(_)), "{error}");
    write(bench, &log, &mut new, alerts(0), &["still"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 4))[3], "still");
}

pub fn fenced_producer_writes_nothing(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut old = producer(bench, &log, "writer");
    write(bench, &log, &mut old, alerts(0), &["before"]);
    let mut new = producer(bench, &log, "writer");
    write(bench, &log, &mut new, alerts(0), &["of the new"]);
    let zombie = |old: &mut _| {
        Producer::begin(old)?;
        Producer::send(old, &outgoing(alerts(0), "of the zombie"))?;
        for _ in 0..PATIENCE {
            if Producer::drain(old, WAIT)? {
                break;
            }
        }
        Producer::commit(old)
    };
    let error: LogError = zombie(&mut old).expect_err("a fenced producer commits nothing");
    assert!(matches!(error, LogError::Fatal(_)), "{error}");
    append(bench, &log, alerts(0), &["after"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 3)), ["before", "of the new", "after"]);
}

pub fn interleaved_producers(bench: &impl Bench) {
    let log = bench.fresh(1);
    let (mut one, mut two) = (producer(bench, &log, "one"), producer(bench, &log, "two"));
    one.begin().expect("begin");
    two.begin().expect("begin");
    for value in ["1", "2", "3"] {
        send(bench, &log, &mut one, &outgoing(alerts(0), &format!("one {value}")));
        drain(bench, &log, &mut one);
        send(bench, &log, &mut two, &outgoing(alerts(0), &format!("two {value}")));
        drain(bench, &log, &mut two);
    }
    two.commit().expect("commit");
    one.abort().expect("abort");
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 3)), ["two 1", "two 2", "two 3"]);
}

pub fn last_offset_is_known(bench: &impl Bench) {
    let log = bench.fresh(2);
    let mut producer = producer(bench, &log, "writer");
    append(bench, &log, alerts(0), &["something before"]);
    open(bench, &log, &mut producer, alerts(0), &["a", "b"]);
    assert_eq!(producer.last_offset(alerts(0)), Some(2));
    assert_eq!(producer.last_offset(alerts(1)), None);
    producer.commit().expect("commit");
    open(bench, &log, &mut producer, alerts(0), &["c"]);
    assert_eq!(producer.last_offset(alerts(0)), Some(4), "after the mark of the commit");
    producer.abort().expect("abort");
    open(bench, &log, &mut producer, alerts(1), &["d"]);
    assert_eq!(producer.last_offset(alerts(0)), None, "only of this transaction");
    assert_eq!(producer.last_offset(alerts(1)), Some(0));
}

pub fn timeout_aborts_and_fences(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut slow = producer(bench, &log, "slow");
    open(bench, &log, &mut slow, alerts(0), &["too late"]);
    append(bench, &log, alerts(0), &["plain"]);
    let mut reader = log.reader().expect("a reader");
    reader.assign(&[(alerts(0), 0)]).expect("assign");
    let mut records = Vec::new();
    eventually(bench, &log, "the end of the open transaction", || {
        done(reader.poll(WAIT, &mut |record| records.push(seen(record))));
        (!records.is_empty()).then_some(())
    });
    assert_eq!(values(&records), ["plain"]);
    let error = slow.commit().expect_err("it is too late");
    assert!(matches!(error, LogError::Fatal(_)), "{error}");
}
