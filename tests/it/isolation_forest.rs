//! The isolation forest against scikit-learn's on one window, and against its bars on real data.

use habitue::learn::isolation_forest::Config;
use habitue::learn::{AnomalyDetector, IsolationForest, LearnGate};
use habitue::math::rng::mix;

use crate::tabular::{Table, auc_and_average_precision, load};

/// The reference's rows: tests/reference/isolation_forest.py makes the same.
fn reference_row(i: u64) -> Vec<f64> {
    let uniform =
        |j: u64, k: u64| (mix(i * 1_000_003 + j * 1_009 + k + 1) >> 11) as f64 / (1_u64 << 53) as f64;
    let kind = uniform(99, 0);
    let (center, width) = match kind {
        k if k < 0.6 => (0.0, 1.0),
        k if k < 0.9 => (6.0, 0.5),
        _ => (-8.0, 2.0),
    };
    let value = |j: u64| {
        if i.is_multiple_of(50) {
            return 40.0 * uniform(j, 0) - 20.0;
        }
        let bell = (0..6).map(|k| uniform(j, k)).sum::<f64>() - 3.0;
        let sign = if j.is_multiple_of(2) { 1.0 } else { -1.0 };
        (center * sign + width * bell) * (j + 1) as f64
    };
    (0..6).map(value).collect()
}

fn ranks(xs: &[f64]) -> Vec<f64> {
    let below = |x: f64| xs.iter().filter(|y| **y < x).count() as f64;
    let tied = |x: f64| xs.iter().filter(|y| **y == x).count() as f64;
    xs.iter().map(|x| below(*x) + tied(*x) / 2.0).collect()
}

/// Spearman's rank correlation.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let covariance: f64 = a.iter().zip(&b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    let square = |xs: &[f64], mean: f64| xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    covariance / (square(&a, mean_a) * square(&b, mean_b)).sqrt()
}

#[test]
fn ranks_agree_with_scikit_learn_on_one_window() {
    let reference: Vec<[f64; 2]> = include_str!("../data/isolation_forest_sklearn.csv")
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            [cells[1], cells[2]]
        })
        .collect();
    let mut forest = IsolationForest::new(6, 1);
    (0..2048).for_each(|i| forest.learn_one(&reference_row(i)));
    let ours: Vec<f64> = (2048..2548).map(|i| forest.score_one(&reference_row(i))).collect();
    let much: Vec<f64> = reference.iter().map(|r| r[0]).collect();
    let little: Vec<f64> = reference.iter().map(|r| r[1]).collect();
    let agreement = rank_correlation(&ours, &much);
    // scikit-learn with 32 trees agrees with itself with 1 000 trees to this.
    let ceiling = rank_correlation(&little, &much);
    eprintln!(
        "rank correlation with scikit-learn's 1 000 trees: ours {agreement:.3}, its own 32 trees {ceiling:.3}"
    );
    assert!(agreement > 0.9, "{agreement} (ceiling {ceiling})");
}

/// Scores before learning, row by row.
fn prequential(table: &Table, mut forest: IsolationForest, mut gate: Option<LearnGate>) -> (f64, f64) {
    let mut scores = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let score = forest.score_one(row);
        scores.push(score);
        if gate.as_mut().is_none_or(|gate| gate.admit(score)) {
            forest.learn_one(row);
        }
    }
    auc_and_average_precision(&scores, &table.labels)
}

fn assert_bar(name: &str, bar: f64) {
    let Some(table) = load(name) else { return };
    let table = table.shuffled(0, usize::MAX);
    let n_features = table.rows[0].len();
    let (auc, precision) = prequential(&table, IsolationForest::new(n_features, 0), None);
    eprintln!("{name}, shuffled: AUC {auc:.3}, average precision {precision:.3}");
    assert!(auc >= bar, "{name}: {auc} is below the bar of {bar}");
}

#[test]
fn shuttle_shuffled_clears_its_bar() {
    assert_bar("shuttle", 0.97);
}

#[test]
fn mammography_shuffled_clears_its_bar() {
    assert_bar("mammography", 0.82);
}

#[test]
fn permuted_labels_give_chance() {
    let Some(table) = load("annthyroid") else { return };
    let mut table = table.shuffled(0, usize::MAX);
    table.labels.rotate_left(1_234);
    let (auc, _) = prequential(&table, IsolationForest::new(6, 0), Some(LearnGate::new()));
    assert!((auc - 0.5).abs() < 0.05, "{auc}");
}

#[test]
fn a_forest_of_one_tree_or_a_tiny_window_works() {
    for (n_trees, window, max_leaf_samples) in [(1, 32, 32), (3, 5, 2), (100, 256, 2), (200, 128, 8)] {
        let config = Config { n_trees, window, max_leaf_samples };
        let mut forest = IsolationForest::with_config(&config, 6, 1).unwrap();
        for i in 0..3 * window as u64 {
            forest.learn_one(&reference_row(i));
            assert!((0.0..=1.0).contains(&forest.score_one(&reference_row(i))));
        }
    }
}
