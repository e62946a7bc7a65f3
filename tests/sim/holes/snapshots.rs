//! Section 5: a snapshot is a cache of what is committed, and never more than that.

use habitue::edge::log::Group;
use habitue::edge::log::sim::{Failure, Operation, Strike};
use habitue::edge::shard::commit::Report;

use super::rig::Rig;
use super::shop::Shop;

/// A shop with a snapshot after every batch, and three batches behind it; nobody is at work.
fn with_snapshots() -> Shop {
    let mut shop = Shop::open();
    shop.config.snapshot_records = 1;
    let mut a = shop.settled("a");
    for event in ["p0", "p1", "p2"] {
        shop.buy(event, "c1");
        shop.settle(&mut [&mut a]);
    }
    drop(a);
    shop.log.remove_member(Group::Customer, "a");
    assert!(shop.shelf.positions().len() >= 3);
    assert_eq!(shop.shelf.positions().last(), Some(&shop.committed()));
    shop
}

/// Goes on with what is on the shelf, and says whether all is right after one more purchase.
fn goes_on(shop: &Shop) {
    let mut b = shop.settled("b");
    assert!(b.is_live(0));
    shop.buy("p9", "c1");
    shop.settle(&mut [&mut b]);
    shop.is_right(true);
}

/// Shown only after the commit. A snapshot shown when its batch is handed over is of a batch that never was,
/// and another batch comes to stand where it says.
#[test]
fn a_snapshot_is_not_ahead_of_its_commit() {
    for kept in [true, false] {
        let mut shop = Shop::open();
        shop.config.snapshot_records = 1;
        let mut a = shop.settled("a");
        shop.buy("p0", "c1");
        shop.settle(&mut [&mut a]);
        let c = shop.committed();
        shop.buy("p1", "c1");
        let number = a.hands_over(&shop);
        let shown = shop.shelf.positions();
        assert_eq!(shown.last(), Some(&c), "nothing is shown at the hand-over");
        if !kept {
            let ahead = Report::Committed { number, leads: [(0, c + 2)].into(), phases: Default::default() };
            a.apply.report(ahead);
            assert_eq!(shop.shelf.positions().last(), Some(&(c + 2)));
        }
        shop.log.fail_next(Operation::SendOffsets, Strike { failure: Failure::Fatal, after: false });
        assert!(matches!(a.outcome(), Report::Failed { .. }));
        // The process ends; the next one applies what came meanwhile with it, as one batch.
        drop(a);
        shop.config.snapshot_records = u64::MAX;
        shop.buy("p2", "c1");
        let mut b = shop.start("a", Rig::new(&shop.log, None));
        shop.settle(&mut [&mut b]);
        drop(b);
        let mut again = shop.start("a", Rig::new(&shop.log, None));
        let mut refused = None;
        for _ in 0..300 {
            shop.advance(10);
            refused = refused.or(again.turn().err());
            if refused.is_some() {
                break;
            }
        }
        let right = refused.is_none() && shop.exactly_once().is_ok();
        assert_eq!(right, kept, "{refused:?} {:?}", shop.exactly_once());
    }
}

/// A snapshot stands for what its name says. Named ahead, it hides the entries between.
#[test]
fn a_snapshot_is_named_by_its_position() {
    let shop = with_snapshots();
    let positions = shop.shelf.positions();
    let (first, last) = (positions[0], positions[positions.len() - 1]);
    let bytes = shop.shelf.0.lock().unwrap()[&(0, first)].clone();
    shop.shelf.0.lock().unwrap().insert((0, last), bytes);
    let mut b = shop.settled("b");
    shop.settle(&mut [&mut b]);
    shop.is_right(true);
}

#[test]
fn a_damaged_snapshot_gives_way_to_an_older_one() {
    let shop = with_snapshots();
    {
        let mut shelf = shop.shelf.0.lock().unwrap();
        let newest = *shelf.keys().rfind(|(partition, _)| *partition == 0).unwrap();
        let bytes = shelf.get_mut(&newest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
    }
    goes_on(&shop);
}

#[test]
fn without_a_good_snapshot_the_journal_is_followed_from_its_start() {
    let shop = with_snapshots();
    // A write that was cut short.
    shop.shelf.0.lock().unwrap().values_mut().for_each(|bytes| bytes.truncate(40));
    goes_on(&shop);
    let shop = with_snapshots();
    shop.shelf.0.lock().unwrap().clear();
    goes_on(&shop);
}
