//! From what was measured to one risk with its reasons.
//!
//! Each component is a probability-like weight in [0, 1); the risk is 1000 (1 - product of the
//! complements), so components add up but never beyond certainty, and each is 0 where nothing is unusual.
//!
//! The components and their rough constants were chosen having seen the labels of the fraud handbook's
//! first 90 days and of the demo's first twelve seeds, so the figures on those are no hold-out evidence; only
//! later days and other seeds are.

use crate::signal::Reason;

/// What one payment looks like, from state only.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Assessment {
    /// Of the forest's scores lately, the share at or below this payment's, in [0, 1].
    pub isolation_rank: f64,
    /// Of the amounts lately, of everybody, the share at or below this payment's, in [0, 1].
    pub amount_rank: f64,
    /// The same of everybody's `amount_z`.
    pub amount_z_rank: f64,
    /// Standard deviations of log amount above the customer's usual.
    pub amount_z: f64,
    pub amount_minor: f64,
    /// None before the customer's first payment.
    pub usual_minor: Option<f64>,
    /// Payments of the last hour, this one included, and the customer's usual number per hour.
    pub payments_1h: u32,
    pub usual_1h: f64,
}

/// A confirmed-fraud share of something the payment went through.
pub(super) struct EntityShare<'a> {
    /// "terminal" or "instrument".
    pub kind: &'static str,
    pub name: &'a str,
    /// In [0, 1], shrunk towards the base rate while verdicts are few.
    pub share: f64,
    pub base: f64,
}

/// Weight of a tail that mostly comes with another: what isolates a payment is mostly one of the others, and what is
/// high for anybody is mostly high for its customer.
const SEEN_OTHERWISE: f64 = 0.8;

/// What weighs less is no reason.
const REASON_WEIGHT_MIN: f64 = 0.05;

/// What may make a payment risky.
enum Component<'a> {
    Isolation,
    Amount,
    AmountOfAll,
    Velocity,
    Entity(&'a EntityShare<'a>),
}

fn components<'a>(entities: &'a [EntityShare<'a>]) -> impl Iterator<Item = Component<'a>> {
    let of_payment = [Component::Isolation, Component::Amount, Component::AmountOfAll, Component::Velocity];
    of_payment.into_iter().chain(entities.iter().map(Component::Entity))
}

/// In 0..=1000.
pub(super) fn risk(seen: &Assessment, entities: &[EntityShare<'_>]) -> u16 {
    let calm = components(entities).fold(1.0, |calm, component| calm * (1.0 - component.weight(seen)));
    (1000.0 * (1.0 - calm)).clamp(0.0, 1000.0) as u16
}

/// At most three, strongest first. `isolated_by` says what isolates the payment most, in words; it is asked only where
/// that is among them.
pub(super) fn reasons(
    seen: &Assessment,
    entities: &[EntityShare<'_>],
    isolated_by: impl Fn() -> &'static str,
) -> Vec<Reason> {
    let weighed = components(entities).map(|component| (component.weight(seen), component));
    let mut weighed: Vec<(f64, Component<'_>)> =
        weighed.filter(|(weight, _)| *weight >= REASON_WEIGHT_MIN).collect();
    // Stable, so that equal weights keep the order above.
    weighed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    weighed.truncate(3);
    weighed.into_iter().map(|(weight, component)| component.reason(seen, weight, &isolated_by)).collect()
}

/// Of a value that a share of 1 - `rank` of payments exceeds, 0 to 0.9: 0.2 for one in a hundred, 0.6 for one
/// in a thousand. Fraud is between one payment in a thousand and one in a hundred nearly everywhere, so a
/// value that one payment in a hundred has cannot be fraud for much more than a part of them.
fn tail(rank: f64) -> f64 {
    let surprise = -libm::log10((1.0 - rank).max(1e-6));
    (0.4 * (surprise - 1.5)).clamp(0.0, 0.9)
}

impl Component<'_> {
    /// In [0, 1); 0 where nothing is unusual.
    fn weight(&self, seen: &Assessment) -> f64 {
        match self {
            Component::Isolation => SEEN_OTHERWISE * tail(seen.isolation_rank),
            // Far above what the customer usually pays: by two standard deviations, half at four, or further than
            // other customers' payments lie above theirs.
            Component::Amount => {
                ramp(seen.amount_z, 2.0, 4.0, 0.9).max(SEEN_OTHERWISE * tail(seen.amount_z_rank))
            }
            // A high amount for anybody.
            Component::AmountOfAll => tail(seen.amount_rank),
            // From four payments in an hour on, measured against the customer's usual.
            Component::Velocity => ramp(f64::from(seen.payments_1h) - 2.0 * seen.usual_1h, 3.0, 6.0, 0.7),
            // The share itself, from a few times the base rate on.
            Component::Entity(entity) => ((entity.share - 2.0 * entity.base).max(0.0) * 1.5).min(0.95),
        }
    }

    fn reason(&self, seen: &Assessment, weight: f64, isolated_by: &impl Fn() -> &'static str) -> Reason {
        let usual_minor = seen.usual_minor.unwrap_or(seen.amount_minor).max(1.0);
        let (code, text, value, usual) = match self {
            Component::Isolation => {
                let mut text =
                    format!("more unusual than {} of recent payments", percent(seen.isolation_rank));
                match isolated_by() {
                    "" => {}
                    by => text += &format!(", mostly by {by}"),
                }
                ("isolation".to_owned(), text, seen.isolation_rank, 0.5)
            }
            Component::Amount => {
                let ratio = seen.amount_minor / usual_minor;
                let text = format!("the amount is {ratio:.1} times the customer's usual");
                ("amount_ratio".to_owned(), text, seen.amount_minor, usual_minor)
            }
            Component::AmountOfAll => {
                let text = format!("a higher amount than {} of recent payments", percent(seen.amount_rank));
                ("amount_rank".to_owned(), text, seen.amount_rank, 0.5)
            }
            Component::Velocity => {
                let text = format!("{} payments within an hour", seen.payments_1h);
                ("velocity_1h".to_owned(), text, f64::from(seen.payments_1h), seen.usual_1h)
            }
            Component::Entity(EntityShare { kind, name, share, base }) => {
                let share_percent = 100.0 * share;
                let text =
                    format!("about {share_percent:.0} % of what lately went through {kind} {name} was fraud");
                (format!("entity_risk_{kind}"), text, *share, *base)
            }
        };
        Reason { code, text, value, usual, weight: (1000.0 * weight) as u16 }
    }
}

/// A rank in words; ten thousand payments are as many as are compared.
fn percent(rank: f64) -> String {
    format!("{:.2} %", (100.0 * rank).min(99.99))
}

/// 0 up to `from`, half of `most` at `half`, towards `most` beyond.
fn ramp(value: f64, from: f64, half: f64, most: f64) -> f64 {
    let above = (value - from).max(0.0) / (half - from);
    most * above / (1.0 + above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(seen: &Assessment, entities: &[EntityShare<'_>]) -> (u16, Vec<Reason>) {
        (risk(seen, entities), reasons(seen, entities, || ""))
    }

    #[test]
    fn nothing_unusual_is_no_risk_and_everything_is_nearly_certain() {
        let calm = Assessment { isolation_rank: 0.5, payments_1h: 1, usual_1h: 0.1, ..Assessment::default() };
        assert_eq!(judge(&calm, &[]), (0, Vec::new()));
        let wild = Assessment {
            isolation_rank: 1.0,
            amount_rank: 0.999,
            amount_z_rank: 0.999,
            amount_z: 12.0,
            amount_minor: 90_000.0,
            usual_minor: Some(1_000.0),
            payments_1h: 20,
            usual_1h: 0.1,
        };
        let share = EntityShare { kind: "terminal", name: "T", share: 0.9, base: 0.01 };
        let (risk, said) = judge(&wild, &[share]);
        assert!(risk > 980, "{risk}");
        assert_eq!(said.len(), 3);
        assert_eq!(said[0].code, "entity_risk_terminal");
        let alone = Assessment { isolation_rank: 1.0, ..Assessment::default() };
        let said = reasons(&alone, &[], || "the hour");
        assert_eq!(said[0].text, "more unusual than 99.99 % of recent payments, mostly by the hour");
        reasons(&calm, &[], || panic!("it is asked though nothing isolates the payment"));
    }

    #[test]
    fn a_tail_weighs_by_how_rare_it_is() {
        let expected = [(0.5, 0.0), (0.95, 0.0), (0.99, 0.2), (0.999, 0.6), (1.0, 0.9)];
        for (rank, weight) in expected {
            assert!((tail(rank) - weight).abs() < 1e-9, "{rank}: {}", tail(rank));
        }
        let high = Assessment { amount_rank: 0.999, ..Assessment::default() };
        let (risk, reasons) = judge(&high, &[]);
        assert!((599..=600).contains(&risk), "{risk}");
        assert_eq!(reasons[0].code, "amount_rank");
    }

    #[test]
    fn risk_grows_with_every_component() {
        let mut last = 0;
        for z in 0..20 {
            let seen = Assessment { amount_z: f64::from(z), isolation_rank: 0.95, ..Assessment::default() };
            let (risk, _) = judge(&seen, &[]);
            assert!(risk >= last);
            last = risk;
        }
        assert!(last > 500);
    }
}
