//! Offsets in transactions, and the fence that protects them.

use habitue::edge::log::{GroupConsumer, Log, LogError, Producer};
use habitue::signal::Topic;

use super::*;

fn journal(partition: u32) -> Place {
    Place::new(Topic::Journal, partition)
}

pub fn unknown_is_none(bench: &impl Bench) {
    let log = bench.fresh(2);
    let member = sole_member(bench, &log, "member", 2);
    let places = [journal(0), journal(1), Place::new(Topic::Purchases, 0)];
    assert_eq!(member.committed(bench, &log, &places), [None, None, None]);
}

pub fn committed_with_outputs(bench: &impl Bench) {
    let log = bench.fresh(2);
    let member = sole_member(bench, &log, "member", 2);
    let mut producer = producer(bench, &log, "writer");
    for round in 1..=3_u64 {
        open(bench, &log, &mut producer, alerts(0), &["output"]);
        let proof = member.consumer.metadata().expect("metadata");
        let offsets = [(journal(0), round * 10), (journal(1), round * 10 + 1)];
        producer.send_offsets(Group::Customer, &offsets, &proof).expect("send_offsets");
        producer.commit().expect("commit");
        let committed = member.committed(bench, &log, &[journal(1), journal(0)]);
        assert_eq!(committed, [Some(round * 10 + 1), Some(round * 10)]);
    }
    read(bench, &log, alerts(0), 0, 3);
}

pub fn unchanged_by_abort(bench: &impl Bench) {
    let log = bench.fresh(1);
    let member = sole_member(bench, &log, "member", 1);
    let mut producer = producer(bench, &log, "writer");
    let proof = member.consumer.metadata().expect("metadata");
    open(bench, &log, &mut producer, alerts(0), &["first"]);
    producer.send_offsets(Group::Customer, &[(journal(0), 5)], &proof).expect("send_offsets");
    producer.commit().expect("commit");
    open(bench, &log, &mut producer, alerts(0), &["second"]);
    producer.send_offsets(Group::Customer, &[(journal(0), 9)], &proof).expect("send_offsets");
    producer.abort().expect("abort");
    assert_eq!(member.committed(bench, &log, &[journal(0)]), [Some(5)]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["first"]);
}

/// Until the transaction ends, nobody is told an offset that may be overtaken. The new producer of the
/// same id makes an end.
pub fn pending_is_retry(bench: &impl Bench) {
    let log = bench.fresh(2);
    let member = sole_member(bench, &log, "member", 2);
    let mut writer = producer(bench, &log, "writer");
    let proof = member.consumer.metadata().expect("metadata");
    open(bench, &log, &mut writer, alerts(0), &["output"]);
    writer.send_offsets(Group::Customer, &[(journal(0), 5)], &proof).expect("send_offsets");
    for _ in 0..3 {
        let outcome = member.consumer.committed(&[journal(0)], WAIT);
        assert!(matches!(outcome, Err(LogError::Retry(_))), "{outcome:?}");
    }
    let _next = producer(bench, &log, "writer");
    assert_eq!(member.committed(bench, &log, &[journal(0), journal(1)]), [None, None]);
}

pub fn topics_outside_the_subscription(bench: &impl Bench) {
    let log = bench.fresh(2);
    let member = sole_member(bench, &log, "member", 2);
    let mut producer = producer(bench, &log, "writer");
    let places = [Place::new(Topic::Purchases, 1), Place::new(Topic::Engagements, 0)];
    open(bench, &log, &mut producer, alerts(0), &["output"]);
    let proof = member.consumer.metadata().expect("metadata");
    producer
        .send_offsets(Group::Customer, &[(places[0], 7), (places[1], 8)], &proof)
        .expect("offsets of topics that the group does not subscribe to");
    producer.commit().expect("commit");
    assert_eq!(member.committed(bench, &log, &places), [Some(7), Some(8)]);
}

/// Sends offsets with a proof and commits, as a committer would.
fn commit_with<L: Log>(producer: &mut L::Producer, offset: u64, proof: &L::Metadata) -> Result<(), LogError> {
    producer.send_offsets(Group::Customer, &[(journal(0), offset)], proof)?;
    producer.commit()
}

/// Any new generation makes older proofs worthless, even of a member that keeps its partitions.
pub fn stale_generation_is_refused<B: Bench>(bench: &B) {
    let log = bench.fresh(2);
    let mut one = sole_member(bench, &log, "one", 2);
    let stale = one.consumer.metadata().expect("metadata");
    let mut two = Member::new(&log, "two");
    serve(bench, &log, "one partition each", &mut [&mut one, &mut two], |members| {
        members[0].owned.len() == 1 && members[1].owned.len() == 1
    });
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["refused"]);
    let error = commit_with::<B::L>(&mut producer, 5, &stale).expect_err("a stale generation");
    assert!(matches!(error, LogError::Abort(_)), "{error}");
    producer.abort().expect("abort");
    open(bench, &log, &mut producer, alerts(0), &["taken"]);
    let fresh = one.consumer.metadata().expect("metadata");
    commit_with::<B::L>(&mut producer, 6, &fresh).expect("with fresh metadata the producer goes on");
    assert_eq!(one.committed(bench, &log, &[journal(0)]), [Some(6)]);
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["taken"]);
}

/// A zombie: its name has begun anew elsewhere, it does not know yet, and commits.
pub fn moved_partition_is_refused<B: Bench>(bench: &B) {
    let log = bench.fresh(2);
    let zombie = sole_member(bench, &log, "member", 2);
    let stale = zombie.consumer.metadata().expect("metadata");
    let mut writer = producer(bench, &log, "of the zombie");
    open(bench, &log, &mut writer, alerts(0), &["of the zombie"]);
    let successor = sole_member(bench, &log, "member", 2);
    let error = commit_with::<B::L>(&mut writer, 5, &stale).expect_err("its partitions have moved");
    assert!(matches!(error, LogError::Abort(_)), "{error}");
    writer.abort().expect("abort");
    assert_eq!(successor.committed(bench, &log, &[journal(0)]), [None]);
    assert_eq!(read(bench, &log, alerts(0), 0, 0), []);
}

/// A consumer that has not joined has no proof, or one that is refused.
pub fn proof_before_membership_is_worthless<B: Bench>(bench: &B) {
    let log = bench.fresh(1);
    let stranger = log.consumer(Group::Customer, "stranger").expect("a consumer");
    let Ok(proof) = stranger.metadata() else { return };
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["refused"]);
    let error = commit_with::<B::L>(&mut producer, 5, &proof).expect_err("no member");
    assert!(matches!(error, LogError::Abort(_)), "{error}");
}

/// The hole that the engine must keep away from: no offsets, no fence.
pub fn empty_list_skips_the_fence(bench: &impl Bench) {
    let log = bench.fresh(2);
    let zombie = sole_member(bench, &log, "member", 2);
    let stale = zombie.consumer.metadata().expect("metadata");
    let _successor = sole_member(bench, &log, "member", 2);
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["of the zombie"]);
    producer.send_offsets(Group::Customer, &[], &stale).expect("an empty list is not looked at");
    producer.commit().expect("commit");
    assert_eq!(values(&read(bench, &log, alerts(0), 0, 1)), ["of the zombie"]);
}

/// Two transactions at once touch one offset: the one that sent it later wins, whichever ends first.
pub fn later_sent_offset_stays(bench: &impl Bench) {
    let log = bench.fresh(1);
    let member = sole_member(bench, &log, "member", 1);
    let proof = member.consumer.metadata().expect("metadata");
    let (mut one, mut two) = (producer(bench, &log, "one"), producer(bench, &log, "two"));
    open(bench, &log, &mut one, alerts(0), &["of one"]);
    open(bench, &log, &mut two, alerts(0), &["of two"]);
    one.send_offsets(Group::Customer, &[(journal(0), 5)], &proof).expect("send_offsets");
    two.send_offsets(Group::Customer, &[(journal(0), 9)], &proof).expect("send_offsets");
    two.commit().expect("commit");
    one.commit().expect("commit");
    assert_eq!(member.committed(bench, &log, &[journal(0)]), [Some(9)]);
}
