//! The log-likelihood of a sample and its gradient, in a form that stays finite.

use std::collections::BTreeMap;

use super::{Parameters, Summary};

/// Customers to fit on, with what every pass over them needs.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    customers: &'a [Summary],
    /// Customers by number of repeat orders, ascending.
    counts: Vec<(u32, f64)>,
}

/// A sum over customers and its derivatives by the logarithms of r, alpha, a and b.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Slope {
    pub value: f64,
    pub gradient: [f64; 4],
}

impl<'a> Sample<'a> {
    pub fn new(customers: &'a [Summary]) -> Self {
        let mut counts = BTreeMap::new();
        for customer in customers {
            *counts.entry(customer.n_repeats).or_insert(0.0) += 1.0;
        }
        Self { customers, counts: counts.into_iter().collect() }
    }

    pub fn len(&self) -> usize {
        self.customers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
    }

    /// Below 1e-9 it is taken as 1, so that times can be divided by it.
    pub(super) fn mean_age(&self) -> f64 {
        let sum: f64 = self.customers.iter().map(|customer| customer.age).sum();
        let mean = sum / self.len().max(1) as f64;
        if mean < 1e-9 { 1.0 } else { mean }
    }

    /// Of all customers, in nats: the density of the times of their orders.
    pub fn log_likelihood(&self, parameters: &Parameters) -> f64 {
        self.slope(parameters).value
    }

    /// With x repeats, the last at t, in an age of T, a customer's log-likelihood is
    ///
    /// ln (r)_x + ln (b)_x - ln (a + b)_x - r ln(1 + T / alpha) - x ln(alpha + T) + ln(1 + odds)
    ///
    /// where (z)_x is the rising factorial, and odds those of having left: 0 for x = 0, else
    /// a / (b + x - 1) ((alpha + T) / (alpha + t))^(r + x).
    pub(super) fn slope(&self, parameters: &Parameters) -> Slope {
        let Parameters { r, alpha, a, b } = *parameters;
        let mut sum = Slope::default();
        for &(n_repeats, n_customers) in &self.counts {
            let (of_r, by_r) = rising(r, n_repeats);
            let (of_b, by_b) = rising(b, n_repeats);
            let (of_ab, by_ab) = rising(a + b, n_repeats);
            sum.value += n_customers * (of_r + of_b - of_ab);
            sum.gradient[0] += n_customers * r * by_r;
            sum.gradient[2] -= n_customers * a * by_ab;
            sum.gradient[3] += n_customers * b * (by_b - by_ab);
        }
        for customer in self.customers {
            let (shape, end) = (parameters.shape(customer), alpha + customer.age);
            let aged = libm::log1p(customer.age / alpha);
            sum.value -= r * aged;
            sum.gradient[0] -= r * aged;
            sum.gradient[1] += r - shape * (alpha / end);
            if customer.n_repeats == 0 {
                continue;
            }
            let log_odds = parameters.log_odds_of_having_left(customer);
            // ln(1 + odds) and odds / (1 + odds), for odds of any size.
            let small = libm::exp(-log_odds.abs());
            let either = log_odds.max(0.0) + libm::log1p(small);
            let left = if log_odds < 0.0 { small } else { 1.0 } / (1.0 + small);
            let (last, silence) = (alpha + customer.recency, customer.age - customer.recency);
            sum.value += either - f64::from(customer.n_repeats) * libm::log(end);
            sum.gradient[0] += left * r * libm::log1p(silence / last);
            sum.gradient[1] -= left * shape * (alpha / end) * (silence / last);
            sum.gradient[2] += left;
            sum.gradient[3] -= left * (b / parameters.failures(customer));
        }
        sum
    }
}

/// ln (z)_n = ln(z (z + 1) … (z + n - 1)) and its derivative by z.
fn rising(z: f64, n: u32) -> (f64, f64) {
    if n <= 32 {
        let terms = (0..n).map(|j| z + f64::from(j));
        return terms.fold((0.0, 0.0), |(log, slope), term| (log + libm::log(term), slope + 1.0 / term));
    }
    let end = z + f64::from(n);
    (libm::lgamma(end) - libm::lgamma(z), digamma(end) - digamma(z))
}

/// The derivative of ln gamma, for z > 0: moved up to 8, then the asymptotic series (Abramowitz & Stegun 6.3.18).
fn digamma(z: f64) -> f64 {
    let (mut z, mut below) = (z, 0.0);
    while z < 8.0 {
        below += 1.0 / z;
        z += 1.0;
    }
    let w = 1.0 / (z * z);
    let series = 1.0 / 12.0
        - w * (1.0 / 120.0
            - w * (1.0 / 252.0 - w * (1.0 / 240.0 - w * (1.0 / 132.0 - w * (691.0 / 32_760.0)))));
    libm::log(z) - 0.5 / z - w * series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_is_that_of_mpmath() {
        for (z, expected) in [
            (1e-3, -1_000.575_571_931_810_3),
            (0.25, -4.227_453_533_376_265),
            (1.0, -0.577_215_664_901_532_9),
            (7.999, 2.015_508_332_090_348),
            (8.001, 2.015_774_606_121_303),
            (1e6, 13.815_510_057_964_191),
        ] {
            let got = digamma(z);
            assert!((got / expected - 1.0).abs() < 1e-13, "{z}: {got} {expected}");
        }
    }

    #[test]
    fn rising_factorials_agree_where_the_form_changes() {
        for z in [1e-4, 0.3, 2.0, 77.0, 1e4] {
            let (log, slope) = rising(z, 32);
            let (next_log, next_slope) = rising(z, 33);
            let last = z + 32.0;
            assert!((next_log - log - libm::log(last)).abs() < 1e-9, "{z}");
            assert!((next_slope - slope - 1.0 / last).abs() < 1e-9 * next_slope, "{z}");
        }
    }
}
