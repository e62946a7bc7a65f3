//! How fast and for how much the customer pays: exact recent payments, day buckets, own baseline.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::orders::DAY_MS;
use crate::event::TimeMs;

const RECENT: usize = 16;
const DAYS: usize = 31;

/// Payments (not refunds). Sums of amounts are in minor units.
///
/// Recent payments and day buckets commute: late payments within the ring find their place. Windows
/// up to 24 h are exact up to 16 payments; beyond, counts come from whole UTC days.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Velocity {
    /// The last 16 payments by event time, oldest first; unused entries have `time_s` 0.
    recent: [Payment; RECENT],
    /// Payments and amounts of whole UTC days ending with `day`, newest first. Two arrays hold them without gaps.
    day_payments: [u16; DAYS],
    day_amounts_minor: [f32; DAYS],
    day: i32,
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
    pub(super) fn payment(&mut self, time_ms: TimeMs, amount_minor: i64, terminal: Option<&str>) {
        let amount = amount_minor as f32;
        self.remember(Payment { time_s: seconds(time_ms), amount_minor: amount });
        let day = day_of(time_ms);
        if day > self.day {
            let gap = usize::try_from(day - self.day).unwrap_or(DAYS).min(DAYS);
            self.day_payments.copy_within(0..DAYS - gap, gap);
            self.day_payments[..gap].fill(0);
            self.day_amounts_minor.copy_within(0..DAYS - gap, gap);
            self.day_amounts_minor[..gap].fill(0.0);
            self.day = day;
        }
        if let Some(age) = usize::try_from(self.day - day).ok().filter(|age| *age < DAYS) {
            self.day_payments[age] = self.day_payments[age].saturating_add(1);
            self.day_amounts_minor[age] += amount;
        }
        self.baseline.payment(amount, terminal);
    }

    fn remember(&mut self, payment: Payment) {
        if payment.time_s < self.recent[0].time_s {
            return;
        }
        self.recent[0] = payment;
        let mut at = 0;
        while at + 1 < RECENT && self.recent[at + 1].time_s <= payment.time_s {
            self.recent.swap(at, at + 1);
            at += 1;
        }
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
        let today = day_of(now_ms);
        let buckets = self.day_payments.iter().zip(&self.day_amounts_minor);
        (0_i32..).zip(buckets).fold((0, 0.0), |(count, sum), (age, (payments, amount_minor))| {
            let days_ago = today - (self.day - age);
            if days_ago < 0 || days_ago >= i32::from(days) {
                return (count, sum);
            }
            (count + u32::from(*payments), sum + f64::from(*amount_minor))
        })
    }

    /// Seconds since the newest payment at or before `now_ms`; None where there is none.
    pub fn gap_seconds(&self, now_ms: TimeMs) -> Option<u32> {
        let now_s = seconds(now_ms);
        self.recent.iter().rev().find(|p| p.time_s != 0 && p.time_s <= now_s).map(|p| now_s - p.time_s)
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

fn day_of(time_ms: TimeMs) -> i32 {
    i32::try_from(time_ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
