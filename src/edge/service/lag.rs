//! How far each owned place is behind its end, asked once a second beside the shards, and with it whether the log answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::edge::http::Health;
use crate::edge::log::{Log, LogError, Place, Reader};
use crate::edge::shard::threads::Stop;
use crate::signal::Topic;

const INTERVAL: Duration = Duration::from_secs(1);

/// What shards and the asking thread tell each other.
#[derive(Debug, Default)]
pub struct Lags(Mutex<BTreeMap<Place, Standing>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    position: u64,
    /// As of the last look; 0 before the first.
    end: u64,
    /// The position at the last look.
    seen: Option<u64>,
    /// Between this position and this end lie only the marks of transactions, which nobody can read.
    empty: Option<(u64, u64)>,
}

impl Standing {
    fn lag(&self) -> u64 {
        if self.empty == Some((self.position, self.end)) { 0 } else { self.end.saturating_sub(self.position) }
    }
}

impl Lags {
    /// The place is read at `position` now. Returns how many offsets it was behind at the last look.
    pub fn at(&self, place: Place, position: u64) -> u64 {
        let mut places = self.lock();
        let standing = places.entry(place).or_default();
        standing.position = position;
        standing.lag()
    }

    /// The place is given up.
    pub fn remove(&self, place: Place) {
        self.lock().remove(&place);
    }

    /// Asks for the ends of all places until `stop`. What the log does not answer is asked again; `health` hears of it.
    pub fn follow<L: Log>(&self, log: &L, health: &Health, stop: &Stop) -> Result<(), LogError> {
        let mut reader = log.reader()?;
        while !stop.is_set() {
            // Something is asked where nothing is owned too.
            let answered = reader.ends(Place::new(Topic::Control, 0)).map(drop);
            let looked = answered.clone().and_then(|()| self.look(&mut reader));
            health.log_answers(answered.map_err(|error| match error {
                LogError::Retry(reason) => reason,
                error => error.to_string(),
            }));
            if let Err(error) = looked {
                tracing::debug!(%error, "lag is not known yet");
            }
            let mut left = INTERVAL;
            while !left.is_zero() && !stop.is_set() {
                let nap = left.min(Duration::from_millis(100));
                std::thread::sleep(nap);
                left -= nap;
            }
        }
        Ok(())
    }

    fn look<R: Reader>(&self, reader: &mut R) -> Result<(), LogError> {
        let places: Vec<Place> = self.lock().keys().copied().collect();
        let mut still = Vec::new();
        for place in places {
            let end = reader.ends(place)?.stable;
            let mut places = self.lock();
            let Some(standing) = places.get_mut(&place) else { continue };
            standing.end = end;
            if standing.lag() > 0 && standing.seen == Some(standing.position) {
                still.push((place, standing.position, end));
            }
            standing.seen = Some(standing.position);
        }
        if still.is_empty() { Ok(()) } else { self.look_between(reader, &still) }
    }

    /// Which of the places that stand still have nothing to be read up to their ends.
    fn look_between<R: Reader>(&self, reader: &mut R, still: &[(Place, u64, u64)]) -> Result<(), LogError> {
        let from: Vec<(Place, u64)> = still.iter().map(|(place, position, _)| (*place, *position)).collect();
        reader.assign(&from)?;
        let mut waiting = Vec::new();
        for _ in 0..10 {
            reader.poll(Duration::from_millis(50), &mut |record| waiting.push(record.place))?;
            if still.iter().all(|(place, ..)| waiting.contains(place) || reader.at_end(*place)) {
                break;
            }
        }
        let mut places = self.lock();
        for (place, position, end) in still {
            if !waiting.contains(place)
                && reader.at_end(*place)
                && let Some(standing) = places.get_mut(place)
            {
                standing.empty = Some((*position, *end));
            }
        }
        drop(places);
        reader.assign(&[])
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::log::sim::{SimConfig, SimLog};
    use crate::edge::log::{Outgoing, Producer};

    #[test]
    fn lag_counts_offsets_but_not_the_marks_of_transactions() {
        let log = SimLog::new(SimConfig::new(1, 1));
        let place = Place::new(Topic::Facts, 0);
        let mut producer = log.producer("p").expect("a producer");
        producer.init().expect("a broker");
        producer.begin().expect("begun");
        let record = Outgoing { place, key: Vec::new(), value: Some(vec![1]), timestamp_ms: 0 };
        for _ in 0..3 {
            producer.send(&record).expect("sent");
        }
        while !producer.drain(Duration::from_millis(1)).expect("drained") {}
        producer.commit().expect("committed");

        let (lags, mut reader) = (Lags::default(), log.reader().expect("a reader"));
        assert_eq!(lags.at(place, 1), 0, "nothing is known yet");
        lags.look(&mut reader).expect("answered");
        assert_eq!(lags.at(place, 1), 3);
        lags.look(&mut reader).expect("answered");
        assert_eq!(lags.at(place, 1), 3, "two records wait");
        assert_eq!(lags.at(place, 3), 1);
        lags.look(&mut reader).expect("answered");
        lags.look(&mut reader).expect("answered");
        assert_eq!(lags.at(place, 3), 0, "only a mark is left");
        log.append_record(place, None, Some(&[2]), 0).expect("written");
        lags.look(&mut reader).expect("answered");
        assert_eq!(lags.at(place, 3), 2);
    }
}
