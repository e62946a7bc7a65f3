//! Phases of a commit, and the time from a purchase to a reader of its score, at a steady rate.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use habitue::edge::kafka::KafkaLog;
use habitue::edge::log::{Log, Place, Reader};
use habitue::event::Event;
use habitue::measure::workload::Workload;
use habitue::signal::Topic;

use crate::cluster::{Cluster, Setting, Writer, counts};
use crate::passthrough::{self, Phases};
use crate::product::Product;
use crate::{PARTITIONS, SEED, machine, median, quantile};

const INTERVAL_MS: u64 = 20;
const COMMIT_MS_MAX: f64 = 15.0;
const READER_MS_MAX: f64 = 60.0;
/// What comes in the first seconds is not counted: a broker is slow until its code is compiled.
const WARM_UP: Duration = Duration::from_secs(20);
/// The last records have reached the reader by then.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the writer gathers a batch: what Kafka's clients do by default.
const LINGER_MS: u32 = 5;

pub fn run(workload: Workload, without: &str, rate: u64, seconds: u64) {
    machine::print();
    let cluster = Cluster::start(without);
    let records = rate * (WARM_UP.as_secs() + seconds);
    println!(
        "workload    {}, {rate} events/s for {seconds} s after {} s, {PARTITIONS} partitions, transactions of {INTERVAL_MS} ms",
        workload.name(),
        WARM_UP.as_secs()
    );
    pass(&cluster, workload, rate, records);
    serve(&cluster, workload, rate, records);
}

/// The same load on the bare passthrough: what broker and machine give at best.
fn pass(cluster: &Cluster, workload: Workload, rate: u64, records: u64) {
    let setting = cluster.setting("pass", "pass", INTERVAL_MS);
    let child = passthrough::spawn(&setting, &counts(workload, records), INTERVAL_MS);
    let sent = write(&setting, workload, rate, records, child.id(), None);
    let phases = passthrough::report(child).phases;
    println!("\npassthrough {:.2} cores", sent.cores);
    print_phases(&phases);
}

fn serve(cluster: &Cluster, workload: Workload, rate: u64, records: u64) {
    let setting = cluster.setting("latency", "input", INTERVAL_MS);
    let mut product = Product::start(&setting, "warn,habitue::edge::shard::apply=debug");
    product.await_ready();
    let stop = AtomicBool::new(false);
    let (sent, seen) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&setting, &stop));
        let sent = write(&setting, workload, rate, records, product.pid(), Some(&product.log));
        std::thread::sleep(SETTLE);
        stop.store(true, Ordering::Relaxed);
        (sent, reading.join().unwrap())
    });
    println!("\nservice     {:.2} cores", sent.cores);
    println!("writer      {:.0} events/s, at most {:.1} ms behind its plan", sent.rate, sent.behind_ms);
    let phases = commits(&product, sent.log_from);
    let whole = print_phases(&phases);
    println!("bar {COMMIT_MS_MAX} ms: {}", verdict(whole <= COMMIT_MS_MAX));
    print_reader(&sent, &seen);
}

struct Sent {
    /// When each purchase was handed to the client, by event id; warm-up left out.
    purchases: HashMap<String, Instant>,
    rate: f64,
    behind_ms: f64,
    /// Processor seconds a second of the service.
    cores: f64,
    /// Length of the service's log when the warm-up ended.
    log_from: u64,
}

/// Writes the records at the rate while process `pid` reads them; `log` is what it writes meanwhile.
fn write(
    setting: &Setting,
    workload: Workload,
    rate: u64,
    records: u64,
    pid: u32,
    log: Option<&Path>,
) -> Sent {
    let mut writer = Writer::new(setting, LINGER_MS);
    let mut events = workload.events(SEED);
    let cpu = || machine::cpu_seconds(pid).unwrap_or_default();
    let mut sent = Sent { purchases: HashMap::new(), rate: 0.0, behind_ms: 0.0, cores: 0.0, log_from: 0 };
    let (mut count, mut at_warm, mut warm_cpu) = (0_u64, None, 0.0);
    let begun = Instant::now();
    while count < records {
        let due = records.min((begun.elapsed().as_secs_f64() * rate as f64) as u64);
        if at_warm.is_none() && begun.elapsed() >= WARM_UP {
            at_warm = Some((Instant::now(), count));
            warm_cpu = cpu();
            sent.log_from = log.map_or(0, |log| std::fs::metadata(log).unwrap().len());
        }
        if at_warm.is_some() {
            let behind_ms = due.saturating_sub(count) as f64 * 1000.0 / rate as f64;
            sent.behind_ms = sent.behind_ms.max(behind_ms);
        }
        while count < due {
            let event = events.next().unwrap().event;
            if let (Event::Purchase(purchase), Some(_)) = (&event, at_warm) {
                sent.purchases.insert(purchase.event_id.to_string(), Instant::now());
            }
            writer.write(&event);
            count += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let (warm, before) = at_warm.unwrap();
    let measured = warm.elapsed().as_secs_f64();
    sent.rate = (count - before) as f64 / measured;
    sent.cores = (cpu() - warm_cpu) / measured;
    writer.finish();
    sent
}

/// Every committed score with the moment at which it came.
fn read(setting: &Setting, stop: &AtomicBool) -> Vec<(Instant, Vec<u8>)> {
    let mut reader = KafkaLog::new(setting.kafka()).unwrap().reader().unwrap();
    let places: Vec<(Place, u64)> = (0..PARTITIONS).map(|p| (Place::new(Topic::Scores, p), 0)).collect();
    reader.assign(&places).unwrap();
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        reader
            .poll(Duration::from_millis(100), &mut |record| {
                seen.push((Instant::now(), record.value.unwrap().to_vec()));
            })
            .unwrap();
    }
    seen
}

/// Milliseconds of drain, offsets and commit of each transaction of the customer stage since `from`.
fn commits(product: &Product, from: u64) -> Vec<Phases> {
    let text = std::fs::read(&product.log).unwrap();
    let text = String::from_utf8_lossy(&text[from as usize..]).into_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_customers = lines.filter(|line| line["message"] == "committed" && line["stage"] == "customer");
    let ms = |line: &serde_json::Value, name: &str| line[name].as_f64().unwrap() / 1000.0;
    of_customers.map(|line| ["drain_us", "offsets_us", "commit_us"].map(|name| ms(&line, name))).collect()
}

/// Returns the median of the whole commit.
fn print_phases(phases: &[Phases]) -> f64 {
    let of = |phase: usize| phases.iter().map(|times| times[phase]).collect::<Vec<f64>>();
    let whole: Vec<f64> = phases.iter().map(|times| times.iter().sum()).collect();
    println!("{} transactions, milliseconds    median     p99     max", phases.len());
    let shown = [("drain", of(0)), ("offsets", of(1)), ("commit", of(2)), ("whole commit", whole.clone())];
    for (name, times) in shown {
        let (middle, high, most) = (median(&times), quantile(&times, 0.99), quantile(&times, 1.0));
        println!("  {name:<32} {middle:>6.2} {high:>7.1} {most:>7.1}");
    }
    median(&whole)
}

fn print_reader(sent: &Sent, seen: &[(Instant, Vec<u8>)]) {
    let schema = include_str!("../../schemas/score.avsc");
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let mut took = Vec::new();
    for (at, value) in seen {
        // Behind Confluent's magic byte and schema id.
        let score = reader.read_value(&mut &value[5..]).unwrap();
        if let Some(begun) = event_id(score).and_then(|id| sent.purchases.get(&id)) {
            took.push(at.duration_since(*begun).as_secs_f64() * 1000.0);
        }
    }
    println!("event to reader, milliseconds, of {} purchases {} came", sent.purchases.len(), took.len());
    println!(
        "  {:<32} {:>6.1} {:>7.1} {:>7.1}",
        "median, p99, max",
        median(&took),
        quantile(&took, 0.99),
        quantile(&took, 1.0)
    );
    println!("bar {READER_MS_MAX} ms: {}", verdict(median(&took) <= READER_MS_MAX));
}

/// Of anomaly's scores, which every payment has; an order may have one of churn too.
fn event_id(score: Value) -> Option<String> {
    let Value::Record(fields) = score else { return None };
    let is_anomaly = |value: &Value| matches!(value, Value::String(name) if name == "anomaly");
    if !fields.iter().any(|(name, value)| name == "analysis" && is_anomaly(value)) {
        return None;
    }
    match fields.into_iter().find(|(name, _)| name == "event_id")?.1 {
        Value::Union(_, id) => match *id {
            Value::String(id) => Some(id),
            _ => None,
        },
        _ => None,
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
