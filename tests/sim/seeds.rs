//! Runs a property over many seeds, and names the one that fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `property` with seeds `0..count`, or with `HABITUE_SEED` only where that is set; `HABITUE_SEEDS` asks
/// for another count.
/// `test` is the path of the calling test, as `cargo test` takes it.
pub fn each(test: &str, count: u64, property: impl Fn(u64)) {
    let only = std::env::var("HABITUE_SEED").ok().map(|seed| seed.parse().expect("HABITUE_SEED is a number"));
    let count =
        std::env::var("HABITUE_SEEDS").map_or(count, |n| n.parse().expect("HABITUE_SEEDS is a number"));
    for seed in only.map_or(0..count, |seed: u64| seed..seed + 1) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(seed))) {
            eprintln!(
                "seed {seed} failed; again: HABITUE_SEED={seed} cargo test --test sim {test} -- --exact"
            );
            resume_unwind(panic);
        }
    }
}

/// Random numbers for a driver: a generator other than the log's, so that the two never move together.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(2).wrapping_add(0x5851_f42d_4c95_7f2d))
    }

    /// Uniform in `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        // Xorshift64* (Marsaglia 2003, Vigna 2014).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
