//! Visits: a few looks, a cart, and then maybe an order.

use super::Shop;
use super::agenda::Due;
use super::basket::{Picked, fill};
use super::catalogue::{Catalogue, ItemNumber};
use super::draw::{chance, exponential, log_normal, poisson};
use super::order::{Buyer, Means};
use super::shopper::Shopper;
use super::{Occurrence, Truth};
use crate::event::{Engagement, EngagementKind, Event, TimeMs};

/// Share of visitors by arm `b` of the experiment who order though they only came to look: its true effect.
const ARM_B_ORDERS: f64 = 0.04;
const EXPERIMENT: &str = "short-checkout";
/// Amount of a guest's order, middle, in minor units.
const GUEST_LEVEL_MINOR: f64 = 3_800.0;

/// A visit under way.
struct Walk {
    /// The customer's id or the visitor's.
    id: String,
    session: String,
    left_at_ms: Option<TimeMs>,
    time_ms: TimeMs,
    likes: Vec<u8>,
    seen: Vec<ItemNumber>,
}

impl Shop {
    /// A customer's visit now, to order or to look.
    pub(super) fn visit(&mut self, slot: u32, orders: bool) {
        let Some(mut shopper) = self.people.get(slot).cloned() else { return };
        let is_arm_b = shopper.number.is_multiple_of(2);
        let orders = orders || is_arm_b && chance(&mut self.rng, ARM_B_ORDERS);
        let likes = shopper.likes.to_vec();
        let mut walk = self.walk(shopper.id(), Some(shopper.left_at_ms), likes);
        if shopper.is_new && chance(&mut self.rng, 0.3) {
            // Looks around as a visitor, and is known from here on.
            let visitor = std::mem::replace(&mut walk.id, format!("v-{:07}", self.visits));
            self.look(&mut walk, None, 1);
            let visitor = std::mem::replace(&mut walk.id, visitor);
            self.step(&mut walk, EngagementKind::Identify, None, |e| e.anonymous_id = Some(visitor.into()));
        } else if chance(&mut self.rng, 0.4) {
            self.step(&mut walk, EngagementKind::Login, None, |_| {});
        }
        if shopper.is_new {
            let arm = if is_arm_b { "b" } else { "a" };
            self.step(&mut walk, EngagementKind::ExperimentExposure, None, |e| {
                (e.experiment, e.variant) = (Some(EXPERIMENT.into()), Some(arm.into()));
            });
        }
        let due: Vec<ItemNumber> = if orders { shopper.due_items(self.now_ms).collect() } else { Vec::new() };
        let again = shopper.wanted.filter(|_| chance(&mut self.rng, 0.5));
        let views = 1 + poisson(&mut self.rng, if orders { 1.6 } else { 2.2 });
        self.look(&mut walk, again, views);
        if orders {
            let amount_minor = self.amount_minor(shopper.level_minor);
            let basket = self.cart(&mut walk, &due, amount_minor);
            if chance(&mut self.rng, 0.02) {
                shopper.device += 1;
            }
            let means = self.online(&shopper);
            self.check_out(&walk, &Buyer::from(&shopper), &basket, means);
            self.bought(&mut shopper, &basket);
        } else {
            shopper.wanted = walk.seen.last().copied();
            self.maybe_cart(&mut walk);
        }
        shopper.is_new = false;
        if let Some(there) = self.people.get_mut(slot) {
            *there = shopper;
        }
    }

    /// A customer's order in a branch, now. Nobody sees what was looked at there.
    pub(super) fn branch(&mut self, slot: u32) {
        let Some(mut shopper) = self.people.get(slot).cloned() else { return };
        let mut wanted: Vec<ItemNumber> = shopper.due_items(self.now_ms).collect();
        let likes = shopper.likes.to_vec();
        for _ in 0..1 + poisson(&mut self.rng, 1.0) {
            wanted.push(self.next_item(&likes, wanted.last().copied()));
        }
        let amount_minor = self.amount_minor(shopper.level_minor);
        let Shop { rng, catalogue, now_ms, .. } = self;
        let basket = fill(rng, catalogue, &wanted, &likes, amount_minor, *now_ms);
        let means = self.at_till(&shopper);
        self.pay(&Buyer::from(&shopper), self.now_ms, &basket, means, None);
        self.bought(&mut shopper, &basket);
        if let Some(there) = self.people.get_mut(slot) {
            *there = shopper;
        }
    }

    /// Somebody whom nobody knows looks around, and may order as a guest.
    pub(super) fn guest(&mut self) {
        let likes = vec![self.catalogue.any_category(&mut self.rng, self.now_ms) as u8];
        let mut walk = self.walk(String::new(), None, likes);
        walk.id = format!("v-{:07}", self.visits);
        let views = 1 + poisson(&mut self.rng, 2.0);
        self.look(&mut walk, None, views);
        if !chance(&mut self.rng, 0.45) {
            return self.maybe_cart(&mut walk);
        }
        let level_minor = log_normal(&mut self.rng, GUEST_LEVEL_MINOR, 0.55);
        let amount_minor = self.amount_minor(level_minor);
        let basket = self.cart(&mut walk, &[], amount_minor);
        let means = Means {
            instrument: format!("card-g{:07}", self.visits),
            channel: "web",
            till: None,
            device: Some(self.new_device()),
            country: if chance(&mut self.rng, 0.9) { "DE" } else { self.abroad() },
        };
        let buyer = Buyer { id: None, left_at_ms: None, level_minor };
        self.check_out(&walk, &buyer, &basket, means);
    }

    fn bought(&mut self, shopper: &mut Shopper, basket: &[Picked]) {
        for (item, _) in basket {
            let interval_days = self.catalogue.interval_days(*item);
            shopper.bought(&mut self.rng, *item, interval_days, self.now_ms);
        }
    }

    fn walk(&mut self, id: String, left_at_ms: Option<TimeMs>, likes: Vec<u8>) -> Walk {
        self.visits += 1;
        let session = format!("s-{:07}", self.visits);
        Walk { id, session, left_at_ms, time_ms: self.now_ms, likes, seen: Vec::new() }
    }

    /// Some views: from one item to one bought with it, to one like it, or to something else.
    fn look(&mut self, walk: &mut Walk, first: Option<ItemNumber>, views: u32) {
        if first.is_none() && chance(&mut self.rng, 0.2) {
            let category = usize::from(walk.likes[0]);
            let query = self.catalogue.category_name(category);
            self.step(walk, EngagementKind::Search, None, |e| e.query = Some(query.into()));
        }
        let mut next = first;
        for _ in 0..views.min(30) {
            let item = match next.take() {
                Some(item) => item,
                None => self.next_item(&walk.likes, walk.seen.last().copied()),
            };
            let seconds = libm::round(exponential(&mut self.rng, 30.0)) + 1.0;
            self.step(walk, EngagementKind::View, Some(item), |e| e.duration_seconds = Some(seconds));
            walk.time_ms += (1_000.0 * seconds) as TimeMs;
            walk.seen.push(item);
            match self.rng.below(100) {
                0..6 => self.step(walk, EngagementKind::Click, Some(item), |_| {}),
                6..10 => self.step(walk, EngagementKind::Wishlist, Some(item), |_| {}),
                _ => {}
            }
        }
    }

    /// What is looked at after the item.
    fn next_item(&mut self, likes: &[u8], before: Option<ItemNumber>) -> ItemNumber {
        let Shop { rng, catalogue, now_ms, .. } = self;
        match (before, rng.below(100)) {
            (Some(item), 0..35) => catalogue.together(rng, item),
            (Some(item), 35..70) => catalogue.alike(rng, item, *now_ms),
            _ => {
                let liked = likes.get(rng.below(likes.len() as u64 + 1) as usize);
                let category =
                    liked.map_or_else(|| catalogue.any_category(rng, *now_ms), |c| usize::from(*c));
                catalogue.item_of(rng, category.min(Catalogue::CATEGORIES - 1), *now_ms)
            }
        }
    }

    /// What is due and some of what was seen goes into the cart.
    fn cart(&mut self, walk: &mut Walk, due: &[ItemNumber], amount_minor: f64) -> Vec<Picked> {
        let mut wanted = due.to_vec();
        let seen: Vec<ItemNumber> = walk.seen.iter().rev().copied().collect();
        wanted.extend(seen.iter().filter(|_| chance(&mut self.rng, 0.6)));
        if wanted.is_empty() {
            wanted = seen;
        }
        let Shop { rng, catalogue, now_ms, .. } = self;
        let basket = fill(rng, catalogue, &wanted, &walk.likes, amount_minor, *now_ms);
        for (item, _) in &basket {
            self.step(walk, EngagementKind::AddToCart, Some(*item), |_| {});
        }
        basket
    }

    /// A cart that is left behind, sometimes.
    fn maybe_cart(&mut self, walk: &mut Walk) {
        let Some(item) = walk.seen.last().copied() else { return };
        if chance(&mut self.rng, 0.12) {
            self.step(walk, EngagementKind::AddToCart, Some(item), |_| {});
            if chance(&mut self.rng, 0.4) {
                self.step(walk, EngagementKind::RemoveFromCart, Some(item), |_| {});
            }
        }
    }

    fn check_out(&mut self, walk: &Walk, buyer: &Buyer, basket: &[Picked], means: Means) {
        let seconds = 20.0 + exponential(&mut self.rng, 60.0);
        let time_ms = walk.time_ms + (1_000.0 * seconds) as TimeMs;
        self.pay(buyer, time_ms, basket, means, None);
    }

    /// One engagement, some seconds after the last.
    fn step(
        &mut self,
        walk: &mut Walk,
        kind: EngagementKind,
        item: Option<ItemNumber>,
        more: impl FnOnce(&mut Engagement<'static>),
    ) {
        walk.time_ms += 1_000 + (1_000.0 * exponential(&mut self.rng, 8.0)) as TimeMs;
        let event_id = self.event_id("e");
        let mut engagement = Engagement::new(event_id, walk.id.clone(), walk.time_ms, kind);
        engagement.session = Some(walk.session.clone().into());
        engagement.item = item.map(|item| self.catalogue.name(item).to_owned().into());
        engagement.category = item.map(|item| self.catalogue.category(item).into());
        more(&mut engagement);
        // A visitor's id stays nobody's.
        let left_at_ms = walk.left_at_ms.filter(|_| !walk.id.starts_with("v-"));
        let truth = Truth { fraud: None, left_at_ms };
        let occurrence = Occurrence { event: Event::Engagement(engagement), truth };
        self.agenda.put(walk.time_ms, Due::Event(Box::new(occurrence)));
    }
}
