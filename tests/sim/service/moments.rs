//! Churn moments of customers who live a day a second, written to facts beside those of the traffic.

use habitue::analysis::churn;
use habitue::codec;
use habitue::edge::log::Place;
use habitue::edge::log::sim::SimLog;
use habitue::event::TimeMs;
use habitue::math::rng::Rng;
use habitue::signal::Topic;
use habitue::signal::fact::{ChurnMoment, Fact, FactRecord};

const DAY_MS: TimeMs = 86_400_000;
const CUSTOMERS: u64 = 240;
/// Numbers of customer partitions that the traffic does not have, so that its time is not theirs.
const PARTITIONS: [u32; 2] = [100, 101];

pub struct Moments {
    dice: Rng,
    began_ms: TimeMs,
    customers: Vec<Option<Customer>>,
    pub written: Vec<Fact>,
}

#[derive(Clone, Copy)]
struct Customer {
    first_day: u16,
    last_day: u16,
    repeats: u32,
    has_left: bool,
}

impl Moments {
    pub fn new(seed: u64, began_ms: TimeMs) -> Moments {
        let customers = vec![None; CUSTOMERS as usize];
        Moments { dice: Rng::seeded(&[seed, 5]), began_ms, customers, written: Vec::new() }
    }

    /// Writes a record of a few moments.
    pub fn write(&mut self, log: &SimLog, market: u32, lateness_ms: TimeMs) {
        let now_ms = log.now_ms();
        let time_ms = self.began_ms + (now_ms - self.began_ms) * (DAY_MS / 1_000);
        let facts: Vec<Fact> =
            (0..1 + self.dice.below(6)).map(|_| self.moment(time_ms, lateness_ms)).collect();
        let place = Place::new(Topic::Facts, Fact::churn_partition(market));
        let mut value = Vec::new();
        codec::encode_fact(&FactRecord::Packed(facts.clone()), &mut value);
        log.append_record(place, None, Some(&value), now_ms).unwrap();
        self.written.extend(facts);
        if self.dice.below(50) == 0 {
            // Of a job that nobody waits for, as one who was thought dead may write it.
            let result =
                FactRecord::Job { analysis: churn::DESCRIPTOR.id, job: u64::MAX, result: vec![1; 9] };
            value.clear();
            codec::encode_fact(&result, &mut value);
            log.append_record(place, None, Some(&value), now_ms).unwrap();
        }
    }

    fn moment(&mut self, time_ms: TimeMs, lateness_ms: TimeMs) -> Fact {
        let time_ms = time_ms - self.dice.below(lateness_ms as u64) as TimeMs;
        let key = self.dice.below(CUSTOMERS);
        let today = time_ms.div_euclid(DAY_MS) as u16;
        let new = Customer { first_day: today, last_day: 0, repeats: 0, has_left: false };
        let customer = self.customers[key as usize].get_or_insert(new);
        let is_order = !customer.has_left && customer.last_day < today;
        if is_order {
            customer.repeats += u32::from(customer.last_day > 0);
            customer.last_day = today;
            customer.has_left = self.dice.below(4) == 0;
        }
        let Customer { first_day, last_day, repeats, .. } = *customer;
        Fact::Churn(ChurnMoment {
            customer: key,
            partition: PARTITIONS[key as usize % PARTITIONS.len()],
            time_ms,
            is_order,
            repeats,
            first_day,
            last_day,
            features: vec![f32::from(today - last_day), f32::NAN, repeats as f32],
            probability: if self.dice.below(3) == 0 { f32::NAN } else { self.dice.uniform() as f32 },
        })
    }
}
