//! A seeded random number generator whose stream is the same on every machine and in every version.

use serde::{Deserialize, Serialize};

/// PCG64: a 128-bit linear congruential generator with the XSL-RR output (O'Neill, 2014). 32 bytes, period 2^128.
///
/// It is plain data: stored with its owner it goes on where it was. It is no cipher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    state: u128,
    /// Odd; it chooses one of 2^127 streams.
    increment: u128,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl Rng {
    /// A generator that depends on all of `parts`, their order and their number: (topic, partition, offset,
    /// purpose), or (seed, tree, row). Close seeds give unrelated streams.
    pub fn seeded(parts: &[u64]) -> Self {
        let mut seeder = parts.len() as u64;
        for part in parts {
            seeder = mix(seeder ^ mix(*part));
        }
        let mut word = || {
            seeder = seeder.wrapping_add(0x9e37_79b9_7f4a_7c15);
            u128::from(mix(seeder))
        };
        let mut rng = Self { state: (word() << 64) | word(), increment: ((word() << 64) | word()) | 1 };
        rng.next_u64();
        rng
    }

    /// All 2^64 values alike.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// In [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// In 0..n, without bias (Lemire, 2019). `n` = 0 gives 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// Standard normal, by Box and Muller; the second number of the pair is not kept, so that the state stays
    /// two words.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }
}

/// The finish of SplitMix64: a bijection of 64 bits in which every input bit reaches every output bit.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_pcg64() {
        // numpy.random.PCG64 with state 1 and increment 3 gives these as `random_raw(3)`.
        let mut rng = Rng { state: 1, increment: 3 };
        let got: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(got, [0xec60_e532_6180_0aab, 0x3efb_1c42_9cef_d272, 0x0532_2331_643f_f3d4]);
    }

    #[test]
    fn parts_order_and_number_matter() {
        let first = |parts: &[u64]| Rng::seeded(parts).next_u64();
        let all = [first(&[]), first(&[0]), first(&[0, 0]), first(&[1, 0]), first(&[0, 1]), first(&[2])];
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert_ne!(a, b);
            }
        }
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let mut rng = Rng::seeded(&[42]);
        let n = 100_000;
        let (mut uniform, mut normal, mut square, mut ones) = (0.0, 0.0, 0.0, 0);
        for _ in 0..n {
            uniform += rng.uniform();
            let z = rng.normal();
            normal += z;
            square += z * z;
            ones += u32::from(rng.below(3) == 1);
        }
        let n = f64::from(n);
        assert!((uniform / n - 0.5).abs() < 0.004, "{uniform}");
        assert!((normal / n).abs() < 0.014 && (square / n - 1.0).abs() < 0.02, "{normal} {square}");
        assert!((f64::from(ones) / n - 1.0 / 3.0).abs() < 0.006, "{ones}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}
