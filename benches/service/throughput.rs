//! Events per processor second of the service, beside a bare passthrough of the same records.

use std::time::{Duration, Instant};

use habitue::edge::log::{Group, Place};
use habitue::event::Input;
use habitue::measure::workload::Workload;
use habitue::signal::Topic;

use crate::cluster::{Cluster, Counts, Setting, load};
use crate::product::{Committed, Product};
use crate::{PARTITIONS, machine, median, passthrough};

const INTERVAL_MS: u64 = 100;
/// Least share of the passthrough's events per processor second, on `shop`.
const RATIO_MIN: f64 = 0.3;
const PATIENCE: Duration = Duration::from_secs(300);

/// One side of one round.
pub struct Run {
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
    /// Lists of recommendations that went out.
    pub lists: f64,
}

pub fn run(workload: Workload, without: &str, rounds: usize, records: u64) {
    machine::print();
    let cluster = Cluster::start(without);
    let inputs = cluster.setting("input", "input", INTERVAL_MS);
    let begun = Instant::now();
    let counts = load(&inputs, workload, records);
    println!(
        "workload    {}, {records} records loaded in {:.1} s, {PARTITIONS} partitions, transactions of {INTERVAL_MS} ms",
        workload.name(),
        begun.elapsed().as_secs_f64()
    );
    println!("round  passthrough: ev/CPU-s   ev/s    service: ev/CPU-s   ev/s    ratio   lists/1000");
    let per_second = |seconds: f64| records as f64 / seconds;
    let (mut passed, mut served, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let a = pass(&cluster.setting(&format!("a{round}"), "input", INTERVAL_MS), &counts);
        let b = serve(&cluster, &cluster.setting(&format!("b{round}"), "input", INTERVAL_MS), &counts);
        passed.push(per_second(a.cpu_seconds));
        served.push(per_second(b.cpu_seconds));
        ratios.push(a.cpu_seconds / b.cpu_seconds);
        println!(
            "{round:>5} {:>22.0} {:>7.0} {:>20.0} {:>7.0} {:>8.3} {:>12.0}",
            per_second(a.cpu_seconds),
            per_second(a.wall_seconds),
            per_second(b.cpu_seconds),
            per_second(b.wall_seconds),
            a.cpu_seconds / b.cpu_seconds,
            1_000.0 * b.lists / records as f64,
        );
    }
    println!("median {:>21.0} {:>28.0} {:>16.3}", median(&passed), median(&served), median(&ratios));
    if workload == Workload::Shop {
        println!("bar {RATIO_MIN}: {}", if median(&ratios) >= RATIO_MIN { "met" } else { "MISSED" });
    }
}

fn pass(setting: &Setting, counts: &Counts) -> Run {
    let report = passthrough::report(passthrough::spawn(setting, counts, INTERVAL_MS));
    Run { cpu_seconds: report.cpu_seconds, wall_seconds: report.wall_seconds, lists: 0.0 }
}

/// Wall time until every input is committed; processor time until the market stage has followed too.
fn serve(cluster: &Cluster, setting: &Setting, counts: &Counts) -> Run {
    let customer = Committed::new(setting, &cluster.address, Group::Customer);
    let market = Committed::new(setting, &cluster.address, Group::Market);
    let begun = Instant::now();
    let mut product = Product::start(setting, "warn");
    await_all(&mut product, &customer, &wanted(counts));
    let wall_seconds = begun.elapsed().as_secs_f64();
    // What comes after is a tick every now and then, which lets the last position pass this end.
    await_all(&mut product, &market, &market.ends(Topic::Facts, PARTITIONS));
    let cpu_seconds = product.cpu_seconds();
    // Numbers are handed over every 50 ms.
    std::thread::sleep(Duration::from_millis(200));
    let (events, refused) =
        (product.metric("habitue_events_applied_total"), product.metric("habitue_dead_letters_total"));
    let duplicates = product.metric("habitue_duplicate_events_total");
    let total: u64 = counts.iter().flatten().sum();
    assert_eq!((events + refused + duplicates) as u64, total, "of {events} events, {refused} refused");
    if refused > 0.0 {
        println!("      {refused} dead letters");
    }
    Run { cpu_seconds, wall_seconds, lists: product.metric("habitue_recommendations_total") }
}

fn await_all(product: &mut Product, group: &Committed, wanted: &[(Place, u64)]) {
    let begun = Instant::now();
    while !group.has_reached(wanted) {
        product.cpu_seconds();
        assert!(begun.elapsed() < PATIENCE, "not all is committed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wanted(counts: &Counts) -> Vec<(Place, u64)> {
    let of_input = |input: Input| {
        let counts = counts[input.index()].into_iter().zip(0..);
        counts.map(move |(count, partition)| (Place::new(input.into(), partition), count))
    };
    Input::ALL.into_iter().flat_map(of_input).collect()
}
