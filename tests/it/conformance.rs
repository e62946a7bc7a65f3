//! The learner contract, held against every learner in the registry.

use habitue::learn::{AnomalyDetector, Classifier, Learner, Regressor, Scaler, Visitor, registry};
use habitue::math::rng::Rng;

use crate::tabular::auc_and_average_precision;

const N_FEATURES: usize = 5;

/// Rows of an uneventful stream.
fn usual_row(rng: &mut Rng) -> Vec<f64> {
    let shared = rng.normal();
    (0..N_FEATURES).map(|j| (shared + rng.normal()) * (j + 1) as f64).collect()
}

/// Rows with everything that is hard: huge, tiny, equal, missing, too short, too long.
fn hard_row(rng: &mut Rng) -> Vec<f64> {
    let mut row = usual_row(rng);
    match rng.below(9) {
        0 => row[0] = f64::MAX,
        1 => row[1] = f64::MIN,
        2 => row[2] = f64::MIN_POSITIVE,
        3 => row.fill(7.0),
        4 => row.fill(f64::NAN),
        5 => row[rng.below(5) as usize] = f64::NAN,
        6 => row.truncate(2),
        7 => row.push(1.0),
        _ => row[3] = if rng.uniform() < 0.5 { f64::INFINITY } else { f64::NEG_INFINITY },
    }
    row
}

fn snapshot<L: Learner>(learner: &L) -> Vec<u8> {
    postcard::to_allocvec(learner).expect("plain data is stored")
}

fn restore<L: Learner>(bytes: &[u8]) -> L {
    postcard::from_bytes(bytes).expect("what was stored comes back")
}

/// What every learner must do, told how it learns a row and what it then says of one, as bits.
struct Contract<L> {
    name: &'static str,
    make: fn(usize, u64) -> L,
    learn: fn(&mut L, &[f64]),
    /// All numbers that the learner answers with.
    answer: fn(&L, &[f64]) -> Vec<f64>,
}

impl<L: Learner> Contract<L> {
    fn bits(&self, learner: &L, row: &[f64]) -> Vec<u64> {
        (self.answer)(learner, row).iter().map(|x| x.to_bits()).collect()
    }

    fn assert_defined(&self, learner: &L, row: &[f64]) {
        for x in (self.answer)(learner, row) {
            assert!(!x.is_infinite(), "{}: {x} for {row:?}", self.name);
        }
    }

    fn check(&self) {
        self.answers_are_defined_and_pure();
        self.seed_and_stream_give_the_bits();
        self.clones_are_independent();
        self.snapshots_go_on_identically();
        self.memory_is_bounded();
    }

    fn answers_are_defined_and_pure(&self) {
        let (mut learner, mut rng) = ((self.make)(N_FEATURES, 1), Rng::seeded(&[1]));
        assert_eq!(learner.n_learned(), 0);
        for i in 0..6_000 {
            let row = if i % 3 == 0 { hard_row(&mut rng) } else { usual_row(&mut rng) };
            if i % 500 == 0 {
                let before = snapshot(&learner);
                assert_eq!(self.bits(&learner, &row), self.bits(&learner, &row));
                assert_eq!(before, snapshot(&learner), "{}: an answer changed the learner", self.name);
            }
            self.assert_defined(&learner, &row);
            (self.learn)(&mut learner, &row);
            self.assert_defined(&learner, &row);
        }
        assert_eq!(learner.n_learned(), 6_000);
        for constant in [0.0, 1e300, f64::NAN, -1e-300] {
            let mut learner = (self.make)(N_FEATURES, 1);
            (0..3_000).for_each(|_| (self.learn)(&mut learner, &[constant; N_FEATURES]));
            self.assert_defined(&learner, &[constant; N_FEATURES]);
            self.assert_defined(&learner, &[1.0; N_FEATURES]);
        }
    }

    fn seed_and_stream_give_the_bits(&self) {
        let (mut a, mut b) = ((self.make)(N_FEATURES, 9), (self.make)(N_FEATURES, 9));
        let mut rng = Rng::seeded(&[2]);
        for _ in 0..3_000 {
            let row = usual_row(&mut rng);
            (self.learn)(&mut a, &row);
            (self.learn)(&mut b, &row);
        }
        assert_eq!(snapshot(&a), snapshot(&b), "{}: same seed, other bits", self.name);
    }

    fn clones_are_independent(&self) {
        let (mut learner, mut rng) = ((self.make)(N_FEATURES, 3), Rng::seeded(&[3]));
        (0..2_500).for_each(|_| (self.learn)(&mut learner, &usual_row(&mut rng)));
        let before = snapshot(&learner);
        let mut clone = learner.clone();
        (0..500).for_each(|_| (self.learn)(&mut clone, &usual_row(&mut rng)));
        assert_eq!(before, snapshot(&learner), "{}: a clone's learning reached the original", self.name);
        assert_ne!(before, snapshot(&clone), "{}: learns nothing", self.name);
    }

    fn snapshots_go_on_identically(&self) {
        for cut in [0, 1, 31, 32, 700, 2_047, 2_048, 2_049, 3_333] {
            let (mut learner, mut rng) = ((self.make)(N_FEATURES, 4), Rng::seeded(&[4]));
            (0..cut).for_each(|_| (self.learn)(&mut learner, &hard_row(&mut rng)));
            let mut restored: L = restore(&snapshot(&learner));
            for _ in 0..300 {
                let row = if rng.uniform() < 0.5 { hard_row(&mut rng) } else { usual_row(&mut rng) };
                assert_eq!(self.bits(&learner, &row), self.bits(&restored, &row), "{} at {cut}", self.name);
                (self.learn)(&mut learner, &row);
                (self.learn)(&mut restored, &row);
            }
            assert_eq!(snapshot(&learner), snapshot(&restored), "{} cut at {cut}", self.name);
        }
    }

    fn memory_is_bounded(&self) {
        let (mut learner, mut rng) = ((self.make)(N_FEATURES, 5), Rng::seeded(&[5]));
        for i in 0..30_000 {
            let row = if i % 2 == 0 { hard_row(&mut rng) } else { usual_row(&mut rng) };
            (self.learn)(&mut learner, &row);
            if i % 1_000 == 0 {
                assert!(learner.bytes() <= learner.bytes_max(), "{}", self.name);
            }
        }
        let restored: L = restore(&snapshot(&learner));
        assert!(learner.bytes() <= learner.bytes_max() && restored.bytes() <= restored.bytes_max());
        assert!(
            snapshot(&learner).len() <= 2 * learner.bytes_max() + 64,
            "{}: bytes() misses heap",
            self.name
        );
    }
}

struct HoldToContract {
    names: Vec<&'static str>,
}

impl Visitor for HoldToContract {
    fn anomaly_detector<D: AnomalyDetector>(&mut self, name: &'static str, make: fn(usize, u64) -> D) {
        self.names.push(name);
        let answer = |detector: &D, row: &[f64]| {
            let score = detector.score_one(row);
            assert!((0.0..=1.0).contains(&score), "{score} for {row:?}");
            vec![score]
        };
        Contract { name, make, learn: D::learn_one, answer }.check();
        planted_anomalies_stand_out(name, make);
    }

    fn classifier<C: Classifier>(&mut self, name: &'static str, make: fn(usize, u64) -> C) {
        self.names.push(name);
        let answer = |classifier: &C, row: &[f64]| {
            let probability = classifier.predict_one(row);
            assert!((0.0..=1.0).contains(&probability), "{probability} for {row:?}");
            vec![probability]
        };
        Contract { name, make, learn: |classifier, row| classifier.learn_one(row, says_yes(row)), answer }
            .check();
        a_planted_rule_is_learned(name, make);
    }

    fn regressor<R: Regressor>(&mut self, name: &'static str, make: fn(usize, u64) -> R) {
        self.names.push(name);
        let answer = |regressor: &R, row: &[f64]| {
            let predicted = regressor.predict_one(row);
            assert!(predicted.is_finite(), "{predicted} for {row:?}");
            vec![predicted]
        };
        let learn = |regressor: &mut R, row: &[f64]| regressor.learn_one(row, number_of(row));
        Contract { name, make, learn, answer }.check();
        a_planted_line_is_learned(name, make);
    }

    fn scaler<S: Scaler>(&mut self, name: &'static str, make: fn(usize, u64) -> S) {
        self.names.push(name);
        let answer = |scaler: &S, row: &[f64]| {
            let mut scaled = vec![1.0; 3];
            scaler.scale_one(row, &mut scaled);
            assert_eq!(scaled.len(), N_FEATURES);
            for (i, x) in scaled.iter().enumerate() {
                assert_eq!(x.is_nan(), row.get(i).is_none_or(|x| x.is_nan()), "{row:?}");
            }
            scaled
        };
        Contract { name, make, learn: S::learn_one, answer }.check();
    }
}

/// One row in a hundred comes from elsewhere. Scored before learning, it must stand out; the same scores under
/// turned labels must say nothing.
fn planted_anomalies_stand_out<D: AnomalyDetector>(name: &str, make: fn(usize, u64) -> D) {
    let (mut detector, mut rng) = (make(N_FEATURES, 6), Rng::seeded(&[6]));
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..6_000 {
        let is_planted = rng.below(100) == 0;
        let mut row = usual_row(&mut rng);
        if is_planted {
            row.iter_mut().enumerate().for_each(|(j, x)| {
                *x = (4.0 + rng.normal()) * (j + 1) as f64 * if j % 2 == 0 { 1.0 } else { -1.0 }
            });
        }
        scores.push(detector.score_one(&row));
        labels.push(is_planted);
        detector.learn_one(&row);
    }
    let (auc, _) = auc_and_average_precision(&scores, &labels);
    assert!(auc > 0.9, "{name}: AUC {auc} on planted anomalies");
    labels.rotate_left(3_001);
    let (chance, _) = auc_and_average_precision(&scores, &labels);
    assert!((chance - 0.5).abs() < 0.15, "{name}: AUC {chance} under turned labels");
}

/// The label of the contract's rows: both classes, whatever the row.
fn says_yes(row: &[f64]) -> bool {
    row.first().is_some_and(|x| *x > 0.0)
}

/// The target of the contract's rows, some of it huge.
fn number_of(row: &[f64]) -> f64 {
    row.first().copied().filter(|x| x.is_finite()).unwrap_or(1e6)
}

/// Four rows in five follow the sign of a feature, a third of whose cells is missing. Scored before learning, the
/// probabilities must rank, and be better than the share of positives; labels turned against the rows must say nothing.
fn a_planted_rule_is_learned<C: Classifier>(name: &str, make: fn(usize, u64) -> C) {
    for (is_turned, least, most) in [(false, 0.7, 0.9), (true, 0.4, 0.6)] {
        let (mut classifier, mut rng) = (make(N_FEATURES, 6), Rng::seeded(&[6]));
        let (mut scores, mut labels, mut loss, mut last) = (Vec::new(), Vec::new(), 0.0, false);
        for _ in 0..6_000 {
            let mut row = usual_row(&mut rng);
            let planted = (row[2] > 0.0) == (rng.uniform() < 0.8);
            if rng.below(3) == 0 {
                row[2] = f64::NAN;
            }
            let label = if is_turned { last } else { planted };
            last = planted;
            let p = classifier.predict_one(&row);
            loss -= (if label { p } else { 1.0 - p }).max(1e-15).ln() / 6_000.0;
            scores.push(p);
            labels.push(label);
            classifier.learn_one(&row, label);
        }
        let (auc, _) = auc_and_average_precision(&scores, &labels);
        assert!((least..most).contains(&auc), "{name}: AUC {auc} on a planted rule, turned: {is_turned}");
        let most = if is_turned { 0.72 } else { 0.66 };
        assert!(loss < most, "{name}: log loss {loss} on a planted rule, turned: {is_turned}");
    }
}

/// A feature and noise: what is predicted before learning must explain most of the variance that can be.
fn a_planted_line_is_learned<R: Regressor>(name: &str, make: fn(usize, u64) -> R) {
    let (mut regressor, mut rng) = (make(N_FEATURES, 6), Rng::seeded(&[6]));
    let (mut errors, mut squares) = (0.0, 0.0);
    for i in 0..6_000 {
        let row = usual_row(&mut rng);
        let y = 100.0 + 10.0 * row[2] + rng.normal();
        if i >= 1_000 {
            errors += (regressor.predict_one(&row) - y).powi(2);
            squares += (y - 100.0).powi(2);
        }
        regressor.learn_one(&row, y);
    }
    assert!(errors < 0.3 * squares, "{name}: {:.3} of the variance is left", errors / squares);
}

#[test]
fn every_registered_learner_keeps_the_contract() {
    let mut visitor = HoldToContract { names: Vec::new() };
    registry(&mut visitor);
    visitor.names.sort_unstable();
    assert_eq!(
        visitor.names,
        ["isolation_forest", "logistic_regression", "min_max_scaler", "standard_scaler"]
    );
}
