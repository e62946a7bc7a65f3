//! `[engine]`: how records become state and transactions.

use std::time::Duration;

use serde::Deserialize;

use super::units;
use crate::event::TimeMs;

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// A transaction is closed this long after it was opened: shorter is fresher, longer is cheaper.
    /// 5ms to 1s, shorter than `kafka.transaction_timeout`. Default 50ms.
    #[serde(deserialize_with = "units::duration")]
    pub transaction_interval: Duration,
    /// ... or once it holds this much output. 1 MiB to 64 MiB. Default 4 MiB.
    #[serde(deserialize_with = "units::bytes")]
    pub transaction_output_bytes: u64,
    /// How far behind the newest event another may come and still count. Shapes state. 0s to 7d.
    /// Default 10m.
    #[serde(deserialize_with = "units::duration")]
    pub lateness: Duration,
    /// Event times before this moment are implausible; a date or date and time in UTC. Shapes state.
    /// 1970-01-02 to 2100-01-01. Default 2000-01-01.
    #[serde(rename = "event_time_min", deserialize_with = "units::moment")]
    pub event_time_min_ms: TimeMs,
    /// Customers that a partition remembers, 1 KiB each at most; beyond it the one unseen for longest is
    /// forgotten. Shapes state. 1 000 to 16 000 000. Default 4 000 000.
    pub customers_per_partition_max: u32,
    /// A customer without an event for this long is forgotten. Shapes state. 1d to 3650d. Default 730d.
    #[serde(deserialize_with = "units::duration")]
    pub customer_retention: Duration,
    /// Silence that ends a session. Shapes state. 1m to 1d. Default 30m.
    #[serde(deserialize_with = "units::duration")]
    pub session_gap: Duration,
    /// How much of a refused record its dead letter carries. Shapes state. 0 B to 512 KiB. Default 256 KiB.
    #[serde(deserialize_with = "units::bytes")]
    pub dead_letter_raw_bytes: u64,
    /// A larger record is refused as too large. Shapes state. 1 KiB to 64 MiB. Default 1 MiB.
    #[serde(deserialize_with = "units::bytes")]
    pub record_bytes_max: u64,
    /// An input at its end for this long no longer holds back the watermark. 100ms to 1h. Default 5s.
    #[serde(deserialize_with = "units::duration")]
    pub idle_after: Duration,
    /// Distance between ticks, which fire timers, while nothing comes. 50ms to 1m. Default 1s.
    #[serde(deserialize_with = "units::duration")]
    pub tick_interval: Duration,
    /// Whether alerts also go to the fast lane at once: there they are ahead of the transaction, and one
    /// may repeat, or stand in it alone. Default false.
    pub fast_alerts: bool,
}

impl Default for Engine {
    fn default() -> Engine {
        Engine {
            transaction_interval: Duration::from_millis(50),
            transaction_output_bytes: 4 << 20,
            lateness: Duration::from_secs(600),
            event_time_min_ms: 946_684_800_000,
            customers_per_partition_max: 4_000_000,
            customer_retention: Duration::from_secs(730 * 86_400),
            session_gap: Duration::from_secs(1_800),
            dead_letter_raw_bytes: 256 << 10,
            record_bytes_max: 1 << 20,
            idle_after: Duration::from_secs(5),
            tick_interval: Duration::from_secs(1),
            fast_alerts: false,
        }
    }
}
