//! Wall time, for timestamps and intervals; never seen by the core.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::TimeMs;

/// What says what time it is: the wall, or whoever stands in for it.
pub trait Clock: Send + Sync {
    fn now_ms(&self) -> TimeMs;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now_ms(&self) -> TimeMs {
        wall_ms()
    }
}

/// By the machine's clock; 0 where that stands before 1970.
pub fn wall_ms() -> TimeMs {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs::try_from(now.as_millis()).unwrap_or(TimeMs::MAX)
}
