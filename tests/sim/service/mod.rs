//! The whole service under faults: nothing lost, nothing twice, every byte explained by the journal.

mod letter;
pub mod replay;
mod silence;
mod traffic;
pub mod verify;
pub mod world;

use std::sync::Arc;

use habitue::analysis::Published;
use habitue::edge::log::Group;
use habitue::edge::log::sim::{Faults, SimConfig, SimLog};
use habitue::edge::shard::ShardConfig;
use habitue::engine::{self, Mode, Partition};
use habitue::math::rng::Rng;
use habitue::signal::Topic;

use crate::seeds;
use replay::{Story, Told};
use traffic::Traffic;
use world::{MemoryStore, World};

const PARTITIONS: u32 = 3;
const MARKET: u32 = 2;
const LATENESS_MS: i64 = 2_000;

fn sim_config(seed: u64, faults: Faults) -> SimConfig {
    let mut config = SimConfig::new(seed, PARTITIONS);
    config.faults = faults;
    config.keep_deleted = true;
    config.poll_records_max = 20;
    if let Some(facts) = config.topics.get_mut(&Topic::Facts) {
        facts.partitions = MARKET;
    }
    if let Some(models) = config.topics.get_mut(&Topic::Models) {
        models.compacted = is_compacted(seed);
    }
    config
}

/// In half of all lives models keeps every version, so that the product's verify mode can look at everything.
fn is_compacted(seed: u64) -> bool {
    !seed.is_multiple_of(2)
}

/// `forgetful`: customers expire and are evicted and erased, so that totals are not those of all time.
fn engine_config(forgetful: bool) -> engine::Config {
    let mut config =
        engine::Config { lateness_ms: LATENESS_MS, dedupe_ids: 4096, ..engine::Config::default() };
    if forgetful {
        config.customer_retention_ms = 15_000;
        config.customers_max = 9;
    }
    config
}

fn shard_config() -> ShardConfig {
    ShardConfig {
        transaction_interval_ms: 20,
        snapshot_interval_ms: 1_000,
        snapshot_records: 60,
        idle_after_ms: 400,
        tick_interval_ms: 150,
        record_bytes_max: 2_000,
        partitions: PARTITIONS,
        market_partitions: MARKET,
        ..ShardConfig::default()
    }
}

/// Every analysis at work.
pub fn published() -> Published {
    let mut published = Published::default();
    published.recommend.enabled = true;
    published
}

/// One life of the service: traffic and faults together, then calm until all is committed.
fn live(seed: u64, rate: f64, forgetful: bool) -> World {
    let log = SimLog::new(sim_config(seed, Faults::mixed(rate)));
    let store = MemoryStore::failing(seed, if rate > 0.0 { 0.2 } else { 0.0 });
    let mut world = World::new(seed, log.clone(), store, engine_config(forgetful), shard_config());
    let mut traffic = Traffic::new(seed, PARTITIONS, LATENESS_MS);
    traffic.erase = forgetful;
    let mut chaos = Rng::seeded(&[seed, 3]);
    world.start(0);
    world.start(1);
    for _ in 0..14_000 {
        if chaos.below(18) == 0 {
            traffic.write(&log);
        }
        if chaos.below(6) == 0 {
            world.advance(chaos.below(25));
        }
        if rate > 0.0 {
            trouble(&mut world, &mut chaos);
        }
        world.turn();
    }
    calm(&mut world);
    world
}

/// Crashes, restarts, zombies, pauses.
fn trouble(world: &mut World, chaos: &mut Rng) {
    let number = chaos.below(2) as usize;
    match chaos.below(2_000) {
        0..3 => {
            world.crash(number);
        }
        3 => {
            if let Some(instance) = world.crash(number) {
                world.zombies.push(instance);
            }
        }
        4 => world.zombies.clear(),
        5 => world.advance(7_000),
        6..16 if world.instances.get(number).is_none_or(Option::is_none) => world.start(number),
        _ => {}
    }
}

fn calm(world: &mut World) {
    world.log.set_faults(Faults::default());
    world.store.mend();
    world.zombies.clear();
    for number in 0..2 {
        if world.instances[number].is_none() {
            world.start(number);
        }
    }
    for round in 0..60_000_u64 {
        if round % 5 == 0 {
            world.advance(5);
        }
        world.turn();
        if round % 500 == 499 && world.is_settled(PARTITIONS) {
            return;
        }
    }
    panic!(
        "not settled after the storm: offsets {:?}, owners {:?}, refused {:?}, restarts {}, restoring {:?}",
        world.log.offsets(Group::Customer),
        world.log.owners(Group::Customer),
        world.refused,
        world.restarts,
        world
            .instances
            .iter()
            .flatten()
            .map(|i| i.customer.apply.restoring().collect::<Vec<_>>())
            .collect::<Vec<_>>()
    );
}

/// Everything that must hold of what lies committed in the log. What each partition says.
fn check(seed: u64, world: &mut World, forgetful: bool) -> Vec<Told> {
    assert_eq!(world.refused, Vec::<String>::new(), "no simulated fault may cause a refusal");
    // Whoever is in the middle of something does not matter: only what is committed counts. What is left
    // open runs into its timeout, and the last marks arrive.
    world.instances.clear();
    world.advance(10_000);
    let mut dice = Rng::seeded(&[seed, 4]);
    let bytes_max = world.config.record_bytes_max;
    let mut told: Vec<Told> = Vec::new();
    for number in 0..PARTITIONS {
        let mut story = Story::read(&world.log, &world.wire, &world.engine, number, bytes_max);
        story.given = world.given.clone();
        story.covers_every_record_once();
        let mut verified = Partition::new(number, Arc::clone(&world.engine));
        let said = story.apply(&mut verified, 0..story.entries.len(), Mode::Live);
        story.outputs_are(&said);
        let cut = dice.below(story.entries.len() as u64 + 1) as usize;
        let followed = replay::replay_is_equality(&story, cut);
        let position = story.entries.last().map_or(0, |(offset, _)| offset + 1);
        assert!(
            verified.freeze(position).encode().0 == followed,
            "verify and follow end in different states"
        );
        if !forgetful {
            assert_eq!(replay::totals_of(&verified), story.recount(), "totals per customer");
        }
        // The product knows of no models but those of the log.
        if world.given.is_empty() {
            let product = verify::verified(world.environment("verify"), number);
            verify::agrees(&product, &story, &said, is_compacted(seed));
        }
        told.push(said);
    }
    replay::market_is(&world.log, &world.wire, &world.engine, MARKET, &told);
    told
}

#[test]
fn signals_with_offsets() {
    seeds::each("service::signals_with_offsets", 25, |seed| {
        let mut world = live(seed, 0.02, false);
        check(seed, &mut world, false);
    });
}

#[test]
fn replay_is_equality() {
    seeds::each("service::replay_is_equality", 25, |seed| {
        let mut world = live(seed, 0.02, true);
        check(seed, &mut world, true);
    });
}

#[test]
fn an_undisturbed_run_is_right_too() {
    let mut world = live(1, 0.0, false);
    assert!(world.store.written() > 0, "snapshots are written");
    check(1, &mut world, false);
}
