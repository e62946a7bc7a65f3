//! Section 5, verify mode: what was altered is found, and what is no longer held is told of and is no difference.

use std::sync::Arc;

use habitue::codec;
use habitue::edge::log::{Group, Place};
use habitue::edge::shard::customer::verify::{Outcome, Verified};
use habitue::event::{Control, Event};
use habitue::signal::journal::{Decision, Entry, Step};
use habitue::signal::model::{ModelRecord, Row};
use habitue::signal::{Signal, Topic};

use super::journal::{entries, publish_popular, publish_risk};
use super::rig::{Rewrite, Rig};
use super::shop::{Shop, wire};
use crate::service::verify::verified;

type Change = fn(&mut Entry);

/// A shop that has said something on every topic; nobody is at work. A snapshot after every batch.
fn spoken() -> Shop {
    let mut shop = Shop::open();
    shop.config.snapshot_records = 1;
    let scores = Control::Setting { name: "anomaly.scores".into(), value: "true".into() };
    shop.append(Topic::Control, "anomaly.scores", &shop.wire.control(&scores));
    let mut a = shop.settled("a");
    for (event, customer) in [("p0", "c1"), ("p1", "c2")] {
        shop.buy(event, customer);
        shop.settle(&mut [&mut a]);
    }
    // Of a schema that nobody knows yet.
    let event = Event::Purchase(shop.purchase("p2", "c1"));
    shop.write(Topic::Purchases, "c1", &event, 99);
    for (version, event, customer) in [(1, "p3", "c1"), (2, "p4", "c2")] {
        publish_risk(&shop, version);
        shop.settle(&mut [&mut a]);
        shop.buy(event, customer);
        shop.settle(&mut [&mut a]);
    }
    let erase = Control::Erase { customer: "c1".into() };
    shop.append(Topic::Control, "c1", &shop.wire.control(&erase));
    publish_popular(&shop);
    shop.settle(&mut [&mut a]);
    shop.buy("p5", "c1");
    shop.settle(&mut [&mut a]);
    drop(a);
    shop.log.remove_member(Group::Customer, "a");
    shop
}

fn of(shop: &Shop, rig: Rig) -> Verified {
    verified(shop.environment("verify", rig), 0)
}

fn plainly(shop: &Shop) -> Verified {
    of(shop, Rig::new(&shop.log, None))
}

/// The first difference to those who read it so: journal offset and words.
fn difference(shop: &Shop, rewrite: Rewrite) -> (u64, String) {
    match of(shop, Rig::new(&shop.log, None).rewriting(rewrite)).outcome {
        Outcome::Differs { offset, what } => (offset, what),
        other => panic!("it is not found: {other:?}"),
    }
}

fn records(shop: &Shop, topic: Topic) -> Vec<u64> {
    shop.log.all_committed(Place::new(topic, 0)).unwrap().iter().map(|record| record.offset).collect()
}

fn noted(verified: &Verified, words: &str) {
    assert_eq!(verified.outcome, Outcome::Equal, "{verified:?}");
    assert!(verified.notes.iter().any(|note| note.contains(words)), "{words}: {verified:?}");
}

#[test]
fn what_was_not_altered_is_equal() {
    let shop = spoken();
    let verified = plainly(&shop);
    assert_eq!(verified.outcome, Outcome::Equal);
    assert_eq!((verified.notes.len(), verified.verified_from), (0, Some(0)), "{verified:?}");
    let written: usize = Signal::TOPICS.iter().map(|topic| records(&shop, *topic).len()).sum();
    assert_eq!(verified.signals, written as u64);
    assert_eq!(verified.entries, shop.story().entries.len() as u64);
    assert_eq!(
        (verified.events, verified.decisions),
        (6, 3),
        "two alerts remembered, one record undecodable"
    );
}

#[test]
fn an_altered_byte_of_any_output_is_found() {
    let shop = spoken();
    for topic in Signal::TOPICS {
        let all = records(&shop, topic);
        assert!(!all.is_empty(), "{topic:?} has nothing to alter");
        for altered in all {
            let (_, what) = difference(
                &shop,
                Arc::new(move |of, offset, value| {
                    let mut value = value.to_vec();
                    if of == topic && offset == altered {
                        *value.last_mut().unwrap() ^= 1;
                    }
                    value
                }),
            );
            let words = format!("record {altered} of {} differs at byte", topic.name());
            assert!(what.starts_with(&words), "{what}");
        }
    }
}

/// Decisions are not taken from the journal, so that one that was altered is seen.
#[test]
fn an_altered_decision_is_found() {
    let shop = spoken();
    let remembers = |step: &Step| matches!(step, Step::Decision(Decision::Remember { .. }));
    let story = shop.story();
    let (at, _) = story.entries.iter().find(|(_, entry)| entry.steps.iter().any(remembers)).unwrap();
    let changes: [(&str, Change); 2] = [
        ("the journal has: anomaly remembers", |entry| {
            for step in &mut entry.steps {
                if let Step::Decision(Decision::Remember { memory, .. }) = step {
                    memory[0] ^= 1;
                }
            }
        }),
        ("made anew, and not in the journal: anomaly remembers", |entry| {
            entry.steps.retain(|step| !matches!(step, Step::Decision(Decision::Remember { .. })));
        }),
    ];
    for (words, change) in changes {
        let (offset, what) = difference(&shop, entries(change));
        assert!(offset == *at && what.starts_with(words), "{offset}: {what}");
    }
    let (offset, what) = difference(&shop, entries(|entry| entry.chain ^= 1));
    assert!(offset == 0 && what.contains("the state's hash is"), "{offset}: {what}");
}

/// The row in the value, changed.
fn altered(value: &[u8], change: impl Fn(&mut Row)) -> Vec<u8> {
    let ModelRecord::Row(mut row) = codec::decode_model(value).unwrap() else { panic!("no row") };
    change(&mut row);
    let mut changed = Vec::new();
    codec::encode_model(&ModelRecord::Row(row), &mut changed);
    changed
}

/// The one row that made the payment at its terminal suspicious, and the one setting that publishes scores.
#[test]
fn an_altered_row_or_setting_is_found() {
    let shop = spoken();
    let first = records(&shop, Topic::Models)[0];
    let (_, what) = difference(
        &shop,
        Arc::new(move |topic, offset, value| {
            if topic != Topic::Models || offset != first {
                return value.to_vec();
            }
            altered(value, |row| row.numbers[0] = 0.011)
        }),
    );
    assert!(what.contains("p3"), "{what}");
    let silent =
        shop.wire.control(&Control::Setting { name: "anomaly.scores".into(), value: "false".into() });
    let (offset, what) = difference(
        &shop,
        Arc::new(
            move |topic, offset, value| {
                if topic == Topic::Control && offset == 0 { silent.clone() } else { value.to_vec() }
            },
        ),
    );
    assert!(what.contains("of scores belongs to no journal entry"), "{offset}: {what}");
}

#[test]
fn a_record_too_many_is_found() {
    let shop = spoken();
    shop.append(Topic::Scores, "c1", b"again");
    let Outcome::Differs { what, .. } = plainly(&shop).outcome else { panic!("it is not found") };
    assert!(what.contains("of scores belongs to no journal entry"), "{what}");
}

/// An entry whose batch saw a version that compaction has taken is not judged by another one.
#[test]
fn what_was_compacted_away_is_told() {
    let shop = spoken();
    shop.log.run_retention();
    let verified = plainly(&shop);
    noted(&verified, "were compacted away; of entries before");
    assert!(verified.verified_from > Some(0) && verified.entries > 0 && verified.signals > 0, "{verified:?}");
    // Only the last one counts where the first version is still held.
    let one = Rig::new(&shop.log, None).rewriting(Arc::new(|topic, _, value| {
        if topic == Topic::Models { altered(value, |row| row.version = 1) } else { value.to_vec() }
    }));
    assert!(matches!(of(&shop, one).outcome, Outcome::Differs { .. }), "another version decides otherwise");
}

#[test]
fn what_was_deleted_is_told() {
    let shop = spoken();
    let second = records(&shop, Topic::Scores)[1];
    shop.log.delete_before(Place::new(Topic::Scores, 0), second).unwrap();
    noted(&plainly(&shop), "1 signals have no record any more");
    // Without the first purchases only the snapshots help; the outputs before them are passed over.
    shop.log.delete_before(Place::new(Topic::Purchases, 0), 2).unwrap();
    let verified = plainly(&shop);
    noted(&verified, "the log holds 2..6");
    noted(&verified, "were passed over as of earlier entries");
    assert!(verified.from > 0 && verified.verified_from >= Some(verified.from), "{verified:?}");
    shop.shelf.0.lock().unwrap().clear();
    let verified = plainly(&shop);
    assert_eq!(verified.outcome, Outcome::Unverified, "{verified:?}");
    assert!(verified.notes.iter().any(|note| note.contains("the log holds 2..6")), "{verified:?}");
}

/// Known by now, it is applied as it was: undecodable. The words of its dead letter are not known any more.
#[test]
fn what_was_undecodable_stays_so() {
    let mut shop = spoken();
    shop.wire = wire(vec![(99, include_str!("../../../schemas/purchase.avsc").to_owned())]);
    noted(&plainly(&shop), "1 of dead-letters were compared without their words");
    let all = records(&shop, Topic::DeadLetters);
    let (_, what) = difference(
        &shop,
        Arc::new(move |topic, offset, value| {
            let mut value = value.to_vec();
            if topic == Topic::DeadLetters && offset == all[0] {
                *value.last_mut().unwrap() ^= 1;
            }
            value
        }),
    );
    assert!(what.contains("of dead-letters differs"), "{what}");
}

/// After the service has begun anew, the outputs of its first life are still there.
#[test]
fn records_of_a_life_before_are_passed_over() {
    let shop = Shop::open();
    shop.append(Topic::Alerts, "c1", b"of another journal");
    shop.advance(120_000);
    let mut a = shop.settled("a");
    publish_risk(&shop, 1);
    shop.settle(&mut [&mut a]);
    shop.buy("p0", "c1");
    shop.settle(&mut [&mut a]);
    let verified = plainly(&shop);
    noted(&verified, "1 records of alerts were passed over");
    assert!(verified.signals > 0, "{verified:?}");
}
