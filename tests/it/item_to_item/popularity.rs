//! Popularity against brute force.

use std::collections::BTreeMap;

use habitue::learn::item_to_item::Item;
use habitue::learn::popularity::Config;
use habitue::learn::{Learner, Popularity};
use habitue::math::decay::HalfLife;
use proptest::prelude::*;

type Event = (Item, f64, i64);

fn config(half_life_ms: i64, items_max: usize) -> Config {
    Config { half_life: HalfLife::from_ms(half_life_ms), items_max }
}

fn counted<'a>(config: &Config, events: impl IntoIterator<Item = &'a Event>) -> Popularity {
    let mut popularity = Popularity::new(config);
    for (item, weight, time_ms) in events {
        assert!(popularity.add(*item, *weight, *time_ms));
    }
    popularity
}

fn brute(half_life_ms: i64, events: &[Event], now_ms: i64) -> BTreeMap<Item, f64> {
    let mut weights = BTreeMap::new();
    for (item, weight, time_ms) in events {
        let seen = weight * ((time_ms - now_ms) as f64 / half_life_ms as f64).exp2();
        *weights.entry(*item).or_default() += seen;
    }
    weights
}

fn events(items: Item, n: usize) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec((0..items, 0.05_f64..2.0, 0_i64..40_000), 1..n)
}

fn assert_is(popularity: &Popularity, exact: &BTreeMap<Item, f64>) {
    let top = popularity.top(usize::MAX, 41_000);
    assert!(top.is_sorted_by(|a, b| a.1 >= b.1), "{top:?}");
    let got: BTreeMap<Item, f64> = top.iter().copied().collect();
    assert_eq!(got.keys().collect::<Vec<_>>(), exact.keys().collect::<Vec<_>>());
    exact.iter().for_each(|(item, weight)| assert!((got[item] - weight).abs() <= 1e-9 * weight));
    for n in [0, 1, 3, 7] {
        assert_eq!(popularity.top(n, 41_000), top[..n.min(top.len())]);
    }
}

proptest! {
    #[test]
    fn any_order_and_any_parts_give_the_decayed_sums(
        events in events(30, 200), half_life_ms in 100_i64..100_000, turn in 0_usize..200,
    ) {
        let exact = brute(half_life_ms, &events, 41_000);
        let config = config(half_life_ms, 50);
        let mut turned = events.clone();
        turned.rotate_left(turn % events.len());
        assert_is(&counted(&config, &turned), &exact);
        let (left, right) = turned.split_at(events.len() / 3);
        let mut sum = counted(&config, left);
        prop_assert!(sum.merge(&counted(&config, right)));
        assert_is(&sum, &exact);
    }

    #[test]
    fn a_full_table_errs_by_the_total_over_its_length(
        events in events(60, 400), half_life_ms in 4_000_i64..100_000, items_max in 1_usize..30,
    ) {
        let popularity = counted(&config(half_life_ms, items_max), &events);
        let exact = brute(half_life_ms, &events, 41_000);
        let total: f64 = exact.values().sum();
        let (error, slack) = (total / items_max as f64, 1e-9 * total);
        let top: BTreeMap<Item, f64> = popularity.top(usize::MAX, 41_000).into_iter().collect();
        prop_assert!(top.len() <= items_max);
        for (item, weight) in &top {
            let exact = exact.get(item).copied().unwrap_or(0.0);
            prop_assert!(*weight >= exact - slack && *weight <= exact + error + slack);
        }
        let mut heavy = exact.iter().filter(|(_, weight)| **weight > error + slack);
        prop_assert!(heavy.all(|(item, _)| top.contains_key(item)));
    }

    #[test]
    fn a_snapshot_goes_on_identically(events in events(60, 300), cut in 0_usize..300) {
        let (before, after) = events.split_at(cut.min(events.len()));
        let mut popularity = counted(&config(9_000, 20), before);
        let mut restored: Popularity = postcard::from_bytes(&postcard::to_allocvec(&popularity).unwrap()).unwrap();
        for (item, weight, time_ms) in after {
            popularity.add(*item, *weight, *time_ms);
            restored.add(*item, *weight, *time_ms);
        }
        prop_assert_eq!(popularity.top(99, 41_000), restored.top(99, 41_000));
        let stored = postcard::to_allocvec(&popularity).unwrap();
        prop_assert_eq!(stored, postcard::to_allocvec(&restored).unwrap());
        prop_assert!(popularity.bytes() <= popularity.bytes_max());
    }
}

#[test]
fn what_is_no_weight_is_refused_and_memory_is_bounded() {
    let mut popularity = Popularity::new(&config(0, 100));
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(!popularity.add(1, weight, 0));
    }
    assert!(popularity.top(9, 0).is_empty());
    for i in 0..50_000 {
        assert!(popularity.add(i * 7_919 % 10_007, f64::from(i + 1), i64::from(i)));
        assert!(popularity.bytes() <= popularity.bytes_max());
    }
    assert_eq!(popularity.top(1_000, i64::MAX).len(), 100);
    for time_ms in [i64::MAX, i64::MIN, 0] {
        popularity.add(1, f64::MAX, time_ms);
        assert!(popularity.top(1_000, i64::MIN).iter().all(|(_, weight)| weight.is_finite()));
    }
    assert!(!popularity.merge(&Popularity::new(&config(1, 5))), "other settings are refused");
}
