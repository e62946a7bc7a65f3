//! Who is there: customers come, plan, and leave.

use super::agenda::{Due, Turn};
use super::draw::{chance, exponential, log_normal};
use super::season::{HOUR_MS, Place, next_time};
use super::shopper::Shopper;
use super::{Occurrence, Shop, Truth};
use crate::event::{Engagement, EngagementKind, Event, TimeMs};
use crate::math::rng::Rng;

/// Share of subscribers who unsubscribe when they leave, and per newsletter of those who stay.
const UNSUBSCRIBES_LEAVING: f64 = 0.2;
const UNSUBSCRIBES: f64 = 0.002;
/// Of opened newsletters, those whose link is followed.
const FOLLOWS: f64 = 0.2;
/// Share of what is due that is bought elsewhere, or not at all.
const PASSES_BY: f64 = 0.2;
/// No visit begins so shortly before leaving: it would be over after it.
const LAST_VISIT_MS: TimeMs = 3 * HOUR_MS;

/// Customers in slots that are used again, at most so many.
#[derive(Debug, Clone)]
pub(super) struct People {
    slots: Vec<Option<Shopper>>,
    free: Vec<u32>,
    slots_max: u32,
    /// Customers so far.
    pub count: u32,
}

impl People {
    pub fn new(slots_max: u32) -> People {
        People { slots: Vec::new(), free: Vec::new(), slots_max, count: 0 }
    }

    fn slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.slots.len() as u32;
        (slot < self.slots_max).then(|| self.slots.push(None))?;
        Some(slot)
    }

    pub fn get(&self, slot: u32) -> Option<&Shopper> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Shopper> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    #[cfg(test)]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Of this number, where the slot still is that customer's.
    pub fn numbered(&self, slot: u32, number: u32) -> Option<&Shopper> {
        self.get(slot).filter(|shopper| shopper.number == number)
    }

    /// Anybody. None where nobody was met in a few tries.
    pub fn any(&self, rng: &mut Rng) -> Option<(u32, &Shopper)> {
        (0..64).find_map(|_| {
            let slot = rng.below(self.slots.len() as u64) as u32;
            self.get(slot).map(|shopper| (slot, shopper))
        })
    }
}

impl Shop {
    /// One more customer, where there is room; `is_old`: was there before the start.
    pub(super) fn arrive(&mut self, is_old: bool) {
        let Some(slot) = self.people.slot() else { return };
        self.people.count += 1;
        let number = self.people.count;
        let Shop { rng, catalogue, tills, now_ms, .. } = self;
        let shopper = Shopper::new(rng, number, *now_ms, is_old, catalogue, tills);
        let place = shopper.place(rng);
        self.people.slots[slot as usize] = Some(shopper);
        if is_old {
            // Somewhere between two orders.
            return self.plan(slot);
        }
        // A new one comes to order, and stays for that at least.
        let time_ms = next_time(&mut self.rng, place, 0.1, self.now_ms);
        if let Some(shopper) = self.people.get_mut(slot) {
            shopper.left_at_ms += time_ms - self.now_ms + LAST_VISIT_MS;
        }
        self.agenda.put(time_ms, Due::Turn { slot, turn: Turn::Order(place) });
    }

    /// What comes first: an order, a visit, something used up, or leaving.
    pub(super) fn plan(&mut self, slot: u32) {
        let Shop { rng, people, now_ms, .. } = self;
        let Some(shopper) = people.get_mut(slot) else { return };
        let place = shopper.place(rng);
        let orders_ms = next_time(rng, place, 1.0 / shopper.orders_a_day, *now_ms);
        let browse_days = 1.0 / (shopper.orders_a_day * shopper.browses).max(1e-4);
        let browses_ms = next_time(rng, Place::Online, browse_days, *now_ms);
        let mut plan =
            if orders_ms < browses_ms { (orders_ms, Turn::Order(place)) } else { (browses_ms, Turn::Browse) };
        if let Some(due_ms) = shopper.due_ms()
            && due_ms < plan.0
        {
            if chance(rng, PASSES_BY) {
                shopper.passed_by(rng, due_ms.max(*now_ms));
            } else {
                let time_ms = next_time(rng, place, 0.5, due_ms.max(*now_ms));
                plan = (time_ms, Turn::Order(place));
            }
        }
        if plan.0 >= shopper.left_at_ms - LAST_VISIT_MS {
            plan = (shopper.left_at_ms.max(*now_ms), Turn::Leave);
        }
        self.agenda.put(plan.0, Due::Turn { slot, turn: plan.1 });
    }

    /// Nothing is heard of the customer again, but for what is under way.
    pub(super) fn leave(&mut self, slot: u32) {
        let Some(shopper) = self.people.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        self.people.free.push(slot);
        if shopper.opens_mail > 0.0 && chance(&mut self.rng, UNSUBSCRIBES_LEAVING) {
            self.engage(&shopper, self.now_ms, EngagementKind::Unsubscribe);
        }
    }

    /// Some open it in the hours after, some of these follow a link, and some have had enough.
    pub(super) fn newsletter(&mut self) {
        for slot in 0..self.people.slots.len() as u32 {
            let Some(shopper) = self.people.get(slot) else { continue };
            let opens_mail = shopper.opens_mail;
            if opens_mail == 0.0 || !chance(&mut self.rng, opens_mail) {
                continue;
            }
            let after_ms = log_normal(&mut self.rng, 3.0, 1.0).min(100.0) * HOUR_MS as f64;
            let time_ms = self.now_ms + after_ms as TimeMs;
            let shopper = shopper.clone();
            if time_ms >= shopper.left_at_ms - LAST_VISIT_MS {
                continue;
            }
            self.engage(&shopper, time_ms, EngagementKind::EmailOpen);
            if chance(&mut self.rng, FOLLOWS) {
                let seconds = 5.0 + exponential(&mut self.rng, 20.0);
                let number = shopper.number;
                self.agenda.put(time_ms + (1_000.0 * seconds) as TimeMs, Due::Mail { slot, number });
            } else if chance(&mut self.rng, UNSUBSCRIBES) {
                self.engage(&shopper, time_ms + 60_000, EngagementKind::Unsubscribe);
                if let Some(shopper) = self.people.get_mut(slot) {
                    shopper.opens_mail = 0.0;
                }
            }
        }
    }

    /// A visit that a newsletter brought. The plan stands as it is.
    pub(super) fn by_mail(&mut self, slot: u32, number: u32) {
        let now_ms = self.now_ms;
        let there =
            self.people.numbered(slot, number).filter(|shopper| now_ms < shopper.left_at_ms - LAST_VISIT_MS);
        let Some(shopper) = there.cloned() else { return };
        self.engage(&shopper, now_ms, EngagementKind::EmailClick);
        let orders = chance(&mut self.rng, 0.1);
        self.visit(slot, orders);
    }

    /// An engagement of which no more is known than its kind.
    pub(super) fn engage(&mut self, shopper: &Shopper, time_ms: TimeMs, kind: EngagementKind) {
        let event_id = self.event_id("e");
        let event = Event::Engagement(Engagement::new(event_id, shopper.id(), time_ms, kind));
        let truth = Truth { fraud: None, left_at_ms: Some(shopper.left_at_ms) };
        self.agenda.put(time_ms, Due::Event(Box::new(Occurrence { event, truth })));
    }
}
