//! The isolation forest on real tables: accuracy in both orders, with and without the learn gate, and speed.
//!
//! `cargo bench --no-default-features --bench isolation_forest [-- TABLE…]`; HABITUE_DATA names the data folder.
//! Every row is scored before it is learned, all rows count, one configuration for all tables. Shuffled: the mean
//! over three seeds, of the first 100 000 rows.

use std::time::Instant;

use habitue::learn::{AnomalyDetector, IsolationForest, LearnGate, Learner};

#[path = "../tests/it/tabular.rs"]
mod tabular;
use tabular::{Table, auc_and_average_precision, load};

const TABLES: [&str; 5] = ["shuttle", "mammography", "annthyroid", "pendigits", "http"];
const SHUFFLES: [u64; 3] = [0, 1, 2];

/// What one run over a table showed.
#[derive(Default)]
struct Run {
    auc: f64,
    average_precision: f64,
    skipped_share: f64,
    event_us: f64,
    learn_us_max: f64,
}

fn prequential(table: &Table, is_gated: bool, seed: u64) -> Run {
    let mut forest = IsolationForest::new(table.rows[0].len(), seed);
    let mut gate = LearnGate::new();
    let mut scores = Vec::with_capacity(table.rows.len());
    let mut learn_us_max = 0.0_f64;
    let start = Instant::now();
    for row in &table.rows {
        let score = forest.score_one(row);
        scores.push(score);
        if gate.admit(score) || !is_gated {
            let learn_start = Instant::now();
            forest.learn_one(row);
            learn_us_max = learn_us_max.max(learn_start.elapsed().as_secs_f64() * 1e6);
        }
    }
    let event_us = start.elapsed().as_secs_f64() * 1e6 / table.rows.len() as f64;
    let (auc, average_precision) = auc_and_average_precision(&scores, &table.labels);
    Run { auc, average_precision, skipped_share: gate.skipped_share(), event_us, learn_us_max }
}

fn mean(runs: &[Run]) -> Run {
    let of = |field: fn(&Run) -> f64| runs.iter().map(field).sum::<f64>() / runs.len() as f64;
    Run {
        auc: of(|r| r.auc),
        average_precision: of(|r| r.average_precision),
        skipped_share: of(|r| r.skipped_share),
        event_us: of(|r| r.event_us),
        learn_us_max: of(|r| r.learn_us_max),
    }
}

fn print_table(name: &str, table: &Table) {
    let shuffled: Vec<Table> = SHUFFLES.iter().map(|seed| table.shuffled(*seed, 100_000)).collect();
    for is_gated in [false, true] {
        let runs: Vec<Run> =
            shuffled.iter().zip(SHUFFLES).map(|(t, s)| prequential(t, is_gated, s)).collect();
        print_run(name, "shuffled", is_gated, &mean(&runs));
        print_run(name, "natural", is_gated, &prequential(table, is_gated, 0));
    }
}

fn print_run(name: &str, order: &str, is_gated: bool, run: &Run) {
    let gate = if is_gated { format!("{:.3}", run.skipped_share) } else { "-".into() };
    println!(
        "{name:12} {order:8} {gate:>7} {:.3} {:.3} {:8.2} {:9.0} {:12.0}",
        run.auc,
        run.average_precision,
        run.event_us,
        1e6 / run.event_us,
        run.learn_us_max
    );
}

/// Score, learn and clone apart, on one table.
fn print_speed(table: &Table) {
    let mut forest = IsolationForest::new(table.rows[0].len(), 0);
    table.rows.iter().take(5_000).for_each(|row| forest.learn_one(row));
    let rows = &table.rows[5_000..25_000.min(table.rows.len())];
    let start = Instant::now();
    let sum: f64 = rows.iter().map(|row| forest.score_one(row)).sum();
    let score_us = start.elapsed().as_secs_f64() * 1e6 / rows.len() as f64;
    let start = Instant::now();
    rows.iter().for_each(|row| forest.learn_one(row));
    let learn_us = start.elapsed().as_secs_f64() * 1e6 / rows.len() as f64;
    let start = Instant::now();
    let n_bytes: usize = (0..100).map(|_| std::hint::black_box(forest.clone()).bytes()).sum();
    let clone_us = start.elapsed().as_secs_f64() * 1e6 / 100.0;
    println!(
        "score {score_us:.2} us (mean {:.3}), learn {learn_us:.2} us, clone {clone_us:.0} us, {} bytes",
        sum / rows.len() as f64,
        n_bytes / 100
    );
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!("table        order    skipped   AUC    AP us/event  events/s learn us max");
    for name in TABLES.iter().filter(|name| asked.is_empty() || asked.iter().any(|a| a == *name)) {
        let Some(table) = load(name) else { continue };
        print_table(name, &table);
        if *name == "shuttle" {
            print_speed(&table);
        }
    }
}
