//! The demo's shop and its past: what the service says of it, against the truth.

use std::process::Command;

use habitue::edge::demo::past::{self, Past, Settings};
use habitue::edge::demo::shop::{Config, Occurrence, Shop};
use habitue::event::Event;
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

/// A quarter of the usual shop, with more fraud, so that a few months have enough of it to be counted.
fn small() -> Config {
    Config {
        customers_at_start: 400,
        customers_a_day: 3.0,
        guests_a_day: 4.0,
        items_in_category: 20,
        tills: 8,
        fraud_share: 0.02,
        ..Config::default()
    }
}

fn tell(config: &Config, seed: u64, days: i64) -> (Past, Shop) {
    tell_with_desk(config, seed, days, None)
}

fn tell_with_desk(config: &Config, seed: u64, days: i64, desk_hours: Option<u32>) -> (Past, Shop) {
    let mut shop = Shop::new(seed, config);
    let end_ms = config.start_ms + days * DAY_MS;
    let settings = Settings { seed, end_ms, desk_hours };
    let past = past::tell(&mut shop, &settings, &mut |_| {}).expect("the service runs");
    (past, shop)
}

fn auc(rated: &Value, of: &str, name: &str) -> f64 {
    rated[of][name]["auc"].as_f64().expect("both classes")
}

/// On a shop of the usual size whose desk looks at its alerts; figures are in docs/benchmarks/quality.md.
#[test]
fn what_is_said_is_better_than_baselines_on_the_truth() {
    let (past, _) = tell_with_desk(&Config::default(), 1, 240, Some(12));
    let found = &past.anomaly;
    assert!(found.frauds > 50 && found.alerts > 20, "{found:?}");
    let [amount, random] = ["amount", "random"].map(|name| found.baselines[name].hits);
    assert!(found.default.hits > amount && found.default.hits > 5 * random.max(1), "{found:?}");
    assert!(past.desk.is_some_and(|desk| desk.verdicts <= found.alerts as u64 && desk.verdicts > 10));
    let ranking = json!(found.ranking);
    let best = ["amount", "amount_z", "entity_share", "random"].map(|name| auc(&ranking, "baselines", name));
    let risk = auc(&ranking, "learners", "default");
    assert!(best.iter().all(|auc| risk > auc + 0.02), "{risk} {best:?}");
    let precision =
        |of: &str, name: &str| ranking[of][name]["average_precision"].as_f64().expect("both classes");
    let best = ["amount", "amount_z", "entity_share", "random"].map(|name| precision("baselines", name));
    let risk = precision("learners", "default");
    assert!(best.iter().all(|precision| risk > *precision), "{risk} {best:?}");

    let churn = json!(past.churn.no_order);
    let default = auc(&churn["in_silence"], "learners", "default");
    let others =
        ["recency", "frequency", "no_skill"].map(|name| auc(&churn["in_silence"], "baselines", name));
    assert!(default > 0.75 && others.iter().all(|auc| default > auc + 0.03), "{default} {others:?}");
    let [default, no_skill] =
        [("learners", "default"), ("baselines", "no_skill")].map(|(of, name)| auc(&churn, of, name));
    assert!(default > 0.65 && default > no_skill + 0.1, "on order days: {default} {no_skill}");

    let lists = &past.recommend.next_order;
    let default = lists.learners["default"].hit_rate_10.expect("orders were rated");
    let others = ["popularity", "own_recent"].map(|name| lists.baselines[name].hit_rate_10.unwrap());
    assert!(others.iter().all(|other| default > other + 0.02), "{lists:?}");
}

/// Where nobody looks at the alerts: of as many highest amounts fewer are fraud. One seed has some ten hits, so three count
/// together.
#[test]
fn alerts_find_more_fraud_than_the_highest_amounts() {
    let found = [13, 17, 21].map(|seed| tell(&Config::default(), seed, 150).0.anomaly);
    let hits: usize = found.iter().map(|found| found.default.hits).sum();
    let amount: usize = found.iter().map(|found| found.baselines["amount"].hits).sum();
    assert!(hits > amount && amount > 5, "{hits} {amount}");
}

#[test]
fn a_seed_gives_one_document_to_the_digit() {
    let [once, again, other] =
        [1, 1, 2].map(|seed| serde_json::to_string_pretty(&tell(&small(), seed, 40).0).unwrap());
    assert!(once == again, "two runs differ");
    assert_ne!(once, other);
}

#[test]
fn every_event_is_counted_and_applied_and_the_shop_goes_on() {
    let config = small();
    let (past, mut shop) = tell(&config, 3, 40);
    let mut counted = [0_u64; 5];
    let mut again = Shop::new(3, &config);
    while again.next_time_ms() < past.end_ms {
        let Occurrence { event, truth } = again.next_occurrence();
        match event {
            Event::Purchase(purchase) => {
                counted[0] += 1;
                counted[3] += u64::from(!purchase.refund && purchase.customer.is_none());
                counted[4] += u64::from(!purchase.refund && truth.fraud.is_some());
            }
            Event::Engagement(_) => counted[1] += 1,
            Event::Feedback(_) => counted[2] += 1,
        }
    }
    let told = &past.events;
    let of_document =
        [told.purchases, told.engagements, told.feedback, told.guests, past.anomaly.frauds as u64];
    assert_eq!(of_document, counted);
    assert_eq!(told.all, counted[..3].iter().sum::<u64>());
    assert_eq!(told.purchases, told.payments + told.refunds);
    let applied = &past.service;
    assert_eq!([applied.purchases, applied.engagements, applied.feedback], counted[..3]);
    assert!(applied.dead_letters.is_empty() && applied.duplicates == 0, "{applied:?}");
    assert_eq!((applied.alerts, past.desk), (past.anomaly.alerts as u64, None));
    let reasons = past.anomaly.reasons.values().map(|of| (of.alerts, of.hits));
    let sums = reasons.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    assert_eq!(sums, (past.anomaly.alerts, past.anomaly.default.hits));
    let months = past.anomaly.months.iter().map(|month| (month.payments, month.frauds, month.alerts));
    let sums = months.fold((0, 0, 0), |sum, month| (sum.0 + month.0, sum.1 + month.1, sum.2 + month.2));
    assert_eq!(sums, (past.anomaly.payments, past.anomaly.frauds, past.anomaly.alerts));
    assert!(shop.by_ref().take(500).eq(again.take(500)), "it goes on from the very same state");
}

#[test]
fn the_command_writes_one_document() {
    let habitue = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
        command.arg("demo").args(arguments).output().unwrap()
    };
    let output = habitue(&["--past-only", "--months", "1", "--seed", "5", "--json"]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document and nothing else");
    assert_eq!(
        (&document["past"]["seed"], document["past"]["churn"]["horizon_days"].as_u64()),
        (&json!(5), Some(90))
    );
    assert!(document["seconds"].as_f64() > Some(0.0));
    let said = habitue(&["--past-only", "--months", "1", "--seed", "5"]);
    let text = String::from_utf8(said.stdout).expect("text");
    let events = document["past"]["events"]["all"].to_string();
    assert!(text.contains(&events) && text.contains("COMPROMISED TERMINAL"), "{text}");
    assert_eq!(habitue(&["--json"]).status.code(), Some(2), "only of the past");
    assert_eq!(habitue(&["--http", "0.0.0.0:0"]).status.code(), Some(2), "off loopback");
    assert_eq!(habitue(&["--past-only", "--months", "0"]).status.code(), Some(2));
}

/// The past is handed over, the shop goes on, and the end is clean.
#[test]
fn the_shop_goes_on_live_after_its_past() {
    let folder = crate::embedded::Folder::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
    command.args(["demo", "--months", "1", "--seed", "5", "--speed", "20000", "--seconds", "12"]);
    command.args(["--http", &format!("127.0.0.1:{port}"), "--folder"]).arg(folder.path());
    let output = command.output().unwrap();
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{error}");
    assert!(text.contains(&format!("The page: http://127.0.0.1:{port}/")), "{text}");
    let seen = text.lines().find_map(|line| line.strip_prefix("Seen live: ")).expect("what was seen");
    let events: u64 = seen.split(' ').next().unwrap().parse().unwrap();
    assert!(events > 500, "{seen}");
    let again = command.output().unwrap();
    let error = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(4), "{error}");
    assert!(error.contains("holds a log already"), "{error}");
}
