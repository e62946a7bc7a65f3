//! Writing and reading, without groups.

use habitue::edge::log::{Log, LogError, Outgoing, Producer, Reader};
use habitue::signal::Topic;

use super::*;

pub fn order_and_content(bench: &impl Bench) {
    let log = bench.fresh(2);
    let mut producer = producer(bench, &log, "writer");
    let timestamp_ms = wall_ms() - 5_000;
    producer.begin().expect("begin");
    for number in 0..10_u8 {
        let place = alerts(u32::from(number % 2));
        let value = (number != 4).then(|| vec![number; 3]);
        send(bench, &log, &mut producer, &Outgoing { place, key: vec![number], value, timestamp_ms });
    }
    drain(bench, &log, &mut producer);
    producer.commit().expect("commit");
    for partition in 0..2 {
        let records = read(bench, &log, alerts(partition), 0, 5);
        for (index, record) in records.iter().enumerate() {
            let number = 2 * index as u8 + partition as u8;
            assert_eq!((record.place, record.offset), (alerts(partition), index as u64));
            assert_eq!(record.key, [number]);
            assert_eq!(record.value, (number != 4).then(|| vec![number; 3]), "4 is a tombstone");
        }
    }
    let mut reader = log.reader().expect("a reader");
    reader.assign(&[(alerts(0), 0)]).expect("assign");
    let timestamp = eventually(bench, &log, "a record", || {
        let mut timestamp = None;
        done(reader.poll(WAIT, &mut |record| timestamp = Some(record.timestamp_ms)));
        timestamp
    });
    assert_eq!(timestamp, timestamp_ms, "the writer's timestamp stays");
}

pub fn appended_in_order(bench: &impl Bench) {
    let log = bench.fresh(1);
    let sent: Vec<String> = (0..1000).map(|number| format!("record {number}")).collect();
    append(bench, &log, alerts(0), &sent.iter().map(String::as_str).collect::<Vec<_>>());
    let records = read(bench, &log, alerts(0), 0, 1000);
    assert_eq!(values(&records), sent);
    assert!(records.iter().enumerate().all(|(index, record)| record.offset == index as u64));
}

pub fn plain_reader_starts_anywhere(bench: &impl Bench) {
    let log = bench.fresh(2);
    append(bench, &log, alerts(0), &["a", "b", "c", "d"]);
    append(bench, &log, alerts(1), &["e", "f"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 2, 2)), ["c", "d"]);
    assert_eq!(read(bench, &log, alerts(0), 4, 0), [], "at the end nothing comes, and nothing fails");
    // Two places at once, then another assignment replaces them.
    let mut reader = log.reader().expect("a reader");
    reader.assign(&[(alerts(0), 3), (alerts(1), 1)]).expect("assign");
    let mut records = Vec::new();
    eventually(bench, &log, "a record of each", || {
        done(reader.poll(WAIT, &mut |record| records.push(seen(record))));
        (records.len() >= 2).then_some(())
    });
    let mut both = values(&records);
    both.sort();
    assert_eq!(both, ["d", "f"]);
    reader.assign(&[(alerts(1), 0)]).expect("assign");
    append(bench, &log, alerts(0), &["not read"]);
    records.clear();
    eventually(bench, &log, "the other place", || {
        let count = done(reader.poll(WAIT, &mut |record| records.push(seen(record))))?;
        assert!(count <= records.len(), "the count is of records handed over");
        (records.len() >= 2).then_some(())
    });
    never(bench, &log, "a record of what was assigned before", || {
        done(reader.poll(WAIT, &mut |record| records.push(seen(record))));
        records.len() > 2
    });
    assert_eq!(values(&records), ["e", "f"]);
}

pub fn ends(bench: &impl Bench) {
    let log = bench.fresh(1);
    await_ends(bench, &log, alerts(0), 0, 0, 0);
    append(bench, &log, alerts(0), &["a", "b"]);
    await_ends(bench, &log, alerts(0), 0, 2, 2);
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["c", "d"]);
    append(bench, &log, alerts(0), &["e"]);
    await_ends(bench, &log, alerts(0), 0, 2, 5);
    producer.commit().expect("commit");
    // The mark of the commit takes an offset.
    await_ends(bench, &log, alerts(0), 0, 6, 6);
}

pub fn big_transaction(bench: &impl Bench) {
    let log = bench.fresh(1);
    let mut producer = producer(bench, &log, "writer");
    producer.begin().expect("begin");
    for number in 0..10_000 {
        send(bench, &log, &mut producer, &outgoing(alerts(0), &format!("record {number}")));
    }
    drain(bench, &log, &mut producer);
    producer.commit().expect("commit");
    let records = read(bench, &log, alerts(0), 0, 10_000);
    assert!(values(&records).iter().enumerate().all(|(index, value)| *value == format!("record {index}")));
}

/// Bytes that no compression makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

pub fn largest_record(bench: &impl Bench) {
    let log = bench.fresh(1);
    let max = log.record_bytes_max(Topic::Alerts).expect("a limit");
    assert!(max > 4096, "{max} bytes are too few to test with");
    let mut producer = producer(bench, &log, "writer");
    // The broker's limit counts its own framing too, so what fits for sure is a little less.
    let record = Outgoing { value: Some(noise(max - 1024)), ..outgoing(alerts(0), "") };
    producer.begin().expect("begin");
    send(bench, &log, &mut producer, &record);
    drain(bench, &log, &mut producer);
    producer.commit().expect("commit");
    assert_eq!(read(bench, &log, alerts(0), 0, 1)[0].value, record.value);
}

/// Refused when sent or when drained; the transaction is lost, the producer is not.
pub fn too_large_record(bench: &impl Bench) {
    let log = bench.fresh(1);
    let max = log.record_bytes_max(Topic::Alerts).expect("a limit");
    let mut producer = producer(bench, &log, "writer");
    producer.begin().expect("begin");
    send(bench, &log, &mut producer, &outgoing(alerts(0), "in the same transaction"));
    let record = Outgoing { value: Some(noise(max + 1024)), ..outgoing(alerts(0), "") };
    let refused = match producer.send(&record) {
        Ok(()) => eventually(bench, &log, "a refusal", || match producer.drain(WAIT) {
            Ok(drained) => {
                assert!(!drained, "drained though a record was refused");
                None
            }
            Err(error) => Some(error),
        }),
        Err(error) => error,
    };
    assert!(matches!(refused, LogError::Abort(_)), "{refused}");
    producer.abort().expect("abort");
    write(bench, &log, &mut producer, alerts(0), &["after"]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["after"]);
}

pub fn positions_out_of_range(bench: &impl Bench) {
    let log = bench.fresh(1);
    append(bench, &log, alerts(0), &["a", "b", "c"]);
    let mut reader = log.reader().expect("a reader");
    reader.assign(&[(alerts(0), 17)]).expect("assign");
    let error = eventually(bench, &log, "an error", || {
        reader.poll(WAIT, &mut |record| panic!("{record:?} beyond the end")).err()
    });
    let LogError::OutOfRange { place, offset, .. } = error else { panic!("{error}") };
    assert_eq!((place, offset), (alerts(0), 17));
}

pub fn deleted_from_the_low_end(bench: &impl Bench) {
    let log = bench.fresh(1);
    append(bench, &log, alerts(0), &["a", "b", "c"]);
    if !bench.delete_before(&log, alerts(0), 2) {
        return;
    }
    await_ends(bench, &log, alerts(0), 2, 3, 3);
    assert_eq!(values(&read(bench, &log, alerts(0), 2, 1)), ["c"]);
    let mut reader = log.reader().expect("a reader");
    reader.assign(&[(alerts(0), 1)]).expect("assign");
    let error = eventually(bench, &log, "an error", || {
        reader.poll(WAIT, &mut |record| panic!("{record:?} though it is deleted")).err()
    });
    assert!(matches!(error, LogError::OutOfRange { offset: 1, .. }), "{error}");
}

pub fn partition_counts(bench: &impl Bench) {
    let log = bench.fresh(3);
    for topic in [Topic::Journal, Topic::Purchases, Topic::Facts, Topic::Alerts] {
        assert_eq!(log.partitions(topic), Ok(Some(3)));
    }
    assert_eq!(log.partitions(Topic::Control), Ok(Some(1)));
}

/// How far something outside has come, by its name, whoever writes it.
pub fn cursor_moves_with_its_flush(bench: &impl Bench) {
    let log = bench.fresh(1);
    let at = |name: &str| eventually(bench, &log, "a cursor's position", || done(log.cursor(name)));
    assert_eq!(at("june"), None);
    for (name, positions) in [("june", [10, 25]), ("july", [3, 4]), ("june", [26, 30])] {
        let mut appender = log.appender().expect("an appender");
        for position in positions {
            let record = outgoing(alerts(0), &format!("{name} {position}"));
            eventually(bench, &log, "room in the queue", || done(appender.append(&record)));
            eventually(bench, &log, "a flush with a cursor", || {
                done(appender.flush_with_cursor(WAIT, name, position)).filter(|&flushed| flushed)
            });
            assert_eq!(at(name), Some(position));
            let own = eventually(bench, &log, "a cursor's position", || done(appender.cursor(name)));
            assert_eq!(own, Some(position));
        }
    }
    append(bench, &log, alerts(0), &["plain"]);
    assert_eq!([at("june"), at("july"), at("may")], [Some(30), Some(4), None]);
    let written = values(&read(bench, &log, alerts(0), 0, 7));
    assert_eq!(written, ["june 10", "june 25", "july 3", "july 4", "june 26", "june 30", "plain"]);
}
