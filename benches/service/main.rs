//! The whole service on a real Apache Kafka: throughput beside a bare passthrough, and latency.
//!
//! ```text
//! cargo bench --bench service -- throughput [shop|payments] [--rounds 5] [--records 2000000] [--without recommend,churn]
//! cargo bench --bench service -- latency [shop|payments] [--rate 20000] [--seconds 30] [--without recommend,churn]
//! ```
//!
//! `--without` names analyses that are not enabled.
//!
//! A broker is started by `tests/kafka/broker.sh` and ended with the run, or `HABITUE_KAFKA=host:port` names
//! one. How to read what is printed: `docs/benchmarks/README.md`.
#![allow(clippy::unwrap_used)]

mod cluster;
mod latency;
mod machine;
mod passthrough;
mod product;
mod throughput;

use std::str::FromStr;

use habitue::measure::workload::Workload;

/// Partitions of every topic that is spread by customer.
pub const PARTITIONS: u32 = 2;
pub const SEED: u64 = 1;

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workload = words.get(1).and_then(|word| Workload::of_name(word)).unwrap_or(Workload::Shop);
    let without: String = option(&words, "--without", String::new());
    match words.first() {
        Some(&"throughput") => {
            throughput::run(
                workload,
                &without,
                option(&words, "--rounds", 5),
                option(&words, "--records", 2_000_000),
            );
        }
        Some(&"latency") => {
            latency::run(
                workload,
                &without,
                option(&words, "--rate", 20_000),
                option(&words, "--seconds", 30),
            );
        }
        // The child of a throughput round.
        Some(&"passthrough") => passthrough::child(words[1]),
        _ => {
            eprintln!("cargo bench --bench service -- throughput|latency [shop|payments] [--name value]");
            std::process::exit(2);
        }
    }
}

fn option<T: FromStr>(words: &[&str], name: &str, default: T) -> T {
    match words.iter().position(|word| *word == name) {
        Some(at) => words.get(at + 1).and_then(|value| value.parse().ok()).expect("a value after the option"),
        None => default,
    }
}

/// The middle one, of an odd number; of an even number the lower.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share of `at` is not above.
pub fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (at * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}
