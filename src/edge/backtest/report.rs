//! What a backtest found: a JSON document for programs, tables for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{Counts, Service};
use crate::customer::Customer;
use crate::event::Reject;
use crate::measure::churn::{Rated, Ratings};
use crate::measure::lists::{Lists, Tally};
use crate::measure::prequential::{BASELINES, Prequential, Rating};
use crate::measure::rows::LeftOut;
use crate::measure::table::Quality;

/// Writes rows under a head.
pub type Table = fn(&mut dyn Write, &[&str], &[Vec<String>]) -> io::Result<()>;

/// Everything a backtest knows at its end.
pub struct Outcome {
    /// Rows of the files, headers not among them.
    pub rows: u64,
    /// Events fed to the service, verdicts of labels included.
    pub events: u64,
    pub seconds: f64,
    /// Rows that are part of no event, by reason.
    pub left_out: BTreeMap<LeftOut, u64>,
    pub counts: Counts,
    pub prequential: Prequential,
    pub lists: Lists,
    pub churn: Ratings,
    /// None where there was no event.
    pub service: Option<Service>,
}

impl Outcome {
    /// The document of DESIGN.md 5.
    pub fn document(&self) -> Value {
        let left_out: Map<String, Value> =
            self.left_out.iter().map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect();
        let dead_letters: Map<String, Value> =
            self.dead_letters().map(|(reason, count)| (reason.to_owned(), json!(count))).collect();
        let [purchases, engagements, feedback] = self.counts.applied;
        let baselines: Map<String, Value> =
            self.baselines().map(|(name, rating)| (name.to_owned(), json!(rating))).collect();
        json!({
            "events": self.events,
            "seconds": self.seconds,
            // The whole service runs in one thread.
            "events_per_second_per_core": self.events_per_second(),
            "rows": self.rows,
            "left_out": left_out,
            "applied": { "purchases": purchases, "engagements": engagements, "feedback": feedback },
            "guests": self.counts.guests,
            "duplicates": self.counts.duplicates,
            "customers": self.counts.customers,
            "alerts": self.counts.alerts,
            "dead_letters": dead_letters,
            "state_bytes": self.counts.state_bytes,
            "analyses": {
                "anomaly": {
                    "learners": { "default": self.prequential.published() },
                    "baselines": baselines,
                },
                "recommend": {
                    "learners": tallies(self.lists.published()),
                    "baselines": tallies(self.lists.baselines()),
                },
                "churn": self.churn,
            },
        })
    }

    /// The integer totals of every customer as CSV, ordered by id.
    ///
    /// # Errors
    /// When `out` does not take them.
    pub fn customers(&self, out: &mut dyn Write) -> Result<(), csv::Error> {
        let mut customers: Vec<&Customer> = self.service.iter().flat_map(Service::customers).collect();
        customers.sort_by(|a, b| a.id.cmp(&b.id));
        let mut table = csv::Writer::from_writer(out);
        table.write_record([
            "customer",
            "first_ms",
            "last_ms",
            "purchases",
            "units",
            "amount_minor",
            "refunds",
            "refunded_minor",
            "engagements",
            "feedbacks",
            "frauds",
        ])?;
        for customer in customers {
            let p = &customer.profile;
            table.write_record([
                customer.id.to_string(),
                p.first_ms.to_string(),
                p.last_ms.to_string(),
                p.purchases.to_string(),
                p.units.to_string(),
                p.amount_minor.to_string(),
                p.refunds.to_string(),
                p.refunded_minor.to_string(),
                p.engagements.to_string(),
                p.feedbacks.to_string(),
                p.frauds.to_string(),
            ])?;
        }
        Ok(table.flush()?)
    }

    /// The document for people; `table` sets rows under a head.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn print(&self, out: &mut dyn Write, table: Table) -> io::Result<()> {
        let [purchases, engagements, feedback] = self.counts.applied;
        let mut rows = vec![
            line("rows", self.rows),
            line("events", self.events),
            line("seconds", format!("{:.1}", self.seconds)),
            line("events a second and core", format!("{:.0}", self.events_per_second())),
            line("purchases applied", purchases),
            line("engagements applied", engagements),
            line("feedback applied", feedback),
            line("purchases of guests", self.counts.guests),
            line("duplicates", self.counts.duplicates),
            line("customers", self.counts.customers),
            line("alerts", self.counts.alerts),
            line("state, MiB", format!("{:.1}", self.counts.state_bytes as f64 / f64::from(1 << 20))),
        ];
        rows.extend(
            self.dead_letters().map(|(reason, count)| line(format!("dead letters: {reason}"), count)),
        );
        rows.extend(
            self.left_out.iter().map(|(why, count)| line(format!("rows left out: {}", why.name()), count)),
        );
        table(out, &["WHAT", "COUNT"], &rows)?;
        self.print_lists(out, table)?;
        print_churn(out, "CHURN ON ORDER DAYS", &self.churn.order_days, table)?;
        print_churn(out, "CHURN IN SILENCE", &self.churn.in_silence, table)?;
        let published = self.prequential.published();
        if published.n == 0 {
            return Ok(());
        }
        writeln!(out)?;
        let rows = std::iter::once(("default", published)).chain(self.baselines());
        let rows: Vec<Vec<String>> = rows.map(|(name, rating)| shown(name, &rating)).collect();
        table(out, &["ANOMALY", "N", "FRAUDS", "AUC", "AVERAGE PRECISION", "CARD PRECISION 100"], &rows)
    }

    fn print_lists(&self, out: &mut dyn Write, table: Table) -> io::Result<()> {
        if self.lists.published().next().is_none() {
            return Ok(());
        }
        writeln!(out)?;
        let share = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let rows = self.lists.published().chain(self.lists.baselines());
        let rows: Vec<Vec<String>> = rows
            .map(|(name, tally)| {
                vec![name.to_owned(), tally.n.to_string(), share(tally.hit_rate()), share(tally.mrr())]
            })
            .collect();
        table(out, &["RECOMMEND", "N", "HIT RATE 10", "MRR 10"], &rows)
    }

    fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-9)
    }

    fn dead_letters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted =
            Reject::ALL.into_iter().map(|reason| (reason.name(), self.counts.dead_letters[reason as usize]));
        counted.filter(|(_, count)| *count > 0)
    }

    fn baselines(&self) -> impl Iterator<Item = (&'static str, Rating)> {
        BASELINES.iter().enumerate().map(|(number, name)| (*name, self.prequential.baseline(number)))
    }
}

/// Nothing where no labelled moment had a published probability.
fn print_churn(out: &mut dyn Write, what: &str, rated: &Rated, table: Table) -> io::Result<()> {
    if rated.learners.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |value| format!("{value:.3}"));
    let row = |(name, quality): (&&str, &Quality)| {
        let quality = json!(quality);
        let counts = ["n", "positives"].map(|key| quality[key].to_string());
        let numbers = ["auc", "log_loss", "brier", "ece"].map(|key| number(&quality[key]));
        std::iter::once((*name).to_owned()).chain(counts).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = rated.learners.iter().chain(&rated.baselines).map(row).collect();
    table(out, &[what, "N", "CHURNED", "AUC", "LOG LOSS", "BRIER", "ECE"], &rows)
}

fn tallies<'a>(of: impl Iterator<Item = (&'a str, &'a Tally)>) -> Map<String, Value> {
    let shown =
        |tally: &Tally| json!({ "n": tally.n, "hit_rate_10": tally.hit_rate(), "mrr_10": tally.mrr() });
    of.map(|(name, tally)| (name.to_owned(), shown(tally))).collect()
}

fn line(what: impl Into<String>, count: impl ToString) -> Vec<String> {
    vec![what.into(), count.to_string()]
}

fn shown(name: &str, rating: &Rating) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    vec![
        name.to_owned(),
        rating.n.to_string(),
        rating.positives.to_string(),
        number(rating.auc),
        number(rating.average_precision),
        number(rating.card_precision_100),
    ]
}
