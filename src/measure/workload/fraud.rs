//! Fraud among the payments: leaked cards, bursts on stolen cards, and compromised terminals.

use std::collections::VecDeque;

use super::{CUSTOMERS, TERMINALS};
use crate::event::TimeMs;
use crate::math::rng::Rng;

const HOUR_MS: TimeMs = 3_600_000;
/// Payments from one leaked card, burst and compromised terminal to the next.
const LEAK_ONE_IN: u64 = 2_000;
const BURST_ONE_IN: u64 = 10_000;
const TERMINAL_ONE_IN: u64 = 100_000;
/// One payment of a leaked card in so many is the thief's.
const LEAKED_ONE_IN: u64 = 2;
/// One payment at a compromised terminal in so many.
const COMPROMISED_ONE_IN: u64 = 3;

#[derive(Debug, Clone, Default)]
pub(super) struct Fraud {
    /// Cards and terminals with the time at which it ends, the ones that began first at the front.
    leaked: VecDeque<(u32, TimeMs)>,
    compromised: VecDeque<(u32, TimeMs)>,
    burst: VecDeque<(u32, TimeMs)>,
}

/// A payment about to be made.
pub(super) struct Next {
    pub card: u32,
    /// Of the usual amount.
    pub factor: f64,
    /// At no terminal that the card is usually used at.
    pub is_elsewhere: bool,
    pub fraud: bool,
}

impl Fraud {
    /// What comes next when `usual` is the card whose turn it is.
    pub fn next(&mut self, rng: &mut Rng, usual: u32, time_ms: TimeMs) -> Next {
        self.begin(rng, time_ms);
        if let Some((card, _)) = due(&mut self.burst, time_ms) {
            return Next { card, factor: 0.5 + 3.0 * rng.uniform(), is_elsewhere: true, fraud: true };
        }
        // A thief spends often: a leaked card takes another's turn now and then.
        if !self.leaked.is_empty() && rng.below(LEAK_ONE_IN / 4) == 0 {
            let (card, _) = self.leaked[rng.below(self.leaked.len() as u64) as usize];
            return leaked(rng, card);
        }
        if self.leaked.iter().any(|(card, _)| *card == usual) && rng.below(LEAKED_ONE_IN) == 0 {
            return leaked(rng, usual);
        }
        Next { card: usual, factor: 1.0, is_elsewhere: false, fraud: false }
    }

    /// Whether a payment at the terminal is made with a copied card.
    pub fn is_at(&self, terminal: u32, time_ms: TimeMs, rng: &mut Rng) -> bool {
        let is_bad = self.compromised.iter().any(|(t, until_ms)| *t == terminal && time_ms < *until_ms);
        is_bad && rng.below(COMPROMISED_ONE_IN) == 0
    }

    fn begin(&mut self, rng: &mut Rng, time_ms: TimeMs) {
        for ended in [&mut self.leaked, &mut self.compromised] {
            while due(ended, time_ms).is_some() {}
        }
        if rng.below(LEAK_ONE_IN) == 0 {
            self.leaked.push_back((rng.below(u64::from(CUSTOMERS)) as u32, time_ms + 48 * HOUR_MS));
        }
        if rng.below(TERMINAL_ONE_IN) == 0 {
            self.compromised.push_back((rng.below(u64::from(TERMINALS)) as u32, time_ms + 240 * HOUR_MS));
        }
        if self.burst.is_empty() && rng.below(BURST_ONE_IN) == 0 {
            let card = rng.below(u64::from(CUSTOMERS)) as u32;
            let mut due_ms = time_ms;
            for _ in 0..6 + rng.below(10) {
                due_ms += 5_000 + rng.below(60_000) as TimeMs;
                self.burst.push_back((card, due_ms));
            }
        }
    }
}

/// Takes the first where its time has come.
fn due(queue: &mut VecDeque<(u32, TimeMs)>, time_ms: TimeMs) -> Option<(u32, TimeMs)> {
    queue.front().filter(|(_, due_ms)| *due_ms <= time_ms)?;
    queue.pop_front()
}

fn leaked(rng: &mut Rng, card: u32) -> Next {
    Next { card, factor: 5.0 + 5.0 * rng.uniform(), is_elsewhere: true, fraud: true }
}
