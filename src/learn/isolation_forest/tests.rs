//! The forest beside its own rows: counts, leaves, forgetting, missing values.

use super::*;

fn row(rng: &mut Rng, shift: f64, missing: f64) -> Vec<f64> {
    let mut one = |scale: f64| {
        let x = scale * rng.normal() + shift;
        if rng.uniform() < missing { f64::NAN } else { x }
    };
    vec![one(1.0), one(100.0), one(0.001), 7.0]
}

fn small() -> Config {
    Config { n_trees: 5, window: 300, max_leaf_samples: 8 }
}

#[test]
fn counts_and_leaves_follow_the_rows_through_drift_and_missing_values() {
    for missing in [0.0, 0.3] {
        let mut forest = IsolationForest::with_config(&small(), 4, 1).unwrap();
        let mut rng = Rng::seeded(&[1]);
        for i in 0..2_000_u64 {
            let shift = if i > 1_000 { 50.0 } else { 0.0 };
            forest.learn_one(&row(&mut rng, shift, missing));
            if i % 7 == 0 {
                let n_rows = (i as usize + 1).min(300);
                for tree in &forest.trees {
                    tree.check(forest.shape, &forest.rows, n_rows, missing == 0.0);
                }
            }
        }
    }
}

#[test]
fn trees_split_grow_and_differ() {
    let mut forest = IsolationForest::new(4, 3);
    let mut rng = Rng::seeded(&[3]);
    let mut twin = IsolationForest::new(4, 4);
    for _ in 0..2_048 {
        let x = row(&mut rng, 0.0, 0.0);
        forest.learn_one(&x);
        twin.learn_one(&x);
    }
    assert_ne!(forest.trees, twin.trees);
    let depths: Vec<u32> = forest.trees.iter().map(|t| t.leaf(|_| 0.0).0).collect();
    assert!(depths.iter().max() > Some(&2), "{depths:?}");
    // None of these two has been grown anew yet.
    assert_ne!(forest.trees[1], forest.trees[2]);
}

#[test]
fn an_outlier_scores_above_and_a_missing_value_below() {
    let mut forest = IsolationForest::new(4, 5);
    let mut rng = Rng::seeded(&[5]);
    assert_eq!(forest.score_one(&[1e9; 4]), 0.5);
    for _ in 0..3_000 {
        forest.learn_one(&row(&mut rng, 0.0, 0.0));
    }
    let (inlier, outlier) =
        (forest.score_one(&[0.0, 0.0, 0.0, 7.0]), forest.score_one(&[6.0, 600.0, 0.006, 7.0]));
    assert!(inlier < 0.47 && outlier > 0.6, "{inlier} {outlier}");
    let half_missing = forest.score_one(&[6.0, f64::NAN, f64::NAN, f64::NAN]);
    let all_missing = forest.score_one(&[]);
    assert!(all_missing < inlier + 0.05 && half_missing < outlier, "{all_missing} {half_missing}");
}

#[test]
fn the_forest_forgets_a_burst_and_learns_a_new_normal() {
    let mut forest = IsolationForest::new(4, 6);
    let mut rng = Rng::seeded(&[6]);
    for _ in 0..3_000 {
        forest.learn_one(&row(&mut rng, 0.0, 0.0));
    }
    let before = forest.score_one(&[30.0, 30.0, 30.0, 7.0]);
    for _ in 0..4_200 {
        forest.learn_one(&row(&mut rng, 30.0, 0.0));
    }
    let (new, old) = (forest.score_one(&[30.0, 30.0, 30.0, 7.0]), forest.score_one(&[0.0, 0.0, 0.0, 7.0]));
    assert!(before > new + 0.15 && old > new + 0.15, "{before} {new} {old}");
    // A root drawn from the old rows would leave one side empty.
    assert!(forest.trees.iter().all(|tree| tree.root_divides()));
}

#[test]
fn settings_out_of_range_are_named() {
    let error =
        IsolationForest::with_config(&Config { window: 8192, ..Config::default() }, 3, 0).unwrap_err();
    assert_eq!(error.to_string(), "window must be 32 to 4096, not 8192");
    assert!(Config { n_trees: 0, ..Config::default() }.validate().is_err());
    assert!(Config { max_leaf_samples: 1, ..Config::default() }.validate().is_err());
}

#[test]
fn memory_is_what_the_docstring_says() {
    let forest = IsolationForest::new(9, 0);
    assert!((169 * 1024 - 512..169 * 1024 + 512).contains(&forest.bytes()), "{}", forest.bytes());
}
