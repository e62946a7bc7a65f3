//! Members of a group: who owns what, and what they read.

use habitue::edge::log::{GroupConsumer, Log, LogError, Producer, Rebalance};
use habitue::signal::Topic;

use super::*;

fn purchases(partition: u32) -> Place {
    Place::new(Topic::Purchases, partition)
}

fn all_owned<L: Log>(members: &[&mut Member<L>]) -> Vec<u32> {
    let mut owned: Vec<u32> = members.iter().flat_map(|member| member.owned.clone()).collect();
    owned.sort_unstable();
    owned
}

pub fn sole_member_gets_all(bench: &impl Bench) {
    let log = bench.fresh(4);
    let mut member = sole_member(bench, &log, "member", 4);
    assert_eq!(member.owned, [0, 1, 2, 3]);
    never(bench, &log, "a change without a cause", || member.ask().is_some());
    assert_eq!(member.records, [], "nothing is read that was not fetched");
}

pub fn every_partition_has_one_owner(bench: &impl Bench) {
    let log = bench.fresh(5);
    let names = ["one", "two", "three"];
    let mut members: Vec<Member<_>> = names.iter().map(|name| Member::new(&log, name)).collect();
    eventually(bench, &log, "shares of 2, 2 and 1", || {
        for member in &mut members {
            member.step();
        }
        let members: Vec<&mut Member<_>> = members.iter_mut().collect();
        let owned = all_owned(&members);
        assert!(owned.windows(2).all(|pair| pair[0] != pair[1]), "two owners at once: {owned:?}");
        let fair = members.iter().all(|member| (1..=2).contains(&member.owned.len()));
        (owned == [0, 1, 2, 3, 4] && fair).then_some(())
    });
}

/// The old owner keeps its partitions until it answers; only then are they given away.
pub fn asked_back_before_given_away(bench: &impl Bench) {
    let log = bench.fresh(4);
    let mut old = sole_member(bench, &log, "old", 4);
    let mut new = Member::new(&log, "new");
    let asked = eventually(bench, &log, "the old owner is asked", || {
        new.step();
        old.ask()
    });
    let Rebalance::Revoked(partitions) = asked.clone() else { panic!("{asked:?}") };
    assert_eq!(partitions.len(), 2, "half of them: {partitions:?}");
    never(bench, &log, "a partition that was not given up yet", || {
        new.step();
        assert_eq!(old.ask(), None, "it is asked once");
        !new.owned.is_empty()
    });
    old.answer(asked);
    serve(bench, &log, "the handover", &mut [&mut old, &mut new], |members| members[1].owned.len() == 2);
    assert_eq!(new.owned, partitions);
    assert_eq!(all_owned(&[&mut old, &mut new]), [0, 1, 2, 3]);
}

/// What is open can be committed before the answer, with metadata of that moment.
pub fn commits_while_asked_back(bench: &impl Bench) {
    let log = bench.fresh(2);
    let mut old = sole_member(bench, &log, "old", 2);
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["last words"]);
    let mut new = Member::new(&log, "new");
    let asked = eventually(bench, &log, "the old owner is asked", || {
        new.step();
        old.ask()
    });
    let Rebalance::Revoked(partitions) = asked.clone() else { panic!("{asked:?}") };
    let moving = Place::new(Topic::Journal, partitions[0]);
    let proof = old.consumer.metadata().expect("metadata");
    producer.send_offsets(Group::Customer, &[(moving, 3)], &proof).expect("send_offsets");
    producer.commit().expect("commit");
    old.answer(asked);
    serve(bench, &log, "the handover", &mut [&mut old, &mut new], |members| members[1].owned.len() == 1);
    assert_eq!(new.committed(bench, &log, &[moving]), [Some(3)]);
}

/// A crash and a start under the same name: the partitions come back, and nobody else is disturbed.
pub fn restart_under_the_same_name(bench: &impl Bench) {
    let log = bench.fresh(4);
    let (mut one, mut two) = (Member::new(&log, "one"), Member::new(&log, "two"));
    serve(bench, &log, "two partitions each", &mut [&mut one, &mut two], |members| {
        members[0].owned.len() == 2 && members[1].owned.len() == 2
    });
    let (before, told) = (one.owned.clone(), two.told.len());
    drop(one);
    let mut again = Member::new(&log, "one");
    serve(bench, &log, "its partitions", &mut [&mut again, &mut two], |members| members[0].owned.len() == 2);
    assert_eq!(again.owned, before);
    assert_eq!(again.told, [Rebalance::Assigned(before)]);
    assert_eq!(two.told.len(), told, "the other member was not asked for anything");
}

pub fn older_instance_is_fenced(bench: &impl Bench) {
    let log = bench.fresh(2);
    let mut zombie = sole_member(bench, &log, "member", 2);
    let mut successor = sole_member(bench, &log, "member", 2);
    let error = eventually(bench, &log, "the zombie hears of it", || {
        successor.step();
        zombie.ask();
        zombie.error.clone()
    });
    assert_eq!(error, LogError::Replaced);
    never(bench, &log, "a change for the successor", || successor.ask().is_some());
    assert_eq!(successor.owned, [0, 1]);
}

pub fn crashed_member_is_replaced(bench: &impl Bench) {
    let log = bench.fresh(2);
    let (mut one, mut two) = (Member::new(&log, "one"), Member::new(&log, "two"));
    serve(bench, &log, "a partition each", &mut [&mut one, &mut two], |members| {
        members[0].owned.len() == 1 && members[1].owned.len() == 1
    });
    drop(one);
    serve(bench, &log, "the dead member's partition", &mut [&mut two], |members| members[0].owned == [0, 1]);
}

/// Alive, but it has not polled for too long: its partitions have gone to others when it comes back.
pub fn silent_member_is_lost(bench: &impl Bench) {
    let Some(silence) = bench.silence() else { return };
    let log = bench.fresh(2);
    let (mut one, mut two) = (Member::new(&log, "one"), Member::new(&log, "two"));
    serve(bench, &log, "a partition each", &mut [&mut one, &mut two], |members| {
        members[0].owned.len() == 1 && members[1].owned.len() == 1
    });
    let stale = one.consumer.metadata().expect("metadata");
    let lost = one.owned.clone();
    for _ in 0..=silence.as_millis() / 100 {
        bench.let_time_pass(&log, Duration::from_millis(100));
        two.step();
    }
    serve(bench, &log, "the silent member's partition", &mut [&mut two], |members| {
        members[0].owned == [0, 1]
    });
    let mut producer = producer(bench, &log, "writer");
    open(bench, &log, &mut producer, alerts(0), &["of the lost"]);
    let place = Place::new(Topic::Journal, lost[0]);
    let error = producer
        .send_offsets(Group::Customer, &[(place, 1)], &stale)
        .and_then(|()| producer.commit())
        .expect_err("it is out of the group");
    assert!(matches!(error, LogError::Abort(_)), "{error}");
    let told = eventually(bench, &log, "the silent member hears of it", || {
        two.step();
        one.ask()
    });
    assert_eq!(told, Rebalance::Lost(lost));
    one.answer(told);
    serve(bench, &log, "it joins anew", &mut [&mut one, &mut two], |members| {
        members[0].owned.len() == 1 && members[1].owned.len() == 1
    });
}

pub fn reads_only_what_is_fetched(bench: &impl Bench) {
    let log = bench.fresh(2);
    for partition in 0..2 {
        append(bench, &log, Place::new(Topic::Journal, partition), &["journal"]);
        append(bench, &log, purchases(partition), &["a", "b", "c"]);
        append(bench, &log, Place::new(Topic::Engagements, partition), &["x", "y"]);
    }
    let mut member = sole_member(bench, &log, "member", 2);
    let engagements = Place::new(Topic::Engagements, 1);
    member.consumer.fetch(&[(purchases(0), 1), (engagements, 0)]).expect("fetch");
    serve(bench, &log, "the records", &mut [&mut member], |members| members[0].records.len() >= 4);
    never(bench, &log, "more than was fetched", || {
        member.step();
        member.records.len() > 4
    });
    let of =
        |place| member.records.iter().filter(|record| record.place == place).cloned().collect::<Vec<_>>();
    assert_eq!(values(&of(purchases(0))), ["b", "c"]);
    assert_eq!(values(&of(engagements)), ["x", "y"]);
    member.records.clear();
    member.consumer.fetch(&[(purchases(0), 0)]).expect("fetch again, from elsewhere");
    serve(bench, &log, "all of it", &mut [&mut member], |members| members[0].records.len() >= 3);
    assert_eq!(values(&member.records), ["a", "b", "c"]);
}

pub fn reads_follow_new_records<B: Bench>(bench: &B) {
    let log = bench.fresh(1);
    let mut member = sole_member(bench, &log, "member", 1);
    member.consumer.fetch(&[(purchases(0), 0)]).expect("fetch");
    let mut producer = producer(bench, &log, "writer");
    for round in 0..5 {
        write(bench, &log, &mut producer, purchases(0), &["a", "b"]);
        serve(bench, &log, "two records more", &mut [&mut member], |members| {
            members[0].records.len() == 2 * (round + 1)
        });
    }
    assert!(member.records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
}

pub fn pause_and_resume(bench: &impl Bench) {
    let log = bench.fresh(2);
    let numbers: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = numbers.iter().map(String::as_str).collect();
    append(bench, &log, purchases(0), &texts);
    append(bench, &log, purchases(1), &texts);
    let mut member = sole_member(bench, &log, "member", 2);
    member.consumer.fetch(&[(purchases(0), 0), (purchases(1), 0)]).expect("fetch");
    let count = |member: &Member<_>, partition| {
        member.records.iter().filter(|record| record.place == purchases(partition)).count()
    };
    let mut paused = 0;
    eventually(bench, &log, "everything, with pauses", || {
        member.step();
        member.consumer.pause(&[purchases(0)]).expect("pause");
        let before = count(&member, 0);
        for _ in 0..3 {
            member.step();
        }
        assert_eq!(count(&member, 0), before, "handed over while paused");
        paused += 1;
        member.consumer.resume(&[purchases(0)]).expect("resume");
        member.step();
        (member.records.len() >= 4000).then_some(())
    });
    for partition in 0..2 {
        let of: Vec<Seen> =
            member.records.iter().filter(|record| record.place == purchases(partition)).cloned().collect();
        assert_eq!(values(&of), numbers, "each once and in order, after {paused} pauses");
    }
}

/// A place is moved while it is paused, and read from there when it is let go.
pub fn fetch_keeps_the_pause(bench: &impl Bench) {
    let log = bench.fresh(1);
    append(bench, &log, purchases(0), &["a", "b", "c"]);
    let mut member = sole_member(bench, &log, "member", 1);
    member.consumer.fetch(&[(purchases(0), 0)]).expect("fetch");
    serve(bench, &log, "the records", &mut [&mut member], |members| members[0].records.len() == 3);
    member.consumer.pause(&[purchases(0)]).expect("pause");
    member.records.clear();
    member.consumer.fetch(&[(purchases(0), 1)]).expect("fetch again");
    never(bench, &log, "a record while paused", || {
        member.step();
        !member.records.is_empty()
    });
    member.consumer.resume(&[purchases(0)]).expect("resume");
    serve(bench, &log, "what follows", &mut [&mut member], |members| members[0].records.len() == 2);
    assert_eq!(values(&member.records), ["b", "c"]);
}

pub fn released_is_no_longer_read(bench: &impl Bench) {
    let log = bench.fresh(2);
    let mut one = sole_member(bench, &log, "one", 2);
    one.consumer.fetch(&[(purchases(0), 0), (purchases(1), 0)]).expect("fetch");
    let mut two = Member::new(&log, "two");
    serve(bench, &log, "a partition each", &mut [&mut one, &mut two], |members| {
        members[0].owned.len() == 1 && members[1].owned.len() == 1
    });
    append(bench, &log, purchases(0), &["of 0"]);
    append(bench, &log, purchases(1), &["of 1"]);
    let mine = one.owned[0];
    serve(bench, &log, "what is still owned", &mut [&mut one, &mut two], |members| {
        !members[0].records.is_empty()
    });
    never(bench, &log, "a record of what was released", || {
        one.step();
        two.step();
        one.records.len() > 1
    });
    assert_eq!(values(&one.records), [format!("of {mine}")]);
    assert_eq!(two.records, [], "assigned is not fetched");
}

pub fn at_end<B: Bench>(bench: &B) {
    let log = bench.fresh(1);
    let mut writer = producer(bench, &log, "writer");
    write(bench, &log, &mut writer, purchases(0), &["a", "b", "c"]);
    open(bench, &log, &mut writer, purchases(0), &["aborted"]);
    writer.abort().expect("abort");
    let mut member = sole_member(bench, &log, "member", 1);
    assert!(!member.consumer.at_end(purchases(0)), "what is not read has no end");
    member.consumer.fetch(&[(purchases(0), 0)]).expect("fetch");
    assert!(!member.consumer.at_end(purchases(0)), "nothing was read yet");
    let end = |log: &B::L, member: &mut Member<B::L>| {
        eventually(bench, log, "the end", || {
            member.step();
            member.consumer.at_end(purchases(0)).then(|| values(&member.records))
        })
    };
    assert_eq!(end(&log, &mut member), ["a", "b", "c"], "nothing is missing at the end");
    // An empty place is at its end too, and so is one that waits behind an open transaction.
    let mut other = producer(bench, &log, "other");
    open(bench, &log, &mut other, purchases(0), &["later"]);
    append(bench, &log, purchases(0), &["plain"]);
    assert_eq!(end(&log, &mut member), ["a", "b", "c"]);
    other.commit().expect("commit");
    eventually(bench, &log, "the rest", || {
        member.step();
        (member.records.len() == 5).then_some(())
    });
    assert_eq!(end(&log, &mut member), ["a", "b", "c", "later", "plain"]);
}

pub fn position_out_of_range(bench: &impl Bench) {
    let log = bench.fresh(1);
    append(bench, &log, purchases(0), &["a"]);
    let mut member = sole_member(bench, &log, "member", 1);
    member.consumer.fetch(&[(purchases(0), 9)]).expect("fetch");
    let error = eventually(bench, &log, "an error", || {
        member.ask();
        member.error.clone()
    });
    assert!(matches!(error, LogError::OutOfRange { offset: 9, .. }), "{error}");
    member.error = None;
    member.consumer.fetch(&[(purchases(0), 0)]).expect("fetch");
    serve(bench, &log, "the record", &mut [&mut member], |members| members[0].records.len() == 1);
}
