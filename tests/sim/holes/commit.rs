//! Section 4: the fence, the pending offset, the metadata, and outcomes that nobody knows.

use habitue::edge::log::sim::{Failure, Operation, Strike};
use habitue::edge::log::{Group, Place};
use habitue::edge::shard::commit::Report;
use habitue::signal::Topic;

use super::rig::{Rig, Rule};
use super::shop::{Process, Shop};

/// Runs a story with all rules, then without the one.
fn both(rule: Rule, story: impl Fn(Option<Rule>) -> Shop) {
    story(None).is_right(true);
    story(Some(rule)).is_right(false);
}

/// A process alone in the group, with one batch behind it.
fn first(shop: &Shop, without: Option<Rule>) -> Process {
    let mut process = shop.start("a", Rig::new(&shop.log, without));
    shop.buy("p0", "c1");
    shop.settle(&mut [&mut process]);
    assert!(process.is_live(0) && shop.committed() > 0 || without.is_some());
    process
}

/// It is thought dead, and its partitions are given to another, who works on them.
fn replaced_by_b(shop: &Shop) -> Process {
    assert!(shop.log.remove_member(Group::Customer, "a"));
    shop.settled("b")
}

#[test]
fn an_empty_offset_list_skips_the_fence() {
    both(Rule::OffsetsWithEveryBatch, |without| {
        let shop = Shop::open();
        let mut a = first(&shop, without);
        shop.buy("p1", "c1");
        a.hands_over(&shop);
        let mut b = replaced_by_b(&shop);
        assert!(b.is_live(0));
        // The zombie wakes up with a batch that b has committed.
        let report = a.outcome();
        assert_eq!(matches!(report, Report::Committed { .. }), without.is_some(), "{report:?}");
        shop.settle(&mut [&mut b]);
        shop
    });
}

#[test]
fn an_offset_that_is_pending_is_not_read() {
    both(Rule::WaitForPending, |without| {
        let shop = Shop::open();
        let mut a = first(&shop, None);
        shop.buy("p1", "c1");
        a.hands_over(&shop);
        a.commits_until("send_offsets");
        assert!(shop.log.remove_member(Group::Customer, "a"));
        // Only a moment: the transaction must not run into its timeout.
        let mut b = shop.start("b", Rig::new(&shop.log, without));
        for _ in 0..100 {
            shop.advance(5);
            b.turn().unwrap();
        }
        assert_eq!(b.is_live(0), without.is_some());
        assert!(matches!(a.outcome(), Report::Committed { .. }), "the broker has checked it already");
        shop.settle(&mut [&mut b]);
        assert!(b.is_live(0));
        shop
    });
}

#[test]
fn metadata_is_of_the_hand_over() {
    both(Rule::MetadataAtHandOver, |without| {
        let shop = Shop::open();
        let mut a = first(&shop, without);
        assert!(a.is_live(0) && a.is_live(1));
        shop.buy("p1", "c1");
        a.hands_over(&shop);
        // The committer hangs for longer than the budget of a revocation; apply goes on and lives.
        let mut b = shop.start("b", Rig::new(&shop.log, None));
        b.turn().unwrap();
        shop.log.rebalance(Group::Customer, Some(1));
        for _ in 0..800 {
            shop.advance(10);
            a.apply_turn().unwrap();
            b.turn().unwrap();
        }
        let owners = shop.log.owners(Group::Customer);
        assert!(a.is_live(1) && b.is_live(0), "it keeps the other partition: {owners:?}");
        let report = a.outcome();
        assert_eq!(matches!(report, Report::Committed { .. }), without.is_some(), "{report:?}");
        a.apply.report(report);
        shop.settle(&mut [&mut a, &mut b]);
        shop
    });
}

/// Both outcomes of a commit whose answer is lost.
fn unknown_outcome(after: bool, without: Option<Rule>) -> Shop {
    let shop = Shop::open();
    let mut a = first(&shop, without);
    shop.buy("p1", "c1");
    shop.log.fail_next(Operation::Commit, Strike { failure: Failure::Indefinite, after });
    shop.settle(&mut [&mut a]);
    shop.buy("p2", "c1");
    shop.settle(&mut [&mut a]);
    if without.is_none() {
        let calls = a.rig.heard().calls.clone();
        let twice = calls.windows(2).any(|pair| pair == ["commit", "commit"]);
        assert!(!twice, "the commit call is made again: {calls:?}");
    }
    shop
}

#[test]
fn an_unknown_outcome_is_read_not_guessed() {
    unknown_outcome(false, None).is_right(true);
    unknown_outcome(true, None).is_right(true);
    unknown_outcome(true, Some(Rule::ReadAfterUnknown)).is_right(false);
}

#[test]
fn the_commit_call_is_not_made_again() {
    unknown_outcome(false, Some(Rule::CommitOnce)).is_right(false);
}

/// A fresh generation makes a live shard's commit fail: the batch is sent again as it is, and nothing is
/// restored.
#[test]
fn a_stale_generation_costs_one_more_transaction() {
    let shop = Shop::open();
    let mut a = first(&shop, None);
    let restores = a.apply.take_stats().restores;
    assert!(restores > 0);
    shop.buy("p1", "c1");
    a.hands_over(&shop);
    let first = a.rig.heard().sent.len();
    shop.log.rebalance(Group::Customer, None);
    for _ in 0..3 {
        // The round ends, apply goes on with the next batch.
        a.apply_turn().unwrap();
    }
    let report = a.outcome();
    assert!(matches!(report, Report::Failed { leads: None, .. }), "{report:?}");
    a.apply.report(report);
    shop.settle(&mut [&mut a]);
    let heard = a.rig.heard();
    assert_eq!(heard.sent[first], heard.sent[first + 1], "the batch was not sent again unchanged");
    drop(heard);
    assert_eq!(a.apply.take_stats().restores, 0, "the state stays valid");
    shop.is_right(true);
}

/// A batch is kept until it is committed: given up after the abort, its records are lost.
#[test]
fn a_batch_that_is_not_kept_is_lost() {
    for kept in [true, false] {
        let shop = Shop::open();
        let mut a = first(&shop, None);
        shop.buy("p1", "c1");
        a.hands_over(&shop);
        shop.log.fail_next(Operation::SendOffsets, Strike { failure: Failure::Abort, after: false });
        let report = a.outcome();
        let Report::Failed { number, .. } = report else { panic!("{report:?}") };
        let forgotten = Report::Committed { number, leads: [].into(), phases: Default::default() };
        a.apply.report(if kept { report } else { forgotten });
        shop.settle(&mut [&mut a]);
        shop.buy("p2", "c1");
        shop.settle(&mut [&mut a]);
        shop.is_right(kept);
    }
}

/// C has moved while the batch was in doubt, but another owner moved it: it is not this batch that is
/// committed, and what was frozen with it is no snapshot of C.
#[test]
fn what_another_owner_committed_is_not_our_own() {
    for kept in [true, false] {
        let mut shop = Shop::open();
        shop.config.snapshot_records = 1;
        let mut a = first(&shop, None);
        shop.buy("p1", "c1");
        a.hands_over(&shop);
        assert!(shop.log.remove_member(Group::Customer, "a"));
        shop.buy("p2", "c1");
        shop.shelf.0.lock().unwrap().retain(|(_, at), _| *at <= shop.committed());
        let mut b = shop.start("b", Rig::new(&shop.log, None));
        b.hands_over(&shop);
        // b commits and ends before it knows.
        assert!(matches!(b.outcome(), Report::Committed { .. }));
        drop(b);
        let c = shop.committed();
        let report = a.outcome();
        let Report::Failed { number, error, leads: None } = report else { panic!("{report:?}") };
        let leads = (!kept).then(|| [(0, c), (1, 0)].into());
        a.apply.report(Report::Failed { number, error, leads });
        a.apply_turn().unwrap();
        assert_eq!(shop.shelf.positions().contains(&c), !kept);
        drop(a);
        let mut b = shop.start("b", Rig::new(&shop.log, None));
        shop.settle(&mut [&mut b]);
        shop.is_right(kept);
    }
}

/// The group's offset has expired with everything else: all that is in the journal is committed.
#[test]
fn an_expired_offset_is_the_journals_end() {
    both(Rule::ExpiredIsTheEnd, |without| {
        let shop = Shop::open();
        let a = first(&shop, None);
        drop(a);
        shop.log.remove_member(Group::Customer, "a");
        let all: Vec<Place> = shop.log.offsets(Group::Customer).into_keys().collect();
        assert!(all.contains(&Place::new(Topic::Journal, 0)));
        shop.log.forget_offsets(Group::Customer, &all);
        let mut b = shop.start("b", Rig::new(&shop.log, without));
        shop.settle(&mut [&mut b]);
        shop.buy("p1", "c1");
        shop.settle(&mut [&mut b]);
        shop
    });
}

/// ... once nothing is open in it: what is open may still be committed.
#[test]
fn an_expired_offset_waits_for_what_is_open() {
    both(Rule::EndIsStable, |without| {
        let shop = Shop::open();
        let mut a = first(&shop, None);
        shop.buy("p1", "c1");
        a.hands_over(&shop);
        a.commits_until("send_offsets");
        shop.log.remove_member(Group::Customer, "a");
        let mut b = shop.start("b", Rig::new(&shop.log, without).forgotten());
        for _ in 0..400 {
            shop.advance(5);
            b.turn().unwrap();
        }
        assert_eq!(b.is_live(0), without.is_some());
        assert!(matches!(a.outcome(), Report::Committed { .. }));
        shop.settle(&mut [&mut b]);
        shop
    });
}

#[test]
fn what_was_fed_goes_with_its_partition() {
    let shop = Shop::open();
    let mut a = first(&shop, None);
    shop.buy("p1", "c1");
    // The batch is open still, and its first chunk lies with the broker.
    let fed = |a: &Process| a.rig.heard().sent.last().is_some_and(|sent| !sent.is_empty());
    let before = a.rig.heard().sent.len();
    for _ in 0..100 {
        assert_eq!(a.apply_turn().unwrap(), None, "nothing is sealed before the interval is over");
        assert_eq!(a.commit_turn(), None);
        if a.rig.heard().sent.len() > before && fed(&a) {
            break;
        }
    }
    assert_eq!(a.rig.heard().calls.last(), Some(&"begin"));
    let mut b = shop.start("b", Rig::new(&shop.log, None));
    assert!(shop.log.remove_member(Group::Customer, "a"));
    for _ in 0..20 {
        a.apply_turn().unwrap();
        assert_eq!(a.commit_turn(), None);
    }
    assert_eq!(a.rig.heard().calls.last(), Some(&"abort"), "what was fed is taken back");
    shop.settle(&mut [&mut a, &mut b]);
    shop.is_right(true);
}
