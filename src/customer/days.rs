//! Payments by day over a month.

use serde::{Deserialize, Serialize};

use crate::math::exact::Exact;

const DAYS: u16 = 31;

/// Payments and amounts of the UTC days that had any, of the 31 that end with the newest. 6 bytes a day.
///
/// Commutes: a late payment falls into its day, and for nothing where that is no longer one of the 31.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Days {
    /// Of the days that had payments, newest first.
    pub cells: Exact<Cell>,
    /// Bit n: the day n days before the newest had payments.
    known: u32,
    newest: u16,
}

/// Payments of a day, and their sum in minor units: the bits of a float, lower half first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    payments: u16,
    amount: [u16; 2],
}

impl Cell {
    fn amount_minor(self) -> f32 {
        let [lower, upper] = self.amount.map(u32::from);
        f32::from_bits(upper << 16 | lower)
    }

    fn add(&mut self, amount_minor: f32) {
        let bits = (self.amount_minor() + amount_minor).to_bits();
        self.payments = self.payments.saturating_add(1);
        self.amount = [bits as u16, (bits >> 16) as u16];
    }
}

impl Days {
    /// `day`: days since 1970.
    pub fn payment(&mut self, day: u16, amount_minor: f32) {
        if day > self.newest {
            self.known =
                self.known.checked_shl(u32::from(day - self.newest)).unwrap_or(0) & ((1 << DAYS) - 1);
            self.newest = day;
            self.cells.truncate(self.known.count_ones() as usize);
        }
        let ago = self.newest - day;
        if ago >= DAYS {
            return;
        }
        let at = (self.known & ((1 << ago) - 1)).count_ones() as usize;
        if self.known & (1 << ago) == 0 {
            self.known |= 1 << ago;
            self.cells.insert(at, Cell { payments: 0, amount: [0; 2] });
        }
        self.cells[at].add(amount_minor);
    }

    /// Payments of this day and the `days - 1` before it, and the sum of their amounts in minor units.
    pub fn within(&self, today: u16, days: u8) -> (u32, f64) {
        let agos = (0..DAYS).filter(|ago| self.known & (1 << ago) != 0);
        let is_within = |day: u16| today.checked_sub(day).is_some_and(|ago| ago < days.into());
        let cells = agos.zip(&*self.cells).filter(|(ago, _)| is_within(self.newest - ago));
        cells.fold((0, 0.0), |(count, sum), (_, cell)| {
            (count + u32::from(cell.payments), sum + f64::from(cell.amount_minor()))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is late by up to 40 days falls into its day, or out of the 31 that end with the newest.
        #[test]
        fn equal_a_slow_list_over_months(
            payments in prop::collection::vec((0_u16..200, 0_u16..40, 1_u16..1000), 1..150),
            days in 1_u8..40,
            ahead in 0_u16..5,
        ) {
            let mut payments = payments;
            payments.sort_by_key(|(day, delay, _)| day + delay);
            let mut sums = Days::default();
            let (mut slow, mut newest) = (Vec::new(), 0);
            for (day, _, amount) in &payments {
                sums.payment(*day, f32::from(*amount));
                newest = newest.max(*day);
                slow.push((*day, *amount));
                slow.retain(|(day, _)| newest - day < DAYS);
            }
            let within = slow.iter().filter(|(day, _)| newest + ahead - day < days.into());
            let (count, sum) = sums.within(newest + ahead, days);
            prop_assert_eq!(count as usize, within.clone().count());
            prop_assert_eq!(sum, within.map(|(_, amount)| f64::from(*amount)).sum::<f64>());
            let known: std::collections::BTreeSet<u16> = slow.iter().map(|(day, _)| *day).collect();
            prop_assert_eq!(sums.cells.bytes(), known.len() * 6);
        }
    }

    #[test]
    fn the_first_and_the_last_of_all_days_are_days() {
        let mut days = Days::default();
        days.payment(0, 3.0);
        assert_eq!(days.within(0, 31), (1, 3.0));
        days.payment(u16::MAX, 4.0);
        days.payment(0, 3.0);
        assert_eq!((days.within(u16::MAX, 31), days.within(0, 31)), ((1, 4.0), (0, 0.0)));
    }
}
