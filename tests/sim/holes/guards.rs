//! Section 5, guards: each names the partition, the offsets and the way out.

use std::sync::Arc;

use habitue::edge::log::{Group, Place};
use habitue::edge::shard::BEGIN_ANEW;
use habitue::engine;
use habitue::event::Input;
use habitue::signal::Topic;
use habitue::signal::journal::Step;

use super::rig::Rig;
use super::shop::Shop;

/// Three batches of one purchase each, and nobody at work. `snapshots`: after each of them.
fn closed(snapshots: bool) -> Shop {
    let mut shop = Shop::open();
    shop.config.snapshot_records = if snapshots { 1 } else { u64::MAX };
    let mut a = shop.settled("a");
    for event in ["p0", "p1", "p2"] {
        shop.buy(event, "c1");
        shop.settle(&mut [&mut a]);
    }
    drop(a);
    shop.log.remove_member(Group::Customer, "a");
    shop
}

fn refusal(shop: &Shop) -> String {
    shop.refusal(shop.start("b", Rig::new(&shop.log, None)))
}

/// Every refusal names where, what and how to go on.
fn names(refusal: &str, parts: &[&str]) {
    for part in ["partition 0 of Customer"].iter().chain(parts) {
        assert!(refusal.contains(part), "{part:?} is not in: {refusal}");
    }
}

fn journal() -> Place {
    Place::new(Topic::Journal, 0)
}

#[test]
fn other_settings_of_the_fold_are_refused() {
    for snapshots in [true, false] {
        let mut shop = closed(snapshots);
        let written = shop.engine.fold_version();
        let engine = engine::Config { session_gap_ms: 1_000, ..(*shop.engine).clone() };
        shop.engine = Arc::new(engine);
        let refused = refusal(&shop);
        names(&refused, &["run with the code and settings that wrote it", BEGIN_ANEW]);
        let by_name = if snapshots { written.to_string() } else { format!("{written:016x}") };
        names(&refused, &[&by_name]);
        shop.log.remove_member(Group::Customer, "b");
        // The same settings are not refused.
        shop.engine = Arc::new(engine::Config { session_gap_ms: 30 * 60_000, ..(*shop.engine).clone() });
        assert!(shop.settled("c").is_live(0));
    }
}

#[test]
fn a_journal_that_begins_after_the_snapshot_is_refused() {
    let shop = closed(true);
    let positions = shop.shelf.positions();
    let (first, c) = (positions[0], shop.committed());
    shop.shelf.0.lock().unwrap().retain(|(_, at), _| *at <= first);
    shop.log.delete_before(journal(), c - 1).unwrap();
    let parts = [format!("journal offset {first}"), format!("begins at {}", c - 1)];
    names(&refusal(&shop), &[&parts[0], &parts[1], BEGIN_ANEW]);
}

#[test]
fn a_journal_without_its_start_and_without_a_snapshot_is_refused() {
    let shop = closed(false);
    shop.log.delete_before(journal(), 1).unwrap();
    let low = shop.log.ends(journal()).unwrap().low;
    names(&refusal(&shop), &["no good snapshot", &format!("offset {low}"), BEGIN_ANEW]);
}

#[test]
fn a_committed_offset_outside_the_journal_is_refused() {
    let shop = closed(false);
    let c = shop.committed();
    // Something after C, so that all up to and with C can go.
    shop.log.append_record(journal(), None, Some(b"foreign"), shop.log.now_ms()).unwrap();
    let high = shop.log.ends(journal()).unwrap().high;
    shop.log.delete_before(journal(), high).unwrap();
    assert!(c < high);
    names(&refusal(&shop), &[&format!("offset {c}"), &format!("holds {high}..{high}"), BEGIN_ANEW]);
}

#[test]
fn a_committed_offset_with_no_entry_before_it_is_refused() {
    let shop = closed(false);
    let rig = Rig::new(&shop.log, None);
    // The journal's own hash chain would not show it: the last entry is not there.
    let last = shop.story().entries.last().unwrap().0;
    let rig = rig.rewriting(Arc::new(move |topic, offset, value| {
        if topic == Topic::Journal && offset == last { b"torn".to_vec() } else { value.to_vec() }
    }));
    let refused = shop.refusal(shop.start("b", rig));
    names(&refused, &[&format!("journal entry {last} cannot be read")]);
}

#[test]
fn an_input_deleted_below_what_the_journal_applied_is_refused() {
    let shop = closed(false);
    shop.log.delete_before(Place::new(Topic::Purchases, 0), 2).unwrap();
    names(&refusal(&shop), &["Purchases", "offset 0", "holds 2..3", BEGIN_ANEW]);
}

/// What was not applied yet is deleted.
#[test]
fn a_position_below_the_input_is_refused() {
    // From a snapshot: following the journal would need the old records before.
    let shop = closed(true);
    let place = Place::new(Topic::Purchases, 0);
    for event in ["p3", "p4"] {
        shop.buy(event, "c1");
    }
    shop.log.delete_before(place, 4).unwrap();
    names(&refusal(&shop), &["Purchases", "offset 3", "holds 4..5", BEGIN_ANEW]);
}

#[test]
fn another_fold_than_the_journals_is_refused() {
    let shop = closed(false);
    let rig = Rig::new(&shop.log, None);
    let (offset, chain) = {
        let story = shop.story();
        let run = Step::Run { input: Input::Purchases, from: 1, to: 2 };
        let (offset, entry) = story.entries.iter().find(|(_, entry)| entry.steps.contains(&run)).unwrap();
        (*offset, entry.chain)
    };
    // The input is not what it was: another amount.
    let rig = rig.rewriting(Arc::new(move |topic, offset, value| {
        let mut value = value.to_vec();
        if topic == Topic::Purchases && offset == 1 {
            let at = value.windows(2).rposition(|pair| pair == [0xbc, 0x0f]).expect("990 as Avro writes it");
            value[at] ^= 2;
        }
        value
    }));
    let refused = shop.refusal(shop.start("b", rig));
    let parts = [format!("journal entry {offset}"), format!("{chain:016x}")];
    names(&refused, &[&parts[0], &parts[1], "report it", BEGIN_ANEW]);
}
