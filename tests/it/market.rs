//! The market stage's partition as shards use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use habitue::analysis::MarketOutput;
use habitue::engine::snapshot::Opened;
use habitue::engine::{Config, MarketPartition};
use habitue::signal::fact::{ChurnMoment, Fact, FactRecord};

fn moment(at: u64) -> Fact {
    Fact::Churn(ChurnMoment {
        customer: at % 50_000,
        partition: (at % 8) as u32,
        time_ms: at as i64 * 100,
        is_order: !at.is_multiple_of(3),
        repeats: (at / 50_000) as u32,
        first_day: 0,
        last_day: 0,
        features: vec![0.5; 8],
        probability: f32::NAN,
    })
}

fn bytes(partition: &MarketPartition) -> Vec<u8> {
    partition.freeze(7).encode().0
}

/// 50 000 customers with 200 000 moments: neither a snapshot nor the sample of a job pauses the partition, whatever
/// it goes on to fold.
#[test]
fn a_snapshot_and_a_job_of_churn_do_not_pause() {
    let config = Arc::new(Config::default());
    let mut partition = MarketPartition::new(0, &config);
    let mut output = MarketOutput::default();
    for record in 0..400 {
        let facts = (0..500).map(|at| moment(record * 500 + at)).collect();
        partition.apply(&FactRecord::Packed(facts), &mut output);
    }
    let best = |work: &mut dyn FnMut()| {
        let took = (0..5).map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        });
        took.min().expect("five")
    };
    let mut time_ms = 0;
    let tick = best(&mut || {
        time_ms += 50;
        partition.apply(&FactRecord::Tick { time_ms }, &mut output);
        assert_eq!(partition.jobs().count(), 1);
    });
    assert!(tick < Duration::from_millis(1), "{tick:?}");
    let freeze = best(&mut || drop(partition.freeze(1)));
    assert!(freeze < Duration::from_millis(5), "{freeze:?}");
    // While a view is held, pages are copied as they change.
    let held = partition.freeze(1);
    let mut at = 200_000;
    let fold = best(&mut || {
        partition.apply(&FactRecord::Packed(vec![moment(at)]), &mut output);
        at += 1_000;
    });
    assert!(fold < Duration::from_millis(1), "{fold:?}");
    drop(held);
    let of_churn = partition.bytes().into_iter().find(|(name, _)| *name == "churn").expect("its section").1;
    assert!((10 << 20..150 << 20).contains(&of_churn), "{of_churn}");
    // The job is in the snapshot, with the same input.
    let restored = MarketPartition::restore(&Opened::read(&bytes(&partition)).unwrap(), 0, &config).unwrap();
    assert!(bytes(&restored) == bytes(&partition));
    let inputs =
        |partition: &MarketPartition| partition.jobs().map(|(_, job)| (job.input)()).collect::<Vec<_>>();
    assert!(inputs(&restored) == inputs(&partition));
}
