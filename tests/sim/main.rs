//! Everything that runs on the simulated log. One binary.
#![cfg(feature = "service")]
#![allow(clippy::unwrap_used)]

mod conformance;
mod copy;
mod exactly_once;
mod faults;
mod holes;
mod interleavings;
mod membership;
mod retention;
mod seeds;
mod service;

#[path = "../log/mod.rs"]
mod log;
