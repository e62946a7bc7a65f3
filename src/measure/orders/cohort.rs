//! Customers at a split: what was known of them, and what they did then.

use super::Day;
use super::log::CustomerDays;
use crate::learn::bg_nbd::{Fit, Summary, fit};

/// The days after a split in which customers are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The last day of which is known.
    pub split: Day,
    /// Days after it.
    pub horizon_days: u32,
}

impl Window {
    /// The last day that must have been observed.
    pub fn end(&self) -> Day {
        self.split.saturating_add_unsigned(self.horizon_days)
    }
}

/// The unit of time in which parameters are told. It changes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Days,
    Weeks,
}

impl Unit {
    pub fn days(self) -> f64 {
        match self {
            Unit::Days => 1.0,
            Unit::Weeks => 7.0,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Unit::Days => "days",
            Unit::Weeks => "weeks",
        }
    }
}

/// Customers who had ordered by the split, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    pub customers: Vec<Vec<u8>>,
    /// At the end of the split's day, in `unit`.
    pub summaries: Vec<Summary>,
    /// Orders of each up to the split, and within the window.
    pub n_before: Vec<u32>,
    pub n_after: Vec<u32>,
    pub unit: Unit,
    /// In `unit`.
    pub horizon: f64,
    /// Customers of the file who had not ordered by the split, and are not measured.
    pub n_later: usize,
}

impl Cohort {
    pub fn new(log: Vec<CustomerDays>, window: Window, unit: Unit) -> Cohort {
        let mut cohort = Cohort {
            customers: Vec::new(),
            summaries: Vec::new(),
            n_before: Vec::new(),
            n_after: Vec::new(),
            unit,
            horizon: f64::from(window.horizon_days) / unit.days(),
            n_later: 0,
        };
        for CustomerDays { customer, days } in log {
            let n_before = days.partition_point(|day| *day <= window.split);
            let n_until_end = days.partition_point(|day| *day <= window.end());
            let (Some(first), Some(last)) = (days[..n_before].first(), days[..n_before].last()) else {
                cohort.n_later += 1;
                continue;
            };
            let time = |from: Day, to: Day| (f64::from(to) - f64::from(from)) / unit.days();
            let summary = Summary::new(n_before as u32 - 1, time(*first, *last), time(*first, window.split));
            cohort.customers.push(customer);
            cohort.summaries.push(summary);
            cohort.n_before.push(n_before as u32);
            cohort.n_after.push((n_until_end - n_before) as u32);
        }
        cohort
    }

    pub fn len(&self) -> usize {
        self.summaries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.summaries.is_empty()
    }

    /// The model of these customers, from what was known of them at the split.
    pub fn fit(&self) -> Fit {
        fit(&self.summaries, None)
    }

    /// Whether a customer ordered nothing in the window: what churn means here.
    pub fn churned(&self, customer: usize) -> bool {
        self.n_after[customer] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_belongs_to_the_past_and_the_window_ends_with_its_last_day() {
        let log = [("a", vec![1, 8, 10, 11, 24, 25]), ("b", vec![11]), ("c", vec![10])];
        let log = log.map(|(name, days)| CustomerDays { customer: name.into(), days }).to_vec();
        let window = Window { split: 10, horizon_days: 14 };
        let cohort = Cohort::new(log, window, Unit::Weeks);
        assert_eq!((window.end(), cohort.n_later, cohort.horizon), (24, 1, 2.0));
        assert_eq!((&cohort.n_before[..], &cohort.n_after[..]), (&[3, 1][..], &[2, 0][..]));
        assert_eq!(cohort.summaries[0], Summary::new(2, 9.0 / 7.0, 9.0 / 7.0));
        assert_eq!(cohort.summaries[1], Summary::new(0, 0.0, 0.0));
        assert!(!cohort.churned(0) && cohort.churned(1));
    }
}
