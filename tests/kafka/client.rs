//! Producers, readers and topics.

use std::time::{Duration, Instant};

use habitue::edge::kafka::{Created, TopicPlan};
use habitue::edge::log::{Ends, Group, GroupConsumer, Log, LogError, Producer, Reader};
use habitue::signal::Topic;

use super::Case;
use super::bench::{Member, PATIENCE, append, definite, place, producer, read_all, record, sent};
use super::broker::Broker;

pub const CASES: &[Case] = &[
    ("topics_are_made_and_described", topics),
    ("commits_have_no_floor_of_100_ms", no_floor),
    ("only_the_committed_is_read", committed_only),
    ("ends_tell_the_stable_from_the_high", ends),
    ("a_second_producer_fences_the_first", fencing),
    ("a_restart_ends_the_open_transaction", reopened),
    ("an_abort_with_records_in_flight_returns", abort_in_flight),
    ("a_record_too_large_forces_an_abort", too_large),
    ("records_of_8_mib_pass", large_records),
];

fn topics(broker: &Broker) {
    let log = habitue::edge::kafka::KafkaLog::new(broker.config()).unwrap();
    assert_eq!(log.partitions(Topic::Models).unwrap(), None);
    assert!(matches!(log.record_bytes_max(Topic::Models), Err(LogError::Fatal(_))));
    let plan = TopicPlan {
        topic: Topic::Models,
        partitions: 3,
        replication: None,
        configs: [("cleanup.policy", "compact"), ("max.message.bytes", "2000000")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into(),
    };
    assert_eq!(log.create_topics(std::slice::from_ref(&plan)).unwrap(), [(Topic::Models, Created::New)]);
    assert_eq!(log.create_topics(&[plan]).unwrap(), [(Topic::Models, Created::Existed)]);
    let facts = definite(|| match log.describe_topics(&[Topic::Facts, Topic::Models]) {
        // The broker that answers may hear of the new topic a moment later.
        Ok(facts) if facts[1].partitions.is_none() => Err(LogError::Retry("not yet".into())),
        other => other,
    });
    assert_eq!(facts[0].partitions, None);
    assert_eq!((facts[1].partitions, facts[1].replication), (Some(3), Some(1)));
    assert_eq!(facts[1].configs["cleanup.policy"], "compact");
    assert_eq!(log.record_bytes_max(Topic::Models).unwrap(), 2_000_000);
}

fn no_floor(broker: &Broker) {
    let log = broker.log(1);
    let mut member = Member::new(log.consumer(Group::Customer, "floor").unwrap());
    member.accept();
    let mut producer = producer(&log, "floor");
    let journal = place(Topic::Journal, 0);
    // Drain, offsets, commit.
    let mut micros: [Vec<u128>; 3] = Default::default();
    for round in 0..100 {
        member.poll();
        let mut begun = Instant::now();
        let mut lap = |at: usize| {
            micros[at].push(begun.elapsed().as_micros());
            begun = Instant::now();
        };
        sent(&mut producer, &vec![record(journal, &round.to_string()); 10]);
        lap(0);
        let next = producer.last_offset(journal).unwrap() + 1;
        let metadata = member.consumer.metadata().unwrap();
        producer.send_offsets(Group::Customer, &[(journal, next)], &metadata).unwrap();
        lap(1);
        producer.commit().unwrap();
        lap(2);
    }
    let medians = micros.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("  10 records: medians of drain, offsets, commit {medians:?} us");
    assert!(medians.iter().sum::<u128>() < 50_000);
    assert_eq!(read_all(&log, journal).len(), 1000);
}

fn committed_only(broker: &Broker) {
    let log = broker.log(1);
    let alerts = place(Topic::Alerts, 0);
    let mut producer = producer(&log, "p");
    sent(&mut producer, &[record(alerts, "a"), record(alerts, "b")]);
    assert_eq!(producer.last_offset(alerts), Some(1));
    producer.commit().unwrap();
    sent(&mut producer, &[record(alerts, "never")]);
    producer.abort().unwrap();
    sent(&mut producer, &[record(alerts, "c")]);
    producer.commit().unwrap();
    assert_eq!(read_all(&log, alerts), ["a", "b", "c"]);
}

fn ends(broker: &Broker) {
    let log = broker.log(1);
    let scores = place(Topic::Scores, 0);
    let mut reader = log.reader().unwrap();
    assert_eq!(definite(|| reader.ends(scores)), Ends { low: 0, stable: 0, high: 0 });
    append(&log, &[record(scores, "plain")]);
    let mut producer = producer(&log, "p");
    sent(&mut producer, &[record(scores, "open"), record(scores, "open")]);
    assert_eq!(reader.ends(scores).unwrap(), Ends { low: 0, stable: 1, high: 3 });
    // A plain record after an open transaction waits behind it.
    append(&log, &[record(scores, "behind")]);
    assert_eq!(read_all(&log, scores), ["plain"]);
    producer.abort().unwrap();
    assert_eq!(read_all(&log, scores), ["plain", "behind"]);
    assert_eq!(reader.ends(scores).unwrap(), Ends { low: 0, stable: 5, high: 5 });
}

fn fencing(broker: &Broker) {
    let log = broker.log(1);
    let alerts = place(Topic::Alerts, 0);
    let mut first = producer(&log, "same");
    sent(&mut first, &[record(alerts, "of the first")]);
    let mut second = producer(&log, "same");
    sent(&mut second, &[record(alerts, "of the second")]);
    let error = first.commit().unwrap_err();
    assert!(matches!(error, LogError::Fatal(_)), "{error:?}");
    second.commit().unwrap();
    assert_eq!(read_all(&log, alerts), ["of the second"]);
}

fn reopened(broker: &Broker) {
    let log = broker.log(1);
    let alerts = place(Topic::Alerts, 0);
    let mut first = producer(&log, "same");
    sent(&mut first, &[record(alerts, "open")]);
    std::mem::forget(first);
    append(&log, &[record(alerts, "behind")]);
    let begun = Instant::now();
    let _second = producer(&log, "same");
    println!("  init after a crash: {} ms", begun.elapsed().as_millis());
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(read_all(&log, alerts), ["behind"]);
}

fn abort_in_flight(broker: &Broker) {
    let log = broker.log(1);
    let alerts = place(Topic::Alerts, 0);
    let mut producer = producer(&log, "p");
    producer.begin().unwrap();
    for _ in 0..20_000 {
        producer.send(&record(alerts, &"x".repeat(500))).unwrap();
    }
    let begun = Instant::now();
    producer.abort().unwrap();
    println!("  abort with 20 000 records queued: {} ms", begun.elapsed().as_millis());
    assert!(begun.elapsed() < Duration::from_secs(3));
    sent(&mut producer, &[record(alerts, "after")]);
    producer.commit().unwrap();
    assert_eq!(read_all(&log, alerts), ["after"]);
}

fn too_large(broker: &Broker) {
    let log = broker.log(1);
    let alerts = place(Topic::Alerts, 0);
    let bytes = log.record_bytes_max(Topic::Alerts).unwrap();
    // The limit of the client lies above the topic's, so that it is the broker who refuses.
    let small = habitue::edge::kafka::KafkaLog::new(broker.config()).unwrap();
    let plan = TopicPlan {
        topic: Topic::Alerts,
        partitions: 1,
        replication: Some(1),
        configs: [("max.message.bytes".to_string(), "100000".to_string())].into(),
    };
    small.create_topics(&[plan]).unwrap();
    assert!(bytes > 8 << 20, "{bytes}");
    let mut producer = producer(&small, "p");
    producer.begin().unwrap();
    producer.send(&record(alerts, &"x".repeat(200_000))).unwrap();
    let refused = producer.drain(PATIENCE).unwrap_err();
    assert!(matches!(refused, LogError::Abort(_)), "{refused:?}");
    assert!(matches!(producer.commit(), Err(LogError::Abort(_))));
    producer.abort().unwrap();
    sent(&mut producer, &[record(alerts, "small")]);
    producer.commit().unwrap();
    assert_eq!(read_all(&small, alerts), ["small"]);
}

fn large_records(broker: &Broker) {
    let mut config = broker.config();
    config.record_bytes_max = 9 << 20;
    let log = broker.log_of(config, 1);
    let purchases = place(Topic::Purchases, 0);
    append(&log, &[record(purchases, &"x".repeat(8 << 20)), record(purchases, "small")]);
    let lengths: Vec<usize> = read_all(&log, purchases).iter().map(String::len).collect();
    assert_eq!(lengths, [8 << 20, 5]);
    let mut member = Member::new(log.consumer(Group::Customer, "m").unwrap());
    member.accept();
    member.consumer.fetch(&[(purchases, 0)]).unwrap();
    member.read_to_end(purchases);
    assert_eq!(member.read.len(), 2);
}
