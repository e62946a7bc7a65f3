//! Writing down what a partition applied: the entry under construction.

use crate::event::Input;
use crate::signal::journal::{Decision, Entry, Positions, Step};

/// The entry of an open batch. Consecutive records of one input become one run.
#[derive(Debug, Clone, Default)]
pub struct EntryBuilder {
    steps: Vec<Step>,
    decision_bytes: usize,
}

impl EntryBuilder {
    pub fn record(&mut self, input: Input, offset: u64) {
        let to = offset + 1;
        match self.steps.last_mut() {
            // Offsets of one input only rise, and between two records of a run there is nothing else
            // to read, so the gap that a transaction marker leaves belongs to the run.
            Some(Step::Run { input: of, to: end, .. }) if *of == input => *end = to,
            _ => self.steps.push(Step::Run { input, from: offset, to }),
        }
    }

    pub fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub fn decisions(&mut self, decisions: impl IntoIterator<Item = Decision>) {
        for decision in decisions {
            if let Decision::Remember { memory, .. } = &decision {
                self.decision_bytes += memory.len();
            }
            self.steps.push(Step::Decision(decision));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Upper estimate of the entry's encoded size: a step takes at most 24 bytes and its memory.
    pub fn bytes(&self) -> usize {
        128 + self.steps.len() * 24 + self.decision_bytes
    }

    pub fn finish(self, partition: u32, fold_version: u64, positions: Positions, chain: u64) -> Entry {
        Entry { partition, fold_version, steps: self.steps, positions, chain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reject;

    #[test]
    fn runs_join_across_gaps_and_end_at_decisions_and_other_inputs() {
        let mut entry = EntryBuilder::default();
        entry.record(Input::Purchases, 3);
        entry.record(Input::Purchases, 5);
        entry.record(Input::Feedback, 0);
        entry.record(Input::Purchases, 6);
        entry.decisions([Decision::Undecodable { reason: Reject::Malformed }]);
        entry.record(Input::Purchases, 7);
        let steps = entry.finish(0, 0, Positions::default(), 0).steps;
        let run = |input, from, to| Step::Run { input, from, to };
        assert_eq!(
            steps,
            vec![
                run(Input::Purchases, 3, 6),
                run(Input::Feedback, 0, 1),
                run(Input::Purchases, 6, 7),
                Step::Decision(Decision::Undecodable { reason: Reject::Malformed }),
                run(Input::Purchases, 7, 8),
            ]
        );
    }
}
