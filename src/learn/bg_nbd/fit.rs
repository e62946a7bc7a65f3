//! The posterior mode of the four parameters, by a bounded descent that never gives back less than it was given.

use super::likelihood::Sample;
use super::{Parameters, Summary};

/// Standard deviation of the prior, in the logarithm of each parameter: a factor of 20.
const PRIOR_DEVIATION: f64 = 3.0;
/// Distance from the prior's center, in logarithms, beyond which no parameter goes: a factor of a million.
const DISTANCE_MAX: f64 = 14.0;
/// Longest move of one parameter in a step, in logarithms.
const MOVE_MAX: f64 = 1.0;
const STEPS_MAX: u32 = 200;
const HALVINGS_MAX: u32 = 40;
/// Gain in nats, of the sample in all, below which there is nothing left to find.
const GAIN_MIN: f64 = 1e-10;
/// Share of the log-likelihood by which two sums of it may differ from rounding.
const ROUNDING: f64 = 1e-12;

/// What a fit found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    pub parameters: Parameters,
    /// Of the sample, without the prior.
    pub log_likelihood: f64,
    /// Passes over the sample.
    pub n_passes: u32,
    pub ending: Ending,
}

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At the mode.
    Converged,
    /// After as many steps as are allowed; the parameters are better than those it began with.
    Unfinished,
    /// There is no customer; the parameters are those it began with.
    NoCustomers,
}

/// Fits the parameters to `customers`, beginning at `start` where there is one.
///
/// The prior is log-normal around [`Parameters::typical`] for the sample's mean age, with a standard deviation
/// of a factor of 20. It decides where the sample says nothing (no repeat order at all, one customer, nobody
/// who left), and takes at most d^2 / 2 nats from a maximum of likelihood that lies d deviations away. The
/// result does not depend on the unit of time.
///
/// BFGS on the logarithms, with an exact gradient and a backtracking line search (Nocedal & Wright, 2006,
/// algorithm 6.1). At most 200 steps, each downhill, so that a good `start` is never lost; one that is no
/// positive finite numbers, or lies a million times away from anything typical, is not begun at.
pub fn fit(customers: &[Summary], start: Option<&Parameters>) -> Fit {
    let sample = Sample::new(customers);
    let center = Parameters::typical(sample.mean_age());
    let start = start.copied().filter(Parameters::is_valid).unwrap_or(center);
    if customers.is_empty() {
        return Fit { parameters: start, log_likelihood: 0.0, n_passes: 0, ending: Ending::NoCustomers };
    }
    let mut objective = Objective { sample, center, n_passes: 0 };
    let place = objective.place(&start);
    let begin = if is_in_bounds(&place) { place } else { [0.0; 4] };
    let begin = objective.at(begin);
    let (point, ending) = descend(&mut objective, begin);
    let parameters = objective.parameters(&point.place);
    let log_likelihood = objective.sample.log_likelihood(&parameters);
    Fit { parameters, log_likelihood, n_passes: objective.n_passes, ending }
}

type Vector = [f64; 4];

/// The negative log-posterior, over the logarithms of parameters to the prior's center.
struct Objective<'a> {
    sample: Sample<'a>,
    center: Parameters,
    n_passes: u32,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    place: Vector,
    value: f64,
    gradient: Vector,
}

impl Objective<'_> {
    fn parameters(&self, place: &Vector) -> Parameters {
        let center = self.center.array();
        let [r, alpha, a, b] = std::array::from_fn(|i| center[i] * libm::exp(place[i]));
        Parameters { r, alpha, a, b }
    }

    fn place(&self, parameters: &Parameters) -> Vector {
        let (parameters, center) = (parameters.array(), self.center.array());
        std::array::from_fn(|i| libm::log(parameters[i] / center[i]))
    }

    fn at(&mut self, place: Vector) -> Point {
        self.n_passes += 1;
        let slope = self.sample.slope(&self.parameters(&place));
        let precision = 1.0 / (PRIOR_DEVIATION * PRIOR_DEVIATION);
        let value = 0.5 * precision * dot(&place, &place) - slope.value;
        let gradient = std::array::from_fn(|i| precision * place[i] - slope.gradient[i]);
        Point { place, value, gradient }
    }
}

fn is_in_bounds(place: &Vector) -> bool {
    place.iter().all(|distance| distance.abs() <= DISTANCE_MAX)
}

fn descend(objective: &mut Objective<'_>, mut point: Point) -> (Point, Ending) {
    // A customer bends the objective by one at most or so, in each direction.
    let flat = Inverse::unit(1.0 / objective.sample.len() as f64);
    let mut curvature = flat;
    for step in 0..STEPS_MAX {
        let mut direction = curvature.apply(&point.gradient).map(|x| -x);
        let mut slope = dot(&direction, &point.gradient);
        if slope >= 0.0 {
            curvature = flat;
            direction = curvature.apply(&point.gradient).map(|x| -x);
            slope = dot(&direction, &point.gradient);
        }
        // To second order a full step gains half of what its slope promises.
        if -0.5 * slope < GAIN_MIN {
            return (point, Ending::Converged);
        }
        let Some(next) = search(objective, &point, &direction, slope) else {
            return (point, Ending::Unfinished);
        };
        let moved = difference(&next.place, &point.place);
        let bent = difference(&next.gradient, &point.gradient);
        if step == 0 {
            // The first step knows nothing of scale.
            curvature = Inverse::unit(dot(&moved, &bent).abs() / dot(&bent, &bent).max(f64::MIN_POSITIVE));
        }
        curvature.learn(&moved, &bent);
        point = next;
    }
    (point, Ending::Unfinished)
}

/// The first of the step and its halves that goes down as its slope promises, but for rounding.
fn search(objective: &mut Objective<'_>, from: &Point, direction: &Vector, slope: f64) -> Option<Point> {
    let longest = direction.iter().fold(0.0_f64, |longest, x| longest.max(x.abs()));
    let mut length = if longest > MOVE_MAX { MOVE_MAX / longest } else { 1.0 };
    for _ in 0..HALVINGS_MAX {
        let place = std::array::from_fn(|i| from.place[i] + length * direction[i]);
        if is_in_bounds(&place) {
            let point = objective.at(place);
            if point.value <= from.value + 1e-4 * length * slope + ROUNDING * from.value.abs() {
                return Some(point);
            }
        }
        length *= 0.5;
    }
    None
}

/// The inverse of the objective's second derivatives, as far as steps have shown it.
#[derive(Debug, Clone, Copy)]
struct Inverse([Vector; 4]);

impl Inverse {
    fn unit(scale: f64) -> Self {
        Self(std::array::from_fn(|i| std::array::from_fn(|j| if i == j { scale } else { 0.0 })))
    }

    fn apply(&self, x: &Vector) -> Vector {
        self.0.map(|row| dot(&row, x))
    }

    /// From a move and the change of gradient over it; a move over which it did not bend upwards teaches nothing.
    fn learn(&mut self, moved: &Vector, bent: &Vector) {
        let bend = dot(moved, bent);
        if bend <= 1e-12 * libm::sqrt(dot(moved, moved) * dot(bent, bent)) {
            return;
        }
        let turned = self.apply(bent);
        let along = (1.0 + dot(bent, &turned) / bend) / bend;
        for i in 0..4 {
            for j in 0..4 {
                self.0[i][j] +=
                    along * moved[i] * moved[j] - (moved[i] * turned[j] + turned[i] * moved[j]) / bend;
            }
        }
    }
}

fn dot(x: &Vector, y: &Vector) -> f64 {
    x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3]
}

fn difference(x: &Vector, y: &Vector) -> Vector {
    std::array::from_fn(|i| x[i] - y[i])
}
