//! `habitue demo`.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::output;
use super::{Exit, Failure};
use crate::edge::csv_file::bar;
use crate::edge::backtest::{BacktestError, Continued};
use crate::edge::demo::live;
use crate::edge::demo::past::{Past, Settings, end_ms, tell, tell_and_leave};
use crate::edge::demo::shop::{Config, Shop};
use crate::edge::logging;

const DAY_MS: i64 = 86_400_000;

/// Start everything with a made-up shop whose truth is known: nothing else is needed.
///
/// First ten months of the shop's events run through the whole service, at full speed in event time. Verdicts come days
/// after their payments, if at all. What was said, of fraud, of churn and of the next order, is held against what is
/// true and beside simple baselines; the same seed gives the same figures. Then the shop goes on live, faster than life,
/// on a log in a folder: look at the page, ask for a customer, send an event of your own. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue demo\n  \
    habitue demo --folder my-shop --speed 60\n  \
    habitue demo --past-only\n  \
    habitue demo --past-only --desk-hours 12\n  \
    habitue demo --past-only --months 3 --seed 7 --json | jq .past.anomaly")]
pub struct Args {
    /// Tell the shop's past, and end.
    #[arg(long)]
    past_only: bool,
    /// Where log and snapshots are kept; by default a folder that goes at the end.
    #[arg(long, value_name = "FOLDER", conflicts_with = "past_only")]
    folder: Option<PathBuf>,
    /// Where the page and the interface are served.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    http: SocketAddr,
    /// How much faster than life the shop goes on, until it has caught up with today.
    #[arg(long, default_value_t = 1_440, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// End by itself after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
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
    #[arg(long, requires = "past_only")]
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
        let failed = |error: BacktestError| Failure::new(Exit::Failed, error.to_string());
        if !self.past_only {
            check_address(self.http)?;
            let (past, left) = tell_and_leave(&mut shop, &settings, &mut passed).map_err(failed)?;
            progress.finish_and_clear();
            return self.live(shop, &past, left, out);
        }
        let past = tell(&mut shop, &settings, &mut passed).map_err(failed)?;
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

    fn live(&self, shop: Shop, past: &Past, left: Continued, out: &mut dyn Write) -> Result<(), Failure> {
        let temporary = std::env::temp_dir().join(format!("habitue-demo-{}", std::process::id()));
        let settings = live::Settings {
            folder: self.folder.clone().unwrap_or_else(|| temporary.clone()),
            http: self.http,
            speed: f64::from(self.speed),
            lasts: self.seconds.map(Duration::from_secs),
        };
        logging::init(&live::configuration(&settings).service.log)
            .map_err(|error| Failure::new(Exit::Configuration, error.to_string()))?;
        let ended = live::run(shop, past, left, &settings);
        if self.folder.is_none() {
            // What could not be removed is the system's to clear.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        writeln!(out, "\nSeen live: {}.", ended?.sentence())?;
        if let Some(folder) = &self.folder {
            writeln!(out, "Log and snapshots stay in {}.", folder.display())?;
        }
        Ok(())
    }
}

/// Before ten months are told for nothing.
fn check_address(address: SocketAddr) -> Result<(), Failure> {
    if !address.ip().is_loopback() {
        let message = "the demo asks nobody for a token: --http must be an address on loopback";
        return Err(Failure::new(Exit::Usage, message));
    }
    TcpListener::bind(address).map(drop).map_err(|error| {
        Failure::new(Exit::Configuration, format!("{address} cannot be served ({error}); name another with --http"))
    })
}
