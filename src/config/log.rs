//! `[log]`: the log in a folder, used where `kafka.brokers` names none.

use std::path::PathBuf;

use serde::Deserialize;

use super::units;

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Folder, made when missing; one process at a time owns it. Default "data/log".
    pub folder: PathBuf,
    /// Of one partition of a topic that is deleted by age, the oldest records over this size go too.
    /// 16 MiB to 1024 GiB. Default 4 GiB.
    #[serde(deserialize_with = "units::bytes")]
    pub partition_bytes_max: u64,
    /// While less than this is free on the disk, nothing is written and senders wait. 16 MiB to 1024 GiB.
    /// Default 512 MiB.
    #[serde(deserialize_with = "units::bytes")]
    pub free_bytes_min: u64,
}

impl Default for Log {
    fn default() -> Log {
        Log { folder: PathBuf::from("data/log"), partition_bytes_max: 4 << 30, free_bytes_min: 512 << 20 }
    }
}
