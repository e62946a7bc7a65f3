//! The fit of BG/NBD to the sample, which is a job: when it is due, what it is given, what it comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::sample::{Customers, Sample};
use crate::analysis::{Frozen, Job};
use crate::event::TimeMs;
use crate::learn::bg_nbd::{Parameters, Summary, fit};

/// Customers before the first fit, and of them with a repeat order.
const CUSTOMERS_MIN: usize = 100;
const REPEATERS_MIN: usize = 10;
/// As many moments a hundred customers make another fit worth while.
const CHANGED_PERCENT: u64 = 5;

/// What a job is given: where to begin; repeats, recency and age in days of each customer.
#[derive(Debug, Serialize, Deserialize)]
struct Input {
    start: Option<Parameters>,
    customers: Vec<(u32, u16, u16)>,
}

/// The registered job. Pure. Input and result are postcard; a result is some 40 bytes. An input that is none, which
/// no build that knows the job writes, gives the result of no customers.
pub(super) fn job(input: &[u8]) -> Vec<u8> {
    let input: Input = postcard::from_bytes(input).unwrap_or(Input { start: None, customers: Vec::new() });
    let of =
        |(repeats, recency, age): &(u32, u16, u16)| Summary::new(*repeats, (*recency).into(), (*age).into());
    let customers: Vec<Summary> = input.customers.iter().map(of).collect();
    let fit = (!customers.is_empty()).then(|| fit(&customers, input.start.as_ref()).parameters);
    postcard::to_allocvec(&fit).expect("plain data always serialises")
}

/// A sample as it was when the job began to be waited for.
#[derive(Clone)]
enum Cut {
    View {
        customers: Customers,
        days: BTreeMap<u32, i64>,
        start: Option<Parameters>,
    },
    /// Out of a snapshot.
    Written(Arc<[u8]>),
}

impl Cut {
    fn frozen(&self) -> Frozen {
        let cut = self.clone();
        Box::new(move || match cut {
            Cut::Written(input) => input.to_vec(),
            Cut::View { customers, days, start } => {
                let customers = customers.sorted().into_iter().map(|customer| {
                    let newest = days.get(&customer.partition).copied().unwrap_or(0);
                    let days =
                        |from: u16, to: i64| u16::try_from((to - i64::from(from)).max(0)).unwrap_or(u16::MAX);
                    let recency = days(customer.first_day, customer.last_day.into());
                    (customer.repeats, recency, days(customer.first_day, newest))
                });
                let input = Input { start, customers: customers.collect() };
                postcard::to_allocvec(&input).expect("plain data always serialises")
            }
        })
    }
}

/// What a snapshot holds beside the cut.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// Never lost again.
    parameters: Option<Parameters>,
    /// Of the newest job.
    job: u64,
    cut_ms: TimeMs,
    /// Moments of the sample heard up to the newest cut, and since.
    before: u64,
    since: u64,
}

/// The parameters, and the job that is waited for.
pub(super) struct Refit {
    interval_ms: TimeMs,
    state: State,
    cut: Option<Cut>,
}

impl Refit {
    pub fn new(interval_ms: TimeMs) -> Refit {
        Refit { interval_ms, state: State::default(), cut: None }
    }

    /// None before the first fit.
    pub fn parameters(&self) -> Option<&Parameters> {
        self.state.parameters.as_ref()
    }

    /// A moment has been added to the sample.
    pub fn heard(&mut self) {
        self.state.since += 1;
    }

    /// Cuts the sample where a fit is due.
    pub fn tick(&mut self, time_ms: TimeMs, sample: &Sample) {
        let State { before, since, job, cut_ms, .. } = self.state;
        let is_enough = sample.len() >= CUSTOMERS_MIN && sample.repeaters() >= REPEATERS_MIN;
        let is_changed = since * 100 >= CHANGED_PERCENT * sample.len() as u64;
        // While history is loaded an hour would be long.
        let is_time = job == 0 || time_ms - cut_ms >= self.interval_ms || since >= before;
        if self.cut.is_some() || !is_enough || !is_changed || !is_time {
            return;
        }
        let parameters = self.state.parameters;
        self.state = State { parameters, job: job + 1, cut_ms, before: before + since, since: 0 };
        self.state.cut_ms = time_ms;
        self.cut = Some(Cut::View { customers: sample.view(), days: sample.days(), start: parameters });
    }

    pub fn jobs(&self) -> Vec<Job> {
        let input = self.cut.iter().map(Cut::frozen);
        input.map(|input| Job { number: self.state.job, input }).collect()
    }

    /// False where nobody waits for the job. Parameters that make no sense leave the last good ones.
    pub fn answer(&mut self, job: u64, result: &[u8]) -> bool {
        if self.cut.is_none() || job != self.state.job {
            return false;
        }
        self.cut = None;
        let fitted: Option<Parameters> = postcard::from_bytes(result).ok().flatten();
        self.state.parameters = fitted.filter(Parameters::is_valid).or(self.state.parameters);
        true
    }

    pub fn freeze(&self) -> impl FnOnce() -> Vec<u8> + Send + use<> {
        let (state, cut) = (self.state.clone(), self.cut.as_ref().map(Cut::frozen));
        move || {
            let input = cut.map(|input| input());
            postcard::to_allocvec(&(state, input)).expect("plain data always serialises")
        }
    }

    /// # Errors
    /// When the bytes are no section of this kind.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (state, input): (State, Option<Vec<u8>>) =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        self.state = state;
        self.cut = input.map(|input| Cut::Written(input.into()));
        Ok(())
    }

    /// Of the cut, as far as the sample does not share it any more: all of it, at worst.
    pub fn bytes(&self, sample: &Sample) -> usize {
        match &self.cut {
            None => 0,
            Some(Cut::Written(input)) => input.len(),
            Some(Cut::View { .. }) => sample.bytes(),
        }
    }
}
