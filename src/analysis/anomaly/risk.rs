//! From what was measured to one risk with its reasons.
//!
//! Each component is a probability-like weight in [0, 1); the risk is 1000 (1 - product of the
//! complements), so components add up but never beyond certainty, and each is 0 where nothing is unusual.
//!
//! The components and their rough constants were chosen having seen the labels of the fraud handbook's
//! first 90 days, so the figures on those days are no hold-out evidence; only later days are.

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

struct Component {
    weight: f64,
    code: String,
    text: String,
    value: f64,
    usual: f64,
}

/// The risk in 0..=1000, and at most three reasons, strongest first.
pub(super) fn judge(seen: &Assessment, entities: &[EntityShare<'_>]) -> (u16, Vec<Reason>) {
    let mut components = vec![isolation(seen), amount(seen), amount_of_all(seen), velocity(seen)];
    components.extend(entities.iter().map(entity));
    let calm = components.iter().fold(1.0, |calm, component| calm * (1.0 - component.weight));
    let risk = (1000.0 * (1.0 - calm)).clamp(0.0, 1000.0) as u16;
    components.retain(|component| component.weight >= 0.05);
    // Stable, so that equal weights keep the order above.
    components.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    components.truncate(3);
    let reasons = components.into_iter().map(|component| Reason {
        code: component.code,
        text: component.text,
        value: component.value,
        usual: component.usual,
        weight: (1000.0 * component.weight) as u16,
    });
    (risk, reasons.collect())
}

/// Of a value that a share of 1 - `rank` of payments exceeds, 0 to 0.9: 0.2 for one in a hundred, 0.6 for one
/// in a thousand. Fraud is between one payment in a thousand and one in a hundred nearly everywhere, so a
/// value that one payment in a hundred has cannot be fraud for much more than a part of them.
fn tail(rank: f64) -> f64 {
    let surprise = -libm::log10((1.0 - rank).max(1e-6));
    (0.4 * (surprise - 1.5)).clamp(0.0, 0.9)
}

/// Half the weight of a single value's tail: what isolates a payment is mostly one of the others.
fn isolation(seen: &Assessment) -> Component {
    Component {
        weight: 0.5 * tail(seen.isolation_rank),
        code: "isolation".into(),
        text: format!("more unusual than {:.2} % of recent payments", 100.0 * seen.isolation_rank),
        value: seen.isolation_rank,
        usual: 0.5,
    }
}

/// Far above what the customer usually pays: by two standard deviations, half at four, or further than other
/// customers' payments lie above theirs.
fn amount(seen: &Assessment) -> Component {
    let usual = seen.usual_minor.unwrap_or(seen.amount_minor).max(1.0);
    let ratio = seen.amount_minor / usual;
    Component {
        weight: ramp(seen.amount_z, 2.0, 4.0, 0.9).max(tail(seen.amount_z_rank)),
        code: "amount_ratio".into(),
        text: format!("the amount is {ratio:.1} times the customer's usual"),
        value: seen.amount_minor,
        usual,
    }
}

/// A high amount for anybody.
fn amount_of_all(seen: &Assessment) -> Component {
    Component {
        weight: tail(seen.amount_rank),
        code: "amount_rank".into(),
        text: format!("a higher amount than {:.2} % of recent payments", 100.0 * seen.amount_rank),
        value: seen.amount_rank,
        usual: 0.5,
    }
}

/// From four payments in an hour on, measured against the customer's usual.
fn velocity(seen: &Assessment) -> Component {
    let surprise = f64::from(seen.payments_1h) - 2.0 * seen.usual_1h;
    Component {
        weight: ramp(surprise, 3.0, 6.0, 0.7),
        code: "velocity_1h".into(),
        text: format!("{} payments within an hour", seen.payments_1h),
        value: f64::from(seen.payments_1h),
        usual: seen.usual_1h,
    }
}

/// The share itself, from a few times the base rate on.
fn entity(entity: &EntityShare<'_>) -> Component {
    Component {
        weight: ((entity.share - 2.0 * entity.base).max(0.0) * 1.5).min(0.95),
        code: format!("entity_risk_{}", entity.kind),
        text: format!(
            "about {:.0} % of what lately went through {} {} was fraud",
            100.0 * entity.share,
            entity.kind,
            entity.name
        ),
        value: entity.share,
        usual: entity.base,
    }
}

/// 0 up to `from`, half of `most` at `half`, towards `most` beyond.
fn ramp(value: f64, from: f64, half: f64, most: f64) -> f64 {
    let above = (value - from).max(0.0) / (half - from);
    most * above / (1.0 + above)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (risk, reasons) = judge(&wild, &[share]);
        assert!(risk > 980, "{risk}");
        assert_eq!(reasons.len(), 3);
        assert_eq!(reasons[0].code, "entity_risk_terminal");
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
