//! Learn the sessions of the past, then go through those of the test step by step.

use serde::Serialize;

use super::{LIST, Method, Plan, Protocol, Sessions};
use crate::learn::item_to_item::{Context, Item};
use crate::math::quantile::QuantileSketch;

/// Files of sessions tell no times: one session a minute, so that the product's half-lives mean something.
const SESSION_MS: i64 = 60_000;

/// Of one method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Steps that count.
    pub n: u64,
    /// Share of steps whose item is in the list of 20.
    pub hit_rate_20: f64,
    /// Mean over steps of 1 / place in the list; 0 where the item is not in it.
    pub mrr_20: f64,
    /// Items learned in a second of learning.
    pub events_per_second: f64,
    pub query_us: Micros,
    /// At the end.
    pub bytes: usize,
}

/// Time to make one list, in microseconds, to 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Micros {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

/// Measures one method. `clock` gives seconds since any moment; `tick` is told of sessions gone by.
pub fn run(
    sessions: &Sessions,
    plan: Plan,
    method: &mut dyn Method,
    clock: &mut dyn FnMut() -> f64,
    tick: &mut dyn FnMut(u64),
) -> Measured {
    let mut course = Course::new(plan, method, clock);
    for session in &sessions.train {
        course.learn(session);
        tick(1);
    }
    for session in &sessions.test {
        course.steps(session);
        if plan.online {
            course.learn(session);
        }
        tick(1);
    }
    course.measured()
}

struct Course<'a> {
    plan: Plan,
    method: &'a mut dyn Method,
    clock: &'a mut dyn FnMut() -> f64,
    time_ms: i64,
    learned: usize,
    learn_seconds: f64,
    query_us: QuantileSketch,
    list: Vec<Item>,
    n: u64,
    hits: u64,
    reciprocal_ranks: f64,
}

impl<'a> Course<'a> {
    fn new(plan: Plan, method: &'a mut dyn Method, clock: &'a mut dyn FnMut() -> f64) -> Course<'a> {
        Course {
            plan,
            method,
            clock,
            time_ms: 0,
            learned: 0,
            learn_seconds: 0.0,
            query_us: QuantileSketch::new(0.01, 2_048),
            list: Vec::with_capacity(LIST),
            n: 0,
            hits: 0,
            reciprocal_ranks: 0.0,
        }
    }

    fn learn(&mut self, session: &[Item]) {
        let began = (self.clock)();
        self.method.learn(session, self.time_ms);
        self.learn_seconds += (self.clock)() - began;
        self.learned += session.len();
        self.time_ms += SESSION_MS;
    }

    /// Every item but the first is a step from those before it.
    fn steps(&mut self, session: &[Item]) {
        let mut context = Context::default();
        for (at, item) in session.iter().enumerate() {
            let before = &session[..at];
            match self.plan.protocol {
                Protocol::Published if at > 0 => self.step(&context, &[], *item),
                Protocol::Shop if at > 0 && !before.contains(item) => self.step(&context, before, *item),
                _ => {}
            }
            context.push(*item);
        }
    }

    fn step(&mut self, context: &Context, skip: &[Item], next: Item) {
        let began = (self.clock)();
        self.method.list(context, skip, &mut self.list);
        self.query_us.add(((self.clock)() - began) * 1e6);
        self.n += 1;
        if let Some(place) = self.list.iter().position(|item| *item == next) {
            self.hits += 1;
            self.reciprocal_ranks += 1.0 / (place + 1) as f64;
        }
    }

    fn measured(&self) -> Measured {
        let n = self.n.max(1) as f64;
        let micros = |q: f64| self.query_us.quantile(q).unwrap_or(0.0);
        Measured {
            n: self.n,
            hit_rate_20: self.hits as f64 / n,
            mrr_20: self.reciprocal_ranks / n,
            events_per_second: self.learned as f64 / self.learn_seconds.max(1e-9),
            query_us: Micros { p50: micros(0.5), p90: micros(0.9), p99: micros(0.99) },
            bytes: self.method.bytes(),
        }
    }
}
