//! With all rules the copy is exactly once under every fault; without any one of them it is not.

use habitue::edge::log::sim::Faults;

use crate::copy::{INPUTS, Rules, run};
use crate::seeds;

/// With this rate about every third commit meets some fault.
fn faults() -> Faults {
    Faults::mixed(0.05)
}

#[test]
fn copy_is_exactly_once() {
    seeds::each("exactly_once::copy_is_exactly_once", 500, |seed| {
        run(seed, Rules::ALL, faults()).unwrap();
    });
}

#[test]
fn copy_without_faults() {
    seeds::each("exactly_once::copy_without_faults", 100, |seed| {
        run(seed, Rules::ALL, Faults::default()).unwrap();
    });
}

#[test]
fn same_seed_same_run() {
    seeds::each("exactly_once::same_seed_same_run", 20, |seed| {
        assert_eq!(run(seed, Rules::ALL, faults()), run(seed, Rules::ALL, faults()));
    });
    assert_ne!(run(1, Rules::ALL, faults()), run(2, Rules::ALL, faults()));
}

/// Exactly nothing, exactly once, would be easy.
#[test]
fn faults_do_not_stop_the_copy() {
    let copied: usize =
        (0..50).map(|seed| run(seed, Rules::ALL, faults()).unwrap().copied_under_faults).sum();
    assert!(copied > 50 * INPUTS / 2, "{copied} of {} records under faults", 50 * INPUTS);
}

/// The simulation would notice: at least one of 200 seeds loses or repeats something.
fn opens_a_hole(rules: Rules) {
    let broken = (0..200).filter(|&seed| run(seed, rules, faults()).is_err()).count();
    println!("{broken} of 200 seeds break with {rules:?}");
    assert!(broken > 0, "nothing happens with {rules:?}");
}

/// No fence, and no offsets with the outputs.
#[test]
fn an_empty_list_opens_a_hole() {
    opens_a_hole(Rules { never_an_empty_list: false, ..Rules::ALL });
}

#[test]
fn guessing_an_unknown_outcome_opens_a_hole() {
    opens_a_hole(Rules { read_after_unknown: false, ..Rules::ALL });
}

#[test]
fn not_waiting_for_pending_opens_a_hole() {
    opens_a_hole(Rules { wait_for_pending: false, ..Rules::ALL });
}
