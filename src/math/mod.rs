//! Numbers that arrive one at a time: moments, decay, quantiles, seeded randomness.
//!
//! What has state is plain data of a fixed or capped size, and nothing reads a clock: time is an argument.

pub mod decay;
pub mod exact;
pub mod hash;
pub mod hash_sample;
pub mod logistic;
pub mod moments;
pub mod quantile;
pub mod recent;
pub mod rng;
