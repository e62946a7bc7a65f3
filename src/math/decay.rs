//! Sums that fade with event time, whatever the order in which events arrive.
//!
//! Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, 2009): an event at time t weighs 2^((t - L) / h), with h
//! the half-life and L a landmark. What was added is never touched again; only a reader divides by its own
//! weight. So additions commute up to rounding, and a late event gets the weight it would have had in time.
//! Here L is always the start of the half-life that holds the newest event: weights stay within [0, 2), and
//! moving L multiplies by a power of two, which is exact.

use serde::{Deserialize, Serialize};

/// The time in which a weight halves, in milliseconds of event time; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HalfLife {
    ms: i64,
}

impl HalfLife {
    /// Less than one millisecond counts as one.
    pub const fn from_ms(ms: i64) -> Self {
        Self { ms: if ms < 1 { 1 } else { ms } }
    }

    pub const fn from_days(days: i64) -> Self {
        Self::from_ms(days.saturating_mul(86_400_000))
    }

    pub fn ms(self) -> i64 {
        self.ms
    }

    /// Which half-life since 1970 holds `time_ms`.
    fn epoch(self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.ms)
    }

    /// Half-lives from the start of `epoch` to `time_ms`; negative for earlier times.
    fn since(self, epoch: i64, time_ms: i64) -> f64 {
        let whole = self.epoch(time_ms).saturating_sub(epoch) as f64;
        whole + time_ms.rem_euclid(self.ms) as f64 / self.ms as f64
    }
}

/// The landmark of a decayed statistic: the half-life that holds its newest event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Landmark {
    epoch: i64,
}

impl Landmark {
    /// The weight of an event at `time_ms`, and the factor by which everything kept must be multiplied first.
    /// `is_first` says that nothing is kept yet.
    pub(crate) fn weigh(&mut self, half_life: HalfLife, time_ms: i64, is_first: bool) -> (f64, f64) {
        let epoch = half_life.epoch(time_ms);
        let mut factor = 1.0;
        if is_first {
            self.epoch = epoch;
        } else if epoch > self.epoch {
            factor = power_of_two(self.epoch.saturating_sub(epoch));
            self.epoch = epoch;
        }
        (libm::exp2(half_life.since(self.epoch, time_ms)), factor)
    }

    /// What turns kept weights into weights as seen at `now_ms`. An event newer than `now_ms` then counts more
    /// than once; the exponent is capped at 64 half-lives so that nothing overflows.
    pub(crate) fn seen_at(self, half_life: HalfLife, now_ms: i64) -> f64 {
        libm::exp2(-half_life.since(self.epoch, now_ms).max(-64.0))
    }

    /// Moves to the later of two landmarks; the factors for what each of them kept.
    pub(crate) fn meet(&mut self, other: Self) -> (f64, f64) {
        let epoch = self.epoch.max(other.epoch);
        let factors =
            (power_of_two(self.epoch.saturating_sub(epoch)), power_of_two(other.epoch.saturating_sub(epoch)));
        self.epoch = epoch;
        factors
    }
}

/// 2^exponent for an exponent of 0 or below; 0 where a float has no such value.
fn power_of_two(exponent: i64) -> f64 {
    libm::ldexp(1.0, exponent.max(-2000) as i32)
}

/// A count or sum in which each event's part halves every half-life. 16 bytes.
///
/// The half-life is an argument of every call and must be the same one each time: it is a setting of the owner,
/// and storing it in millions of records would double them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DecayedSum {
    landmark: Landmark,
    /// In weights of the landmark.
    sum: f64,
}

impl DecayedSum {
    /// Adds `amount` at `time_ms`, in any order of times. A NaN or infinite amount is refused: false.
    pub fn add(&mut self, half_life: HalfLife, time_ms: i64, amount: f64) -> bool {
        if !amount.is_finite() {
            return false;
        }
        let (weight, factor) = self.landmark.weigh(half_life, time_ms, self.sum == 0.0);
        self.sum = (self.sum * factor + weight * amount).clamp(-f64::MAX, f64::MAX);
        true
    }

    /// The sum as seen at `now_ms`: an event of that moment counts in full, one a half-life older by half.
    pub fn at(&self, half_life: HalfLife, now_ms: i64) -> f64 {
        (self.sum * self.landmark.seen_at(half_life, now_ms)).clamp(-f64::MAX, f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(half_life: HalfLife, now_ms: i64, events: &[(i64, f64)]) -> f64 {
        let weigh = |t: i64| libm::exp2((t - now_ms) as f64 / half_life.ms() as f64);
        events.iter().map(|(t, amount)| weigh(*t) * amount).sum()
    }

    proptest! {
        #[test]
        fn any_order_gives_the_batch_sum(
            events in proptest::collection::vec((0_i64..4_000_000, 0.0..1e6_f64), 1..60),
            half_life_ms in 1_i64..900_000,
            turn in 0_usize..60,
        ) {
            let half_life = HalfLife::from_ms(half_life_ms);
            let now = events.iter().map(|e| e.0).max().unwrap() + 10;
            let expected = batch(half_life, now, &events);
            let mut turned = events.clone();
            turned.rotate_left(turn % events.len());
            let mut sum = DecayedSum::default();
            for (t, amount) in &turned {
                prop_assert!(sum.add(half_life, *t, *amount));
            }
            let got = sum.at(half_life, now);
            prop_assert!((got - expected).abs() <= 1e-9 * expected.max(1e-300), "{got} {expected}");
        }
    }

    #[test]
    fn a_half_life_halves_and_ten_years_do_not_overflow() {
        let half_life = HalfLife::from_ms(1000);
        let mut sum = DecayedSum::default();
        sum.add(half_life, 5_500, 8.0);
        assert!((sum.at(half_life, 6_500) - 4.0).abs() < 1e-12);
        sum.add(half_life, 315_360_000_000, 1.0);
        assert!((sum.at(half_life, 315_360_000_000) - 1.0).abs() < 1e-12);
        assert_eq!(sum.at(half_life, i64::MAX), 0.0);
        assert!(sum.at(half_life, i64::MIN).is_finite());
        assert!(!sum.add(half_life, 0, f64::NAN) && !sum.add(half_life, 0, f64::INFINITY));
    }
}
