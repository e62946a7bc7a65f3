//! House rules that no compiler checks, read from the source. A fault is "file:line: what".

mod imports;
mod papers;
mod rules;
mod source;

use source::{Source, read_all};

fn expect_none(rule: fn(&[Source]) -> Vec<String>) {
    let sources = read_all("src");
    assert!(sources.len() > 10, "the source was not found");
    let faults = rule(&sources);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Invariant 1, with the lint bans of clippy.toml and the build of the core without edge crates.
#[test]
fn imports_follow_the_table() {
    expect_none(imports::check);
}

#[test]
fn files_are_short() {
    expect_none(rules::file_lengths);
}

#[test]
fn functions_are_short() {
    expect_none(rules::function_lengths);
}

#[test]
fn files_say_what_they_are() {
    expect_none(rules::heads);
}

#[test]
fn nothing_unwraps_outside_tests() {
    expect_none(rules::unwraps);
}

#[test]
fn nothing_is_unsafe() {
    expect_none(rules::unsafes);
}

#[test]
fn names_say_something() {
    expect_none(rules::names);
}

#[test]
fn learners_carry_their_docs_block() {
    expect_none(rules::learner_heads);
}
