//! What the terminal shows.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ShopClock;
use super::driver::Truths;
use super::latency::{Buckets, buckets, quantile_ms};
use crate::config::show_day;
use crate::edge::clock::Clock;
use crate::edge::demo::past::Past;
use crate::edge::service::Started;
use crate::event::TimeMs;
use crate::signal::Topic;

const DRAW_EVERY: Duration = Duration::from_millis(500);
/// Where no terminal is, a line so often.
const SAY_EVERY: Duration = Duration::from_secs(10);
const ALERTS_SHOWN: usize = 8;
const LATENCY: &str = "habitue_event_to_commit_seconds";

/// What was seen while it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub events: u64,
    pub payments: u64,
    /// Payments that are fraud, and alerts.
    pub frauds: u64,
    pub alerts: u64,
    /// Alerts on fraud.
    pub hits: u64,
}

impl Totals {
    /// One sentence.
    pub fn sentence(&self) -> String {
        format!(
            "{} events, {} payments of which {} fraud; {} alerts, {} of them fraud",
            self.events, self.payments, self.frauds, self.alerts, self.hits
        )
    }
}

pub(super) struct View {
    head: String,
    /// Where the past ends.
    live_from_ms: TimeMs,
    speed: f64,
    clock: Arc<ShopClock>,
    truths: Arc<Mutex<Truths>>,
    totals: Arc<Mutex<Totals>>,
    alerts: VecDeque<String>,
}

/// Day and minute, UTC.
fn show_minute(time_ms: TimeMs) -> String {
    let minute = time_ms.div_euclid(60_000).rem_euclid(24 * 60);
    let day = i32::try_from(time_ms.div_euclid(86_400_000)).unwrap_or(i32::MAX);
    format!("{} {:02}:{:02}", show_day(day), minute / 60, minute % 60)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    pub fn new(
        past: &Past,
        speed: f64,
        clock: Arc<ShopClock>,
        truths: Arc<Mutex<Truths>>,
        totals: Arc<Mutex<Totals>>,
    ) -> View {
        View {
            head: past.sentences(),
            live_from_ms: past.end_ms,
            speed,
            clock,
            truths,
            totals,
            alerts: VecDeque::new(),
        }
    }

    /// Until the service ends, or `lasts` is over, which ends it.
    pub fn run(mut self, started: &Started, ended: &AtomicBool, lasts: Option<Duration>) {
        let mut heard = started.recent.listen();
        let (begun, terminal) = (Instant::now(), std::io::stdout().is_terminal());
        let (mut said, mut seen) = (Instant::now(), (Instant::now(), 0, Buckets::new()));
        if !terminal {
            println!("{}\n{}", self.head, self.try_it(started.address));
        }
        while !(ended.load(Ordering::Relaxed) || started.stop.is_set()) {
            while let Ok(told) = heard.try_recv() {
                if told.topic == Topic::Alerts {
                    let line = self.alert(&started.recent.show(&told));
                    if !terminal {
                        println!("{line}");
                    }
                }
            }
            if lasts.is_some_and(|lasts| begun.elapsed() >= lasts) {
                started.stop.set();
            }
            if terminal || said.elapsed() >= SAY_EVERY {
                let pace = self.pace(started, &mut seen);
                said = Instant::now();
                self.draw(&pace, started.address, terminal);
            }
            std::thread::sleep(DRAW_EVERY);
        }
    }

    fn alert(&mut self, alert: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let truth = lock(&self.truths).is_fraud(&text(&alert["event_id"]));
        let time_ms = alert["time_ms"].as_i64().unwrap_or(0);
        // The newest of the past are shown too, but are no part of what was seen live.
        if time_ms >= self.live_from_ms {
            let mut totals = lock(&self.totals);
            totals.alerts += 1;
            totals.hits += u64::from(truth == Some(true));
        }
        let truth = match truth {
            Some(true) => "truly fraud",
            Some(false) => "legitimate",
            None => "not the shop's",
        };
        let amount = alert["amount_minor"].as_f64().unwrap_or(0.0) / 100.0;
        let reasons: Vec<&str> =
            alert["reasons"].as_array().into_iter().flatten().filter_map(|r| r["text"].as_str()).collect();
        let line = format!(
            "{}  {amount:>9.2} {}  {:<12} risk {:>4}  {truth:<14}  {}",
            show_minute(time_ms),
            text(&alert["currency"]),
            text(&alert["customer"]),
            alert["risk"],
            reasons.join("; ")
        );
        self.alerts.push_front(line.clone());
        self.alerts.truncate(ALERTS_SHOWN);
        line
    }

    /// Throughput and latency since the last look, in words.
    fn pace(&self, started: &Started, (at, events, before): &mut (Instant, u64, Buckets)) -> String {
        let (now, seconds) = (Instant::now(), at.elapsed().as_secs_f64().max(1e-3));
        let truths = lock(&self.truths);
        {
            let mut totals = lock(&self.totals);
            (totals.events, totals.payments, totals.frauds) = (truths.events, truths.paid, truths.frauds);
        }
        let rate = (truths.events - *events) as f64 / seconds;
        let text = started.metrics.render().unwrap_or_default();
        let after = buckets(&text, LATENCY, "stage=\"customer\"");
        let latency =
            |share| quantile_ms(before, &after, share).map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let words = format!(
            "{rate:.1} events a second, {} in all; event to commit: half within {}, 99 of 100 within {}",
            truths.events,
            latency(0.5),
            latency(0.99)
        );
        (*at, *events, *before) = (now, truths.events, after);
        words
    }

    fn draw(&self, pace: &str, address: SocketAddr, terminal: bool) {
        let totals = lock(&self.totals).clone();
        let mut out = String::new();
        if terminal {
            // To the top left, and clear.
            out.push_str("\x1b[H\x1b[2J");
            let _ = writeln!(out, "{}\n", self.head);
        }
        let day = show_minute(self.clock.now_ms());
        let _ = writeln!(
            out,
            "Live, {day} in the shop, {:.0} times faster than life: {}.",
            self.speed,
            totals.sentence()
        );
        let _ = writeln!(out, "{pace}.");
        if terminal {
            let _ = writeln!(out, "\nNewest alerts, with what is true:");
            for line in &self.alerts {
                let _ = writeln!(out, "  {line}");
            }
            let _ = writeln!(out, "{}", self.try_it(address));
        }
        let mut stdout = std::io::stdout().lock();
        // Nobody may be looking any more.
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }

    fn try_it(&self, address: SocketAddr) -> String {
        format!(
            "\nThe page: http://{address}/\nTry:\n  \
             curl -s http://{address}/api/v1/status\n  \
             curl -s 'http://{address}/api/v1/alerts?limit=3'\n  \
             curl -s http://{address}/api/v1/events -d '{{\"type\":\"purchase\",\"event_id\":\"mine-1\",\"customer\":\"me\",\
             \"order\":\"o1\",\"currency\":\"EUR\",\"lines\":[{{\"item\":\"tea\",\"quantity\":1,\"unit_price_minor\":450}}]}}'\n  \
             curl -s http://{address}/api/v1/customers/me\nCtrl-C ends it."
        )
    }
}
