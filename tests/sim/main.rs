//! Everything that runs on the simulated log. One binary.
#![allow(clippy::unwrap_used)]

mod conformance;

#[path = "../log/mod.rs"]
mod log;
