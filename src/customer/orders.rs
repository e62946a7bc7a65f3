//! The days on which a customer ordered: what repeat-purchase models know of it.

use serde::{Deserialize, Serialize};

use crate::event::TimeMs;

pub const DAY_MS: TimeMs = 86_400_000;

/// Days before the last order day of which each is known.
const KNOWN_DAYS: u16 = 32;

/// Days of silence at which a customer is looked at; then every [`LOOK_EVERY_DAYS`].
const LOOK_DAYS: [u16; 11] = [1, 2, 4, 7, 14, 21, 30, 45, 60, 75, 90];
const LOOK_EVERY_DAYS: u16 = 30;

/// Days since 1970-01-01, in UTC, up to 2149.
pub fn day_of(time_ms: TimeMs) -> u16 {
    u16::try_from(time_ms.div_euclid(DAY_MS).clamp(0, i64::from(u16::MAX))).unwrap_or(u16::MAX)
}

/// Order days: UTC days with a purchase that is no refund, however many. All orders of one day are one.
///
/// Commutes for orders that come up to 31 days after a later one, which is far beyond any lateness. One that is
/// later still counts for nothing, unless it is the first of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// Order days so far.
    days: u32,
    /// Bit n: the day n days before the last one was an order day.
    known: u32,
    first_day: u16,
    last_day: u16,
}

impl Orders {
    /// An order of this day. True for the first of the day.
    pub fn add(&mut self, day: u16) -> bool {
        if self.days == 0 {
            *self = Orders { days: 1, known: 1, first_day: day, last_day: day };
            return true;
        }
        if day > self.last_day {
            self.known = self.known.checked_shl(u32::from(day - self.last_day)).unwrap_or(0) | 1;
            self.last_day = day;
        } else {
            let age = self.last_day - day;
            let bit = if age < KNOWN_DAYS { 1 << age } else { 0 };
            if self.known & bit != 0 || (bit == 0 && day >= self.first_day) {
                return false;
            }
            self.known |= bit;
        }
        self.first_day = self.first_day.min(day);
        self.days = self.days.saturating_add(1);
        true
    }

    /// None before the first order.
    pub fn first_day(&self) -> Option<u16> {
        (self.days > 0).then_some(self.first_day)
    }

    /// None before the first order.
    pub fn last_day(&self) -> Option<u16> {
        (self.days > 0).then_some(self.last_day)
    }

    /// The first day after this one on which the customer is looked at, if it stays silent; None before the first
    /// order.
    pub fn next_look(&self, day: u16) -> Option<u16> {
        let last_day = self.last_day()?;
        let silent_days = day.saturating_sub(last_day);
        let later = silent_days / LOOK_EVERY_DAYS * LOOK_EVERY_DAYS + LOOK_EVERY_DAYS;
        let look = LOOK_DAYS.into_iter().find(|look| *look > silent_days).unwrap_or(later);
        Some(last_day.saturating_add(look))
    }

    /// Order days after the first.
    pub fn repeats(&self) -> u32 {
        self.days.saturating_sub(1)
    }

    /// Days between two order days, on average; None without a repeat.
    pub fn mean_gap_days(&self) -> Option<f64> {
        (self.days > 1).then(|| f64::from(self.last_day - self.first_day) / f64::from(self.repeats()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the set of days, in an order that is disturbed by up to 31 days.
        #[test]
        fn order_days_are_the_set_of_days_in_any_order(days in prop::collection::vec((0_u16..400, 0_u16..15), 1..60)) {
            let mut days = days;
            days.sort_by_key(|(day, delay)| day + delay);
            let mut orders = Orders::default();
            let mut set = BTreeSet::new();
            for (day, _) in &days {
                prop_assert_eq!(orders.add(*day), set.insert(*day));
            }
            prop_assert_eq!(orders.first_day(), set.first().copied());
            prop_assert_eq!(orders.last_day(), set.last().copied());
            prop_assert_eq!(orders.repeats() as usize, set.len() - 1);
            let mut sorted = Orders::default();
            set.iter().for_each(|day| { sorted.add(*day); });
            prop_assert_eq!(orders, sorted);
        }
    }

    #[test]
    fn silence_is_looked_at_ever_more_seldom() {
        let mut orders = Orders::default();
        assert_eq!(orders.next_look(100), None);
        orders.add(100);
        let looks = std::iter::successors(Some(100), |day| orders.next_look(*day)).map(|day| day - 100);
        assert_eq!(
            looks.take(15).collect::<Vec<_>>(),
            [0, 1, 2, 4, 7, 14, 21, 30, 45, 60, 75, 90, 120, 150, 180]
        );
        assert_eq!((orders.next_look(99), orders.next_look(195)), (Some(101), Some(220)));
    }

    #[test]
    fn nothing_is_known_before_the_first_order_and_days_are_utc() {
        let mut orders = Orders::default();
        assert_eq!((orders.first_day(), orders.last_day(), orders.repeats()), (None, None, 0));
        assert!(orders.add(day_of(19_000 * DAY_MS)) && !orders.add(day_of(19_001 * DAY_MS - 1)));
        assert_eq!(orders.mean_gap_days(), None);
        assert!(orders.add(day_of(19_001 * DAY_MS)) && orders.add(19_004));
        assert_eq!((orders.repeats(), orders.mean_gap_days()), (2, Some(2.0)));
        // Too late to be told from one that is counted; and the first of all, which is.
        assert!(orders.add(19_100) && !orders.add(19_002) && orders.add(18_000));
        assert_eq!((orders.first_day(), orders.repeats()), (Some(18_000), 4));
        assert_eq!((day_of(-1), day_of(TimeMs::MAX)), (0, u16::MAX));
    }
}
