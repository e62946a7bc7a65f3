//! The expected number of orders of a customer who is alive, as an integral that is stable everywhere.

use std::f64::consts::FRAC_PI_2;

use super::{Parameters, Summary};

/// Distance of the nodes before the change of variable: relative errors below 1e-10 on the reference grid.
const STEP: f64 = 0.125;
/// Nodes lie where the weight is above exp(-TAIL) or so of its peak.
const TAIL: f64 = 40.0;

impl Parameters {
    /// Given that the customer is alive, its rate is Gamma(r + x, alpha + T) and its chance p of leaving after an
    /// order is Beta(a, b + x), so the number within t is the mean over p of
    ///
    /// g(p) = (1 - (1 + p t / (alpha + T))^-(r + x)) / p.
    ///
    /// The closed form of Fader, Hardie and Lee (their equation 10) is this integral written with the
    /// hypergeometric function; it divides by a - 1 and subtracts numbers that are nearly equal. The integrand is
    /// positive and smooth. It is summed over y = logit p by the rule of Takahasi and Mori (1974) in its sinh
    /// form, with nodes centred and spaced by the beta distribution's own mean and width, and the weights summed
    /// beside it in place of the beta function.
    pub(super) fn expected_while_alive(&self, customer: &Summary, horizon: f64) -> f64 {
        let shape = self.shape(customer);
        let growth = horizon / (self.alpha + customer.age);
        let failures = self.b + f64::from(customer.n_repeats);
        let center = libm::log((self.a + 1.0) / (failures + 1.0));
        let width = FRAC_PI_2 / libm::sqrt(1.0 + self.a * failures / (self.a + failures));
        let (mut sum, mut weights) = (0.0, 0.0);
        let last =
            |slope: f64| libm::ceil(libm::asinh((TAIL / (slope * width) + 8.0).min(f64::MAX)) / STEP) as i32;
        for i in -last(self.a)..=last(failures) {
            let t = f64::from(i) * STEP;
            let y = center + width * libm::sinh(t);
            let (log_p, log_q) = (-softplus(-y), -softplus(y));
            let weight = libm::exp(
                self.a * (log_p - ln_share(self.a, failures))
                    + failures * (log_q - ln_share(failures, self.a)),
            ) * libm::cosh(t);
            sum += weight * orders_given(libm::exp(log_p), shape, growth);
            weights += weight;
        }
        sum / weights
    }
}

/// g(p) of [`Parameters::expected_while_alive`]; towards p = 0 the mean of a customer who never leaves.
fn orders_given(p: f64, shape: f64, growth: f64) -> f64 {
    if p < 1e-290 { shape * growth } else { -libm::expm1(-shape * libm::log1p(p * growth)) / p }
}

/// ln(1 + exp(y)), for every y.
pub(super) fn softplus(y: f64) -> f64 {
    y.max(0.0) + libm::log1p(libm::exp(-y.abs()))
}

/// ln(u / (u + v)): where the weight peaks, so that it is 1 there.
fn ln_share(u: f64, v: f64) -> f64 {
    libm::log(u / (u + v))
}
