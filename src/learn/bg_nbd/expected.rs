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
        let (a, b) = (self.a, self.b + f64::from(customer.n_repeats));
        let center = libm::log((a + 1.0) / (b + 1.0));
        let width = FRAC_PI_2 / libm::sqrt(1.0 + a * b / (a + b));
        // The weight's peak, over which it is told so that it never overflows.
        let peak = a * libm::log(a / (a + b)) + b * libm::log(b / (a + b));
        let last =
            |slope: f64| libm::ceil(libm::asinh((TAIL / (slope * width) + 8.0).min(f64::MAX)) / STEP) as i32;
        let (mut sum, mut weights) = (0.0, 0.0);
        for i in -last(a)..=last(b) {
            let power = libm::exp(f64::from(i) * STEP);
            let y = center + width * 0.5 * (power - 1.0 / power);
            // p = 1 / (1 + exp(-y)) and q = 1 - p.
            let small = libm::exp(-y.abs());
            let rest = libm::log1p(small);
            let p = if y < 0.0 { small } else { 1.0 } / (1.0 + small);
            let (log_p, log_q) = (y.min(0.0) - rest, (-y).min(0.0) - rest);
            let weight = libm::exp(a * log_p + b * log_q - peak) * (power + 1.0 / power);
            sum += weight * orders_given(p, shape, growth);
            weights += weight;
        }
        sum / weights
    }
}

/// g(p) of [`Parameters::expected_while_alive`]; towards p = 0 the mean of a customer who never leaves.
fn orders_given(p: f64, shape: f64, growth: f64) -> f64 {
    if p < 1e-290 { shape * growth } else { -libm::expm1(-shape * libm::log1p(p * growth)) / p }
}
