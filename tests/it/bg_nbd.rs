//! BG/NBD against what is published of it: parameters and log-likelihood of CDNOW's sample, and scores worked out
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use habitue::learn::bg_nbd::{Ending, Parameters, Sample, Summary, fit};

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
