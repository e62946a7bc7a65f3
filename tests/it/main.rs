//! Everything that needs no broker, in one binary.

#[cfg(feature = "service")]
mod config;
mod tidy;
mod codec;
mod cli;
#[cfg(feature = "service")]
mod config;
#[cfg(feature = "service")]
mod http;
#[cfg(feature = "service")]
mod metrics;
