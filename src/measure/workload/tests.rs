//! What the workloads promise: repeatability, proportions, time, verdicts.

use std::collections::BTreeMap;

use super::*;
use crate::event::Verdict;

#[test]
fn the_same_seed_gives_the_same_events_and_another_others() {
    for workload in Workload::ALL {
        let events = |seed| -> Vec<Arrival> { workload.events(seed).take(20_000).collect() };
        assert!(events(1) == events(1));
        assert!(events(1) != events(2));
    }
}

#[test]
fn proportions_are_those_of_the_workload() {
    for workload in Workload::ALL {
        let n = 200_000;
        let mut counts = [0_u32; 3];
        let mut lengths: BTreeMap<String, u32> = BTreeMap::new();
        for arrival in workload.events(3).take(n) {
            match &arrival.event {
                Event::Purchase(purchase) => {
                    counts[0] += 1;
                    let lines = if workload == Workload::Shop { 3 } else { 1 };
                    assert_eq!(purchase.lines.len(), lines);
                }
                Event::Engagement(engagement) => {
                    counts[1] += 1;
                    *lengths.entry(engagement.session.as_deref().unwrap_or("").to_owned()).or_default() += 1;
                }
                Event::Feedback(_) => counts[2] += 1,
            }
        }
        let share = |count: u32| f64::from(count) / n as f64;
        let expected = if workload == Workload::Shop { [0.10, 0.89, 0.01] } else { [0.99, 0.0, 0.01] };
        for (count, expected) in counts.iter().zip(expected) {
            assert!((share(*count) - expected).abs() < 0.003, "{workload:?} {counts:?}");
        }
        if workload == Workload::Shop {
            let mean = f64::from(counts[1]) / lengths.len() as f64;
            assert!((7.5..8.5).contains(&mean), "{mean} events a session");
        }
    }
}

#[test]
fn time_is_steady_and_disorder_mild() {
    let at = |i: usize| Workload::Payments.events(1).nth(i).expect("endless").arrival_ms;
    assert_eq!(at(0), START_MS);
    assert_eq!(at(100_000) - START_MS, 25_920_000);
    for arrival in Workload::Shop.events(1).take(10_000) {
        let late_ms = arrival.arrival_ms - arrival.event.time_ms();
        assert!((0..60_000).contains(&late_ms), "{late_ms}");
    }
}

#[test]
fn verdicts_follow_their_purchases_once_by_minutes_to_days() {
    let mut sold: BTreeMap<String, (TimeMs, bool)> = BTreeMap::new();
    let (mut early, mut late, mut frauds) = (0, 0, 0);
    for arrival in Workload::Payments.events(5).take(1_000_000) {
        match &arrival.event {
            Event::Purchase(p) => drop(sold.insert(p.event_id.to_string(), (p.time_ms, arrival.fraud))),
            Event::Feedback(f) => {
                let (time_ms, fraud) = sold.remove(&*f.event_id).expect("a purchase, and no second verdict");
                assert_eq!(fraud, f.verdict == Verdict::Fraud);
                frauds += u32::from(fraud);
                let delay_ms = f.time_ms - time_ms;
                early += u32::from(delay_ms < 3_600_000);
                late += u32::from(delay_ms > 86_400_000);
            }
            Event::Engagement(_) => panic!("payments have none"),
        }
    }
    assert!(early > 100 && late > 100, "{early} {late}");
    assert!((1_000..9_000).contains(&frauds), "{frauds} verdicts of fraud");
}
