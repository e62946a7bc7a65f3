//! All input and output. Nothing outside this module and `main` touches a socket, a file, a clock or a thread.

pub mod http;
pub mod kafka;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod version;
