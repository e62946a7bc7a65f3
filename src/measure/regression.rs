//! How far predicted numbers are from the true ones. All take (predicted, true) pairs, at least one.

/// Mean absolute error, in the unit of the target.
pub fn mae(pairs: &[(f64, f64)]) -> f64 {
    pairs.iter().map(|(predicted, y)| libm::fabs(predicted - y)).sum::<f64>() / pairs.len() as f64
}

/// Root of the mean squared error, in the unit of the target.
pub fn rmse(pairs: &[(f64, f64)]) -> f64 {
    let squares = pairs.iter().map(|(predicted, y)| (predicted - y) * (predicted - y));
    libm::sqrt(squares.sum::<f64>() / pairs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1: mean_absolute_error and root_mean_squared_error.
        let pairs = [(1.5, 1.0), (-2.0, -1.0), (3.25, 3.0), (100.0, 90.0)];
        assert_eq!(mae(&pairs), 2.9375);
        assert!((rmse(&pairs) - 5.032705534799349).abs() < 1e-12);
    }
}
