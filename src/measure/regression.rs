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
