//! Customers: what each is like, and for how long each stays.

use super::catalogue::{Catalogue, ItemNumber};
use super::draw::{chance, exponential, gamma, log_normal};
use super::season::{DAY_MS, Place};
use crate::event::TimeMs;
use crate::math::rng::Rng;
use crate::measure::workload::Zipf;

/// Things that are used up and bought again, at most.
pub(super) const HABITS: usize = 3;
/// Orders a day over all customers: gamma, as BG/NBD has it.
const RATE_SHAPE: f64 = 0.7;
const RATE_MEAN: f64 = 1.0 / 42.0;
/// Of how fast customers leave, gamma as well, so that some leave soon and some stay for years: Pareto/NBD's.
const LEAVING_SHAPE: f64 = 0.6;
const LEAVING_MEAN: f64 = 1.0 / 100.0;
/// Whoever stays longest.
const STAY_DAYS_MAX: f64 = 3_650.0;
/// The usual order of half of all customers is below this, in minor units; and how far customers lie apart.
const LEVEL_MINOR: f64 = 4_200.0;
const LEVEL_SIGMA: f64 = 0.55;
const COUNTRIES: [&str; 4] = ["DE", "AT", "CH", "NL"];

/// A customer of the shop.
#[derive(Debug, Clone)]
pub(super) struct Shopper {
    /// From 1, in the order of arrival.
    pub number: u32,
    /// Does nothing any more from here on.
    pub left_at_ms: TimeMs,
    /// Orders that come by themselves, beside what is used up.
    pub orders_a_day: f64,
    /// Visits without an order, for each order.
    pub browses: f64,
    /// Middle of the orders' amounts, in minor units.
    pub level_minor: f64,
    /// Share of orders in a branch.
    pub store_share: f64,
    pub likes: [u8; 3],
    pub tills: [u32; 2],
    pub country: &'static str,
    /// Counts cards: one that leaked is replaced.
    pub card: u32,
    /// Counts devices: old ones are replaced.
    pub device: u32,
    pub habits: [Option<Habit>; HABITS],
    /// Opens one newsletter in so many, as a share; 0 once unsubscribed.
    pub opens_mail: f64,
    /// What was looked at last and not bought.
    pub wanted: Option<ItemNumber>,
    pub is_new: bool,
}

/// Something that the customer has at home and uses up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habit {
    pub item: ItemNumber,
    pub interval_days: f64,
    pub due_ms: TimeMs,
}

impl Shopper {
    /// One who comes at `now_ms`; of those who have been there before the shop told of anybody, the ones that stay
    /// are over-represented.
    pub fn new(
        rng: &mut Rng,
        number: u32,
        now_ms: TimeMs,
        is_old: bool,
        catalogue: &Catalogue,
        tills: &Zipf,
    ) -> Shopper {
        let mut stay_days = stay_days(rng);
        while is_old && stay_days < 30.0 {
            stay_days = self::stay_days(rng);
        }
        let store_share = if chance(rng, 0.35) { 0.75 } else { 0.15 };
        Shopper {
            number,
            left_at_ms: now_ms + (stay_days * DAY_MS as f64) as TimeMs,
            orders_a_day: gamma(rng, RATE_SHAPE, RATE_MEAN).max(1e-4),
            browses: gamma(rng, 2.0, 0.9),
            level_minor: log_normal(rng, LEVEL_MINOR, LEVEL_SIGMA),
            store_share,
            likes: std::array::from_fn(|_| catalogue.any_category(rng, now_ms) as u8),
            tills: std::array::from_fn(|_| tills.sample(rng)),
            country: if chance(rng, 0.8) { COUNTRIES[0] } else { COUNTRIES[rng.below(4) as usize] },
            card: 1,
            device: 1,
            habits: [None; HABITS],
            opens_mail: if chance(rng, 0.6) { 0.25 * rng.uniform() } else { 0.0 },
            wanted: None,
            is_new: true,
        }
    }

    pub fn id(&self) -> String {
        format!("c-{:06}", self.number)
    }

    pub fn instrument(&self) -> String {
        format!("card-{:06}-{}", self.number, self.card)
    }

    pub fn device_name(&self) -> String {
        format!("device-{:06}-{}", self.number, self.device)
    }

    pub fn place(&self, rng: &mut Rng) -> Place {
        if chance(rng, self.store_share) { Place::Store } else { Place::Online }
    }

    /// When the next of what is used up is.
    pub fn due_ms(&self) -> Option<TimeMs> {
        self.habits.iter().flatten().map(|habit| habit.due_ms).min()
    }

    /// Things that are used up by then or shortly after.
    pub fn due_items(&self, now_ms: TimeMs) -> impl Iterator<Item = ItemNumber> {
        let until_ms = now_ms + 4 * DAY_MS;
        self.habits.iter().flatten().filter(move |habit| habit.due_ms <= until_ms).map(|habit| habit.item)
    }

    /// It was bought: what is used up may be bought again after its interval.
    pub fn bought(&mut self, rng: &mut Rng, item: ItemNumber, interval_days: Option<f64>, now_ms: TimeMs) {
        if self.wanted == Some(item) {
            self.wanted = None;
        }
        let Some(interval_days) = interval_days else { return };
        let next =
            |rng: &mut Rng, days: f64| now_ms + (log_normal(rng, days, 0.15) * DAY_MS as f64) as TimeMs;
        if let Some(habit) = self.habits.iter_mut().flatten().find(|habit| habit.item == item) {
            habit.due_ms = next(rng, habit.interval_days);
            return;
        }
        if let Some(free) = self.habits.iter_mut().find(|habit| habit.is_none())
            && chance(rng, 0.2)
        {
            // Some use more of it than others.
            let interval_days = log_normal(rng, interval_days, 0.3);
            *free = Some(Habit { item, interval_days, due_ms: next(rng, interval_days) });
        }
    }

    /// It was not bought though it was due: another brand, another shop. Some never come back to it.
    pub fn passed_by(&mut self, rng: &mut Rng, now_ms: TimeMs) {
        for slot in &mut self.habits {
            let Some(habit) = slot else { continue };
            if habit.due_ms > now_ms {
                continue;
            }
            habit.due_ms = now_ms + (habit.interval_days * DAY_MS as f64) as TimeMs;
            if chance(rng, 0.3) {
                *slot = None;
            }
        }
    }
}

/// Days from the first order to the leaving.
fn stay_days(rng: &mut Rng) -> f64 {
    let rate = gamma(rng, LEAVING_SHAPE, LEAVING_MEAN).max(1e-6);
    exponential(rng, 1.0 / rate).min(STAY_DAYS_MAX)
}
