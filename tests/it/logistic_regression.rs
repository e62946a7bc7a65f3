//! Logistic regression against River's on real tables, each row scored before it is learned.

use std::path::Path;

use habitue::learn::{Classifier, LogisticRegression};

use crate::tabular::{Table, auc_and_average_precision, data_root, read};

/// AUC and log loss.
fn prequential(table: &Table) -> (f64, f64) {
    let mut learner = LogisticRegression::new(table.rows[0].len());
    let (mut scores, mut loss) = (Vec::new(), 0.0);
    for (x, y) in table.rows.iter().zip(&table.labels) {
        let p = learner.predict_one(x);
        loss -= (if *y { p } else { 1.0 - p }).ln();
        scores.push(p);
        learner.learn_one(x, *y);
    }
    (auc_and_average_precision(&scores, &table.labels).0, loss / table.rows.len() as f64)
}

/// `river` is the best AUC and log loss of River 0.26.1's `StandardScaler | LogisticRegression` over the rates .05,
/// .01 and .005 of its SGD (`tests/reference/logistic_regression.py`). Ours has no rate to choose.
fn assert_as_good(path: &Path, river: (f64, f64)) {
    let Some(table) = read(path) else { return };
    let (auc, loss) = prequential(&table);
    eprintln!("{}: AUC {auc:.4}, log loss {loss:.4}; River {river:?}", path.display());
    assert!(auc > river.0 - 0.005 && loss < river.1 + 0.005, "{auc} {loss}");
}

#[test]
fn phishing_is_as_good_as_rivers_best() {
    assert_as_good(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/phishing.csv.gz"),
        (0.9589, 0.2717),
    );
}

#[test]
fn elec2_is_as_good_as_rivers_best() {
    assert_as_good(&data_root().join("drift/elec2_full.csv.gz"), (0.9402, 0.3216));
}

#[test]
fn sea_is_as_good_as_rivers_best() {
    assert_as_good(&data_root().join("drift/sea_stream.csv.gz"), (0.8933, 0.4271));
}
