//! The whole service under faults: nothing lost, nothing twice, every byte explained by the journal.

mod causes;
mod letter;
mod market;
mod moments;
pub mod replay;
mod silence;
mod traffic;
pub mod verify;
pub mod world;

use std::sync::Arc;

use habitue::analysis::churn;
use habitue::edge::log::Group;
use habitue::edge::log::sim::{Faults, SimConfig, SimLog};
use habitue::edge::shard::ShardConfig;
use habitue::edge::shard::contents::Contents;
use habitue::engine::{self, Mode, Partition};
use habitue::math::rng::Rng;
use habitue::signal::Topic;
use habitue::signal::fact::Fact;

use crate::seeds;
use market::Found;
use moments::Moments;
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

/// One life of the service: traffic and faults together, then calm until all is committed.
fn live(seed: u64, rate: f64, forgetful: bool) -> World {
    let mut world = born(seed, rate, engine_config(forgetful), shard_config());
    let mut traffic = Traffic::new(seed, PARTITIONS, LATENESS_MS);
    traffic.erase = forgetful;
    lead(&mut world, seed, rate, &mut |log| traffic.write(log));
    world
}

/// A life in which churn is learned: days pass in seconds, models lie in the store, refits are due all the time.
/// And the facts that were written for it.
fn live_and_churn(seed: u64, rate: f64) -> (World, Vec<Fact>) {
    let mut engine = engine_config(false);
    engine.analysis.churn = churn::Config {
        horizon_days: 3,
        lateness_ms: LATENESS_MS,
        customers_max: 200,
        moments_max: 220,
        refit_interval_ms: 1_000,
    };
    // In a third of all lives models are in their records, where only large ones are otherwise.
    let inline_bytes_max = if has_inline_models(seed) { 512 << 10 } else { 0 };
    let shard = ShardConfig { inline_bytes_max, ..shard_config() };
    let mut world = born(seed, rate, engine, shard);
    let mut traffic = Traffic::new(seed, PARTITIONS, LATENESS_MS);
    let mut moments = Moments::new(seed, world.log.now_ms());
    lead(&mut world, seed, rate, &mut |log| {
        traffic.write(log);
        moments.write(log, MARKET, LATENESS_MS);
    });
    (world, moments.written)
}

fn has_inline_models(seed: u64) -> bool {
    seed.is_multiple_of(3)
}

fn born(seed: u64, rate: f64, engine: engine::Config, shard: ShardConfig) -> World {
    let log = SimLog::new(sim_config(seed, Faults::mixed(rate)));
    let store = MemoryStore::failing(seed, if rate > 0.0 { 0.2 } else { 0.0 });
    World::new(seed, log, store, engine, shard)
}

fn lead(world: &mut World, seed: u64, rate: f64, write: &mut dyn FnMut(&SimLog)) {
    let mut chaos = Rng::seeded(&[seed, 3]);
    world.start(0);
    world.start(1);
    for _ in 0..14_000 {
        if chaos.below(18) == 0 {
            write(&world.log);
        }
        if chaos.below(6) == 0 {
            world.advance(chaos.below(25));
        }
        if rate > 0.0 {
            trouble(world, &mut chaos);
        }
        world.turn();
    }
    calm(world);
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
    world.contents.mend();
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

/// Everything that must hold of what lies committed in the log: what each partition says, and what the market stage
/// found. `written`: facts that the test has written itself.
fn check(seed: u64, world: &mut World, forgetful: bool, written: Vec<Fact>) -> (Vec<Told>, Found) {
    assert_eq!(world.refused, Vec::<String>::new(), "no simulated fault may cause a refusal");
    // Whoever is in the middle of something does not matter: only what is committed counts. What is left
    // open runs into its timeout, and the last marks arrive.
    world.instances.clear();
    world.advance(10_000);
    let mut dice = Rng::seeded(&[seed, 4]);
    let bytes_max = world.config.record_bytes_max;
    let mut told: Vec<Told> = Vec::new();
    let read = (&world.log, &*world.wire, &*world.contents as &dyn Contents);
    for number in 0..PARTITIONS {
        let mut story = Story::read(read, &world.engine, number, bytes_max);
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
    let facts: Vec<Fact> = told.iter().flat_map(|told| told.facts.iter().cloned()).chain(written).collect();
    let found = market::market_is(world, MARKET, &facts);
    (told, found)
}

#[test]
fn signals_with_offsets() {
    seeds::each("service::signals_with_offsets", 25, |seed| {
        let mut world = live(seed, 0.02, false);
        check(seed, &mut world, false, Vec::new());
    });
}

#[test]
fn replay_is_equality() {
    seeds::each("service::replay_is_equality", 25, |seed| {
        let mut world = live(seed, 0.02, true);
        check(seed, &mut world, true, Vec::new());
    });
}

#[test]
fn an_undisturbed_run_is_right_too() {
    let mut world = live(1, 0.0, false);
    assert!(world.store.written() > 0, "snapshots are written");
    check(1, &mut world, false, Vec::new());
}

/// Invariants 2 and 5 with whole models out of the store, jobs that die with their process, and rows beside them.
#[test]
fn whole_models_and_jobs_survive_faults() {
    let sum = std::cell::RefCell::new(Found::default());
    seeds::each("service::whole_models_and_jobs_survive_faults", 25, |seed| {
        let (mut world, written) = live_and_churn(seed, 0.02);
        let (_, found) = check(seed, &mut world, false, written);
        assert_eq!(found.stored, if has_inline_models(seed) { 0 } else { found.wholes });
        let mut sum = sum.borrow_mut();
        sum.wholes += found.wholes;
        sum.answers += found.answers;
        sum.ignored += found.ignored;
        sum.labels += found.labels;
    });
    let sum = sum.into_inner();
    if std::env::var_os("HABITUE_SEED").is_none() {
        assert!(sum.wholes > 50 && sum.answers > 50 && sum.ignored > 0 && sum.labels > 5_000, "{sum:?}");
    }
}
