//! A mapping: how the columns of event files become events (`habitue backtest --mapping`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::Refusal;
use super::document::{Document, Finding};
use super::units;
use crate::event::{Currency, EngagementKind, TimeMs};

/// What the columns of the files mean, or that their lines are sessions. A kind of event whose columns are not all in a
/// file does not come from that file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    pub time: Time,
    pub money: Money,
    pub constants: Constants,
    /// Cells that mean that there is no customer: the order is a guest's. Default: the empty cell.
    pub guests: Option<Vec<String>>,
    pub purchase: Option<PurchaseColumns>,
    pub engagement: Option<EngagementColumns>,
    pub feedback: Option<FeedbackColumns>,
    pub label: Option<Label>,
    pub sessions: Option<Sessions>,
}

/// `[time]`: the column of event time. Cells are numbers since the epoch, or dates with or without a time
/// of day ("2010-12-01", "2010-12-01 08:26"), in UTC where no zone stands behind it ("2010-12-01T08:26:00.5+01:00").
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Time {
    pub column: String,
    /// Of a number. Default "seconds".
    pub unit: TimeUnit,
    /// What numbers count from. Default 1970-01-01.
    #[serde(deserialize_with = "units::moment")]
    pub epoch: TimeMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    Microseconds,
    Milliseconds,
    #[default]
    Seconds,
    Minutes,
    Hours,
    Days,
}

/// `[money]`: what a price counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Money {
    /// "major" (2.55 pounds) or "minor" (255 pence). Default "major".
    pub unit: MoneyUnit,
    /// Minor units are powers of ten of so many decimal places, 0 to 6. Default 2.
    pub decimals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyUnit {
    #[default]
    Major,
    Minor,
}

impl Default for Money {
    fn default() -> Money {
        Money { unit: MoneyUnit::Major, decimals: 2 }
    }
}

/// `[constants]`: what no column says.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constants {
    pub currency: Option<String>,
    pub country: Option<String>,
    pub channel: Option<String>,
    pub item: Option<String>,
    /// Quantity of a line without a column of quantities. Default 1.
    pub quantity: Option<i64>,
    /// Kind of every engagement, such as "view".
    pub kind: Option<String>,
}

/// The rows that a kind of event is made of, where a file has several kinds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rows {
    pub column: String,
    pub values: Vec<String>,
}

/// `[purchase]`: columns. Consecutive rows of the same order, customer and sign are the lines of one
/// purchase, whose time is the first row's; without `order`, each row is a purchase.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PurchaseColumns {
    pub rows: Option<Rows>,
    /// Default: the order and the number of its first row.
    pub event_id: Option<String>,
    pub customer: Option<String>,
    pub order: Option<String>,
    pub item: Option<String>,
    pub category: Option<String>,
    pub quantity: Option<String>,
    /// Of one unit.
    pub price: String,
    pub currency: Option<String>,
    pub instrument: Option<String>,
    pub channel: Option<String>,
    pub terminal: Option<String>,
    pub device: Option<String>,
    pub country: Option<String>,
    /// What a quantity below zero is. Default "refund".
    pub negative_quantity: NegativeQuantity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegativeQuantity {
    /// The lines came back.
    #[default]
    Refund,
    /// An error: the purchase goes to the dead letters.
    Reject,
}

/// `[engagement]`: columns; each row is one.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngagementColumns {
    pub rows: Option<Rows>,
    /// Default: the number of the row.
    pub event_id: Option<String>,
    pub customer: String,
    pub kind: Option<String>,
    /// Cells of `kind` by their meaning here: `{ pageview = "view" }`. Others mean what they say.
    pub kinds: BTreeMap<String, String>,
    pub session: Option<String>,
    pub item: Option<String>,
    pub category: Option<String>,
    pub duration_seconds: Option<String>,
    pub query: Option<String>,
}

/// `[feedback]`: columns; each row is a verdict given at its time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackColumns {
    pub rows: Option<Rows>,
    pub customer: String,
    /// Of the purchase.
    pub event_id: String,
    pub verdict: String,
    /// Cell that means fraud.
    pub fraud: String,
    pub source: Option<String>,
}

/// `[label]`: the verdict stands in the purchase's own row and arrives as feedback after a delay.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    pub column: String,
    /// Cell that means fraud. An empty cell is no verdict, every other one means legitimate.
    pub fraud: String,
    /// From the purchase to its verdict. Default 0s.
    #[serde(deserialize_with = "units::duration")]
    pub delay: Duration,
    /// Whether verdicts of legitimate purchases arrive too, or only those of fraud. Default true.
    pub legitimate: Legitimate,
}

/// `[sessions]`: the files have no columns. Each line is one visitor, who views its items in turn, and whose name is the
/// number of the line, from 1 over all files. They tell no times, so a clock is made up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Of the first line. Default 2000-01-01.
    #[serde(deserialize_with = "units::moment")]
    pub begin: TimeMs,
    /// From the beginning of a session to that of the next; the end of a long one comes in between. Default 1m.
    #[serde(deserialize_with = "units::duration")]
    pub session_gap: Duration,
    /// From a view to the next of its session. Default 5s.
    #[serde(deserialize_with = "units::duration")]
    pub view_gap: Duration,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions {
            begin: 946_684_800_000,
            session_gap: Duration::from_secs(60),
            view_gap: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Legitimate {
    #[default]
    Arrive,
    Never,
}

impl Mapping {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every problem of it, with line and column.
    pub fn read(file: &Path) -> Result<Mapping, Refusal> {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => Mapping::parse(&text, &name),
            Err(error) => Err(Refusal::unreadable(&name, &error)),
        }
    }

    /// Checks a text; `file` is what the report calls it.
    ///
    /// # Errors
    /// As [`Mapping::read`].
    pub fn parse(text: &str, file: &str) -> Result<Mapping, Refusal> {
        let document = Document::parse(text).map_err(|faults| Refusal::new(file, text, faults))?;
        let read = document.read::<Mapping>();
        let mut faults = read.faults;
        for finding in read.value.findings() {
            if !faults.iter().any(|fault| fault.spoils(&finding.paths)) {
                faults.push(document.locate(finding));
            }
        }
        if faults.is_empty() { Ok(read.value) } else { Err(Refusal::new(file, text, faults)) }
    }

    fn findings(&self) -> Vec<Finding> {
        if let Some(sessions) = &self.sessions {
            return self.findings_of(sessions);
        }
        let mut found = Vec::new();
        let mut say = |path: &str, message: String, help: &str| found.push(finding(path, message, help));
        let mut need = |path: &str, cell: &str, is_table_there: bool| {
            if is_table_there && cell.is_empty() {
                say(path, format!("`{path}` is missing"), "name a column of the files");
            }
        };
        need("time.column", &self.time.column, true);
        if let Some(purchase) = &self.purchase {
            need("purchase.price", &purchase.price, true);
        }
        if let Some(engagement) = &self.engagement {
            need("engagement.customer", &engagement.customer, true);
        }
        if let Some(feedback) = &self.feedback {
            need("feedback.customer", &feedback.customer, true);
            need("feedback.event_id", &feedback.event_id, true);
            need("feedback.verdict", &feedback.verdict, true);
            need("feedback.fraud", &feedback.fraud, true);
        }
        if let Some(label) = &self.label {
            need("label.column", &label.column, true);
            need("label.fraud", &label.fraud, true);
        }
        if self.purchase.is_none() && self.engagement.is_none() && self.feedback.is_none() {
            say(
                "purchase",
                "no kind of event is mapped".into(),
                "give [purchase], [engagement], [feedback] or [sessions]",
            );
        }
        if self.label.is_some() && self.purchase.is_none() {
            say("label", "labels are of purchases, and there is no [purchase]".into(), "");
        }
        if self.money.decimals > 6 {
            say("money.decimals", format!("{} decimal places; 0 to 6 are possible", self.money.decimals), "");
        }
        let currency = &self.constants.currency;
        if let Some(code) = currency.as_ref().filter(|code| Currency::parse(code).is_none()) {
            say("constants.currency", format!("{code:?} is no currency"), "three letters, such as \"GBP\"");
        }
        if let Some(purchase) = &self.purchase
            && purchase.currency.is_none()
            && currency.is_none()
        {
            say(
                "constants.currency",
                "the purchases have no currency".into(),
                "set it, or `purchase.currency`",
            );
        }
        if let Some(engagement) = &self.engagement {
            if engagement.kind.is_none() && self.constants.kind.is_none() {
                say("engagement.kind", "the engagements have no kind".into(), "set it, or `constants.kind`");
            }
            for kind in engagement.kinds.values().chain(&self.constants.kind) {
                if EngagementKind::ALL.iter().all(|known| known.symbol() != kind) {
                    let known: Vec<&str> = EngagementKind::ALL.iter().map(|kind| kind.symbol()).collect();
                    say("engagement.kinds", format!("{kind:?} is no kind"), &format!("known are {known:?}"));
                }
            }
        }
        found
    }

    fn findings_of(&self, sessions: &Sessions) -> Vec<Finding> {
        let alone = Mapping { sessions: Some(sessions.clone()), ..Mapping::default() };
        let others = (*self != alone).then(|| {
            finding("sessions", "lines of sessions have no columns".into(), "leave every other table out")
        });
        let gaps = [("session_gap", sessions.session_gap), ("view_gap", sessions.view_gap)];
        let none = gaps.into_iter().filter(|(_, gap)| gap.is_zero()).map(|(key, _)| {
            finding(&format!("sessions.{key}"), "no time would pass".into(), "a duration such as \"5s\"")
        });
        others.into_iter().chain(none).collect()
    }
}

fn finding(path: &str, message: String, help: &str) -> Finding {
    let paths = vec![path.split('.').map(String::from).collect()];
    Finding { paths, message, help: (!help.is_empty()).then(|| help.to_owned()) }
}
