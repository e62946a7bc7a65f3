//! Repeat purchases in an order log: what `evaluate orders` measures.
//!
//! [`OrderLog`] takes the file's rows and becomes customers with the days on which they ordered. A [`Cohort`] is
//! what is known of them at a split, and what they did in the days after it; [`bg_nbd()`] and [`baselines`] say how
//! well the one tells the other.

mod cohort;
mod log;
mod rated;

pub use cohort::{Cohort, Unit, Window};
pub use log::{CustomerDays, OrderLog, Row};
pub use rated::{Count, Rated, baselines, bg_nbd};

pub use crate::learn::bg_nbd::{Ending, Fit};

/// Days since 1970-01-01, in UTC.
pub type Day = i32;
