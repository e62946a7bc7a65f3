//! Section 3, the journal entry: what is not in it, a replay does otherwise.

use std::sync::Arc;

use habitue::analysis::recommend;
use habitue::codec;
use habitue::edge::log::{Group, Place};
use habitue::engine;
use habitue::event::{Event, Input, item_hash};
use habitue::signal::Topic;
use habitue::signal::journal::{Decision, Entry, Step};
use habitue::signal::model::{ModelRecord, Row};

use super::rig::{Rewrite, Rig};
use super::shop::{Shop, wire};

/// A reader to whom every entry is changed.
pub fn entries(change: impl Fn(&mut Entry) + Send + Sync + 'static) -> Rewrite {
    Arc::new(move |topic, _, value| {
        if topic != Topic::Journal {
            return value.to_vec();
        }
        let mut entry = codec::decode_journal(value).unwrap();
        change(&mut entry);
        let mut changed = Vec::new();
        codec::encode_journal(&entry, &mut changed);
        changed
    })
}

/// The group is empty; somebody else goes on, and all is right.
fn is_followed(shop: &Shop) {
    shop.log.remove_member(Group::Customer, "a");
    let mut b = shop.settled("b");
    assert!(b.is_live(0));
    shop.buy("p9", "c9");
    shop.settle(&mut [&mut b]);
    shop.is_right(true);
    shop.log.remove_member(Group::Customer, "b");
}

fn is_refused(shop: &Shop, change: impl Fn(&mut Entry) + Send + Sync + 'static) {
    let rig = Rig::new(&shop.log, None).rewriting(entries(change));
    let refused = shop.refusal(shop.start("c", rig));
    assert!(refused.contains("the state's hash is"), "{refused}");
}

/// Nearly everything at this terminal is fraud.
pub fn publish_risk(shop: &Shop, version: u64) {
    let row = Row {
        table: "entity_risk".into(),
        key: "terminal:t1".into(),
        version,
        time_ms: shop.log.now_ms(),
        numbers: vec![0.95, 0.01, 19.0, 20.0],
        shares: Vec::new(),
        text: String::new(),
    };
    publish(shop, &row);
}

/// Item `i2` is known, and all that is popular.
pub fn publish_popular(shop: &Shop) {
    let hash = item_hash("i2");
    let row = |table: &str, key: String, text: &str| {
        let (table, text, time_ms) = (table.into(), text.into(), shop.log.now_ms());
        let (numbers, shares) = (Vec::new(), vec![(hash, 1.0)]);
        publish(shop, &Row { table, key, version: 1, time_ms, numbers, shares, text });
    };
    row(recommend::ITEMS, recommend::item_key(hash).to_string(), "i2");
    row(recommend::POPULAR, recommend::POPULAR_KEY.into(), "");
}

fn publish(shop: &Shop, row: &Row) {
    let mut value = Vec::new();
    codec::encode_model(&ModelRecord::Row(row.clone()), &mut value);
    let (place, key) = (Place::new(Topic::Models, 0), row.record_key());
    shop.log.append_record(place, Some(key.as_bytes()), Some(&value), shop.log.now_ms()).unwrap();
}

/// What was said is remembered by decisions, and they are taken from the journal: models are newer at replay.
#[test]
fn decisions_are_taken_from_the_journal() {
    let shop = Shop::open();
    let mut a = shop.settled("a");
    for event in ["p0", "p1"] {
        shop.buy(event, "c1");
        shop.settle(&mut [&mut a]);
    }
    publish_risk(&shop, 1);
    shop.settle(&mut [&mut a]);
    shop.buy("p2", "c1");
    shop.settle(&mut [&mut a]);
    drop(a);
    let decisions = |entry: &Entry| {
        entry.steps.iter().filter(|step| matches!(step, Step::Decision(Decision::Remember { .. }))).count()
    };
    let made: Vec<usize> = shop.story().entries.iter().map(|(_, entry)| decisions(entry)).collect();
    assert_eq!(made.iter().sum::<usize>(), 1, "one alert, once the models knew: {made:?}");
    is_followed(&shop);
    is_refused(&shop, |entry| {
        entry.steps.retain(|step| !matches!(step, Step::Decision(Decision::Remember { .. })));
    });
    // Made anew with the models of today, the first payments raise alerts that nobody has seen.
    let mut story = shop.story();
    let last = story.entries.last().unwrap().1.positions.models.clone();
    story.entries.iter_mut().for_each(|(_, entry)| entry.positions.models.clone_from(&last));
    let anew = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut partition = engine::Partition::new(0, Arc::clone(&shop.engine));
        story.apply(&mut partition, 0..story.entries.len(), engine::Mode::Live);
    }));
    assert!(anew.is_err(), "newer models decide otherwise");
}

/// A record that could not be read stays unread on a replay, though its schema is known by then.
#[test]
fn what_was_undecodable_stays_so() {
    let mut shop = Shop::open();
    let mut a = shop.settled("a");
    shop.buy("p0", "c1");
    let event = Event::Purchase(shop.purchase("p1", "c1"));
    shop.write(Topic::Purchases, "c1", &event, 99);
    shop.buy("p2", "c1");
    shop.settle(&mut [&mut a]);
    drop(a);
    assert_eq!(shop.log.all_committed(Place::new(Topic::DeadLetters, 0)).unwrap().len(), 1);
    shop.is_right(true);
    shop.log.remove_member(Group::Customer, "a");
    shop.wire = wire(vec![(99, include_str!("../../../schemas/purchase.avsc").to_owned())]);
    let mut b = shop.settled("b");
    assert!(b.is_live(0));
    let event = Event::Purchase(shop.purchase("p3", "c1"));
    shop.write(Topic::Purchases, "c1", &event, 99);
    shop.settle(&mut [&mut b]);
    assert_eq!(shop.log.all_committed(Place::new(Topic::DeadLetters, 0)).unwrap().len(), 1, "known by now");
    drop(b);
    shop.log.remove_member(Group::Customer, "b");
    assert!(shop.settled("d").is_live(0));
    shop.log.remove_member(Group::Customer, "d");
    is_refused(&shop, |entry| {
        entry.steps.retain(|step| !matches!(step, Step::Decision(Decision::Undecodable { .. })));
    });
}

/// Time that passed while nothing came is in the journal, because a replay has another clock.
#[test]
fn a_tick_is_a_step() {
    let mut shop = Shop::open();
    let engine = engine::Config { customer_retention_ms: 1_000, ..(*shop.engine).clone() };
    shop.engine = Arc::new(engine);
    let mut a = shop.settled("a");
    shop.buy("p0", "c1");
    shop.settle(&mut [&mut a]);
    drop(a);
    let ticks = |shop: &Shop| {
        let story = shop.story();
        let steps = story.entries.iter().flat_map(|(_, entry)| &entry.steps);
        steps.filter(|step| matches!(step, Step::Tick { .. })).count()
    };
    assert!(ticks(&shop) > 0, "the customer is forgotten by a tick");
    is_followed(&shop);
    is_refused(&shop, |entry| entry.steps.retain(|step| !matches!(step, Step::Tick { .. })));
}

/// An input that turns idle no longer holds the watermark back: a step too.
#[test]
fn an_idle_input_is_a_step() {
    let shop = Shop::open();
    let mut a = shop.settled("a");
    shop.buy("p0", "c1");
    shop.settle(&mut [&mut a]);
    drop(a);
    is_followed(&shop);
    is_refused(&shop, |entry| entry.steps.retain(|step| !matches!(step, Step::Idle { .. })));
}

/// Records of all places of a shard stand in one queue: while one is behind, the end of another tells nothing, because
/// its next records may stand behind that backlog. Taken for idle, it would let the watermark pass them.
#[test]
fn an_end_counts_only_once_all_are_reached() {
    let idle = |shop: &Shop| {
        let story = shop.story();
        let steps = story.entries.iter().flat_map(|(_, entry)| entry.steps.clone());
        steps.filter(|step| matches!(step, Step::Idle { .. })).count()
    };
    let shop = Shop::open();
    let mut a = shop.settled("a");
    for behind in [Place::new(Topic::Engagements, 0), Place::new(Topic::Engagements, 1)] {
        let before = idle(&shop);
        a.rig.is_behind(Some(behind));
        shop.buy(&format!("p{behind:?}"), "c1");
        shop.settle(&mut [&mut a]);
        assert_eq!(idle(&shop), before, "{behind:?} has yet to be read");
        a.rig.is_behind(None);
        shop.settle(&mut [&mut a]);
        assert!(idle(&shop) > before, "purchases have ended");
    }
}

/// An entry has the positions of all inputs, of those too that it did not read: what stands in the last one
/// is all that a restore knows.
#[test]
fn an_entry_has_all_positions() {
    for kept in [true, false] {
        let shop = Shop::open();
        let mut a = shop.settled("a");
        shop.view("e0", "c1");
        shop.settle(&mut [&mut a]);
        shop.buy("p0", "c1");
        shop.settle(&mut [&mut a]);
        drop(a);
        shop.log.remove_member(Group::Customer, "a");
        let mut rig = Rig::new(&shop.log, None);
        if !kept {
            rig = rig.rewriting(entries(|entry| {
                for input in Input::ALL {
                    let touched =
                        entry.steps.iter().any(|s| matches!(s, Step::Run { input: of, .. } if *of == input));
                    if !touched {
                        entry.positions.inputs[input.index()] = 0;
                    }
                }
            }));
        }
        let mut b = shop.start("b", rig);
        shop.settle(&mut [&mut b]);
        shop.is_right(kept);
    }
}
