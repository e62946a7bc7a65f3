//! What must hold for any customers and parameters: finite, bounded, monotone, and downhill.

use proptest::prelude::*;

use super::*;

/// Magnitudes over many orders of ten.
fn wide(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low..high).prop_map(|exponent| libm::exp(exponent * std::f64::consts::LN_10))
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    (wide(-5.0, 5.0), wide(-5.0, 8.0), wide(-5.0, 5.0), wide(-5.0, 5.0))
        .prop_map(|(r, alpha, a, b)| Parameters { r, alpha, a, b })
}

fn any_summary() -> impl Strategy<Value = Summary> {
    let n_repeats = prop_oneof![3 => 0..3_u32, 3 => 0..200_u32, 1 => 0..u32::MAX];
    let share = prop_oneof![4 => 0.0..1.0_f64, 1 => Just(1.0), 1 => Just(0.0)];
    let age = prop_oneof![8 => 0.0..2e3_f64, 1 => Just(0.0), 1 => wide(-9.0, 12.0)];
    (n_repeats, share, age).prop_map(|(n, share, age)| Summary::new(n, share * age, age))
}

/// Customers of a shop rather than of a test.
fn plausible_summary() -> impl Strategy<Value = Summary> {
    (0..12_u32, 0.0..1.0_f64, 1.0..700.0_f64).prop_map(|(n, share, age)| Summary::new(n, share * age, age))
}

proptest! {
    #[test]
    fn scores_are_finite_bounded_and_monotone(
        parameters in any_parameters(), customer in any_summary(), horizon in wide(-6.0, 12.0), factor in 1.0..9.0_f64,
    ) {
        let alive = parameters.probability_alive(&customer);
        prop_assert!((0.0..=1.0).contains(&alive));
        prop_assert!(parameters.probability_of_no_order(&customer, 0.0) > 1.0 - 1e-15);
        let (near, far) = (horizon, horizon * factor);
        let [p, q] = [near, far].map(|h| parameters.probability_of_no_order(&customer, h));
        prop_assert!((0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q) && q <= p + 1e-12, "{} {}", p, q);
        prop_assert!(q >= 1.0 - alive - 1e-12);
        let [n, m] = [near, far].map(|h| parameters.expected_orders(&customer, h));
        prop_assert!(n >= 0.0 && m.is_finite() && m >= n * (1.0 - 1e-9), "{} {}", n, m);
        // Markov: an order comes with at most the chance of its expected number; both sides are means.
        prop_assert!(1.0 - p <= n * (1.0 + 1e-6) + 1e-12, "{} {}", p, n);
    }

    #[test]
    fn the_likelihood_and_its_gradient_are_finite(
        parameters in any_parameters(), customers in proptest::collection::vec(any_summary(), 1..20),
    ) {
        let sample = Sample::new(&customers);
        let slope = sample.slope(&parameters);
        prop_assert!(slope.value.is_finite() && slope.gradient.iter().all(|g| g.is_finite()));
    }

    #[test]
    fn the_gradient_is_that_of_differences(
        customers in proptest::collection::vec(plausible_summary(), 1..30),
        logs in proptest::array::uniform4(-2.0..2.0_f64),
    ) {
        let sample = Sample::new(&customers);
        let at = |logs: &[f64; 4]| {
            let [r, alpha, a, b] = logs.map(libm::exp);
            sample.slope(&Parameters { r, alpha: 30.0 * alpha, a, b })
        };
        let slope = at(&logs);
        for i in 0..4 {
            let (mut above, mut below) = (logs, logs);
            above[i] += 1e-4;
            below[i] -= 1e-4;
            let difference = (at(&above).value - at(&below).value) / 2e-4;
            prop_assert!((slope.gradient[i] - difference).abs() < 1e-5 * (1.0 + difference.abs()),
                "{}: {} {}", i, slope.gradient[i], difference);
        }
    }

    #[test]
    fn a_fit_is_valid_and_never_loses_its_start(
        customers in proptest::collection::vec(any_summary(), 0..40), start in any_parameters(),
    ) {
        let found = fit(&customers, Some(&start));
        prop_assert!(found.parameters.is_valid(), "{:?}", found);
        prop_assert!(found.log_likelihood.is_finite());
        prop_assert!(found.n_passes < 2_000, "{:?}", found);
        let sample = Sample::new(&customers);
        let center = Parameters::typical(sample.mean_age()).array();
        let posterior = |parameters: &Parameters| {
            let logs = (0..4).map(|i| libm::log(parameters.array()[i] / center[i]));
            sample.log_likelihood(parameters) - logs.map(|log| log * log / 18.0).sum::<f64>()
        };
        let is_far = (0..4).any(|i| libm::log(start.array()[i] / center[i]).abs() > 14.0);
        let (before, after) = (posterior(&start), posterior(&found.parameters));
        prop_assert!(is_far || after >= before - 1e-9 * before.abs(), "{} {} {:?}", before, after, found);
    }

    #[test]
    fn a_fit_does_not_depend_on_the_unit_of_time(
        customers in proptest::collection::vec(plausible_summary(), 5..60),
    ) {
        let in_weeks: Vec<Summary> =
            customers.iter().map(|c| Summary::new(c.n_repeats, c.recency / 7.0, c.age / 7.0)).collect();
        let (days, weeks) = (fit(&customers, None).parameters, fit(&in_weeks, None).parameters);
        for (i, (day, week)) in days.array().iter().zip(weeks.array()).enumerate() {
            let unit = if i == 1 { 7.0 } else { 1.0 };
            prop_assert!((day / (unit * week) - 1.0).abs() < 1e-4, "{:?} {:?}", days, weeks);
        }
    }
}

#[test]
fn nothing_to_learn_from_still_gives_parameters() {
    let never_back: Vec<Summary> = (0..200).map(|i| Summary::new(0, 0.0, f64::from(i))).collect();
    let alike = vec![Summary::new(3, 60.0, 90.0); 500];
    let brand_new = vec![Summary::new(0, 0.0, 0.0); 10];
    let at_once = vec![Summary::new(9, 0.0, 0.0); 10];
    let one = [Summary::new(u32::MAX, 1e12, 1e12)];
    for customers in [&never_back[..], &alike, &brand_new, &at_once, &one, &[Summary::new(2, 5.0, 9.0)]] {
        let found = fit(customers, None);
        assert!(found.parameters.is_valid() && found.log_likelihood.is_finite(), "{found:?}");
        for customer in customers {
            let p = found.parameters.probability_of_no_order(customer, 90.0);
            assert!((0.0..=1.0).contains(&p), "{found:?} {p}");
        }
    }
    // Two hundred who never came back within two hundred days: they are expected to stay away.
    let away = fit(&never_back, None).parameters.probability_of_no_order(&never_back[100], 90.0);
    assert!(away > 0.98, "{away}");
    let kept = Parameters { r: 1.0, alpha: 2.0, a: 3.0, b: 4.0 };
    let none = fit(&[], Some(&kept));
    assert_eq!((none.parameters, none.ending), (kept, Ending::NoCustomers));
    assert_eq!(fit(&[], Some(&Parameters { a: f64::NAN, ..kept })).parameters, Parameters::typical(1.0));
}

#[test]
fn a_summary_makes_sense_whatever_it_is_made_of() {
    for (n, recency, age) in [(0, 5.0, 9.0), (3, 9.0, 5.0), (1, f64::NAN, f64::NAN), (2, -1.0, f64::INFINITY)]
    {
        let summary = Summary::new(n, recency, age);
        assert!(summary.recency() >= 0.0 && summary.recency() <= summary.age(), "{summary:?}");
        assert!(summary.age() <= 1e12 && (n > 0 || summary.recency() == 0.0), "{summary:?}");
    }
}
