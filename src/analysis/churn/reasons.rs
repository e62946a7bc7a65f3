//! Why a score is what it is: what the model would have said had one thing been otherwise.

use super::features::{REFUNDS, UNSUBSCRIBED, mean_gap_days, set_timing, summary};
use super::model::Model;
use crate::customer::Customer;
use crate::customer::orders::DAY_MS;
use crate::event::TimeMs;
use crate::signal::Reason;
use crate::signal::fact::ChurnMoment;

const REASONS_MAX: usize = 3;

/// At most three, strongest first. The weight is how far the probability would be from what it is, in thousandths:
/// without the silence; with a first order in place of all; had the customer not unsubscribed, or returned nothing.
pub(super) fn reasons(model: &Model, customer: &Customer, moment: &ChurnMoment) -> Vec<Reason> {
    let chance = |moment: &ChurnMoment| model.probability(&summary(moment), &moment.features);
    let now = chance(moment);
    let mut ordered = moment.clone();
    ordered.time_ms = TimeMs::from(moment.last_day) * DAY_MS;
    ordered.is_order = true;
    set_timing(&mut ordered);
    let when_ordered = chance(&ordered);
    let mut first = ChurnMoment { repeats: 0, first_day: moment.last_day, ..ordered };
    set_timing(&mut first);
    let when_first = chance(&first);
    let otherwise = |feature: usize| {
        let mut other = moment.clone();
        other.features[feature] = 0.0;
        now - chance(&other)
    };
    let mut reasons =
        vec![orders(model, moment, if moment.repeats == 0 { when_first } else { when_ordered - when_first })];
    if !moment.is_order {
        reasons.push(silence(model, moment, now - when_ordered));
    }
    let profile = &customer.profile;
    if profile.unsubscribed {
        let text = "has unsubscribed".to_owned();
        reasons.push(reason("unsubscribed", text, [1.0, 0.0], otherwise(UNSUBSCRIBED)));
    }
    if profile.refunds > 0 {
        let text =
            format!("{} beside {}", count(profile.refunds, "refund"), count(profile.purchases, "order"));
        let share = f64::from(moment.features[REFUNDS]);
        reasons.push(reason("refunds", text, [share, 0.0], otherwise(REFUNDS)));
    }
    reasons.retain(|reason| reason.weight > 0);
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.weight));
    reasons.truncate(REASONS_MAX);
    reasons
}

/// Usual is what a customer of the mean rate would have ordered by now.
fn orders(model: &Model, moment: &ChurnMoment, difference: f64) -> Reason {
    let (days, age_days) = (moment.repeats + 1, summary(moment).age());
    let text = if moment.repeats == 0 {
        "only one order so far".to_owned()
    } else {
        format!("ordered {} in {}", count(days, "time"), count(age_days as u32, "day"))
    };
    let usual = 1.0 + age_days * model.bg_nbd.r / model.bg_nbd.alpha;
    reason("orders", text, [f64::from(days), usual], difference)
}

/// Usual is the customer's own gap; before the second order, that of a customer of the mean rate.
fn silence(model: &Model, moment: &ChurnMoment, difference: f64) -> Reason {
    let known = summary(moment);
    let silence_days = known.age() - known.recency();
    let mut text = format!("no order for {}", count(silence_days as u32, "day"));
    let own = mean_gap_days(moment);
    if let Some(gap_days) = own {
        text += &match libm::round(gap_days) as u32 {
            0 | 1 => ", usually every day".to_owned(),
            days => format!(", usually every {days}"),
        };
    }
    let usual = own.unwrap_or(model.bg_nbd.alpha / model.bg_nbd.r);
    reason("silence", text, [silence_days, usual], difference)
}

fn reason(code: &str, text: String, [value, usual]: [f64; 2], difference: f64) -> Reason {
    let weight = libm::round(libm::fabs(difference) * 1000.0).min(1000.0) as u16;
    Reason { code: code.to_owned(), text, value, usual, weight }
}

fn count(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
