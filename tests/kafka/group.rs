//! Members: who owns what, for how long, and what they read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use habitue::edge::kafka::{KafkaLog, KafkaProducer};
use habitue::edge::log::{Appender, Group, GroupConsumer, Log, LogError, Place, Producer, Rebalance};
use habitue::signal::Topic;
use rdkafka::consumer::ConsumerGroupMetadata;

use super::Case;
use super::bench::{Member, PATIENCE, append, definite, place, producer, record, sent, until};
use super::broker::Broker;

pub const CASES: &[Case] = &[
    ("the_generation_holds_until_release", generation),
    ("partition_p_of_all_topics_stays_together", together),
    ("an_end_is_told_for_each_topic", at_end),
    ("an_end_behind_aborted_records_is_told", at_end_after_abort),
    ("the_lead_is_read_only_when_named", lead),
    ("fetching_again_moves", moved),
    ("pausing_loses_nothing", pausing),
    ("offsets_of_a_pending_transaction_are_awaited", pending_offsets),
    ("a_member_that_answers_nothing_can_go", dropped),
];

fn member(log: &KafkaLog, name: &str) -> Member {
    Member::new(log.consumer(Group::Customer, name).unwrap())
}

/// One transaction: a record to the journal and the offset after it.
fn committed(
    producer: &mut KafkaProducer,
    partition: u32,
    metadata: &Arc<ConsumerGroupMetadata>,
) -> Result<u64, LogError> {
    let journal = place(Topic::Journal, partition);
    sent(producer, &[record(journal, "entry")]);
    let next = producer.last_offset(journal).unwrap() + 1;
    producer.send_offsets(Group::Customer, &[(journal, next)], metadata)?;
    producer.commit()?;
    Ok(next)
}

fn generation(broker: &Broker) {
    let log = broker.log(4);
    let mut first = member(&log, "first");
    assert_eq!(first.accept(), [0, 1, 2, 3]);
    let mut producer = producer(&log, "p");
    committed(&mut producer, 0, &first.consumer.metadata().unwrap()).unwrap();

    let mut second = member(&log, "second");
    let revoked = until("a revocation", || {
        second.poll();
        match first.poll() {
            Some(Rebalance::Revoked(partitions)) => Some(partitions),
            Some(other) => panic!("revoked expected, not {other:?}"),
            None => None,
        }
    });
    assert_eq!(revoked.len(), 2);
    // Longer than the session: heartbeats go on, nobody takes over, our commits are accepted.
    let metadata = first.consumer.metadata().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        assert_eq!(first.poll(), None);
        assert_eq!(second.poll(), None);
        committed(&mut producer, revoked[0], &metadata).unwrap();
    }
    let last = committed(&mut producer, revoked[0], &metadata).unwrap();
    first.consumer.release(&revoked).unwrap();
    let released = Instant::now();
    let mut taken = until("the assignment", || {
        first.poll();
        match second.poll() {
            Some(Rebalance::Assigned(partitions)) => Some(partitions),
            other => other.map(|other| panic!("assigned expected, not {other:?}")),
        }
    });
    println!("  from release to the other's assignment: {} ms", released.elapsed().as_millis());
    second.consumer.accept(&taken).unwrap();
    taken.sort_unstable();
    let mut expected = revoked.clone();
    expected.sort_unstable();
    assert_eq!(taken, expected);
    let journal = place(Topic::Journal, revoked[0]);
    let offsets = definite(|| second.consumer.committed(&[journal], Duration::from_secs(2)));
    assert_eq!(offsets, [Some(last)]);
    // What was taken before the release is of an earlier generation.
    let stale = committed(&mut producer, revoked[0], &metadata).unwrap_err();
    assert!(matches!(stale, LogError::Abort(_)), "{stale:?}");
    producer.abort().unwrap();
    committed(&mut producer, 0, &first.consumer.metadata().unwrap()).unwrap();
}

const INPUTS: [Topic; 3] = [Topic::Purchases, Topic::Engagements, Topic::Feedback];

/// Accepts and fetches, or releases, as the group asks.
fn follow(member: &mut Member, owned: &mut Vec<u32>) {
    match member.poll() {
        Some(Rebalance::Assigned(partitions)) => {
            member.consumer.accept(&partitions).unwrap();
            let from: Vec<(Place, u64)> =
                partitions.iter().flat_map(|p| INPUTS.map(|topic| (place(topic, *p), 0))).collect();
            definite(|| member.consumer.fetch(&from));
            owned.extend(partitions);
        }
        Some(Rebalance::Revoked(partitions) | Rebalance::Lost(partitions)) => {
            member.consumer.release(&partitions).unwrap();
            owned.retain(|partition| !partitions.contains(partition));
        }
        None => {}
    }
}

fn together(broker: &Broker) {
    const PARTITIONS: u32 = 6;
    let log = broker.log(PARTITIONS);
    let mut members: Vec<(Member, Vec<u32>)> = Vec::new();
    for count in 1..=3 {
        members.push((member(&log, &format!("m{count}")), Vec::new()));
        until("an even share for everyone", || {
            members.iter_mut().for_each(|(member, owned)| follow(member, owned));
            members.iter().all(|(_, owned)| owned.len() == 6 / count).then_some(())
        });
    }
    members.iter_mut().for_each(|(member, _)| member.read.clear());
    let places: Vec<Place> = (0..PARTITIONS).flat_map(|p| INPUTS.map(|topic| place(topic, p))).collect();
    append(&log, &places.iter().map(|at| record(*at, "x")).collect::<Vec<_>>());
    until("every record", || {
        members.iter_mut().for_each(|(member, owned)| follow(member, owned));
        (members.iter().map(|(member, _)| member.read.len()).sum::<usize>() >= places.len()).then_some(())
    });
    let mut seen: BTreeMap<Place, usize> = BTreeMap::new();
    for (member, owned) in &members {
        for (at, ..) in &member.read {
            assert!(owned.contains(&at.partition), "{at:?} was read by a member that owns {owned:?}");
            *seen.entry(*at).or_default() += 1;
        }
    }
    assert_eq!(seen, places.iter().map(|at| (*at, 1)).collect());
}

fn at_end(broker: &Broker) {
    let log = broker.log(2);
    let [purchases, engagements, feedback] = INPUTS.map(|topic| place(topic, 1));
    append(&log, &[record(purchases, "a"), record(engagements, "b")]);
    let mut member = member(&log, "m");
    member.accept();
    definite(|| member.consumer.fetch(&[(purchases, 0), (engagements, 0), (feedback, 0)]));
    assert!(INPUTS.iter().all(|topic| !member.consumer.at_end(place(*topic, 1))));
    // Two topics end at the same offset, the third at once.
    [purchases, engagements, feedback].iter().for_each(|at| member.read_to_end(*at));
    assert_eq!(member.read.len(), 2);
    append(&log, &[record(engagements, "c")]);
    until("the record", || {
        member.poll();
        (member.read.len() == 3).then_some(())
    });
    assert!(member.consumer.at_end(purchases) && member.consumer.at_end(feedback));
    member.read_to_end(engagements);
    // Not while something committed is still to be read.
    let mut appender = log.appender().unwrap();
    for _ in 0..20 {
        appender.append(&record(feedback, "d")).unwrap();
        assert!(appender.flush(PATIENCE).unwrap());
        let expected = member.read.len() + 1;
        until("the record", || {
            member.poll();
            (member.read.len() == expected).then_some(())
        });
        member.read_to_end(feedback);
    }
}

fn at_end_after_abort(broker: &Broker) {
    let log = broker.log(1);
    let [purchases, engagements, feedback] = INPUTS.map(|topic| place(topic, 0));
    let mut producer = producer(&log, "shop");
    sent(&mut producer, &[record(purchases, "a"), record(engagements, "a")]);
    producer.commit().unwrap();
    sent(&mut producer, &[record(purchases, "never"), record(feedback, "never")]);
    producer.abort().unwrap();
    let mut member = member(&log, "m");
    member.accept();
    definite(|| member.consumer.fetch(&[(purchases, 0), (engagements, 0), (feedback, 0)]));
    [purchases, engagements, feedback].iter().for_each(|at| member.read_to_end(*at));
    assert_eq!(member.read.len(), 2);
    // What is not committed lies behind the end.
    sent(&mut producer, &[record(engagements, "b")]);
    for _ in 0..10 {
        assert_eq!(member.poll(), None);
    }
    assert!(member.consumer.at_end(engagements));
    producer.commit().unwrap();
    until("the record", || {
        member.poll();
        (member.values(engagements) == ["a", "b"]).then_some(())
    });
    member.read_to_end(engagements);
}

fn lead(broker: &Broker) {
    let log = broker.log(2);
    let facts = [place(Topic::Facts, 0), place(Topic::Facts, 1)];
    append(&log, &facts.map(|at| record(at, "a")));
    let mut market = Member::new(log.consumer(Group::Market, "m").unwrap());
    market.accept();
    for _ in 0..20 {
        assert_eq!(market.poll(), None);
    }
    assert!(market.read.is_empty());
    definite(|| market.consumer.fetch(&[(facts[1], 0)]));
    market.read_to_end(facts[1]);
    assert_eq!(market.values(facts[1]), ["a"]);
    assert_eq!(market.read.len(), 1);
    assert!(matches!(market.consumer.fetch(&[(place(Topic::Facts, 7), 0)]), Err(LogError::Fatal(_))));
}

fn moved(broker: &Broker) {
    let log = broker.log(1);
    let purchases = place(Topic::Purchases, 0);
    append(&log, &["a", "b", "c"].map(|value| record(purchases, value)));
    let mut member = member(&log, "m");
    member.accept();
    definite(|| member.consumer.fetch(&[(purchases, 1)]));
    member.read_to_end(purchases);
    assert_eq!(member.values(purchases), ["b", "c"]);
    member.read.clear();
    definite(|| member.consumer.fetch(&[(purchases, 0)]));
    assert!(!member.consumer.at_end(purchases));
    member.read_to_end(purchases);
    assert_eq!(member.values(purchases), ["a", "b", "c"]);
    // Given up and taken again.
    member.read.clear();
    definite(|| member.consumer.fetch(&[(purchases, 2)]));
    member.read_to_end(purchases);
    assert_eq!(member.values(purchases), ["c"]);
}

fn pausing(broker: &Broker) {
    let log = broker.log(1);
    let [purchases, engagements, _] = INPUTS.map(|topic| place(topic, 0));
    const COUNT: usize = 20_000;
    let records: Vec<_> = (0..COUNT).map(|at| record(purchases, &at.to_string())).collect();
    append(&log, &records);
    let mut member = member(&log, "m");
    member.accept();
    // Paused before the first record, as a partition is that restores.
    definite(|| member.consumer.fetch(&[(purchases, 0), (engagements, 0)]));
    member.consumer.pause(&[purchases, engagements]).unwrap();
    for _ in 0..20 {
        assert_eq!(member.poll(), None);
    }
    assert!(member.read.is_empty() && !member.consumer.at_end(purchases));
    member.consumer.resume(&[purchases, engagements]).unwrap();
    until("every record", || {
        member.poll();
        if member.read.len() % 5 == 1 {
            member.consumer.pause(&[purchases]).unwrap();
            member.poll();
            member.consumer.resume(&[purchases]).unwrap();
        }
        (member.read.len() >= COUNT).then_some(())
    });
    member.read_to_end(purchases);
    member.read_to_end(engagements);
    let expected: Vec<String> = (0..COUNT).map(|at| at.to_string()).collect();
    assert_eq!(member.values(purchases), expected);
}

fn pending_offsets(broker: &Broker) {
    let log = broker.log(1);
    let journal = place(Topic::Journal, 0);
    let purchases = place(Topic::Purchases, 0);
    let mut member = member(&log, "m");
    member.accept();
    let wait = Duration::from_millis(500);
    assert_eq!(definite(|| member.consumer.committed(&[journal, purchases], wait)), [None, None]);
    let mut producer = producer(&log, "p");
    sent(&mut producer, &[record(journal, "entry")]);
    let metadata = member.consumer.metadata().unwrap();
    producer.send_offsets(Group::Customer, &[(journal, 1), (purchases, 9)], &metadata).unwrap();
    let begun = Instant::now();
    let pending = member.consumer.committed(&[journal], wait).unwrap_err();
    assert!(matches!(pending, LogError::Retry(_)), "{pending:?}");
    assert!(begun.elapsed() < 4 * wait);
    producer.commit().unwrap();
    let offsets = definite(|| member.consumer.committed(&[purchases, journal], wait));
    assert_eq!(offsets, [Some(9), Some(1)]);
}

fn dropped(broker: &Broker) {
    let log = broker.log(2);
    let mut first = member(&log, "first");
    first.rebalance();
    let begun = Instant::now();
    drop(first);
    let mut second = member(&log, "second");
    second.accept();
    println!("  an unanswered member was gone and replaced after {} ms", begun.elapsed().as_millis());
    let mut third = member(&log, "third");
    until("a revocation", || {
        third.poll();
        second.poll()
    });
    drop(second);
    let mut owned = Vec::new();
    until("everything", || {
        follow(&mut third, &mut owned);
        (owned.len() == 2).then_some(())
    });
}
