//! The log on a real Apache Kafka: what only a broker can show.
//!
//!     HABITUE_KAFKA_TESTS=1 cargo test --test kafka [-- part of a name …]
//!
//! Starts one broker for the run and stops it at the end, or takes the one at HABITUE_KAFKA=host:port.
//! Without HABITUE_KAFKA_TESTS nothing runs, and says so; in CI it is always set.

#![allow(clippy::unwrap_used)]

mod bench;
mod broker;
mod client;
mod conformance;
mod group;
#[path = "../log/mod.rs"]
mod log;
mod restart;
mod topics;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use broker::Broker;

pub type Case = (&'static str, fn(&Broker));

fn cases() -> Vec<Case> {
    let mut cases = conformance::cases();
    cases.extend([client::CASES, group::CASES, restart::CASES, topics::CASES].concat());
    cases
}

fn main() -> ExitCode {
    // The restart cases run this binary again as the instance that is killed.
    if let Some(code) = restart::child() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen: Vec<Case> = cases()
        .into_iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str())))
        .collect();
    if arguments.iter().any(|word| word == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if std::env::var("HABITUE_KAFKA_TESTS").as_deref() != Ok("1") {
        println!("left out: {} tests on a real broker; HABITUE_KAFKA_TESTS=1 runs them", chosen.len());
        return ExitCode::SUCCESS;
    }
    run(&chosen)
}

fn run(chosen: &[Case]) -> ExitCode {
    let broker = match Broker::start() {
        Ok(broker) => broker,
        Err(error) => {
            eprintln!("no broker: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = Vec::new();
    for (name, case) in chosen {
        let begun = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| case(&broker))).is_ok();
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {verdict} ({:.1} s)", begun.elapsed().as_secs_f64());
        if !passed {
            failed.push(*name);
        }
    }
    println!("{} passed, {} failed {failed:?}", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
