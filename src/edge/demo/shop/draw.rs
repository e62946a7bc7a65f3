//! Draws from the usual distributions, all from the shop's one generator.

use crate::math::rng::Rng;

/// True with this probability, in [0, 1].
pub(super) fn chance(rng: &mut Rng, probability: f64) -> bool {
    rng.uniform() < probability
}

/// Exponential of this mean.
pub(super) fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * libm::log(1.0 - rng.uniform())
}

/// Log-normal: `sigma` is the standard deviation of the logarithm.
pub(super) fn log_normal(rng: &mut Rng, median: f64, sigma: f64) -> f64 {
    median * libm::exp(sigma * rng.normal())
}

/// Gamma of this shape, above 0, and mean (Marsaglia & Tsang, 2000).
pub(super) fn gamma(rng: &mut Rng, shape: f64, mean: f64) -> f64 {
    if shape < 1.0 {
        // A draw of the shape above, times a power of a uniform one.
        let above = gamma(rng, shape + 1.0, mean * (shape + 1.0) / shape);
        return above * libm::pow(1.0 - rng.uniform(), 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = rng.normal();
        let v = 1.0 + c * x;
        let v = v * v * v;
        if v > 0.0 && libm::log(1.0 - rng.uniform()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v * mean / shape;
        }
    }
}

/// Poisson, of a mean up to some tens (Knuth); 0 where the mean is not above 0.
pub(super) fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    let limit = libm::exp(-mean.clamp(0.0, 100.0));
    let (mut count, mut product) = (0, rng.uniform());
    while product > limit {
        count += 1;
        product *= rng.uniform();
    }
    count
}

/// A place, as often as its weight; weights are at least 0 and there is one. The last where all are 0.
pub(super) fn of_weights(rng: &mut Rng, weights: &[f64]) -> usize {
    let mut rest = rng.uniform() * weights.iter().sum::<f64>();
    for (place, weight) in weights.iter().enumerate() {
        rest -= weight;
        if rest < 0.0 {
            return place;
        }
    }
    weights.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::seeded(&[3]);
        let n = 100_000;
        let mut moments = |draw: &mut dyn FnMut(&mut Rng) -> f64| {
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..n {
                let x = draw(&mut rng);
                sum += x;
                squares += x * x;
            }
            let mean = sum / f64::from(n);
            (mean, squares / f64::from(n) - mean * mean)
        };
        // A gamma's variance is mean² / shape.
        for (shape, mean) in [(0.6, 2.0), (1.2, 0.5), (9.0, 3.0)] {
            let (found, variance) = moments(&mut |rng| gamma(rng, shape, mean));
            assert!((found / mean - 1.0).abs() < 0.02, "{shape}: {found}");
            assert!((variance * shape / (mean * mean) - 1.0).abs() < 0.06, "{shape}: {variance}");
        }
        let (mean, variance) = moments(&mut |rng| exponential(rng, 4.0));
        assert!((mean - 4.0).abs() < 0.05 && (variance - 16.0).abs() < 0.6, "{mean} {variance}");
        let (mean, variance) = moments(&mut |rng| f64::from(poisson(rng, 1.5)));
        assert!((mean - 1.5).abs() < 0.02 && (variance - 1.5).abs() < 0.04, "{mean} {variance}");
        let (mean, _) = moments(&mut |rng| libm::log(log_normal(rng, 50.0, 0.5)));
        assert!((mean - libm::log(50.0)).abs() < 0.01, "{mean}");
        let (mean, _) = moments(&mut |rng| of_weights(rng, &[1.0, 0.0, 3.0]) as f64);
        assert!((mean - 1.5).abs() < 0.02, "{mean}");
    }
}
