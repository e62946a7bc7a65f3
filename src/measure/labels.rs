//! Verdicts that are known and have not arrived: a merge in time.

use std::collections::BTreeMap;

use crate::event::{Feedback, TimeMs};

/// Verdicts by the time of their arrival; equal times in the order in which they were put.
#[derive(Debug, Default)]
pub struct Labels {
    waiting: BTreeMap<(TimeMs, u64), Feedback<'static>>,
    count: u64,
}

impl Labels {
    pub fn put(&mut self, verdict: Feedback<'static>) {
        self.count += 1;
        self.waiting.insert((verdict.time_ms, self.count), verdict);
    }

    /// The next one that arrives at or before `time_ms`.
    pub fn due(&mut self, time_ms: TimeMs) -> Option<Feedback<'static>> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= time_ms).then(|| first.remove())
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
