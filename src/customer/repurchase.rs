//! What a customer buys again and again: up to 20 items of 10 bytes.

use serde::{Deserialize, Serialize};

use super::orders::day_of;
use crate::event::TimeMs;
use crate::math::exact::Exact;

/// Items bought, each with its count, its first and its last day.
///
/// Days and counts commute: the same purchases in any order give the same entries, as long as no item had to go. A new
/// item of a full list takes the place of the one with the lowest [`Bought::score`] on that day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Repurchases {
    bought: Exact<Packed>,
    /// Purchases of all items, and those of an item that stood here already.
    purchases: u32,
    repeats: u32,
}

/// A [`Bought`] in 10 bytes: the item's halves, lower first, count, first day, last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Packed([u16; 5]);

impl From<Bought> for Packed {
    fn from(Bought { item, count, first_day, last_day }: Bought) -> Packed {
        Packed([item as u16, (item >> 16) as u16, count, first_day, last_day])
    }
}

impl From<Packed> for Bought {
    fn from(Packed([lower, upper, count, first_day, last_day]): Packed) -> Bought {
        Bought { item: u32::from(upper) << 16 | u32::from(lower), count, first_day, last_day }
    }
}

/// An item of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bought {
    /// As an index or a hash of its name.
    pub item: u32,
    /// Purchases, at least 1 and at most 65 535; two on one day are two.
    pub count: u16,
    /// Days since 1970.
    pub first_day: u16,
    pub last_day: u16,
}

impl Repurchases {
    /// Items remembered.
    pub const ITEMS_MAX: usize = 20;

    /// The item was bought. Call it once for an order, however many lines and units the order has.
    pub fn purchase(&mut self, item: u32, time_ms: TimeMs) {
        let day = day_of(time_ms);
        let known = self.bought.iter().position(|packed| Bought::from(*packed).item == item);
        self.purchases = self.purchases.saturating_add(1);
        self.repeats = self.repeats.saturating_add(u32::from(known.is_some()));
        let new = Bought { item, count: 1, first_day: day, last_day: day };
        let Some(place) = known else { return self.put(new) };
        let old = Bought::from(self.bought[place]);
        let (first_day, last_day) = (old.first_day.min(day), old.last_day.max(day));
        self.bought[place] = Bought { item, count: old.count.saturating_add(1), first_day, last_day }.into();
    }

    /// Share of the customer's purchases that are of an item bought before, 0 to 1: what was seen of the customer, and
    /// ten purchases of anybody's.
    pub fn share(&self) -> f64 {
        (f64::from(self.repeats) + 10.0 * REPEAT_SHARE) / (f64::from(self.purchases) + 10.0)
    }

    /// The items with their scores as of a moment, highest first, equal ones by item.
    pub fn ranked(&self, now_ms: TimeMs) -> Vec<(Bought, f64)> {
        let mut ranked: Vec<(Bought, f64)> = self.scored(now_ms).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.item.cmp(&b.0.item)));
        ranked
    }

    /// As [`Self::ranked`], in no order that means anything.
    pub fn scored(&self, now_ms: TimeMs) -> impl Iterator<Item = (Bought, f64)> {
        let day = day_of(now_ms);
        let bought = self.bought.iter().map(|packed| Bought::from(*packed));
        bought.map(move |bought| (bought, bought.score(day)))
    }

    /// Of the heap.
    pub fn bytes(&self) -> usize {
        self.bought.bytes()
    }

    /// A new item; in place of that of the lowest score where there is no room.
    fn put(&mut self, new: Bought) {
        if self.bought.len() < Self::ITEMS_MAX {
            return self.bought.push(new.into());
        }
        let score = |packed: &Packed| Bought::from(*packed).score(new.last_day);
        if let Some(lowest) = self.bought.iter_mut().min_by(|a, b| score(a).total_cmp(&score(b))) {
            *lowest = new.into();
        }
    }
}

/// Share of purchases of an item bought before, of a customer of whom nothing is known: 0.33 of the lines of a gift
/// shop with many business customers.
const REPEAT_SHARE: f64 = 0.3;
/// Of the rate at which a customer buys an item: shape, and scale in days.
const RATE_SHAPE: f64 = 1.0; // so that shapes are counts: see `power`
const RATE_DAYS: f64 = 90.0;
/// Of the chance that a purchase was the last of its item.
const LAST_A: f64 = 0.5;
const LAST_B: f64 = 1.0;

impl Bought {
    /// Mean days between two purchases; None before the second.
    pub fn interval_days(&self) -> Option<f64> {
        (self.count > 1).then(|| f64::from(self.last_day - self.first_day) / f64::from(self.count - 1))
    }

    /// Expected purchases a day, above 0: the rate so far, times the chance that the customer still buys the item,
    /// which falls once more days have gone by than between the purchases before.
    ///
    /// Source: the MBG/NBD model (Batislam, Denizel, Filiztekin, "Empirical Validation and Comparison of Models for
    /// Customer Base Analysis", 2007), for a customer and an item. Its four parameters are fixed: seven settings were
    /// level on the orders of a gift shop, and all of them better than counts, with or without decay.
    pub fn score(&self, day: u16) -> f64 {
        let repeats = f64::from(self.count.saturating_sub(1));
        let known_days = f64::from(self.last_day - self.first_day);
        let all_days = f64::from(day.max(self.last_day) - self.first_day);
        let shape = RATE_SHAPE + repeats;
        let silence = power((RATE_DAYS + all_days) / (RATE_DAYS + known_days), self.count.max(1));
        let still_buys = 1.0 / (1.0 + LAST_A / (LAST_B + repeats) * silence);
        // So long a silence that the chance is 0 still has an order: by the rate.
        shape / (RATE_DAYS + all_days) * still_buys.max(f64::MIN_POSITIVE)
    }
}

/// By squaring: a tenth of what a power of any exponent costs, and lists ask for twenty.
fn power(mut base: f64, mut exponent: u16) -> f64 {
    let mut power = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::customer::orders::DAY_MS;

    fn entries(list: &Repurchases) -> Vec<Bought> {
        let mut entries: Vec<Bought> = list.ranked(0).into_iter().map(|(bought, _)| bought).collect();
        entries.sort_by_key(|bought| bought.item);
        entries
    }

    proptest! {
        #[test]
        fn any_order_gives_the_counts_of_a_slow_list(
            purchases in proptest::collection::vec((0_u32..20, 0_i64..5_000), 1..120),
            turn in 0_usize..120,
        ) {
            let mut turned = purchases.clone();
            turned.rotate_left(turn % purchases.len());
            let mut list = Repurchases::default();
            turned.iter().for_each(|(item, day)| list.purchase(*item, day * DAY_MS + 77));
            let expected = (0..20).filter_map(|item| {
                let days = purchases.iter().filter(|p| p.0 == item).map(|p| p.1 as u16);
                Some(Bought {
                    item,
                    count: days.clone().count() as u16,
                    first_day: days.clone().min()?,
                    last_day: days.max()?,
                })
            });
            prop_assert_eq!(entries(&list), expected.collect::<Vec<_>>());
        }

        #[test]
        fn a_full_list_gives_up_its_lowest_score(
            purchases in proptest::collection::vec((0_u32..40, 0_i64..900), 200..300),
        ) {
            let (mut list, mut slow) = (Repurchases::default(), Vec::<Bought>::new());
            for (item, day) in purchases {
                list.purchase(item, day * DAY_MS);
                let day = day as u16;
                match slow.iter_mut().find(|bought| bought.item == item) {
                    Some(bought) => {
                        bought.count += 1;
                        bought.first_day = bought.first_day.min(day);
                        bought.last_day = bought.last_day.max(day);
                    }
                    None => {
                        let new = Bought { item, count: 1, first_day: day, last_day: day };
                        if slow.len() == Repurchases::ITEMS_MAX {
                            let scores = slow.iter().map(|bought| bought.score(day));
                            let lowest = scores.clone().fold(f64::INFINITY, f64::min);
                            let place = scores.into_iter().position(|score| score == lowest).unwrap();
                            slow[place] = new;
                        } else {
                            slow.push(new);
                        }
                    }
                }
            }
            slow.sort_by_key(|bought| bought.item);
            prop_assert_eq!(entries(&list), slow);
        }

        #[test]
        fn a_score_is_finite_and_above_zero(
            count in 1_u16.., first_day: u16, known_days: u16, silent_days: u16,
        ) {
            let last_day = first_day.saturating_add(known_days);
            let bought = Bought { item: 1, count, first_day, last_day };
            let score = bought.score(last_day.saturating_add(silent_days));
            prop_assert!(score.is_finite() && score > 0.0, "{bought:?}: {score}");
        }
    }

    #[test]
    fn frequency_recency_and_the_own_interval_count() {
        let bought = |count, first_day, last_day| Bought { item: 1, count, first_day, last_day };
        assert_eq!(bought(4, 100, 190).interval_days(), Some(30.0));
        assert_eq!(bought(1, 100, 100).interval_days(), None);
        // More often, and more lately.
        assert!(bought(5, 100, 300).score(310) > bought(2, 100, 300).score(310));
        assert!(bought(5, 100, 300).score(310) > bought(5, 0, 200).score(310));
        // Weekly and silent for ten weeks says more than monthly and silent for ten weeks.
        let (weekly, monthly) = (bought(11, 0, 70), bought(3, 0, 60));
        assert!(weekly.score(71) > monthly.score(71));
        assert!(weekly.score(140) / weekly.score(71) < 0.5 * monthly.score(140) / monthly.score(71));
        // Worked out apart from this code: (1+2)/(90+130) / (1 + 0.5/3 · (220/150)^3).
        assert!((bought(3, 0, 60).score(130) - 0.008_937_03).abs() < 1e-8, "{}", bought(3, 0, 60).score(130));
    }

    #[test]
    fn it_is_small_and_far_times_are_no_fault() {
        let mut list = Repurchases::default();
        list.purchase(0, TimeMs::MIN);
        list.purchase(0, TimeMs::MAX);
        assert_eq!(entries(&list), [Bought { item: 0, count: 2, first_day: 0, last_day: u16::MAX }]);
        assert_eq!((size_of::<Repurchases>(), list.bytes()), (24, 10));
        let stored = postcard::to_allocvec(&list).unwrap();
        assert_eq!(postcard::from_bytes::<Repurchases>(&stored).unwrap(), list);
    }
}
