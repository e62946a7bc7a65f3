//! `habitue explain`.

use std::io::Write;

use serde_json::Value;

use super::client::{Client, encoded};
use super::{Failure, Format, output};

/// Show what is known of a customer, what each analysis says, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue explain ada\n  habitue explain ada --format json | jq .scores")]
pub struct Args {
    /// The customer's id.
    customer: String,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: Client,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let path = format!("/api/v1/customers/{}", encoded(&self.customer));
        let found = self.client.get(&path)?.success()?;
        if self.format == Format::Json {
            return Ok(output::json(out, &found)?);
        }
        people(out, &found)?;
        Ok(())
    }
}

fn people(out: &mut dyn Write, found: &Value) -> std::io::Result<()> {
    let (profile, orders) = (&found["profile"], &found["orders"]);
    let currency = profile["currency"].as_str().unwrap_or("");
    let money = |minor: &Value| {
        let amount = format!("{:.2} {currency}", minor.as_f64().unwrap_or(0.0) / 100.0);
        amount.trim_end().to_owned()
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    writeln!(out, "{} (partition {})", text(&found["customer"]), found["partition"])?;
    writeln!(
        out,
        "  {} for {}, {}, {}, {} of which {} fraud",
        count(&profile["purchases"], "purchase"),
        money(&profile["amount_minor"]),
        count(&profile["refunds"], "refund"),
        count(&profile["engagements"], "engagement"),
        count(&profile["verdicts"], "verdict"),
        profile["frauds"]
    )?;
    if let (Some(gap), Some(silence)) = (orders["mean_gap_days"].as_f64(), orders["silence_days"].as_i64()) {
        writeln!(out, "  orders about every {gap:.0} days, silent for {silence}")?;
    }
    if !orders["usual_minor"].is_null() {
        writeln!(out, "  usually pays {}", money(&orders["usual_minor"]))?;
    }
    let list = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let score = |value: &Value, when: &str| {
        let number = value["value"].as_f64().unwrap_or(0.0);
        // A risk is a whole number of 1000, a probability is none.
        let number = if number.fract() == 0.0 { number.to_string() } else { format!("{number:.3}") };
        format!("{}{when}: {number} ({})", text(&value["analysis"]), text(&value["band"]))
    };
    for opinion in list("opinions") {
        writeln!(out, "{}", score(&opinion, " now"))?;
        reasons(out, &opinion)?;
    }
    for said in list("scores") {
        let about = said["event_id"].as_str().map_or_else(String::new, |event| format!(" on {event}"));
        writeln!(out, "{}", score(&said, &about))?;
        reasons(out, &said)?;
    }
    for alert in list("alerts") {
        writeln!(out, "alert on {}: risk {}", text(&alert["event_id"]), alert["risk"])?;
        reasons(out, &alert)?;
    }
    if list("scores").is_empty() && list("alerts").is_empty() {
        writeln!(out, "nothing was said of this customer lately")?;
    }
    for item in list("recommendations") {
        writeln!(out, "may want {}: {}", text(&item["item"]), text(&item["reason"]))?;
    }
    Ok(())
}

fn count(number: &Value, what: &str) -> String {
    format!("{number} {what}{}", if *number == 1 { "" } else { "s" })
}

fn reasons(out: &mut dyn Write, signal: &Value) -> std::io::Result<()> {
    for reason in signal["reasons"].as_array().into_iter().flatten() {
        writeln!(out, "  because {}", reason["text"].as_str().unwrap_or(""))?;
    }
    Ok(())
}
