//! The past for people.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Past;
use super::alerts::{Found, Reason};
use super::orders::{Hits, Rated as RatedLists};
use crate::measure::churn::Rated;
use crate::measure::table::Quality;

/// Writes rows under a head.
pub type Table = fn(&mut dyn Write, &[&str], &[Vec<String>]) -> io::Result<()>;

impl Past {
    /// What was found, in a few lines.
    pub fn sentences(&self) -> String {
        let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.2}"));
        let (alerts, amount) = (&self.anomaly.default, self.anomaly.baselines.get("amount"));
        let amount = amount.map_or(String::new(), |amount| {
            format!(
                " (alerting on the highest amounts: {}, {})",
                share(amount.precision),
                share(amount.recall)
            )
        });
        let churn = &self.churn.no_order.in_silence;
        let auc = |of: &str| {
            let quality = churn.learners.get(of).or_else(|| churn.baselines.get(of))?;
            json!(quality)["auc"].as_f64()
        };
        let lists = &self.recommend.next_order;
        let hits = |of: &str| {
            lists.learners.get(of).or_else(|| lists.baselines.get(of)).and_then(|hits| hits.hit_rate_10)
        };
        format!(
            "A made-up shop, seed {}, {} days of its past in {} events, held against what is true:\n  \
             alerts: {} on {} frauds, precision {}, recall {}{amount}\n  \
             who does not order again within 90 days: AUC {} (days since the last order: {})\n  \
             an item of the list in the next order: {} (the customer's last ten: {}, what is popular: {})",
            self.seed,
            (self.end_ms - self.start_ms) / super::DAY_MS,
            self.events.all,
            self.anomaly.alerts,
            self.anomaly.frauds,
            share(alerts.precision),
            share(alerts.recall),
            share(auc("default")),
            share(auc("recency")),
            share(hits("default")),
            share(hits("own_recent")),
            share(hits("popularity")),
        )
    }

    /// Everything but the months; `table` sets rows under a head.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn print(&self, out: &mut dyn Write, table: Table) -> io::Result<()> {
        let days = (self.end_ms - self.start_ms + super::DAY_MS - 1) / super::DAY_MS;
        let events = &self.events;
        let rows = [
            ("days", days.unsigned_abs()),
            ("events", events.all),
            ("payments", events.payments),
            ("of guests", events.guests),
            ("refunds", events.refunds),
            ("engagements", events.engagements),
            ("verdicts", events.feedback),
            ("verdicts of the desk", self.desk.map_or(0, |desk| desk.verdicts)),
            ("customers known at the end", self.service.customers as u64),
            ("frauds", self.anomaly.frauds as u64),
            ("alerts", self.anomaly.alerts as u64),
        ];
        table(out, &["WHAT", "COUNT"], &rows.map(|(what, count)| vec![what.to_owned(), count.to_string()]))?;
        self.print_alerts(out, table)?;
        let churn = &self.churn;
        for (what, rated) in [
            ("NO ORDER, ON ORDER DAYS", &churn.no_order.order_days),
            ("NO ORDER, IN SILENCE", &churn.no_order.in_silence),
            ("LEFT, ON ORDER DAYS", &churn.left.order_days),
            ("LEFT, IN SILENCE", &churn.left.in_silence),
        ] {
            print_churn(out, what, rated, table)?;
        }
        let rows = |lists: &RatedLists| -> Vec<Vec<String>> {
            let row = |(name, hits): (&String, &Hits)| {
                vec![name.clone(), hits.n.to_string(), share(hits.hit_rate_10), share(hits.mrr_10)]
            };
            lists.learners.iter().chain(&lists.baselines).map(row).collect()
        };
        for (what, lists) in
            [("LIST, NEXT ORDER", &self.recommend.next_order), ("LIST, NEXT ITEM", &self.recommend.next_item)]
        {
            writeln!(out)?;
            table(out, &[what, "N", "HIT RATE 10", "MRR 10"], &rows(lists))?;
        }
        Ok(())
    }

    fn print_alerts(&self, out: &mut dyn Write, table: Table) -> io::Result<()> {
        let found = &self.anomaly;
        let desks = std::iter::once(("default", &found.default))
            .chain(found.baselines.iter().map(|(name, desk)| (*name, desk)));
        let row = |(name, desk): (&str, &Found)| {
            let shares = [desk.precision, desk.recall].into_iter();
            let shares = shares.chain(desk.kinds.values().map(|kind| kind.recall)).map(share);
            [name.to_owned(), desk.hits.to_string()].into_iter().chain(shares).collect()
        };
        let kinds = found.default.kinds.keys().map(|name| name.replace('_', " ").to_uppercase());
        let kinds: Vec<String> = kinds.collect();
        let head = ["ALERTS", "FRAUDS", "PRECISION", "RECALL"].into_iter();
        let head: Vec<&str> = head.chain(kinds.iter().map(String::as_str)).collect();
        writeln!(out)?;
        table(out, &head, &desks.map(row).collect::<Vec<Vec<String>>>())?;
        writeln!(out)?;
        let reason =
            |(code, of): (&String, &Reason)| vec![code.clone(), of.alerts.to_string(), of.hits.to_string()];
        let reasons: Vec<Vec<String>> = found.reasons.iter().map(reason).collect();
        table(out, &["STRONGEST REASON", "ALERTS", "FRAUDS"], &reasons)?;
        writeln!(out)?;
        let ranking = &found.ranking;
        let rows = ranking.learners.iter().chain(&ranking.baselines).map(|(name, rating)| {
            let numbers = [rating.auc, rating.average_precision].map(share);
            std::iter::once((*name).to_owned()).chain(numbers).collect()
        });
        table(out, &["RISK", "AUC", "AVERAGE PRECISION"], &rows.collect::<Vec<Vec<String>>>())
    }
}

/// Nothing where nothing was published of these moments.
fn print_churn(out: &mut dyn Write, what: &str, rated: &Rated, table: Table) -> io::Result<()> {
    if rated.learners.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let row = |(name, quality): (&&str, &Quality)| {
        let quality: Value = json!(quality);
        let counts = ["n", "positives"].map(|key| quality[key].to_string());
        let numbers = ["auc", "log_loss", "ece"].map(|key| share(quality[key].as_f64()));
        std::iter::once((*name).to_owned()).chain(counts).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = rated.learners.iter().chain(&rated.baselines).map(row).collect();
    table(out, &[what, "N", "CHURNED", "AUC", "LOG LOSS", "ECE"], &rows)
}

fn share(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}
