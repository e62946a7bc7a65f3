//! A fraud desk: it looks at each alert, and says some hours later what the payment was.

use serde::Serialize;

use crate::event::{Feedback, TimeMs, Verdict, event_hash};
use crate::math::rng::mix;
use crate::measure::labels::Labels;

const HOUR_MS: TimeMs = 3_600_000;

/// What a desk did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DeskReport {
    /// From an alert to its verdict, on average.
    pub hours: u32,
    /// Verdicts given; they come on top of those that the shop tells.
    pub verdicts: u64,
}

/// It is always right, so what it changes is what verdicts on alerts are worth at most.
pub(super) struct Desk {
    /// None where nobody looks at alerts.
    hours: Option<u32>,
    waiting: Labels,
    verdicts: u64,
}

impl Desk {
    pub fn new(hours: Option<u32>) -> Desk {
        Desk { hours, waiting: Labels::default(), verdicts: 0 }
    }

    /// An alert came at `now_ms` on a payment of this key; whether it is fraud the desk finds out.
    pub fn alerted(&mut self, event_id: &str, key: &str, is_fraud: bool, now_ms: TimeMs) {
        let Some(hours) = self.hours else { return };
        // Evenly from half to one and a half times the hours.
        let share = 0.5 + (mix(event_hash(event_id)) >> 11) as f64 / (1_u64 << 53) as f64;
        let delay_ms = (share * (TimeMs::from(hours) * HOUR_MS) as f64) as TimeMs;
        self.waiting.put(Feedback {
            customer: key.to_owned().into(),
            event_id: event_id.to_owned().into(),
            verdict: if is_fraud { Verdict::Fraud } else { Verdict::Legitimate },
            time_ms: now_ms + delay_ms,
            source: "desk".into(),
        });
    }

    /// The next verdict that is given by then.
    pub fn due(&mut self, time_ms: TimeMs) -> Option<Feedback<'static>> {
        let verdict = self.waiting.due(time_ms)?;
        self.verdicts += 1;
        Some(verdict)
    }

    /// None where there is no desk.
    pub fn report(&self) -> Option<DeskReport> {
        self.hours.map(|hours| DeskReport { hours, verdicts: self.verdicts })
    }
}
