//! Item-to-item rows against brute force: any order, parts, full rows, full tables, snapshots.

use std::collections::{BTreeMap, BTreeSet};

use habitue::learn::item_to_item::{Config, Context, Item, ItemToItem, Neighbours, Pair};
use habitue::learn::{ItemToItem as Learned, Learner};
use habitue::math::decay::HalfLife;
use habitue::math::rng::Rng;
use proptest::prelude::*;

mod popularity;
#[cfg(feature = "service")]
mod reference;

/// Pair weight of the prior in a row, as the docs have it.
const PRIOR: f64 = 10.0;

type Event = (Item, Item, f32, i64);

fn config(half_life_ms: i64, neighbours_max: usize, items_max: usize) -> Config {
    Config { half_life: HalfLife::from_ms(half_life_ms), neighbours_max, items_max }
}

fn table<'a>(config: &Config, events: impl IntoIterator<Item = &'a Event>) -> ItemToItem {
    let mut table = ItemToItem::new(config);
    for (left, right, weight, time_ms) in events {
        assert!(table.add(Pair { left: *left, right: *right, weight: *weight }, *time_ms));
    }
    table
}

/// The definition: each row's decayed weights, as seen at `now_ms`.
fn brute(half_life_ms: i64, events: &[Event], now_ms: i64) -> BTreeMap<Item, BTreeMap<Item, f64>> {
    let mut rows: BTreeMap<Item, BTreeMap<Item, f64>> = BTreeMap::new();
    for (left, right, weight, time_ms) in events {
        let seen = f64::from(*weight) * ((time_ms - now_ms) as f64 / half_life_ms as f64).exp2();
        *rows.entry(*left).or_default().entry(*right).or_default() += seen;
    }
    rows
}

/// Weights again, from what is published.
fn weights(row: &Neighbours) -> Vec<(Item, f64)> {
    let evidence = PRIOR / f64::from(row.prior);
    row.shares.iter().map(|(item, share)| (*item, f64::from(*share) * evidence)).collect()
}

fn assert_is(table: &ItemToItem, rows: &BTreeMap<Item, BTreeMap<Item, f64>>, now_ms: i64) {
    assert_eq!(table.len(), rows.len());
    for (item, expected) in rows {
        let row = table.neighbours(*item, usize::MAX, now_ms).expect("an item with events has a row");
        let total: f64 = expected.values().sum();
        assert!((f64::from(row.prior) - PRIOR / (total + PRIOR)).abs() < 1e-6, "{item}: {row:?} {total}");
        assert!(row.shares.is_sorted_by(|a, b| a.1 >= b.1), "{row:?}");
        let got: BTreeMap<Item, f64> = row.shares.iter().map(|s| (s.0, f64::from(s.1))).collect();
        assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (neighbour, weight) in expected {
            let share = weight / (total + PRIOR);
            assert!((got[neighbour] - share).abs() < 1e-5 * share.max(1e-30), "{item} {neighbour}");
        }
    }
}

fn events(items: Item, n: usize) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec((0..items, 0..items, 0.05_f32..2.0, 0_i64..40_000), 1..n)
}

proptest! {
    #[test]
    fn any_order_gives_the_decayed_sums(
        events in events(12, 150), half_life_ms in 400_i64..100_000, turn in 0_usize..150,
    ) {
        let mut turned = events.clone();
        turned.rotate_left(turn % events.len());
        let config = config(half_life_ms, 100, 100);
        assert_is(&table(&config, &turned), &brute(half_life_ms, &events, 41_000), 41_000);
    }

    #[test]
    fn parts_merge_to_the_whole(
        events in events(12, 150), half_life_ms in 400_i64..100_000, n_parts in 2_usize..5,
    ) {
        let config = config(half_life_ms, 100, 100);
        let part = |p: usize| {
            table(&config, events.iter().enumerate().filter(|(i, _)| i % n_parts == p).map(|(_, event)| event))
        };
        let mut sum = ItemToItem::new(&config);
        for p in 0..n_parts {
            prop_assert!(sum.merge(&part(p)));
        }
        prop_assert_eq!(sum.n_learned(), events.len() as u64);
        assert_is(&sum, &brute(half_life_ms, &events, 41_000), 41_000);
    }

    #[test]
    fn a_full_row_errs_by_its_total_over_its_length(
        events in events(40, 400), half_life_ms in 4_000_i64..100_000, neighbours_max in 1_usize..12,
    ) {
        let config = config(half_life_ms, neighbours_max, 100);
        let table = table(&config, &events);
        for (item, exact) in brute(half_life_ms, &events, 41_000) {
            let row = table.neighbours(item, usize::MAX, 41_000).unwrap();
            let total: f64 = exact.values().sum();
            let error = total / neighbours_max as f64;
            let got: BTreeMap<Item, f64> = weights(&row).into_iter().collect();
            prop_assert!(got.len() <= neighbours_max);
            for (neighbour, weight) in &got {
                let exact = exact.get(neighbour).copied().unwrap_or(0.0);
                let slack = 1e-4 * total;
                prop_assert!(*weight >= exact - slack && *weight <= exact + error + slack, "{weight} {exact}");
            }
            let heavy = exact.iter().filter(|(_, weight)| **weight > 1.001 * error);
            for (neighbour, weight) in heavy {
                prop_assert!(got.contains_key(neighbour), "{neighbour} of {weight} is lost");
            }
        }
    }

    #[test]
    fn a_snapshot_goes_on_identically(events in events(60, 400), cut in 0_usize..400) {
        // Small caps, so that rows and tables are full.
        let config = config(9_000, 5, 20);
        let (before, after) = events.split_at(cut.min(events.len()));
        let mut table = table(&config, before);
        let stored = postcard::to_allocvec(&table).unwrap();
        prop_assert_eq!(&stored, &postcard::to_allocvec(&table.freeze()).unwrap());
        let mut restored: ItemToItem = postcard::from_bytes(&stored).unwrap();
        prop_assert!(restored.bytes() <= restored.bytes_max());
        for (left, right, weight, time_ms) in after {
            let pair = Pair { left: *left, right: *right, weight: *weight };
            prop_assert!(table.add(pair, *time_ms) && restored.add(pair, *time_ms));
        }
        let stored = postcard::to_allocvec(&table).unwrap();
        prop_assert_eq!(stored, postcard::to_allocvec(&restored).unwrap());
    }
}

#[test]
fn a_view_keeps_what_was_there() {
    let events: Vec<Event> = (0..200).map(|i| (i % 50, i % 7, 1.0, 0)).collect();
    let mut table = table(&config(1_000, 10, 100), &events);
    let (view, before) = (table.freeze(), postcard::to_allocvec(&table).unwrap());
    (0..200).for_each(|i| assert!(table.add(Pair { left: i, right: 3, weight: 2.0 }, 5)));
    assert_eq!(postcard::to_allocvec(&view).unwrap(), before);
    assert_ne!(postcard::to_allocvec(&table).unwrap(), before);
}

#[test]
fn memory_is_bounded_and_what_is_popular_outlives_a_flood() {
    let config = config(3_600_000, 20, 1_000);
    let (mut table, mut rng) = (Learned::new(&config), Rng::seeded(&[11]));
    for i in 0..200_000_i64 {
        let right = rng.below(500) as Item;
        // Ten items again and again among a flood of new ones.
        let left = if i % 4 == 0 { rng.below(10) as Item } else { 1_000 + i as Item };
        assert!(table.add(Pair { left, right, weight: 1.0 }, i * 10));
        if i % 1_000 == 0 {
            assert!(table.bytes() <= table.bytes_max() && table.len() <= 1_000);
        }
    }
    assert_eq!((table.len(), table.n_learned()), (1_000, 200_000));
    assert!(table.n_evicted() > 100_000);
    for item in 0..10 {
        let row = table.neighbours(item, 20, 2_000_000).expect("a popular item keeps its row");
        assert!(row.shares.len() == 20 && row.prior < 0.01, "{item}: {row:?}");
    }
    let stored = postcard::to_allocvec(&table).unwrap();
    assert!(stored.len() < 2 * table.bytes(), "bytes() misses heap");
}

#[test]
fn what_is_no_weight_is_refused_and_far_times_are_no_fault() {
    let mut table = ItemToItem::new(&config(0, 0, 0));
    for weight in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(!table.add(Pair { left: 1, right: 2, weight }, 0));
    }
    assert!(table.is_empty() && table.neighbours(1, 9, 0).is_none());
    for time_ms in [0, i64::MAX, i64::MIN, 5, i64::MAX - 1] {
        assert!(table.add(Pair { left: 1, right: 2, weight: f32::MAX }, time_ms));
        for now_ms in [i64::MIN, 0, i64::MAX] {
            let row = table.neighbours(1, 9, now_ms).unwrap();
            let shares = row.shares.iter().map(|(_, share)| *share).chain([row.prior]);
            shares.for_each(|share| assert!((0.0..=1.0).contains(&share), "{row:?}"));
        }
    }
    // One row of one neighbour.
    assert!(table.add(Pair { left: 3, right: 4, weight: 1.0 }, i64::MAX));
    assert_eq!((table.len(), table.n_evicted()), (1, 1));
    assert!(!table.merge(&ItemToItem::new(&Config::default())), "other settings are refused");
}

#[test]
fn damaged_snapshots_are_refused() {
    let events: Vec<Event> = (0..90).map(|i| (i, i + 1, 1.0, 0)).collect();
    let table = table(&config(1_000, 10, 100), &events);
    let stored = serde_json::to_value(table.freeze()).unwrap();
    let restore = |change: fn(&mut serde_json::Value)| {
        let mut stored = stored.clone();
        change(&mut stored);
        serde_json::from_value::<ItemToItem>(stored).map(|table| table.len())
    };
    assert_eq!(restore(|_| ()).unwrap(), 90);
    assert!(restore(|stored| stored["pages"][0][0]["item"] = 5.into()).is_err(), "an item stands twice");
    assert!(restore(|stored| drop(stored["pages"][0].as_array_mut().unwrap().pop())).is_err());
    assert!(restore(|stored| stored["config"]["items_max"] = 89.into()).is_err());
    assert!(restore(|stored| stored["config"]["neighbours_max"] = 0.into()).is_err());
}

/// A customer's side sends pairs, an item's side folds them: the same as counting in whole sessions.
#[test]
fn pairs_of_sessions_are_sequential_rules_with_a_share_back() {
    let mut rng = Rng::seeded(&[5]);
    let sessions: Vec<Vec<Item>> =
        (0..300).map(|_| (0..2 + rng.below(14)).map(|_| rng.below(30) as Item).collect()).collect();
    let mut table = ItemToItem::new(&Config::default());
    let mut expected: BTreeMap<Item, BTreeMap<Item, f64>> = BTreeMap::new();
    for session in &sessions {
        let mut context = Context::default();
        for (at, item) in session.iter().enumerate() {
            context.pairs(*item).for_each(|pair| assert!(table.add(pair, 0)));
            context.push(*item);
            let (mut seen, mut distance) = (BTreeSet::new(), 0.0);
            for left in session[..at].iter().rev() {
                if !seen.insert(*left) || seen.len() > 5 {
                    continue;
                }
                distance += 1.0;
                *expected.entry(*left).or_default().entry(*item).or_default() += 1.0 / distance;
                if left != item {
                    *expected.entry(*item).or_default().entry(*left).or_default() += 0.3 / distance;
                }
            }
        }
    }
    assert_is(&table, &expected, 0);
}
