//! Ranks with Zipf's frequencies, in constant time.

use crate::math::rng::Rng;

/// Ranks 0..n, of which rank r comes with a frequency in proportion to (r + 1)^-exponent. An alias table
/// (Walker, 1977, built as Vose, 1991), 8 bytes a rank.
#[derive(Debug, Clone)]
pub struct Zipf {
    /// The share of a column that is its own, as 32 bits, and the rank that has the rest.
    columns: Vec<(u32, u32)>,
}

impl Zipf {
    /// `ranks` at least 1.
    pub fn new(ranks: u32, exponent: f64) -> Zipf {
        let weights: Vec<f64> = (0..ranks).map(|r| libm::pow(f64::from(r) + 1.0, -exponent)).collect();
        let mean = weights.iter().sum::<f64>() / f64::from(ranks.max(1));
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut columns: Vec<(u32, u32)> = (0..ranks).map(|rank| (u32::MAX, rank)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..ranks).partition(|rank| shares[*rank as usize] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let share = shares[poor as usize];
            columns[poor as usize] = ((share * f64::from(u32::MAX)) as u32, rich);
            shares[rich as usize] -= 1.0 - share;
            if shares[rich as usize] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Zipf { columns }
    }

    pub fn sample(&self, rng: &mut Rng) -> u32 {
        let column = rng.below(self.columns.len() as u64);
        let (own, other) = self.columns[column as usize];
        // The upper half of a word is as good as a word.
        let coin = (rng.next_u64() >> 32) as u32;
        if coin <= own { column as u32 } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_those_of_the_law() {
        for exponent in [0.6, 1.0] {
            let (n, draws) = (1_000_u32, 2_000_000_u32);
            let (zipf, mut rng) = (Zipf::new(n, exponent), Rng::seeded(&[7]));
            let mut counts = vec![0_u32; n as usize];
            (0..draws).for_each(|_| counts[zipf.sample(&mut rng) as usize] += 1);
            let total: f64 = (1..=n).map(|r| libm::pow(f64::from(r), -exponent)).sum();
            // Chi-squared over n - 1 degrees of freedom has mean n - 1 and variance 2 (n - 1).
            let chi: f64 = (1..=n)
                .zip(&counts)
                .map(|(rank, count)| {
                    let expected = f64::from(draws) * libm::pow(f64::from(rank), -exponent) / total;
                    (f64::from(*count) - expected).powi(2) / expected
                })
                .sum();
            let limit = f64::from(n - 1) + 5.0 * f64::from(2 * (n - 1)).sqrt();
            assert!(chi < limit, "exponent {exponent}: {chi} is not below {limit}");
        }
    }
}
