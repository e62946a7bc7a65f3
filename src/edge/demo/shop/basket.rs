//! What ends up in a basket: things that are wanted, for about as much as the customer spends.

use super::catalogue::{Catalogue, ItemNumber};
use super::draw::chance;
use crate::event::TimeMs;
use crate::math::rng::Rng;

/// Lines of a basket at most.
const LINES_MAX: usize = 8;

/// An item and how often.
pub(super) type Picked = (ItemNumber, i64);

/// Of what is wanted, best first and at least one, as much as the amount allows; then more that goes with it, until
/// about the amount is there. `likes` are categories.
pub(super) fn fill(
    rng: &mut Rng,
    catalogue: &Catalogue,
    wanted: &[ItemNumber],
    likes: &[u8],
    amount_minor: f64,
    time_ms: TimeMs,
) -> Vec<Picked> {
    let mut basket: Vec<Picked> = Vec::new();
    let mut sum = 0.0;
    let add = |basket: &mut Vec<Picked>, sum: &mut f64, item: ItemNumber, most: f64| {
        let price = catalogue.price_minor(item) as f64;
        let is_new = basket.iter().all(|(other, _)| *other != item);
        if is_new && basket.len() < LINES_MAX && *sum + price <= most {
            basket.push((item, 1));
            *sum += price;
        }
    };
    for item in wanted {
        add(&mut basket, &mut sum, *item, 1.3 * amount_minor);
    }
    if basket.is_empty() {
        // All is dear to this customer: the cheapest it is.
        let cheapest = wanted.iter().min_by_key(|item| catalogue.price_minor(**item));
        basket.extend(cheapest.map(|item| (*item, 1)));
        sum = basket.iter().map(|(item, _)| catalogue.price_minor(*item) as f64).sum();
    }
    for _ in 0..14 {
        if sum >= 0.8 * amount_minor || basket.is_empty() {
            break;
        }
        let line = rng.below(basket.len() as u64) as usize;
        let item = basket[line].0;
        let price = catalogue.price_minor(item) as f64;
        if chance(rng, 0.35) {
            add(&mut basket, &mut sum, catalogue.together(rng, item), 1.2 * amount_minor);
        } else if catalogue.interval_days(item).is_some() && basket[line].1 < 6 && chance(rng, 0.5) {
            if sum + price <= 1.2 * amount_minor {
                basket[line].1 += 1;
                sum += price;
            }
        } else if let Some(category) = likes.get(rng.below(likes.len() as u64) as usize) {
            let item = catalogue.item_of(rng, usize::from(*category), time_ms);
            add(&mut basket, &mut sum, item, 1.2 * amount_minor);
        }
    }
    basket
}

/// What a thief takes for about this amount: few things that can be sold on.
pub(super) fn grab(rng: &mut Rng, catalogue: &Catalogue, amount_minor: f64, time_ms: TimeMs) -> Vec<Picked> {
    let price = |item: ItemNumber| catalogue.price_minor(item) as f64;
    let quantity = |item| libm::round(amount_minor / price(item)).clamp(1.0, 5.0);
    let tries: Vec<ItemNumber> = (0..6).map(|_| catalogue.sold_on(rng, time_ms)).collect();
    let miss = |item: &ItemNumber| libm::fabs(amount_minor - quantity(*item) * price(*item));
    let nearest = tries.into_iter().min_by(|a, b| miss(a).total_cmp(&miss(b)));
    nearest.into_iter().map(|item| (item, quantity(item) as i64)).collect()
}
