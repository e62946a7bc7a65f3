//! Verify mode as the product has it, on a simulated log.

use std::sync::Arc;
use std::time::Duration;

use habitue::edge::log::Log;
use habitue::edge::shard::Environment;
use habitue::edge::shard::customer::verify::{Outcome, Verified, Verify};
use habitue::edge::shard::shared::SharedReader;
use habitue::signal::journal::Step;

use super::replay::{Story, Told};

/// What verify mode finds in a partition. The environment's shared epoch must have nothing read yet.
pub fn verified<L: Log>(environment: Environment<L>, number: u32) -> Verified {
    let (wire, shared) = (Arc::clone(&environment.wire), Arc::clone(&environment.shared));
    let mut reader =
        SharedReader::new(&environment.log, wire, Arc::clone(&environment.contents), Arc::clone(&shared))
            .unwrap();
    while shared.epoch().rounds == 0 {
        reader.turn(Duration::ZERO).unwrap();
    }
    let mut verify = Verify::new(environment, number);
    (0..100_000).find_map(|_| verify.turn(Duration::ZERO).unwrap()).expect("it ends")
}

/// The product finds what the oracle finds: equal, and not by looking at less. Of compacted models it may find
/// that it cannot look at everything.
pub fn agrees(verified: &Verified, story: &Story<'_>, told: &Told, compacted: bool) {
    if compacted {
        assert!(!matches!(verified.outcome, Outcome::Differs { .. }), "{verified:?}");
        return;
    }
    assert_eq!(verified.outcome, Outcome::Equal, "{verified:?}");
    let steps = story.entries.iter().flat_map(|(_, entry)| &entry.steps);
    let decisions = steps.filter(|step| matches!(step, Step::Decision(_))).count();
    let found = [verified.entries, verified.signals, verified.decisions].map(|count| count as usize);
    assert_eq!(found, [story.entries.len(), told.signals.len(), decisions], "{verified:?}");
}
