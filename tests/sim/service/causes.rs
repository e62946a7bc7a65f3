//! How soon a cause is felt by all, and what a stream of causes costs, in the log's time.

use habitue::analysis::anomaly::ENTITY_RISK;
use habitue::codec;
use habitue::edge::log::Place;
use habitue::edge::log::sim::SimLog;
use habitue::edge::shard::ShardConfig;
use habitue::event::TimeMs;
use habitue::signal::Topic;
use habitue::signal::fact::FactRecord;
use habitue::signal::model::ModelRecord;

use super::traffic::Traffic;
use super::world::{MODELS, World};
use super::{LATENESS_MS, MARKET, PARTITIONS, born, engine_config, shard_config};

/// Long, so that what waits for it is seen.
const INTERVAL_MS: TimeMs = 1_000;

/// Two instances at rest, and payments whose facts are with the market stage.
fn begun() -> (World, Traffic) {
    begun_with(shard_config().batch_bytes_max)
}

fn begun_with(batch_bytes_max: usize) -> (World, Traffic) {
    let config = ShardConfig {
        batch_bytes_max,
        transaction_interval_ms: INTERVAL_MS,
        market_tick_ms: INTERVAL_MS,
        tick_interval_ms: 5 * INTERVAL_MS,
        ..shard_config()
    };
    let mut world = born(5, 0.0, engine_config(false), config);
    let mut traffic = Traffic::new(5, PARTITIONS, LATENESS_MS);
    world.start(0);
    world.start(1);
    pass(&mut world, 3 * INTERVAL_MS, |_| {});
    pass(&mut world, 3 * INTERVAL_MS, |log| traffic.purchase(log, log.now_ms()));
    pass(&mut world, 5 * INTERVAL_MS, |_| {});
    (world, traffic)
}

/// Some turns every millisecond, something written every ten.
fn pass(world: &mut World, time_ms: TimeMs, mut write: impl FnMut(&SimLog)) {
    for at in 0..time_ms {
        if at % 10 == 0 {
            write(&world.log);
        }
        world.advance(1);
        (0..16).for_each(|_| world.turn());
    }
}

/// Where rows of entities lie.
fn rows(world: &World) -> Vec<(usize, u64)> {
    let mut rows = Vec::new();
    for partition in 0..MODELS {
        for record in world.log.all_committed(Place::new(Topic::Models, partition)).unwrap() {
            let model = codec::decode_model(&record.value.unwrap()).unwrap();
            if matches!(&model, ModelRecord::Row(row) if row.table == ENTITY_RISK) {
                rows.push((partition as usize, record.offset));
            }
        }
    }
    rows
}

/// What each committed batch of a partition saw of models.
fn seen(world: &World, partition: u32) -> Vec<Vec<u64>> {
    let records = world.log.all_committed(Place::new(Topic::Journal, partition)).unwrap();
    let entries = records.iter().map(|record| world.wire.read_entry(record.value.as_ref().unwrap()).unwrap());
    entries.map(|entry| entry.positions.models).collect()
}

fn ticks(world: &World, partition: u32) -> usize {
    let records = world.log.all_committed(Place::new(Topic::Facts, partition)).unwrap();
    let facts = records.iter().map(|record| codec::decode_fact(record.value.as_ref().unwrap()).unwrap());
    facts.filter(|fact| matches!(fact, FactRecord::Tick { .. })).count()
}

#[test]
fn a_cause_waits_for_no_interval() {
    let (mut world, mut traffic) = begun();
    assert!(rows(&world).is_empty());
    let mut is_judged = false;
    // In the middle of everybody's batches.
    pass(&mut world, INTERVAL_MS * 3 / 2, |log| traffic.engagement(log, log.now_ms()));
    pass(&mut world, INTERVAL_MS * 3 / 4, |log| {
        traffic.engagement(log, log.now_ms());
        if !std::mem::replace(&mut is_judged, true) {
            traffic.feedback(log, log.now_ms());
        }
    });
    let rows = rows(&world);
    assert!(!rows.is_empty(), "published");
    for partition in 0..PARTITIONS {
        let is_seen = seen(&world, partition)
            .last()
            .is_some_and(|models| rows.iter().any(|(at, row)| models[*at] > *row));
        assert!(is_seen, "partition {partition} has committed a batch that saw it");
    }
}

/// Full batches are as short as hurried ones, but it was no cause that made them so.
#[test]
fn a_cause_waits_for_no_interval_after_a_flood() {
    let (mut world, mut traffic) = begun_with(2_000);
    let before = seen(&world, 0).len();
    pass(&mut world, 3 * INTERVAL_MS, |log| {
        (0..4).for_each(|_| traffic.engagement(log, log.now_ms()));
    });
    assert!(seen(&world, 0).len() - before > 12, "batches were full");
    assert!(rows(&world).is_empty());
    pass(&mut world, INTERVAL_MS / 10, |_| {});
    let mut is_judged = false;
    pass(&mut world, INTERVAL_MS / 2, |log| {
        if !std::mem::replace(&mut is_judged, true) {
            traffic.feedback(log, log.now_ms());
        }
    });
    assert!(!rows(&world).is_empty(), "published");
}

#[test]
fn a_stream_of_causes_costs_no_ticks_and_few_transactions() {
    const INTERVALS: usize = 20;
    let (mut world, mut traffic) = begun();
    let count = |world: &World| {
        let ticks: Vec<usize> = (0..MARKET).map(|partition| ticks(world, partition)).collect();
        let entries: Vec<usize> = (0..PARTITIONS).map(|partition| seen(world, partition).len()).collect();
        (ticks, entries)
    };
    let before = count(&world);
    let published = rows(&world).len();
    pass(&mut world, INTERVALS as TimeMs * INTERVAL_MS, |log| {
        traffic.purchase(log, log.now_ms());
        traffic.feedback(log, log.now_ms());
    });
    assert!(rows(&world).len() - published > INTERVALS, "causes were told");
    let after = count(&world);
    for (before, after) in before.0.iter().zip(&after.0) {
        assert!(after - before <= INTERVALS + 2, "{} ticks in {INTERVALS} intervals", after - before);
    }
    for (before, after) in before.1.iter().zip(&after.1) {
        let entries = after - before;
        assert!(entries <= INTERVALS * 3 / 2 + 6, "{entries} transactions in {INTERVALS} intervals");
    }
}
