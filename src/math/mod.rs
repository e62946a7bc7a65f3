//! Numbers that arrive one at a time: moments, decay, quantiles, windows, sketches, seeded randomness.

pub mod hash;
pub mod rng;
