//! Everything that needs no broker, in one binary.

#[cfg(feature = "service")]
mod config;
