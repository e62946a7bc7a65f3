//! The simulated log does what every log must do.

use std::time::Duration;

use habitue::edge::log::Place;
use habitue::edge::log::sim::{SimConfig, SimLog};

use crate::log::Bench;

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
