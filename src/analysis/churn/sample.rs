//! The sample: customers as fair as a hash is, each with its moments that wait for the horizon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Config, DAY_MS, FEATURES};
use crate::event::TimeMs;
use crate::math::hash_sample::HashSample;
use crate::math::rng::mix;
use crate::signal::fact::ChurnMoment;

/// Customers that are copied together when one changes after a view was taken.
const CHUNK: usize = 128;

/// A moment that waits, and what was thought of it when it came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Moment {
    pub time_ms: TimeMs,
    pub partition: u32,
    pub is_order: bool,
    pub repeats: u32,
    pub first_day: u16,
    pub last_day: u16,
    pub features: [f32; FEATURES],
    /// Of no order within the horizon, NaN where nobody could say: published, by BG/NBD, by logistic regression.
    pub published: f32,
    pub bg_nbd: f32,
    pub logistic: f32,
}

impl Moment {
    /// As it was told; the learners have not said yet. Features that are missing are NaN.
    pub fn of(told: &ChurnMoment) -> Moment {
        let given = told.features.iter().copied().chain(std::iter::repeat(f32::NAN));
        let mut features = [f32::NAN; FEATURES];
        features.iter_mut().zip(given).for_each(|(feature, given)| *feature = given);
        Moment {
            time_ms: told.time_ms,
            partition: told.partition,
            is_order: told.is_order,
            repeats: told.repeats,
            first_day: told.first_day,
            last_day: told.last_day,
            features,
            published: told.probability,
            bg_nbd: f32::NAN,
            logistic: f32::NAN,
        }
    }
}

/// A customer of the sample, as last told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Customer {
    key: u64,
    pub partition: u32,
    pub repeats: u32,
    pub first_day: u16,
    pub last_day: u16,
    /// That wait.
    moments: Vec<Moment>,
}

impl Customer {
    /// As told at its first moment, which is still to be added.
    fn new(key: u64, first: &Moment) -> Customer {
        let Moment { partition, repeats, first_day, last_day, .. } = *first;
        Customer { key, partition, repeats, first_day, last_day, moments: Vec::new() }
    }
}

/// A view of all customers; it does not change with the sample.
#[derive(Clone)]
pub(super) struct Customers(Vec<Arc<Vec<Option<Customer>>>>);

impl Customers {
    /// In an order that depends on nothing but the keys.
    pub fn sorted(&self) -> Vec<&Customer> {
        let mut all: Vec<&Customer> = self.0.iter().flat_map(|chunk| chunk.iter().flatten()).collect();
        all.sort_unstable_by_key(|customer| mix(customer.key));
        all
    }
}

/// What a snapshot holds beside the customers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rest {
    /// Falls when moments have no room.
    customers_max: usize,
    /// Newest time heard of each customer partition.
    heard_ms: BTreeMap<u32, TimeMs>,
    /// Moments of customers that were given up; moments whose horizon was over when they came.
    evicted: u64,
    overdue: u64,
}

pub(super) struct Sample {
    horizon_ms: TimeMs,
    lateness_ms: TimeMs,
    moments_max: usize,
    /// Where each customer is.
    index: HashSample<u32>,
    customers: Customers,
    free: Vec<u32>,
    /// Waiting moments by partition; follows from the customers, as the next two do.
    queues: BTreeMap<u32, BTreeSet<(TimeMs, u64)>>,
    moments: usize,
    repeaters: usize,
    rest: Rest,
}

impl Sample {
    pub fn new(config: &Config) -> Sample {
        let customers_max = config.customers_max as usize;
        Sample {
            horizon_ms: config.horizon_ms(),
            lateness_ms: config.lateness_ms,
            moments_max: config.moments_max as usize,
            index: HashSample::new(customers_max),
            customers: Customers(Vec::new()),
            free: Vec::new(),
            queues: BTreeMap::new(),
            moments: 0,
            repeaters: 0,
            rest: Rest { customers_max, heard_ms: BTreeMap::new(), evicted: 0, overdue: 0 },
        }
    }

    /// Hears that the moment's partition has come so far. True where the moment's customer is of the sample.
    pub fn hear(&mut self, told: &ChurnMoment) -> bool {
        let heard_ms = self.rest.heard_ms.entry(told.partition).or_insert(told.time_ms);
        *heard_ms = (*heard_ms).max(told.time_ms);
        let Some(gone) = self.index.admit(told.customer) else { return false };
        if let Some(gone) = gone {
            self.give_up(gone);
        }
        true
    }

    /// Lets a moment of a customer of the sample wait. A repeated one is dropped.
    pub fn add(&mut self, key: u64, moment: Moment) {
        let overdue = self.is_over(&moment);
        let slot = match self.index.get(key) {
            Some(slot) => *slot,
            None => {
                self.repeaters += usize::from(moment.repeats > 0);
                self.settle(Customer::new(key, &moment))
            }
        };
        let Some(customer) = self.place(slot).as_mut() else { return };
        let was_repeater = customer.repeats > 0;
        if (moment.last_day, moment.repeats) >= (customer.last_day, customer.repeats) {
            customer.partition = moment.partition;
            customer.repeats = moment.repeats;
            (customer.first_day, customer.last_day) = (moment.first_day, moment.last_day);
        }
        let is_repeater = customer.repeats > 0;
        let same = |other: &Moment| (other.time_ms, other.is_order) == (moment.time_ms, moment.is_order);
        let is_new = !overdue && !customer.moments.iter().any(same);
        if is_new {
            customer.moments.push(moment);
            self.moments += 1;
            self.queues.entry(moment.partition).or_default().insert((moment.time_ms, key));
        }
        self.repeaters = self.repeaters + usize::from(is_repeater) - usize::from(was_repeater);
        self.rest.overdue += u64::from(overdue);
        while self.moments > self.moments_max
            && let Some(gone) = self.index.shrink()
        {
            self.rest.customers_max = self.index.capacity();
            self.give_up(gone);
        }
    }

    /// The oldest moments whose horizon is over, of one customer and time, each with whether the customer has
    /// churned. Empty where there is none.
    pub fn take_over(&mut self) -> Vec<(Moment, bool)> {
        let (lateness_ms, horizon_ms) = (self.lateness_ms, self.horizon_ms);
        let fronts = self.queues.iter().filter_map(|(partition, queue)| Some((*queue.first()?, *partition)));
        let heard_ms = &self.rest.heard_ms;
        let is_over = |partition, time_ms: TimeMs| {
            heard_ms.get(&partition).is_some_and(|heard_ms| *heard_ms >= time_ms + horizon_ms + lateness_ms)
        };
        let over = fronts.filter(|((time_ms, _), partition)| is_over(*partition, *time_ms));
        let Some(((time_ms, key), partition)) = over.min() else { return Vec::new() };
        if let Some(queue) = self.queues.get_mut(&partition) {
            queue.remove(&(time_ms, key));
        }
        let Some(slot) = self.index.get(key).copied() else { return Vec::new() };
        let Some(customer) = self.place(slot).as_mut() else { return Vec::new() };
        let is_taken = |moment: &Moment| moment.time_ms == time_ms && moment.partition == partition;
        let within = time_ms + 1..=time_ms + horizon_ms;
        let returned = customer.moments.iter().any(|m| m.is_order && within.contains(&m.time_ms));
        let taken: Vec<(Moment, bool)> =
            customer.moments.iter().filter(|m| is_taken(m)).map(|m| (*m, !returned)).collect();
        customer.moments.retain(|moment| !is_taken(moment));
        self.moments -= taken.len();
        taken
    }

    /// All customers as they are now; costs a reference each 128.
    pub fn view(&self) -> Customers {
        self.customers.clone()
    }

    /// Newest day heard of each customer partition.
    pub fn days(&self) -> BTreeMap<u32, i64> {
        self.rest
            .heard_ms
            .iter()
            .map(|(partition, time_ms)| (*partition, time_ms.div_euclid(DAY_MS)))
            .collect()
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Customers with a repeat order.
    pub fn repeaters(&self) -> usize {
        self.repeaters
    }

    #[cfg(test)]
    pub fn moments(&self) -> usize {
        self.moments
    }

    /// Moments that went without a label: for want of room, and because they came too late.
    pub fn evicted(&self) -> [u64; 2] {
        [self.rest.evicted, self.rest.overdue]
    }

    /// Slots, moments, queues.
    pub fn bytes(&self) -> usize {
        let slots = self.customers.0.len() * CHUNK * size_of::<Option<Customer>>();
        // A vector's slack of a half; a node's slack of a half.
        let moments = self.moments * (size_of::<Moment>() + size_of::<(TimeMs, u64)>()) * 3 / 2;
        slots + moments + self.index.bytes() + self.free.len() * 4 + self.rest.heard_ms.len() * 32
    }

    fn is_over(&self, moment: &Moment) -> bool {
        let heard_ms = self.rest.heard_ms.get(&moment.partition).copied().unwrap_or(TimeMs::MIN);
        heard_ms >= moment.time_ms + self.horizon_ms + self.lateness_ms
    }

    /// Gives a new customer a place.
    fn settle(&mut self, customer: Customer) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            let chunks = &mut self.customers.0;
            let next = (chunks.len() * CHUNK) as u32;
            chunks.push(Arc::new(vec![None; CHUNK]));
            self.free.extend((next + 1..next + CHUNK as u32).rev());
            next
        });
        self.index.insert(customer.key, slot);
        *self.place(slot) = Some(customer);
        slot
    }

    fn place(&mut self, slot: u32) -> &mut Option<Customer> {
        let slot = slot as usize;
        &mut Arc::make_mut(&mut self.customers.0[slot / CHUNK])[slot % CHUNK]
    }

    /// The customer at this place goes, with all its moments.
    fn give_up(&mut self, slot: u32) {
        let Some(customer) = self.place(slot).take() else { return };
        self.free.push(slot);
        self.repeaters -= usize::from(customer.repeats > 0);
        self.moments -= customer.moments.len();
        self.rest.evicted += customer.moments.len() as u64;
        for moment in &customer.moments {
            if let Some(queue) = self.queues.get_mut(&moment.partition) {
                queue.remove(&(moment.time_ms, customer.key));
            }
        }
    }

    pub fn freeze(&self) -> impl FnOnce() -> Vec<u8> + Send + use<> {
        let (customers, rest) = (self.view(), self.rest.clone());
        move || postcard::to_allocvec(&(customers.sorted(), rest)).expect("plain data always serialises")
    }

    /// # Errors
    /// When the bytes are no section of a sample.
    pub fn restore(&mut self, bytes: &[u8], config: &Config) -> Result<(), String> {
        let (customers, rest): (Vec<Customer>, Rest) =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        if customers.len() > rest.customers_max {
            return Err(format!("{} customers of {}", customers.len(), rest.customers_max));
        }
        let mut fresh = Sample::new(config);
        fresh.index = HashSample::new(rest.customers_max);
        fresh.rest = rest;
        for customer in customers {
            for moment in &customer.moments {
                fresh.queues.entry(moment.partition).or_default().insert((moment.time_ms, customer.key));
            }
            fresh.moments += customer.moments.len();
            fresh.repeaters += usize::from(customer.repeats > 0);
            fresh.settle(customer);
        }
        *self = fresh;
        Ok(())
    }
}
