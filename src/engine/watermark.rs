//! Event time of a partition: what is late, and what time it is for the timers.

use serde::{Deserialize, Serialize};

use crate::event::{Input, TimeMs};

/// The watermark is the minimum over the active inputs of the largest event time seen, less the
/// lateness; it never falls. An event that says to be of after it was written, because a clock is fast, counts as of
/// then: what others do now would be late for as long as the clock is fast. An input turns idle and active again by steps of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    seen_ms: [TimeMs; Input::ALL.len()],
    active: [bool; Input::ALL.len()],
    mark_ms: TimeMs,
    /// The largest event time applied, of any input.
    newest_ms: TimeMs,
    /// By how much the newest record trailed its log timestamp.
    trail_ms: TimeMs,
    /// Time for timers: the watermark, or a tick's time where that is later.
    clock_ms: TimeMs,
}

impl Default for Watermark {
    fn default() -> Watermark {
        Watermark {
            seen_ms: [TimeMs::MIN; Input::ALL.len()],
            active: [true; Input::ALL.len()],
            mark_ms: TimeMs::MIN,
            newest_ms: TimeMs::MIN,
            trail_ms: 0,
            clock_ms: TimeMs::MIN,
        }
    }
}

impl Watermark {
    pub fn is_late(&self, time_ms: TimeMs) -> bool {
        time_ms < self.mark_ms
    }

    /// An event of this time was applied.
    pub fn observe(&mut self, input: Input, time_ms: TimeMs, timestamp_ms: TimeMs, lateness_ms: TimeMs) {
        let seen = &mut self.seen_ms[input.index()];
        *seen = (*seen).max(time_ms.min(timestamp_ms));
        self.newest_ms = self.newest_ms.max(time_ms);
        self.trail_ms = timestamp_ms.saturating_sub(time_ms);
        self.advance(lateness_ms);
    }

    pub fn set_active(&mut self, input: Input, active: bool, lateness_ms: TimeMs) {
        self.active[input.index()] = active;
        self.advance(lateness_ms);
    }

    pub fn is_active(&self, input: Input) -> bool {
        self.active[input.index()]
    }

    /// A tick moves the timers' clock and never the watermark. It moves nothing while history is being
    /// loaded, that is while records trail their log timestamps by more than the lateness.
    pub fn tick(&mut self, time_ms: TimeMs, lateness_ms: TimeMs) {
        if self.may_tick(lateness_ms) {
            self.clock_ms = self.clock_ms.max(time_ms);
        }
    }

    /// Whether the newest record was written about when it happened.
    pub fn may_tick(&self, lateness_ms: TimeMs) -> bool {
        self.trail_ms <= lateness_ms
    }

    pub fn clock_ms(&self) -> TimeMs {
        self.clock_ms
    }

    pub fn mark_ms(&self) -> TimeMs {
        self.mark_ms
    }

    /// The largest event time applied; None before the first.
    pub fn newest_ms(&self) -> Option<TimeMs> {
        (self.newest_ms != TimeMs::MIN).then_some(self.newest_ms)
    }

    fn advance(&mut self, lateness_ms: TimeMs) {
        let slowest =
            self.seen_ms.iter().zip(self.active).filter(|(_, active)| *active).map(|(seen, _)| *seen).min();
        if let Some(slowest) = slowest {
            self.mark_ms = self.mark_ms.max(slowest.saturating_sub(lateness_ms));
            self.clock_ms = self.clock_ms.max(self.mark_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_active_input_holds_the_mark_back() {
        let mut mark = Watermark::default();
        mark.observe(Input::Purchases, 10_000, 10_000, 1_000);
        assert!(!mark.is_late(0), "the other inputs have not been heard");
        mark.set_active(Input::Feedback, false, 1_000);
        mark.observe(Input::Engagements, 5_000, 5_000, 1_000);
        assert_eq!(mark.mark_ms(), 4_000);
        assert!(mark.is_late(3_999) && !mark.is_late(4_000));
        mark.set_active(Input::Engagements, false, 1_000);
        assert_eq!(mark.mark_ms(), 9_000);
        mark.set_active(Input::Engagements, true, 1_000);
        assert_eq!(mark.mark_ms(), 9_000, "the mark never falls");
    }

    #[test]
    fn a_clock_that_is_fast_makes_nobody_late() {
        let mut mark = Watermark::default();
        mark.set_active(Input::Feedback, false, 1_000);
        mark.set_active(Input::Engagements, false, 1_000);
        mark.observe(Input::Purchases, 3_600_000, 10_000, 1_000);
        assert_eq!((mark.mark_ms(), mark.newest_ms()), (9_000, Some(3_600_000)));
        assert!(!mark.is_late(9_500));
    }

    #[test]
    fn a_tick_moves_the_clock_only_and_not_while_history_is_loaded() {
        let mut mark = Watermark::default();
        mark.observe(Input::Purchases, 10_000, 10_500, 1_000);
        mark.tick(50_000, 1_000);
        assert_eq!((mark.clock_ms(), mark.mark_ms()), (50_000, TimeMs::MIN));
        mark.observe(Input::Purchases, 11_000, 9_000_000, 1_000);
        mark.tick(90_000, 1_000);
        assert_eq!(mark.clock_ms(), 50_000);
    }
}
