//! What is deleted, when, and what a reader that stands below it is told.

use habitue::edge::log::sim::{SimConfig, SimLog, TopicConfig};
use habitue::edge::log::{Ends, Group, GroupConsumer, Log, LogError, Place, Producer, Reader};
use habitue::signal::Topic;

use crate::log::{WAIT, alerts, outgoing};

fn log(alerts: TopicConfig) -> SimLog {
    let mut config = SimConfig::new(3, 1);
    config.topics.insert(Topic::Alerts, alerts);
    SimLog::new(config)
}

fn append(log: &SimLog, key: &str, value: Option<&str>) -> u64 {
    let value = value.map(str::as_bytes);
    log.append_record(alerts(0), Some(key.as_bytes()), value, log.now_ms()).unwrap()
}

fn held(log: &SimLog) -> Vec<u64> {
    log.all_committed(alerts(0)).unwrap().iter().map(|record| record.offset).collect()
}

#[test]
fn old_records_go() {
    let log = log(TopicConfig { retention_ms: Some(1_000), ..TopicConfig::default() });
    for _ in 0..5 {
        append(&log, "key", Some("value"));
        log.advance(400);
    }
    assert_eq!(held(&log), [0, 1, 2, 3, 4], "retention runs every five minutes");
    log.run_retention();
    assert_eq!(held(&log), [3, 4]);
    let mut reader = log.reader().unwrap();
    reader.assign(&[(alerts(0), 1)]).unwrap();
    let error = reader.poll(WAIT, &mut |_| {}).unwrap_err();
    assert_eq!(error, LogError::OutOfRange { place: alerts(0), offset: 1, low: 3, high: 5 });
    log.advance(300_000);
    assert_eq!(log.ends(alerts(0)), Ok(Ends { low: 5, stable: 5, high: 5 }));
    assert_eq!(append(&log, "key", Some("value")), 5, "offsets go on in an empty partition");
    assert_eq!(held(&log), [5]);
}

#[test]
fn what_is_too_much_goes() {
    let log = log(TopicConfig { retention_bytes: Some(25), ..TopicConfig::default() });
    for _ in 0..5 {
        append(&log, "12345", Some("67890"));
    }
    log.run_retention();
    assert_eq!(held(&log), [3, 4]);
}

/// Memory of a long run is bounded: nothing has to run, and no clock has to move.
#[test]
fn more_records_than_allowed_go_at_once() {
    let log = log(TopicConfig { retention_records: Some(10_000), ..TopicConfig::default() });
    for _ in 0..50_000 {
        append(&log, "key", Some("value"));
    }
    assert_eq!(log.ends(alerts(0)), Ok(Ends { low: 40_000, stable: 50_000, high: 50_000 }));
    assert_eq!(held(&log), (40_000..50_000).collect::<Vec<_>>());
}

#[test]
fn nothing_undecided_goes() {
    let log = log(TopicConfig { retention_ms: Some(1_000), ..TopicConfig::default() });
    let mut producer = log.producer("writer").unwrap();
    producer.init().unwrap();
    append(&log, "key", Some("before"));
    producer.begin().unwrap();
    producer.send(&outgoing(alerts(0), "open")).unwrap();
    append(&log, "key", Some("behind"));
    log.advance(2_000);
    log.run_retention();
    assert_eq!(log.ends(alerts(0)).unwrap().low, 1);
    producer.commit().unwrap();
    assert_eq!(held(&log), [1, 2]);
}

#[test]
fn compaction_keeps_the_newest_of_each_key() {
    let mut config = SimConfig::new(3, 1);
    let compacted = TopicConfig { compacted: true, ..TopicConfig::default() };
    config.topics.insert(Topic::Alerts, compacted);
    for keep_deleted in [false, true] {
        let log = SimLog::new(SimConfig { keep_deleted, ..config.clone() });
        append(&log, "a", Some("1"));
        append(&log, "b", Some("2"));
        append(&log, "a", Some("3"));
        append(&log, "b", None);
        let mut producer = log.producer("writer").unwrap();
        producer.init().unwrap();
        producer.begin().unwrap();
        producer.send(&outgoing(alerts(0), "aborted")).unwrap();
        producer.abort().unwrap();
        append(&log, "c", Some("4"));
        producer.begin().unwrap();
        producer.send(&outgoing(alerts(0), "open")).unwrap();
        log.run_retention();
        let expected: &[u64] = if keep_deleted { &[0, 1, 2, 3, 6] } else { &[2, 3, 6] };
        assert_eq!(held(&log), expected);
        // A reader that stands where records have gone goes on with the next; the low end stays.
        let mut reader = log.reader().unwrap();
        reader.assign(&[(alerts(0), 0)]).unwrap();
        let mut offsets = Vec::new();
        reader.poll(WAIT, &mut |record| offsets.push(record.offset)).unwrap();
        assert_eq!(offsets, [2, 3, 6]);
        producer.commit().unwrap();
        reader.poll(WAIT, &mut |record| offsets.push(record.offset)).unwrap();
        assert_eq!(offsets, [2, 3, 6, 7]);
        log.advance(25 * 3_600_000);
        log.run_retention();
        let after = if keep_deleted { vec![0, 1, 2, 3, 6, 7] } else { vec![2, 6, 7] };
        assert_eq!(held(&log), after, "an old tombstone goes");
    }
}

#[test]
fn deleted_records_are_kept_for_oracles() {
    let log = SimLog::new(SimConfig { keep_deleted: true, ..SimConfig::new(3, 1) });
    for _ in 0..10 {
        append(&log, "key", Some("value"));
    }
    log.delete_before(alerts(0), 7).unwrap();
    assert_eq!(log.ends(alerts(0)).unwrap().low, 7);
    assert_eq!(held(&log), (0..10).collect::<Vec<_>>());
}

/// As Kafka does: offsets of topics without a subscription expire although the group lives.
#[test]
fn offsets_expire() {
    let config = SimConfig { offset_retention_ms: Some(10_000), ..SimConfig::new(3, 1) };
    let log = SimLog::new(config);
    let mut member = log.consumer(Group::Customer, "member").unwrap();
    member.poll(WAIT, &mut |_| {}).unwrap();
    member.accept(&[0]).unwrap();
    let (journal, purchases) = (Place::new(Topic::Journal, 0), Place::new(Topic::Purchases, 0));
    let mut producer = log.producer("writer").unwrap();
    producer.init().unwrap();
    producer.begin().unwrap();
    let proof = member.metadata().unwrap();
    producer.send_offsets(Group::Customer, &[(journal, 1), (purchases, 2)], &proof).unwrap();
    producer.commit().unwrap();
    for _ in 0..5 {
        log.advance(2_000);
        member.poll(WAIT, &mut |_| {}).unwrap();
    }
    assert_eq!(member.committed(&[journal, purchases], WAIT), Ok(vec![Some(1), None]));
    log.advance(6_000);
    assert_eq!(log.members(Group::Customer), Vec::<String>::new());
    log.advance(9_999);
    assert_eq!(log.offsets(Group::Customer).get(&journal), Some(&1));
    log.advance(1);
    assert_eq!(log.offsets(Group::Customer).get(&journal), None);
}
