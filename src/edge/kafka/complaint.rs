//! What librdkafka complains of: each thing once in a while. Every client of a process tells of each lost connection, again
//! and again, for as long as a broker is away.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

/// The same complaint is logged at most so often.
const EVERY: Duration = Duration::from_secs(30);
/// A complaint of so long ago explains no failure of now.
const EXPLAINS: Duration = Duration::from_secs(15);
/// Complaints remembered.
const KINDS_MAX: usize = 64;

static HEARD: Mutex<Heard> = Mutex::new(Heard { logged: BTreeMap::new(), last: None });

struct Heard {
    /// By their words without numbers: when, and how many were kept silent since.
    logged: BTreeMap<String, (Instant, u64)>,
    last: Option<(Instant, String)>,
}

/// Logs it, unless the like of it was logged a moment ago.
pub(super) fn complain(error: &KafkaError, reason: &str) {
    let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if let Some(silent) = heard.is_due(reason, now) {
        tracing::warn!(target: "librdkafka", %error, silent, "{reason}");
    }
}

/// What was complained of a moment ago: why a question has failed that knows no more than that it has.
pub(super) fn last() -> Option<String> {
    let heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    heard.last.as_ref().filter(|(at, _)| at.elapsed() < EXPLAINS).map(|(_, reason)| reason.clone())
}

impl Heard {
    /// How many were kept silent since the last that was logged; None while it is to be kept silent.
    fn is_due(&mut self, reason: &str, now: Instant) -> Option<u64> {
        // "2/2 brokers are down" says less than what was said before it.
        if !reason.contains("brokers are down") {
            self.last = Some((now, reason.to_owned()));
        }
        let kind: String = reason.chars().filter(|c| !c.is_ascii_digit()).take(200).collect();
        if let Some((at, silent)) = self.logged.get_mut(&kind)
            && now.saturating_duration_since(*at) < EVERY
        {
            *silent += 1;
            return None;
        }
        if self.logged.len() == KINDS_MAX {
            self.logged.clear();
        }
        Some(self.logged.insert(kind, (now, 0)).map_or(0, |(_, silent)| silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_while_with_how_often_it_was_not() {
        let mut heard = Heard { logged: BTreeMap::new(), last: None };
        let start = Instant::now();
        assert_eq!(heard.is_due("127.0.0.1:9092/1: refused (after 3ms)", start), Some(0));
        assert_eq!(heard.is_due("127.0.0.1:9092/1: refused (after 17ms)", start + EVERY / 2), None);
        assert_eq!(heard.is_due("2/2 brokers are down", start + EVERY / 2), Some(0));
        assert_eq!(heard.is_due("127.0.0.1:9092/1: refused (after 1ms)", start + EVERY), Some(1));
        assert!(heard.last.is_some_and(|(_, reason)| reason.contains("refused")));
    }
}
