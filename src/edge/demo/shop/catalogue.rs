//! What is sold: items in categories, some of them used up, some of them bought together.

use super::draw::{chance, log_normal, of_weights};
use super::season::{DAY_MS, day_of_year, days_apart};
use crate::event::{Line, TimeMs};
use crate::math::rng::{Rng, mix};
use crate::measure::workload::Zipf;

/// Items that are bought together.
const GROUP: usize = 4;
/// A category's item of the week is picked this often instead of one by popularity.
const ITEM_OF_THE_WEEK: f64 = 0.08;
/// How far prices of a category lie apart, as a logarithm.
const PRICE_SIGMA: f64 = 0.45;

/// A category as it is written down here.
struct Kind {
    name: &'static str,
    /// The middle of its prices, in minor units.
    price_minor: f64,
    /// Days until an item of it is used up; 0 where it is not.
    interval_days: f64,
    /// Share of what is picked before the season, in no unit.
    weight: f64,
    /// Day of the year when most is sold, and how much more; 0 where it has no season.
    peak_day: f64,
    peak: f64,
}

const fn kind(
    name: &'static str,
    price_minor: f64,
    interval_days: f64,
    weight: f64,
    (peak_day, peak): (f64, f64),
) -> Kind {
    Kind { name, price_minor, interval_days, weight, peak_day, peak }
}

/// Neighbours in pairs have groups in common: coffee and tea, garden and tools.
const KINDS: [Kind; 24] = [
    kind("coffee", 900.0, 21.0, 9.0, (0.0, 0.0)),
    kind("tea", 500.0, 35.0, 5.0, (345.0, 0.6)),
    kind("pet-food", 1_800.0, 28.0, 8.0, (0.0, 0.0)),
    kind("pet-care", 1_200.0, 50.0, 3.0, (0.0, 0.0)),
    kind("detergent", 1_100.0, 40.0, 7.0, (0.0, 0.0)),
    kind("cleaning", 600.0, 30.0, 6.0, (95.0, 0.5)),
    kind("baby-care", 1_600.0, 18.0, 5.0, (0.0, 0.0)),
    kind("toys", 2_200.0, 0.0, 5.0, (345.0, 3.0)),
    kind("cosmetics", 1_900.0, 45.0, 6.0, (345.0, 0.8)),
    kind("vitamins", 1_700.0, 30.0, 5.0, (20.0, 0.7)),
    kind("kitchen", 2_800.0, 0.0, 5.0, (340.0, 0.7)),
    kind("bakeware", 1_500.0, 0.0, 3.0, (335.0, 1.5)),
    kind("bedding", 4_500.0, 0.0, 3.0, (15.0, 0.6)),
    kind("lighting", 3_600.0, 0.0, 3.0, (310.0, 0.8)),
    kind("garden", 2_400.0, 0.0, 4.0, (125.0, 3.0)),
    kind("tools", 4_000.0, 0.0, 3.0, (120.0, 0.8)),
    kind("books", 1_400.0, 0.0, 6.0, (345.0, 1.2)),
    kind("stationery", 700.0, 60.0, 4.0, (240.0, 1.5)),
    kind("sport", 3_900.0, 0.0, 4.0, (10.0, 0.9)),
    kind("outdoor", 5_500.0, 0.0, 3.0, (165.0, 1.5)),
    kind("shoes", 6_500.0, 0.0, 4.0, (270.0, 0.4)),
    kind("bags", 4_800.0, 0.0, 2.0, (235.0, 0.6)),
    kind("audio", 7_500.0, 0.0, 2.0, (340.0, 1.4)),
    kind("electronics", 14_000.0, 0.0, 2.0, (335.0, 1.6)),
];

/// Categories that a thief can sell on.
const SOLD_ON: [usize; 5] = [8, 20, 21, 22, 23];

/// Number of an item, from 0.
pub(super) type ItemNumber = u32;

/// Every item, fixed for the shop's life; 40 bytes and a name each.
#[derive(Debug, Clone)]
pub(super) struct Catalogue {
    items: Vec<Item>,
    /// Items in groups, a group after the other.
    grouped: Vec<ItemNumber>,
    /// Popularity within a category; all have equally many.
    ranks: Zipf,
    in_category: u32,
    seed: u64,
}

#[derive(Debug, Clone)]
struct Item {
    name: String,
    price_minor: i64,
    /// 0 where it is not used up.
    interval_days: f64,
    /// Its place in `grouped`.
    place: u32,
}

impl Catalogue {
    pub const CATEGORIES: usize = KINDS.len();

    /// `in_category` items of each, at least 1.
    pub fn new(rng: &mut Rng, in_category: u32) -> Catalogue {
        let in_category = in_category.clamp(1, 100_000);
        let mut items = Vec::new();
        for kind in &KINDS {
            for rank in 0..in_category {
                let price = log_normal(rng, kind.price_minor, PRICE_SIGMA);
                let interval_days =
                    if kind.interval_days > 0.0 { log_normal(rng, kind.interval_days, 0.25) } else { 0.0 };
                items.push(Item {
                    name: format!("{}-{:03}", kind.name, rank + 1),
                    // Prices end in 9, as prices do.
                    price_minor: (price / 10.0) as i64 * 10 + 9,
                    interval_days,
                    place: 0,
                });
            }
        }
        let mut grouped: Vec<ItemNumber> = (0..items.len() as u32).collect();
        // Groups are of two neighbouring categories.
        grouped.chunks_mut(2 * in_category as usize).for_each(|pair| shuffle(rng, pair));
        for (place, item) in (0..).zip(&grouped) {
            items[*item as usize].place = place;
        }
        Catalogue { items, grouped, ranks: Zipf::new(in_category, 0.9), in_category, seed: rng.next_u64() }
    }

    pub fn name(&self, item: ItemNumber) -> &str {
        &self.items[item as usize].name
    }

    pub fn category(&self, item: ItemNumber) -> &'static str {
        self.category_name((item / self.in_category) as usize)
    }

    pub fn category_name(&self, category: usize) -> &'static str {
        KINDS[category].name
    }

    pub fn price_minor(&self, item: ItemNumber) -> i64 {
        self.items[item as usize].price_minor
    }

    /// Days until it is used up; None where it is not.
    pub fn interval_days(&self, item: ItemNumber) -> Option<f64> {
        Some(self.items[item as usize].interval_days).filter(|days| *days > 0.0)
    }

    /// A line of an order or a refund.
    pub fn line(&self, item: ItemNumber, quantity: i64) -> Line<'static> {
        Line {
            item: self.name(item).to_owned().into(),
            category: Some(self.category(item).into()),
            quantity,
            unit_price_minor: self.price_minor(item),
        }
    }

    /// A category by what is in season.
    pub fn any_category(&self, rng: &mut Rng, time_ms: TimeMs) -> usize {
        let day = day_of_year(time_ms);
        let weight = |kind: &Kind| {
            let apart = days_apart(day, kind.peak_day) / 30.0;
            kind.weight * (1.0 + kind.peak * libm::exp(-0.5 * apart * apart))
        };
        of_weights(rng, &KINDS.each_ref().map(weight))
    }

    /// An item of the category by popularity; now and then the week's.
    pub fn item_of(&self, rng: &mut Rng, category: usize, time_ms: TimeMs) -> ItemNumber {
        let first = category as u32 * self.in_category;
        if chance(rng, ITEM_OF_THE_WEEK) {
            let week = time_ms.div_euclid(7 * DAY_MS).cast_unsigned();
            let hash = mix(self.seed ^ mix(week ^ mix(category as u64)));
            return first + (hash % u64::from(self.in_category)) as u32;
        }
        first + self.ranks.sample(rng)
    }

    /// Another item of the same category.
    pub fn alike(&self, rng: &mut Rng, item: ItemNumber, time_ms: TimeMs) -> ItemNumber {
        self.item_of(rng, (item / self.in_category) as usize, time_ms)
    }

    /// One that is bought with it; itself in a group of one.
    pub fn together(&self, rng: &mut Rng, item: ItemNumber) -> ItemNumber {
        let place = self.items[item as usize].place as usize;
        let group = self.grouped.chunks(GROUP).nth(place / GROUP).unwrap_or(&[]);
        let other = rng.below(group.len().saturating_sub(1) as u64) as usize;
        let own = place % GROUP;
        group.get(other + usize::from(other >= own)).copied().unwrap_or(item)
    }

    /// Whether the two are of one group.
    #[cfg(test)]
    pub fn is_together(&self, a: ItemNumber, b: ItemNumber) -> bool {
        let group = |item: ItemNumber| self.items[item as usize].place as usize / GROUP;
        group(a) == group(b)
    }

    /// One that a thief takes.
    pub fn sold_on(&self, rng: &mut Rng, time_ms: TimeMs) -> ItemNumber {
        let category = SOLD_ON[rng.below(SOLD_ON.len() as u64) as usize];
        self.item_of(rng, category, time_ms)
    }
}

/// Fisher and Yates.
fn shuffle(rng: &mut Rng, items: &mut [ItemNumber]) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.below(at as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_of_two_categories_and_everybody_is_in_one() {
        let mut rng = Rng::seeded(&[1]);
        let catalogue = Catalogue::new(&mut rng, 30);
        let items = 30 * Catalogue::CATEGORIES as u32;
        for item in 0..items {
            let other = catalogue.together(&mut rng, item);
            assert!(other != item && other < items);
            assert_eq!(other / 60, item / 60, "the pair of categories");
            let places = [item, other].map(|item| catalogue.items[item as usize].place as usize / GROUP);
            assert_eq!(places[0], places[1]);
        }
    }

    #[test]
    fn toys_are_picked_before_christmas_and_garden_in_spring() {
        let mut rng = Rng::seeded(&[2]);
        let catalogue = Catalogue::new(&mut rng, 10);
        // The first of May and the fifth of December 2026.
        let mut shares = [1_777_593_600_000, 1_796_428_800_000].map(|time_ms: TimeMs| {
            let mut counts = [0.0; Catalogue::CATEGORIES];
            (0..20_000).for_each(|_| counts[catalogue.any_category(&mut rng, time_ms)] += 1.0 / 20_000.0);
            ["toys", "garden"].map(|name| counts[KINDS.iter().position(|k| k.name == name).unwrap_or(0)])
        });
        let [[spring_toys, spring_garden], [winter_toys, winter_garden]] = &mut shares;
        assert!(*winter_toys > 2.0 * *spring_toys, "{spring_toys} {winter_toys}");
        assert!(*spring_garden > 2.0 * *winter_garden, "{spring_garden} {winter_garden}");
    }
}
