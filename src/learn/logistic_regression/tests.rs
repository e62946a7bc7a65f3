//! What the mixture and the recalibration promise, and Newton's steps against the batch solution.

use super::*;
use crate::math::rng::Rng;

/// Of one margin, by definition.
fn logistic(margin: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-margin))
}

fn loss(p: f64, y: bool) -> f64 {
    -libm::log(if y { p } else { 1.0 - p })
}

/// Labels by a line through three features, whose sign turns every `turn` rows.
fn row(rng: &mut Rng, at: usize, turn: usize) -> (Vec<f64>, bool) {
    let x: Vec<f64> = (0..3).map(|j| rng.normal() * [1.0, 100.0, 0.01][j] + 5.0).collect();
    let sign = if (at / turn).is_multiple_of(2) { 1.0 } else { -1.0 };
    let margin = sign * (2.0 * (x[0] - 5.0) - 0.01 * (x[1] - 5.0) + 50.0 * (x[2] - 5.0)) - 0.5;
    let y = rng.uniform() < logistic(margin);
    (x, y)
}

#[test]
fn the_mixture_pays_no_more_than_it_promises() {
    for turn in [usize::MAX, 2_000, 300] {
        let (mut learner, mut rng) = (LogisticRegression::new(3), Rng::seeded(&[1]));
        let (n, mut mixed, mut alone) = (20_000, 0.0, [0.0; MEMBERS]);
        for at in 0..n {
            let (x, y) = row(&mut rng, at, turn);
            let probabilities = learner.take_in(&x);
            mixed += loss(learner.mean(&probabilities), y);
            alone.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += loss(p, y));
            learner.weigh(&probabilities, y);
            learner.step(&probabilities, y);
        }
        let best = alone.iter().copied().fold(f64::INFINITY, f64::min);
        let price = libm::log(5.0) - n as f64 * libm::log(1.0 - SHARED);
        assert!(mixed < best + price, "turn {turn}: {mixed} beside {alone:?}");
        // Where the line turns, no member alone comes near.
        assert!(turn == usize::MAX || mixed < 0.985 * best, "turn {turn}: {mixed} beside {alone:?}");
    }
}

#[test]
fn one_pass_of_newton_comes_close_to_the_batch_solution() {
    let mut rng = Rng::seeded(&[2]);
    let rows: Vec<(Vec<f64>, bool)> = (0..20_000).map(|_| row(&mut rng, 0, usize::MAX)).collect();
    let mut learner = LogisticRegression::new(3);
    rows.iter().for_each(|(x, y)| learner.learn_one(x, *y));
    // The batch solution on the same standardised rows, by Newton's method from 0, with the same prior.
    let standardised = |x: &[f64]| -> Vec<f64> {
        let z = learner.features.iter().zip(x).map(|(feature, x)| feature.standardised(*x));
        z.chain([1.0]).collect()
    };
    let z: Vec<Vec<f64>> = rows.iter().map(|(x, _)| standardised(x)).collect();
    let mut batch = [0.0; 4];
    for _ in 0..8 {
        let mut step = Newton::new(4);
        let mut gradient = batch;
        for (z, (_, y)) in z.iter().zip(&rows) {
            let p = logistic(z.iter().zip(&batch).map(|(z, w)| z * w).sum());
            step.gains(z, p);
            gradient.iter_mut().zip(z).for_each(|(g, z)| *g += (p - f64::from(*y)) * z);
        }
        batch.iter_mut().zip(step.times(&gradient)).for_each(|(w, moved)| *w -= moved);
    }
    let online: Vec<f64> = learner.coefficients.iter().map(|c| c.weights[NEWTON]).collect();
    // The truth in standard deviations: 2, -1, 0.5 and -0.5. A weight's standard error is about 0.02.
    for ((online, batch), truth) in online.iter().zip(batch).zip([2.0, -1.0, 0.5, -0.5]) {
        assert!((online - batch).abs() < 0.02 && (batch - truth).abs() < 0.1, "{online} {batch} {truth}");
    }
}

#[test]
fn the_inverse_is_that_of_the_curvature() {
    let (mut newton, mut rng) = (Newton::new(4), Rng::seeded(&[3]));
    let mut curvature = [[0.0; 4]; 4];
    (0..4).for_each(|i| curvature[i][i] = 1.0);
    for _ in 0..500 {
        let z: Vec<f64> = (0..4).map(|_| rng.normal()).collect();
        let p = 0.01 + 0.98 * rng.uniform();
        let gains = newton.gains(&z, p).to_vec();
        for (gain, product) in gains.into_iter().zip(newton.times(&z)) {
            assert!((gain - product).abs() < 1e-12, "{gain} {product}");
        }
        for i in 0..4 {
            for j in 0..4 {
                curvature[i][j] += p * (1.0 - p) * z[i] * z[j];
            }
        }
    }
    for (i, column) in curvature.iter().enumerate() {
        for (j, x) in newton.times(column).into_iter().enumerate() {
            assert!((x - f64::from(i == j)).abs() < 1e-9, "{i} {j} {x}");
        }
    }
}

#[test]
fn what_is_calibrated_stays_so_and_what_is_not_becomes_so() {
    let distortions: [fn(f64) -> f64; 6] = [
        |margin| margin,
        |margin| 2.5 * margin,
        |margin| 0.4 * margin,
        |margin| margin + 1.5,
        |margin| 2.0 * margin - 1.0,
        |margin| margin + 0.2 * margin * margin * margin,
    ];
    for (number, distorted) in distortions.into_iter().enumerate() {
        let (mut calibration, mut rng) = (Calibration::default(), Rng::seeded(&[4]));
        let (n, mut given, mut calibrated, mut right) = (20_000, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let margin = 1.5 * rng.normal();
            let y = rng.uniform() < logistic(margin);
            let p = logistic(distorted(margin));
            given += loss(p, y);
            calibrated += loss(calibration.calibrated(p), y);
            right += loss(logistic(margin), y);
            calibration.learn(p, y);
        }

        assert!(calibrated < given + 0.106 + 1e-4 * n as f64, "{number}: {calibrated} {given}");
        // The worst distortion costs 3 700.
        assert!(calibrated < right + 180.0, "{number}: {calibrated}, at best {right}");
    }
}

#[test]
fn the_curve_never_falls_even_where_the_ranking_is_wrong() {
    let (mut calibration, mut rng) = (Calibration::default(), Rng::seeded(&[6]));
    for _ in 0..5_000 {
        let margin = 2.0 * rng.normal();
        calibration.learn(logistic(-margin), rng.uniform() < logistic(margin));
        assert!(calibration.knots.is_sorted_by(|a, b| a.log_odds <= b.log_odds));
    }
    let level = [0.2, 0.5, 0.8].map(|p| calibration.calibrated(p));
    assert!(level.iter().all(|p| (p - 0.5).abs() < 0.1), "{level:?}");
}

#[test]
fn without_room_for_newton_the_others_learn() {
    let n_features = NEWTON_FEATURES_MAX + 1;
    let (mut learner, mut rng) = (LogisticRegression::new(n_features), Rng::seeded(&[5]));
    assert!(learner.newton.is_none() && learner.bytes() < 14_000);
    let mut right = 0;
    for at in 0..4_000 {
        let (mut x, y) = row(&mut rng, 0, usize::MAX);
        x.resize(n_features, 1.0);
        right += usize::from(at >= 2_000 && (learner.predict_one(&x) > 0.5) == y);
        learner.learn_one(&x, y);
    }
    assert!(right > 1_500, "{right} of 2 000");
}
