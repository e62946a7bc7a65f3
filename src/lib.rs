//! Habitué: a streaming customer-intelligence engine.
//!
//! Start with [`event`] (what comes in) and [`signal`] (what goes out). Between them a *partition* is a
//! deterministic state machine, in [`engine`]; what it computes is in [`analysis`], with the learners of
//! [`learn`] and the record of [`customer`]. Everything that touches the world is in [`edge`].
//! ARCHITECTURE.md is the map.

#![deny(unsafe_code)]

#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod analysis;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod customer;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod engine;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod event;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod learn;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod math;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod measure;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod signal;

pub mod codec;
#[cfg(feature = "service")]
pub mod config;
#[cfg(feature = "service")]
pub mod edge;
