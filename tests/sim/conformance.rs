//! The simulated log does what every log must do.

use std::time::Duration;

use habitue::edge::log::sim::{SimConfig, SimLog};
use habitue::edge::log::{Log, Place, Reader};

use crate::log::{Bench, WAIT, alerts, append};

struct Sim;

impl Bench for Sim {
    type L = SimLog;

    fn fresh(&self, partitions: u32) -> SimLog {
        SimLog::new(SimConfig::new(1, partitions))
    }

    fn let_time_pass(&self, log: &SimLog, time: Duration) {
        log.advance(time.as_millis() as u64);
    }

    fn delete_before(&self, log: &SimLog, place: Place, offset: u64) -> bool {
        log.delete_before(place, offset).is_ok()
    }

    fn silence(&self) -> Option<Duration> {
        Some(Duration::from_secs(6))
    }
}

crate::conformance!(Sim);

/// A place with much to read does not starve another.
#[test]
fn each_place_has_its_turn() {
    let log = SimLog::new(SimConfig { poll_records_max: 2, ..SimConfig::new(1, 2) });
    append(&Sim, &log, alerts(0), &["x"; 100]);
    append(&Sim, &log, alerts(1), &["y"; 3]);
    let mut reader = log.reader().unwrap();
    reader.assign(&[(alerts(0), 0), (alerts(1), 0)]).unwrap();
    let mut rare = 0;
    for _ in 0..6 {
        reader.poll(WAIT, &mut |record| rare += usize::from(record.place == alerts(1))).unwrap();
    }
    assert_eq!(rare, 3);
}
