//! How fast and for how much the customer pays: exact recent payments, day buckets, own baseline.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::days::Days;
use super::orders::day_of;
use crate::event::TimeMs;
use crate::math::exact::Exact;

const RECENT: usize = 16;

/// Payments (not refunds). Sums of amounts are in minor units.
///
/// Recent payments and days commute: late payments within them find their place. Windows up to 24 h are exact up to
/// 16 payments; beyond, counts come from whole UTC days. It takes no more room than there are payments, 314 bytes of the
/// heap at most.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Velocity {
    /// The last 16 payments by event time, oldest first.
    recent: Exact<Payment>,
    days: Days,
    pub baseline: Baseline,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Payment {
    time_s: u32,
    amount_minor: f32,
}

/// Running mean and variance of the logarithm of the customer's payments, the newest 64 weighing most,
/// and a sketch of where was paid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub payments: u32,
    log_amount_mean: f32,
    log_amount_var: f32,
    /// One bit per hash of a terminal paid at.
    terminals: u64,
}

impl Velocity {
    /// The last 16 payments, oldest first: event time in ms, cut to seconds, and amount in minor units.
    pub fn payments(&self) -> impl Iterator<Item = (TimeMs, f64)> {
        let payments = self.recent.iter();
        payments.map(|payment| (i64::from(payment.time_s) * 1000, f64::from(payment.amount_minor)))
    }

    pub(super) fn payment(&mut self, time_ms: TimeMs, amount_minor: i64, terminal: Option<&str>) {
        let amount_minor = amount_minor as f32;
        self.remember(Payment { time_s: seconds(time_ms), amount_minor });
        self.days.payment(day_of(time_ms), amount_minor);
        self.baseline.payment(amount_minor, terminal);
    }

    fn remember(&mut self, payment: Payment) {
        let at = self.recent.partition_point(|other| other.time_s <= payment.time_s);
        if self.recent.len() < RECENT {
            self.recent.insert(at, payment);
        } else if at > 0 {
            self.recent[..at].rotate_left(1);
            self.recent[at - 1] = payment;
        }
    }

    /// Of the heap.
    pub fn bytes(&self) -> usize {
        self.recent.bytes() + self.days.cells.bytes()
    }

    /// Payments in (now - window, now], and the sum of their amounts in minor units. Exact up to 24 h
    /// and 16 payments.
    pub fn within(&self, now_ms: TimeMs, window_ms: TimeMs) -> (u32, f64) {
        let now_s = seconds(now_ms);
        let window_s = u32::try_from(window_ms / 1000).unwrap_or(u32::MAX);
        let from_s = now_s.saturating_sub(window_s);
        self.recent
            .iter()
            .filter(|payment| payment.time_s > from_s && payment.time_s <= now_s)
            .fold((0, 0.0), |(count, sum), payment| (count + 1, sum + f64::from(payment.amount_minor)))
    }

    /// Payments in the UTC day of `now_ms` and the `days - 1` before it, and the sum of their amounts.
    pub fn within_days(&self, now_ms: TimeMs, days: u8) -> (u32, f64) {
        self.days.within(day_of(now_ms), days)
    }

    /// Seconds since the newest payment at or before `now_ms`; None where there is none.
    pub fn gap_seconds(&self, now_ms: TimeMs) -> Option<u32> {
        let now_s = seconds(now_ms);
        self.recent.iter().rev().find(|p| p.time_s <= now_s).map(|p| now_s - p.time_s)
    }
}

impl Baseline {
    fn payment(&mut self, amount_minor: f32, terminal: Option<&str>) {
        self.payments = self.payments.saturating_add(1);
        let rate = 1.0 / f64::from(self.payments.min(64));
        let delta = log_amount(f64::from(amount_minor)) - f64::from(self.log_amount_mean);
        self.log_amount_mean += (rate * delta) as f32;
        self.log_amount_var = ((1.0 - rate) * (f64::from(self.log_amount_var) + rate * delta * delta)) as f32;
        if let Some(terminal) = terminal {
            self.terminals |= terminal_bit(terminal);
        }
    }

    /// Usual amount in minor units (the geometric mean), None before the first payment.
    pub fn usual_minor(&self) -> Option<f64> {
        (self.payments > 0).then(|| libm::expm1(f64::from(self.log_amount_mean)))
    }

    /// How many standard deviations of log amount the amount lies above the usual; the deviation is
    /// taken as at least 0.2, and shrunk towards 0.7 while the customer is new. 0 for the first payment.
    pub fn amount_z(&self, amount_minor: i64) -> f64 {
        if self.payments == 0 {
            return 0.0;
        }
        let n = f64::from(self.payments.min(64));
        let var = (n * f64::from(self.log_amount_var) + 3.0 * 0.49) / (n + 3.0);
        (log_amount(amount_minor as f64) - f64::from(self.log_amount_mean)) / libm::sqrt(var).max(0.2)
    }

    /// Whether the terminal may have been paid at before; wrong "yes" in n/64 of cases, never a wrong "no".
    pub fn may_know(&self, terminal: &str) -> bool {
        self.terminals & terminal_bit(terminal) != 0
    }
}

fn log_amount(amount_minor: f64) -> f64 {
    libm::log1p(amount_minor.max(0.0))
}

fn terminal_bit(terminal: &str) -> u64 {
    1 << (xxh3_64(terminal.as_bytes()) % 64)
}

/// Whole seconds since the epoch, within 1970..2106.
fn seconds(time_ms: TimeMs) -> u32 {
    u32::try_from(time_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::customer::orders::DAY_MS;

    proptest! {
        /// Against the slow definition over the whole list, late payments included.
        #[test]
        fn windows_equal_their_batch_definition(
            payments in prop::collection::vec((0_i64..20 * DAY_MS, 1_i64..100_000), 1..16),
            now in 0_i64..25 * DAY_MS,
        ) {
            let base = 1_600_000_000_000 / DAY_MS * DAY_MS;
            let mut velocity = Velocity::default();
            for (time, amount) in &payments {
                velocity.payment(base + time, *amount, None);
            }
            let hours = velocity.within(base + now, 24 * 3_600_000);
            let slow = payments.iter().filter(|(t, _)| t / 1000 <= now / 1000 && t / 1000 > now / 1000 - 86_400);
            prop_assert_eq!(hours.0 as usize, slow.clone().count());
            prop_assert!((hours.1 - slow.map(|(_, a)| *a as f64).sum::<f64>()).abs() < 1.0);
            let days = velocity.within_days(base + now, 7);
            let slow = payments.iter().filter(|(t, _)| (0..7).contains(&(now / DAY_MS - t / DAY_MS)));
            prop_assert_eq!(days.0 as usize, slow.count());
        }

        #[test]
        fn order_does_not_matter(mut payments in prop::collection::vec((1_i64..DAY_MS, 1_i64..1000), 1..40)) {
            let fold = |payments: &[(i64, i64)]| {
                let mut velocity = Velocity::default();
                payments.iter().for_each(|(time, amount)| velocity.payment(*time, *amount, None));
                (velocity.within(DAY_MS, DAY_MS).0, velocity.within_days(DAY_MS, 31).0, velocity.gap_seconds(DAY_MS))
            };
            let forward = fold(&payments);
            payments.reverse();
            prop_assert_eq!(forward, fold(&payments));
        }
    }
}
