//! How a stream of events is cut into chunks, after each of which the service works until it has nothing more to do.

use crate::event::TimeMs;

/// A pause that passes before the event that ends it: timers that are due in it find nothing of that event. In a
/// shorter one they are due with it.
const PAUSE_MS: TimeMs = 3_600_000;

/// The chunk at hand.
#[derive(Debug, Clone)]
pub struct Chunks {
    length_ms: TimeMs,
    events_max: usize,
    /// Largest event time so far: what the clock shows.
    now_ms: TimeMs,
    began_ms: TimeMs,
    events: usize,
}

impl Chunks {
    /// Chunks of so much event time and so many events at most. What one causes is seen by the next.
    pub fn new(length_ms: TimeMs, events_max: usize) -> Chunks {
        Chunks { length_ms, events_max, now_ms: TimeMs::MIN, began_ms: TimeMs::MIN, events: 0 }
    }

    /// What the clock shows.
    pub fn now_ms(&self) -> TimeMs {
        self.now_ms
    }

    /// Whether the chunk ends before an event of this time: catch up first.
    pub fn ends_before(&self, time_ms: TimeMs) -> bool {
        let is_over = time_ms.saturating_sub(self.began_ms) >= self.length_ms;
        self.events >= self.events_max || self.events > 0 && is_over
    }

    /// The clock shows the event's time, if that is later. True where a pause ended: catch up with it.
    pub fn advance(&mut self, time_ms: TimeMs) -> bool {
        let is_pause = time_ms.saturating_sub(self.now_ms) >= PAUSE_MS;
        self.now_ms = self.now_ms.max(time_ms);
        is_pause
    }

    /// An event of this time was fed.
    pub fn fed(&mut self, time_ms: TimeMs) {
        if self.events == 0 {
            self.began_ms = time_ms;
        }
        self.events += 1;
    }

    /// The service has caught up.
    pub fn caught_up(&mut self) {
        self.events = 0;
    }
}
