//! The repurchase list on the orders of a real shop, where those are at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use habitue::customer::repurchase::Repurchases;

use crate::tabular::data_root;

/// Seconds, customer and items of an order, in order of time.
type Order = (i64, u32, BTreeSet<u32>);

/// When the file can not be had it says so and gives none.
fn orders() -> Option<Vec<Order>> {
    let path = data_root().join("online_retail/online_retail_II.csv.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("LEFT OUT: {} can not be read (HABITUE_DATA names the data folder)", path.display());
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut items: BTreeMap<String, u32> = BTreeMap::new();
    let mut orders: BTreeMap<String, Order> = BTreeMap::new();
    for cells in csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap) {
        let (customer, quantity): (f64, f64) = (cells[5].parse().unwrap(), cells[2].parse().unwrap());
        if customer == 0.0 || quantity <= 0.0 {
            continue;
        }
        let next = items.len() as u32;
        let item = *items.entry(cells[1].to_owned()).or_insert(next);
        let time_s = cells[3].parse::<f64>().unwrap() as i64;
        orders
            .entry(cells[0].to_owned())
            .or_insert((time_s, customer as u32, BTreeSet::new()))
            .2
            .insert(item);
    }
    let mut orders: Vec<Order> = orders.into_values().collect();
    orders.sort();
    Some(orders)
}

/// Share of an order's items among the customer's `n` best before the order, over orders of known customers.
fn recall(orders: &[Order], n: usize, by_score: bool) -> f64 {
    let mut lists: BTreeMap<u32, Repurchases> = BTreeMap::new();
    let (mut hits, mut all) = (0, 0);
    for (time_s, customer, items) in orders {
        if let Some(list) = lists.get(customer) {
            let mut ranked = list.ranked(time_s * 1_000);
            if !by_score {
                ranked.sort_by_key(|(bought, _)| std::cmp::Reverse((bought.count, bought.last_day)));
            }
            hits += ranked.iter().take(n).filter(|(bought, _)| items.contains(&bought.item)).count();
            all += items.len();
        }
        let list = lists.entry(*customer).or_default();
        items.iter().for_each(|item| list.purchase(*item, time_s * 1_000));
    }
    hits as f64 / all as f64
}

#[test]
fn the_score_finds_more_than_counts() {
    let Some(orders) = orders() else { return };
    for (n, least) in [(5, 0.055), (10, 0.09), (20, 0.14)] {
        let (score, counts) = (recall(&orders, n, true), recall(&orders, n, false));
        eprintln!("recall at {n}: {score:.4} by score, {counts:.4} by count and last day");
        assert!(score >= least && score >= counts, "{n}: {score} {counts}");
    }
}
