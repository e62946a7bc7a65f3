//! Verdicts: every fraud gets one, and enough of the rest that feedback is 1 % of all events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::event::{Feedback, TimeMs, Verdict};
use crate::math::rng::Rng;

/// Legitimate purchases that may still get a verdict, oldest first: a few days' worth.
const RECENT_MAX: usize = 16_384;
/// Frauds without a verdict at most.
const PENDING_MAX: usize = 100_000;
const DELAY_MIN_MS: f64 = 600_000.0;
const DELAY_MAX_MS: f64 = 4.0 * 86_400_000.0;

#[derive(Debug, Clone)]
pub(super) struct Verdicts {
    /// One purchase in so many may get a verdict.
    every: u64,
    recent: VecDeque<Sold>,
    pending: BinaryHeap<Reverse<(TimeMs, Sold)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sold {
    event_id: String,
    pub customer: u32,
    pub fraud: bool,
}

impl Verdicts {
    pub fn new(every: u64) -> Verdicts {
        Verdicts { every, recent: VecDeque::new(), pending: BinaryHeap::new() }
    }

    /// A purchase was made.
    pub fn sold(&mut self, rng: &mut Rng, time_ms: TimeMs, customer: u32, event_id: &str, fraud: bool) {
        let sold = || Sold { event_id: event_id.to_owned(), customer, fraud };
        if fraud && self.pending.len() < PENDING_MAX {
            let delay_ms = DELAY_MIN_MS * libm::pow(DELAY_MAX_MS / DELAY_MIN_MS, rng.uniform());
            self.pending.push(Reverse((time_ms + delay_ms as TimeMs, sold())));
        } else if !fraud && rng.below(self.every) == 0 {
            self.recent.push_back(sold());
            if self.recent.len() > RECENT_MAX {
                self.recent.pop_front();
            }
        }
    }

    /// The purchase that is judged now: a fraud whose time has come, else a legitimate one, sooner or
    /// later after it was made. None while there is none.
    pub fn due(&mut self, rng: &mut Rng, time_ms: TimeMs) -> Option<Sold> {
        if self.pending.peek().is_some_and(|Reverse((due_ms, _))| *due_ms <= time_ms) {
            return self.pending.pop().map(|Reverse((_, sold))| sold);
        }
        // Log-uniform in age, so that most come early and some after days.
        let age = libm::pow(self.recent.len() as f64, rng.uniform()) as usize;
        let at = self.recent.len().checked_sub(age.max(1))?;
        let newest = self.recent.back()?.clone();
        self.recent.pop_back();
        match self.recent.get_mut(at) {
            Some(judged) => Some(std::mem::replace(judged, newest)),
            None => Some(newest),
        }
    }
}

impl Sold {
    pub fn feedback(&self, customer: String, time_ms: TimeMs) -> Feedback<'static> {
        let verdict = if self.fraud { Verdict::Fraud } else { Verdict::Legitimate };
        let source = if self.fraud { "chargeback" } else { "analyst:1" };
        Feedback {
            customer: customer.into(),
            event_id: self.event_id.clone().into(),
            verdict,
            time_ms,
            source: source.into(),
        }
    }
}
