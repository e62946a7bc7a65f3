//! `[service]` and `[snapshots]`: the process, what it says of itself, and what it keeps beside Kafka.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::kafka::Secret;
use super::units;

/// `[service]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Name of this instance, unique within the group and the same after a restart: it is part of the
    /// transactional ids, so that a restart ends what it left open at once. 1 to 64 of `A-Z a-z 0-9 . _ -`.
    /// Default "habitue-1".
    pub instance: String,
    /// Shards in this process, each with two threads; 0 is one for each core. 0 to 256. Default 0.
    pub shards: u16,
    /// Where the page, the API, metrics, probes and version are served. Off loopback `http_token` is required.
    /// Default 127.0.0.1:9464.
    #[serde(deserialize_with = "units::address")]
    pub http: SocketAddr,
    /// Where other instances reach it, as "http://host:port"; a question about a customer of another instance is
    /// passed on to it. Default: `http`, unless that is every address of the machine.
    pub advertised_http: Option<String>,
    /// Bearer token for the API, `/metrics` and `/version`; the probes need none, and the page asks for it.
    /// Without one, requests from pages of other sites are refused. Default: none.
    pub http_token: Option<Secret>,
    pub log: Logging,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            instance: "habitue-1".to_string(),
            shards: 0,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            advertised_http: None,
            http_token: None,
            log: Logging::default(),
        }
    }
}

/// `[service.log]`. Logs go to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// "text" for people or "json", one object a line. Default "text".
    pub format: LogFormat,
    /// "error", "warn", "info", "debug" or "trace"; `RUST_LOG` overrides it. Default "info".
    pub level: LogLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// `[snapshots]`: a cache of each partition's state. Losing it costs time, never data, while the
/// journal is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshots {
    /// Folder, made when missing; instances that take over from each other must share it.
    /// Default "data/snapshots".
    pub folder: PathBuf,
    /// A partition's snapshot is cut at least this often while records come. 1s to 1h, and at most a
    /// tenth of the journal's retention. Default 30s.
    #[serde(deserialize_with = "units::duration")]
    pub interval: Duration,
    /// ... and after this many records of the partition. 1 000 to 100 000 000. Default 250 000.
    pub records: u64,
    /// Snapshots kept for each partition, so that a damaged one has an elder. 2 to 100. Default 3.
    pub keep: u32,
}

impl Default for Snapshots {
    fn default() -> Snapshots {
        Snapshots {
            folder: PathBuf::from("data/snapshots"),
            interval: Duration::from_secs(30),
            records: 250_000,
            keep: 3,
        }
    }
}
