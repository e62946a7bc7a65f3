//! Applying events alone: one partition of each stage, one core, everything decoded and in memory.
//!
//! `cargo bench --bench apply [-- WORKLOAD [EVENTS]]` prints for each workload the customer stage's events a second
//! (the median of five), nanoseconds an event there and in the market stage, alerts and lists a thousand events, and
//! bytes of state a customer. What the market stage publishes is in the shared tables at the next batch; putting it
//! there is not timed. Each run starts with a warm-up of as many events. `alone` leaves all analyses out but anomaly.
//! `-- memory [CUSTOMERS]` applies three events of `shop` to each of so many customers, and prints the bytes of one by
//! `bytes()` and by the resident set.
//!
//! Bars: 150 000 a second on `shop` alone and 100 000 with all analyses, 50 000 on `payments`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use habitue::analysis::models::Models;
use habitue::analysis::shared::Tables;
use habitue::analysis::{MarketOutput, Output, Published, View};
use habitue::codec::{Decoder, SchemaSet, WireForm, built_in, encode_event};
use habitue::engine::journal::EntryBuilder;
use habitue::engine::{Config, MarketPartition, Mode, Partition, RawRecord};
use habitue::event::{Event, Input, TimeMs};
use habitue::measure::workload::{Arrival, Workload};
use habitue::signal::fact::{Fact, FactRecord};
use habitue::signal::journal::Positions;
use habitue::signal::{Signal, Source};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 1_000_000;
const RUNS: usize = 5;
/// Events between two batches, as at 100 000 events a second and 50 ms.
const BATCH: usize = 5_000;
const SEED: u64 = 1;

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if arguments.first().is_some_and(|name| name == "memory") {
        return memory(
            arguments.get(1).map_or(1_000_000, |count| count.parse().expect("a number of customers")),
        );
    }
    let chosen = arguments.first().map(|name| Workload::of_name(name).expect("shop or payments"));
    let events = arguments.get(1).map_or(EVENTS, |count| count.parse().expect("a number of events"));
    let alone = arguments.get(2).is_some_and(|word| word == "alone");
    for workload in Workload::ALL.into_iter().filter(|w| chosen.is_none_or(|chosen| chosen == *w)) {
        let mut runs: Vec<Run> = (0..RUNS).map(|_| run(workload, events, alone)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let median = &runs[RUNS / 2];
        let rates: Vec<u64> = runs.iter().map(|run| (events as f64 / run.seconds) as u64).collect();
        println!(
            "{:<8} {:>7.0} events/s  {:>6.0} ns/event  market {:>6.0} ns/event  {:.2} alerts/1000  {:.0} lists/1000  {:>4.0} B/customer  {:.1} MiB state  runs {rates:?}",
            workload.name(),
            events as f64 / median.seconds,
            1e9 * median.seconds / events as f64,
            1e9 * median.market_seconds / events as f64,
            1000.0 * median.alerts as f64 / events as f64,
            1000.0 * median.lists as f64 / events as f64,
            median.customer_bytes as f64 / median.customers as f64,
            median.state_bytes as f64 / f64::from(1 << 20),
        );
    }
}

struct Run {
    seconds: f64,
    market_seconds: f64,
    alerts: u64,
    lists: u64,
    customers: usize,
    customer_bytes: usize,
    state_bytes: usize,
}

/// What a customer costs, all analyses on: the record by its own count, and everything by the operating system's.
fn memory(customers: usize) {
    let mut stage = Stage::new();
    let (mut decoders, before) = (decoders(), resident_bytes());
    let events = Workload::Shop.events(SEED).enumerate().map(|(number, mut arrival)| {
        let customer = format!("customer-{:07}", number % customers);
        match &mut arrival.event {
            Event::Purchase(purchase) => purchase.customer = Some(customer.into()),
            Event::Engagement(engagement) => engagement.customer = customer.into(),
            Event::Feedback(feedback) => feedback.customer = customer.into(),
        }
        arrival
    });
    stage.apply(events, &mut decoders, 3 * customers);
    let of_each = |bytes: usize| bytes as f64 / stage.partition.customers().len() as f64;
    let (state, market) = (stage.partition.bytes(), stage.market.bytes());
    let records = state.iter().find(|(name, _)| *name == "customers").map_or(0, |(_, bytes)| *bytes);
    let sections = state.iter().chain(&market).map(|(name, bytes)| format!("{name} {:.0}", of_each(*bytes)));
    println!(
        "bytes a customer, first of the partition, then of the market stage: {}",
        sections.collect::<Vec<_>>().join(", ")
    );
    println!(
        "{} customers: {:.0} B a record, {:.0} B with all state of the partition; resident {:.0} B, of which the market stage says {:.0} B and the shared tables {:.0} B",
        stage.partition.customers().len(),
        of_each(records),
        of_each(state.iter().map(|(_, bytes)| bytes).sum()),
        of_each(resident_bytes() - before),
        of_each(market.iter().map(|(_, bytes)| bytes).sum()),
        of_each(stage.tables.bytes()),
    );
}

/// Of this process.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
}

fn run(workload: Workload, count: usize, alone: bool) -> Run {
    let mut stage = Stage::new();
    stage.published.recommend.enabled = !alone;
    stage.published.churn.enabled = !alone;
    let mut events = workload.events(SEED);
    let mut decoders = decoders();
    stage.apply(&mut events, &mut decoders, count);
    (stage.alerts, stage.lists, stage.market_took) = (0, 0, Duration::ZERO);
    let took = stage.apply(&mut events, &mut decoders, count);
    let bytes = stage.partition.bytes();
    Run {
        seconds: took.as_secs_f64(),
        market_seconds: stage.market_took.as_secs_f64(),
        alerts: stage.alerts,
        lists: stage.lists,
        customers: stage.partition.customers().len(),
        customer_bytes: bytes.iter().find(|(name, _)| *name == "customers").map_or(0, |(_, bytes)| *bytes),
        state_bytes: bytes.iter().map(|(_, bytes)| bytes).sum(),
    }
}

fn decoders() -> [Decoder; 3] {
    let schemas = SchemaSet::new::<&str>([]).unwrap();
    Input::ALL.map(|input| Decoder::new(input, WireForm::ConfluentAvro, &schemas).unwrap())
}

struct Stage {
    partition: Partition,
    market: MarketPartition,
    entry: EntryBuilder,
    offsets: [u64; 3],
    tables: Tables,
    models: Models,
    published: Published,
    output: Output,
    alerts: u64,
    lists: u64,
    market_took: Duration,
    ticks: TimeMs,
}

impl Stage {
    fn new() -> Stage {
        let config = Arc::new(Config::default());
        let mut stage = Stage {
            partition: Partition::new(0, Arc::clone(&config)),
            market: MarketPartition::new(0, &config),
            entry: EntryBuilder::default(),
            offsets: [0; 3],
            tables: Tables::new(1_000_000),
            models: Models::default(),
            published: Published::default(),
            output: Output::default(),
            alerts: 0,
            lists: 0,
            market_took: Duration::ZERO,
            ticks: 0,
        };
        for input in Input::ALL {
            let view = View { tables: &stage.tables, models: &stage.models, published: &stage.published };
            stage.partition.set_active(input, true, Mode::Live, view, &mut stage.output);
        }
        stage
    }

    /// Applies so many events and returns the time that it took, without making and decoding them.
    fn apply(
        &mut self,
        mut events: impl Iterator<Item = Arrival>,
        decoders: &mut [Decoder; 3],
        count: usize,
    ) -> Duration {
        let mut took = Duration::ZERO;
        let mut applied = 0;
        while applied < count {
            let arrivals: Vec<Arrival> = events.by_ref().take(BATCH.min(count - applied)).collect();
            applied += arrivals.len();
            let encoded: Vec<(Input, TimeMs, Vec<u8>)> = arrivals.iter().map(encoded).collect();
            let decoded = encoded.iter().map(|(input, timestamp_ms, value)| {
                let event = decoders[input.index()].decode(value).unwrap();
                (*input, *timestamp_ms, &value[..], event)
            });
            let decoded: Vec<(Input, TimeMs, &[u8], Event<'_>)> = decoded.collect();
            let mut facts = Vec::with_capacity(16 * BATCH);
            let began = Instant::now();
            self.batch(decoded, &mut facts);
            took += began.elapsed();
            self.follow(FactRecord::Packed(facts));
        }
        took
    }

    /// The market stage's share: a batch's facts, and the tick that publishes.
    fn follow(&mut self, facts: FactRecord) {
        self.ticks += 50;
        let mut output = MarketOutput::default();
        let began = Instant::now();
        self.market.apply(&facts, &mut output);
        self.market.apply(&FactRecord::Tick { time_ms: self.ticks }, &mut output);
        self.market_took += began.elapsed();
        let told = FactRecord::Packed(std::mem::take(&mut output.facts));
        self.market.apply(&told, &mut output);
        output.rows.into_iter().for_each(|row| assert!(self.tables.put(row)));
    }

    fn batch(&mut self, records: Vec<(Input, TimeMs, &[u8], Event<'_>)>, facts: &mut Vec<Fact>) {
        for (input, timestamp_ms, value, event) in records {
            let offset = self.offsets[input.index()];
            self.offsets[input.index()] += 1;
            let source = Source { input, partition: 0, offset };
            let raw = RawRecord { source, timestamp_ms, key: None, value: Some(value) };
            let view = View { tables: &self.tables, models: &self.models, published: &self.published };
            self.output.clear();
            black_box(self.partition.record(raw, Ok(event), Mode::Live, view, &mut self.output));
            self.entry.record(input, offset);
            self.entry.decisions(self.output.decisions.drain(..));
            for signal in &self.output.signals {
                self.alerts += u64::from(matches!(signal, Signal::Alert(_)));
                self.lists += u64::from(matches!(signal, Signal::Recommendation(_)));
            }
            black_box(&self.output.signals);
            facts.append(&mut self.output.facts);
        }
        let chain = self.partition.close_batch();
        let entry = std::mem::take(&mut self.entry);
        black_box(entry.finish(0, self.partition.fold_version(), Positions::default(), chain));
    }
}

fn encoded(arrival: &Arrival) -> (Input, TimeMs, Vec<u8>) {
    let (input, schema) = match arrival.event {
        Event::Purchase(_) => (Input::Purchases, built_in::PURCHASE),
        Event::Engagement(_) => (Input::Engagements, built_in::ENGAGEMENT),
        Event::Feedback(_) => (Input::Feedback, built_in::FEEDBACK),
    };
    let mut value = Vec::new();
    encode_event(&arrival.event, Some(schema), &mut value);
    (input, arrival.arrival_ms, value)
}
