//! The deterministic partition machine.
//!
//! A [`Partition`] (customer stage) or a [`MarketPartition`] is `apply(step) -> output` with a snapshot:
//! the same steps give the same bytes, whoever applies them and when. It reads no clock, draws no
//! unseeded number and does no input or output; the shard around it (`edge::shard`) does.

mod dedupe;
pub mod journal;
mod market;
mod partition;
pub mod snapshot;
mod timers;
mod watermark;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::analysis;
use crate::event::TimeMs;

pub use market::MarketPartition;
pub use partition::{Applied, Mode, Partition, RawRecord, Totals};
pub use watermark::Watermark;

/// Raised when the same steps no longer give the same state: a journal written under another version
/// cannot be followed.
pub const FOLD_CODE_VERSION: u64 = 6;

/// Settings that shape state. A change is a change of identity: a restore under another is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// How far behind the newest event of its input an event may come and still be applied.
    pub lateness_ms: TimeMs,
    /// Events before this time are implausible.
    pub time_min_ms: TimeMs,
    /// Events more than this after their record's own timestamp are implausible.
    pub ahead_max_ms: TimeMs,
    /// Records of customers in one partition at most; beyond, the longest silent goes.
    pub customers_max: u32,
    /// A customer silent for this long is forgotten.
    pub customer_retention_ms: TimeMs,
    /// A pause longer than this starts a new session.
    pub session_gap_ms: TimeMs,
    /// Event ids a partition remembers, to drop repeats; a multiple of 4096.
    pub dedupe_ids: u32,
    /// Bytes of a dead letter's raw value that are kept.
    pub dead_letter_bytes_max: u32,
    pub analysis: analysis::Config,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            lateness_ms: 10 * 60_000,
            // 2000-01-01.
            time_min_ms: 946_684_800_000,
            ahead_max_ms: 3_600_000,
            customers_max: 4_000_000,
            customer_retention_ms: 730 * 86_400_000,
            session_gap_ms: 30 * 60_000,
            dedupe_ids: 65_536,
            dead_letter_bytes_max: 256 * 1024,
            analysis: analysis::Config::default(),
        }
    }
}

impl Config {
    /// Identity of the fold: code and every setting above.
    pub fn fold_version(&self) -> u64 {
        let settings = postcard::to_allocvec(self).expect("plain data always serialises");
        let versions = analysis::REGISTRY.iter().fold(FOLD_CODE_VERSION, |sum, d| {
            sum.wrapping_mul(31).wrapping_add(u64::from(d.version)).wrapping_add(u64::from(d.id) << 32)
        });
        xxh3_64(&settings) ^ versions
    }
}
