//! BG/NBD against what is published of it: parameters and log-likelihood of CDNOW's sample, and scores worked out
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use habitue::learn::bg_nbd::{Ending, Parameters, Sample, Summary, fit};
use habitue::math::rng::Rng;

/// The calibration period of the literature, in weeks: orders to 1997-09-30, one a customer and day.
fn cdnow_in_weeks() -> Vec<Summary> {
    const FIRST_OF_MONTH: [u32; 9] = [0, 31, 59, 90, 120, 151, 181, 212, 243];
    let file = &include_bytes!("../data/CDNOW_sample.txt.gz")[..];
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut days: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let (month, day): (usize, u32) = (cells[2][4..6].parse().unwrap(), cells[2][6..].parse().unwrap());
        if cells[2] <= "19970930" {
            days.entry(cells[1].into()).or_default().insert(FIRST_OF_MONTH[month - 1] + day);
        }
    }
    let summary = |days: &BTreeSet<u32>| {
        let (first, last) = (*days.first().unwrap(), *days.last().unwrap());
        let weeks = |days: u32| f64::from(days) / 7.0;
        Summary::new(days.len() as u32 - 1, weeks(last - first), weeks(273 - first))
    };
    days.values().map(summary).collect()
}

/// Fader, Hardie, Lee (2005); digits from CLVTools' tests and lifetimes 0.11.3 (tests/reference/bg_nbd.py).
#[test]
fn cdnow_gives_the_published_parameters() {
    let customers = cdnow_in_weeks();
    assert_eq!(customers.len(), 2_357);
    let found = fit(&customers, None);
    let Parameters { r, alpha, a, b } = found.parameters;
    assert_eq!(format!("{r:.4} {alpha:.4} {a:.4} {b:.4}"), "0.2426 4.4136 0.7929 2.4259");
    assert!((found.log_likelihood + 9_582.429).abs() < 1e-3, "{}", found.log_likelihood);
    assert_eq!(found.ending, Ending::Converged);

    // The prior's center is near, so begin far from it too: the mode is the same.
    let far = Parameters { r: 30.0, alpha: 0.05, a: 0.01, b: 90.0 };
    let again = fit(&customers, Some(&far));
    for (found, expected) in [
        (again.parameters.r, 0.242_594_5),
        (again.parameters.alpha, 4.413_601_9),
        (again.parameters.a, 0.792_919_9),
        (again.parameters.b, 2.425_888_1),
    ] {
        assert!((found / expected - 1.0).abs() < 2e-5, "{again:?}");
    }
    // Without the prior nothing is higher nearby: it is the maximum of likelihood, too.
    let sample = Sample::new(&customers);
    for (dr, dalpha, da, db) in
        [(1.01, 1.0, 1.0, 1.0), (1.0, 1.01, 1.0, 1.0), (1.0, 1.0, 1.01, 1.0), (1.0, 1.0, 1.0, 1.01)]
    {
        for up in [true, false] {
            let by = |x: f64, factor: f64| if up { x * factor } else { x / factor };
            let moved = Parameters { r: by(r, dr), alpha: by(alpha, dalpha), a: by(a, da), b: by(b, db) };
            assert!(sample.log_likelihood(&moved) < found.log_likelihood);
        }
    }
    eprintln!("CDNOW: {found:?}; from afar {} passes", again.n_passes);
}

#[test]
fn scores_are_those_of_the_paper_at_a_hundred_digits() {
    let mut worst = [0.0_f64; 4];
    let lines = include_str!("../data/bg_nbd_reference.csv").lines().skip(1);
    for line in lines {
        let c: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let parameters = Parameters { r: c[0], alpha: c[1], a: c[2], b: c[3] };
        let customer = [Summary::new(c[4] as u32, c[5], c[6])];
        let got = [
            Sample::new(&customer).log_likelihood(&parameters),
            parameters.probability_alive(&customer[0]),
            parameters.probability_of_no_order(&customer[0], c[7]),
            parameters.expected_orders(&customer[0], c[7]),
        ];
        for (i, (got, expected)) in got.iter().zip(&c[8..]).enumerate() {
            let error = (got - expected).abs() / expected.abs().max(1e-300);
            worst[i] = worst[i].max(if got == expected { 0.0 } else { error });
            assert!(error < 1e-9 || got == expected, "{line}\n{i}: {got} {expected}");
        }
    }
    eprintln!("largest relative errors: {worst:?}");
}

/// Marsaglia & Tsang (2000); a shape below 1 by the power of a uniform number.
fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        return gamma(rng, shape + 1.0) * (1.0 - rng.uniform()).powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let x = rng.normal();
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        if v > 0.0 && (1.0 - rng.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A customer of the model, and its number of orders in the horizon after it was looked at.
fn simulated(rng: &mut Rng, truth: &Parameters, age: f64, horizon: f64) -> (Summary, u32) {
    let rate = gamma(rng, truth.r) / truth.alpha;
    let (left, stayed) = (gamma(rng, truth.a), gamma(rng, truth.b));
    let chance_of_leaving = left / (left + stayed);
    let (mut n_repeats, mut n_after, mut last, mut now) = (0, 0, 0.0, 0.0);
    loop {
        now -= (1.0 - rng.uniform()).ln() / rate.max(1e-300);
        if now > age + horizon {
            break;
        } else if now > age {
            n_after += 1;
        } else {
            (n_repeats, last) = (n_repeats + 1, now);
        }
        if rng.uniform() < chance_of_leaving {
            break;
        }
    }
    (Summary::new(n_repeats, last, age), n_after)
}

#[test]
fn parameters_and_chances_of_simulated_customers_are_found() {
    let truth = Parameters { r: 0.7, alpha: 45.0, a: 0.5, b: 3.0 };
    let (mut rng, n, horizon) = (Rng::seeded(&[5]), 50_000, 90.0);
    let (customers, after): (Vec<Summary>, Vec<u32>) =
        (0..n).map(|i| simulated(&mut rng, &truth, f64::from(i % 700), horizon)).unzip();
    let began = std::time::Instant::now();
    let found = fit(&customers, None);
    eprintln!("{n} customers: {found:?} in {:.3} s", began.elapsed().as_secs_f64());
    let began = std::time::Instant::now();
    let chances: f64 = customers.iter().map(|c| found.parameters.probability_of_no_order(c, horizon)).sum();
    eprintln!("chances {chances:.1} in {:.4} s", began.elapsed().as_secs_f64());
    let began = std::time::Instant::now();
    let numbers: f64 = customers.iter().map(|c| found.parameters.expected_orders(c, horizon)).sum();
    eprintln!("numbers {numbers:.1} in {:.4} s", began.elapsed().as_secs_f64());
    let p = found.parameters;
    for (got, true_value) in [(p.r, truth.r), (p.alpha, truth.alpha), (p.a, truth.a), (p.b, truth.b)] {
        assert!((got / true_value).ln().abs() < 0.15, "{found:?}");
    }
    assert_eq!(found.ending, Ending::Converged);
    let again = fit(&customers, Some(&p));
    assert!(again.n_passes <= 3, "begun at the mode it is there: {again:?}");
    // In ten groups by chance of no order, and in all, the model says what happens.
    let mut told: Vec<(f64, f64, u32)> = customers
        .iter()
        .zip(&after)
        .map(|(c, n)| (p.probability_of_no_order(c, horizon), p.expected_orders(c, horizon), *n))
        .collect();
    told.sort_by(|x, y| x.0.total_cmp(&y.0));
    for group in told.chunks(told.len() / 10) {
        let mean =
            |f: &dyn Fn(&(f64, f64, u32)) -> f64| group.iter().map(f).sum::<f64>() / group.len() as f64;
        let (chance, share) = (mean(&|t| t.0), mean(&|t| f64::from(u32::from(t.2 == 0))));
        let (number, orders) = (mean(&|t| t.1), mean(&|t| f64::from(t.2)));
        assert!((chance - share).abs() < 0.03, "{chance} {share}");
        assert!((number - orders).abs() < 0.05 + 0.05 * orders, "{number} {orders}");
    }
}
