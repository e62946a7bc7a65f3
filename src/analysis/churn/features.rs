//! What is known of a customer at a moment, as numbers.

use super::FEATURES;
use crate::customer::Customer;
use crate::customer::orders::DAY_MS;
use crate::event::TimeMs;
use crate::learn::bg_nbd::Summary;
use crate::signal::fact::ChurnMoment;

/// Numbers that follow from the moment's own order days; they stand first.
const TIMING: usize = 6;
/// Places of other features.
pub(super) const REFUNDS: usize = 8;
pub(super) const UNSUBSCRIBED: usize = 11;

/// The moment of a customer, who has ordered; the order that it is about is in the record already. None where there
/// is no order. No probability yet.
pub(super) fn moment(
    customer: &Customer,
    partition: u32,
    time_ms: TimeMs,
    is_order: bool,
) -> Option<ChurnMoment> {
    let mut moment = ChurnMoment {
        // The lower half of the key.
        customer: customer.key() as u64,
        partition,
        time_ms,
        is_order,
        repeats: customer.orders.repeats(),
        first_day: customer.orders.first_day()?,
        last_day: customer.orders.last_day()?,
        features: vec![f32::NAN; FEATURES],
        probability: f32::NAN,
    };
    set_timing(&mut moment);
    let profile = &customer.profile;
    let (purchases, refunds) = (f64::from(profile.purchases), f64::from(profile.refunds));
    let session = &customer.session;
    let visited_days = (time_ms - session.last_ms).max(0) as f64 / DAY_MS as f64;
    let rest = [
        // 6: payments of the last 31 days, this one's included.
        libm::log1p(f64::from(customer.velocity.within_days(time_ms, 31).0)),
        // 7: amount of a purchase on average, in minor units.
        libm::log1p((profile.amount_minor as f64 / purchases).max(0.0)),
        // 8: refunds among purchases and refunds.
        refunds / (purchases + refunds),
        // 9: engagements so far.
        libm::log1p(f64::from(profile.engagements)),
        // 10: days since the last of them.
        if session.sessions > 0 { libm::log1p(visited_days) } else { f64::NAN },
        // 11: has unsubscribed.
        f64::from(profile.unsubscribed),
    ];
    moment.features[TIMING..].copy_from_slice(&rest.map(|x| x as f32));
    Some(moment)
}

/// Sets the features that follow from the order days and the time of the moment.
pub(super) fn set_timing(moment: &mut ChurnMoment) {
    let summary = summary(moment);
    let silence_days = summary.age() - summary.recency();
    let gap_days = mean_gap_days(moment).unwrap_or(f64::NAN);
    let timing: [f64; TIMING] = [
        // 0: order days after the first.
        libm::log1p(f64::from(moment.repeats)),
        // 1: days since the first order.
        libm::log1p(summary.age()),
        // 2: days since the last order day.
        libm::log1p(silence_days),
        // 3: the same beside the customer's own gap: 0 on an order day, 1/2 when an order is due, then towards 1.
        silence_days / (silence_days + gap_days),
        // 4: days between two order days on average; NaN before the second.
        libm::log1p(gap_days),
        // 5: a look in silence.
        f64::from(!moment.is_order),
    ];
    moment.features[..TIMING].copy_from_slice(&timing.map(|x| x as f32));
}

/// What BG/NBD knows of the customer at the moment, in days.
pub fn summary(moment: &ChurnMoment) -> Summary {
    super::model::summary(moment.repeats, moment.first_day, moment.last_day, moment.time_ms)
}

/// Days between two order days, on average; None before the second.
pub(super) fn mean_gap_days(moment: &ChurnMoment) -> Option<f64> {
    (moment.repeats > 0).then(|| summary(moment).recency() / f64::from(moment.repeats))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(time_day: i64, is_order: bool, repeats: u32) -> ChurnMoment {
        let features = vec![f32::NAN; FEATURES];
        let (time_ms, probability) = (time_day * DAY_MS + 5, f32::NAN);
        ChurnMoment {
            customer: 1,
            partition: 0,
            time_ms,
            is_order,
            repeats,
            first_day: 100,
            last_day: 130,
            features,
            probability,
        }
    }

    #[test]
    fn timing_is_counted_in_days() {
        let mut silent = moment(145, false, 2);
        set_timing(&mut silent);
        assert_eq!(summary(&silent), Summary::new(2, 30.0, 45.0));
        let expected = [3_f32.ln(), 46_f32.ln(), 16_f32.ln(), 0.5, 16_f32.ln(), 1.0];
        silent.features.iter().zip(expected).for_each(|(x, y)| assert!((x - y).abs() < 1e-6, "{x} {y}"));
        let mut order = moment(130, true, 2);
        set_timing(&mut order);
        assert_eq!((order.features[2], order.features[3], order.features[5]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn what_is_not_known_is_missing_and_nothing_is_infinite() {
        let mut once = ChurnMoment { first_day: 130, ..moment(130, true, 0) };
        set_timing(&mut once);
        assert!(once.features[3].is_nan() && once.features[4].is_nan());
        // An order that comes late.
        let mut late = moment(129, true, 2);
        set_timing(&mut late);
        assert_eq!((summary(&late), late.features[2]), (Summary::new(2, 30.0, 30.0), 0.0));
        let customer = Customer::new("c");
        assert_eq!(super::moment(&customer, 0, 0, false), None);
    }
}
