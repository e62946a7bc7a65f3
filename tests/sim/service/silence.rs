//! Lives of months, in which customers fall silent: timers speak, under faults, and every byte is explained.

use std::sync::Arc;

use habitue::analysis::churn;
use habitue::analysis::models::About;
use habitue::edge::log::sim::{Faults, SimLog};
use habitue::learn::bg_nbd::Parameters;
use habitue::math::rng::Rng;
use habitue::signal::Signal;
use habitue::signal::fact::Fact;

use super::replay::Told;
use super::traffic::Traffic;
use super::world::{MemoryStore, World};
use super::{LATENESS_MS, PARTITIONS, calm, check, engine_config, shard_config, sim_config, trouble};
use crate::seeds;

const HOUR_MS: u64 = 3_600_000;

/// Weeks in which customers order now and then, weeks in which nobody does, and a few orders of who comes back.
fn live(seed: u64, with_model: bool) -> World {
    let log = SimLog::new(sim_config(seed, Faults::mixed(0.01)));
    let store = MemoryStore::failing(seed, 0.2);
    let mut world = World::new(seed, log.clone(), store, engine_config(false), shard_config());
    if with_model {
        let bg_nbd = Parameters { r: 1.5, alpha: 6.0, a: 0.5, b: 1.5 };
        let model = churn::model::Model { horizon_days: 10, bg_nbd, logistic: None };
        let about = About { version: 1, time_ms: 0, bytes: 0 };
        world.given.put(churn::MODEL, about, Arc::new(model));
    }
    let mut traffic = Traffic::new(seed, PARTITIONS, LATENESS_MS);
    let mut chaos = Rng::seeded(&[seed, 5]);
    world.start(0);
    world.start(1);
    for turn in 0..14_000 {
        let is_silent = (5_000..11_000).contains(&turn);
        if !is_silent && chaos.below(25) == 0 {
            traffic.write(&log);
        }
        match chaos.below(600) {
            0 => world.advance(5 * HOUR_MS + chaos.below(30 * HOUR_MS)),
            1..100 => world.advance(chaos.below(40)),
            _ => {}
        }
        trouble(&mut world, &mut chaos);
        world.turn();
    }
    calm(&mut world);
    world
}

/// Moments and scores of silence.
fn of_silence(told: &[Told]) -> [usize; 2] {
    let facts = told.iter().flat_map(|told| &told.facts);
    let signals = told.iter().flat_map(|told| &told.signals);
    [
        facts.filter(|fact| matches!(fact, Fact::Churn(moment) if !moment.is_order)).count(),
        signals.filter(|signal| matches!(signal, Signal::Score(score) if score.event_id.is_none())).count(),
    ]
}

#[test]
fn timers_speak_exactly_once() {
    seeds::each("service::silence::timers_speak_exactly_once", 12, |seed| {
        let mut world = live(seed, true);
        let [moments, scores] = of_silence(&check(seed, &mut world, false, Vec::new()).0);
        assert!(moments > 30 && scores > 5, "{moments} moments and {scores} scores of silence");
    });
}

/// As the product's verify mode finds it too.
#[test]
fn without_a_model_silence_is_told_and_verified() {
    seeds::each("service::silence::without_a_model_silence_is_told_and_verified", 6, |seed| {
        let mut world = live(seed, false);
        let [moments, scores] = of_silence(&check(seed, &mut world, false, Vec::new()).0);
        assert!(moments > 30 && scores == 0, "{moments} moments and {scores} scores of silence");
    });
}
