//! The demo: a made-up shop whose truth is known, and what the service makes of its past.

pub mod live;
pub mod past;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
pub mod shop;
