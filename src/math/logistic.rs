//! The logistic function of several numbers side by side.

use std::f64::consts::LOG2_E;

/// 1 / (1 + e⁻ˣ) of each, in (0, 1] for what is finite; a magnitude beyond 700 counts as that, and NaN stays NaN.
///
/// Made of additions, multiplications and divisions only, and so of the same bits everywhere. Unlike `libm`'s
/// exponential it has no branch that random numbers would make the processor guess at, and the compiler takes several
/// numbers at once. Relative error below 1e-15.
///
/// e⁻ˣ is 2ⁿ eʳ with |r| at most ln 2 / 2, and eʳ its series up to r¹³ / 13!, summed in pairs (Estrin, 1960).
pub fn logistic<const N: usize>(x: &[f64; N]) -> [f64; N] {
    x.map(|x| {
        let x = (-x).clamp(-700.0, 700.0);
        // The sum rounds to a whole number, which stands in its last bits.
        let sum = x * LOG2_E + ROUNDER;
        let n = sum - ROUNDER;
        let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
        let power_of_2 = f64::from_bits(sum.to_bits().wrapping_shl(52).wrapping_add(1.0_f64.to_bits()));
        1.0 / (1.0 + series(r) * power_of_2)
    })
}

/// 1.5 * 2^52: in a sum with it the last bit is worth 1.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts, the first short enough for its product with n to be exact (Cody, Waite, 1980).
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// 1 + r + r² / 2! + ... + r¹³ / 13!
fn series(r: f64) -> f64 {
    let r2 = r * r;
    let (r4, pair) = (r2 * r2, |a: f64, b: f64| 1.0 / a + r * (1.0 / b));
    let first = pair(1.0, 1.0) + pair(2.0, 6.0) * r2;
    let second = pair(24.0, 120.0) + pair(720.0, 5_040.0) * r2;
    let third = pair(40_320.0, 362_880.0) + pair(3_628_800.0, 39_916_800.0) * r2;
    let last = pair(479_001_600.0, 6_227_020_800.0);
    (first + second * r4) + (third + last * r4) * (r4 * r4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_libm() {
        for i in -40_000..=40_000 {
            let x = f64::from(i) * 1e-3 + 1e-7;
            let [rising, falling] = logistic(&[x, -x]);
            for (got, x) in [(rising, x), (falling, -x)] {
                let expected = 1.0 / (1.0 + libm::exp(-x));
                assert!((got - expected).abs() <= 1e-15 * expected, "{x}: {got} {expected}");
            }
        }
    }

    #[test]
    fn the_ends_are_defined() {
        assert_eq!(logistic(&[0.0, 800.0, f64::INFINITY]), [0.5, 1.0, 1.0]);
        let [least, nan] = logistic(&[f64::NEG_INFINITY, f64::NAN]);
        assert!(least > 0.0 && least < 1e-300 && nan.is_nan());
    }
}
