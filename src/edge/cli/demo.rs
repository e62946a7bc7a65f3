//! `habitue demo`.

use std::io::Write;
use std::time::Instant;

use serde_json::json;

use super::output;
use super::{Exit, Failure};
use crate::edge::csv_file::bar;
use crate::edge::demo::past::{Settings, end_ms, tell};
use crate::edge::demo::shop::{Config, Shop};

const DAY_MS: i64 = 86_400_000;

/// See what the service makes of a made-up shop whose truth is known.
///
/// Months of a shop's events run through the whole service, at full speed in event time. Verdicts come days after
/// their payments, if at all. What was said, of fraud, of churn and of the next order, is held against what is true
/// and beside simple baselines. The same seed gives the same document.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue demo --past-only\n  \
    habitue demo --past-only --desk-hours 12\n  \
    habitue demo --past-only --months 3 --seed 7 --json | jq .past.anomaly")]
pub struct Args {
    /// Tell the shop's past, and end.
    #[arg(long, required = true)]
    past_only: bool,
    /// Months of the past, of 30 days.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    months: u32,
    /// Which shop.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A desk looks at each alert, and its verdict comes after so many hours on average [default: nobody looks].
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=720))]
    desk_hours: Option<u32>,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let config = Config::default();
        let end_ms = end_ms(&config, self.months);
        let mut shop = Shop::new(self.seed, &config);
        let progress = bar((end_ms - config.start_ms).unsigned_abs() / DAY_MS as u64);
        let mut passed = |time_ms: i64| {
            progress.set_position((time_ms - config.start_ms).unsigned_abs() / DAY_MS as u64);
        };
        let began = Instant::now();
        let settings = Settings { seed: self.seed, end_ms, desk_hours: self.desk_hours };
        let past = tell(&mut shop, &settings, &mut passed)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let seconds = began.elapsed().as_secs_f64();
        progress.finish_and_clear();
        if self.json {
            let a_second = past.events.all as f64 / seconds.max(1e-9);
            output::json(
                out,
                &json!({ "past": past, "seconds": seconds, "events_per_second_per_core": a_second }),
            )?;
        } else {
            past.print(out, output::table)?;
            eprintln!("{} events in {seconds:.1} s", past.events.all);
        }
        Ok(())
    }
}
