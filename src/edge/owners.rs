//! Which instance has which partition: each says so on a compacted topic, and hears what the others say.
//!
//! What is heard may be a moment old: an instance that is asked for what it has no more says so itself. Nothing of the
//! commit protocol rests on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edge::clock::wall_ms;
use crate::edge::http::Health;
use crate::edge::log::{Appender, Group, Log, LogError, Outgoing, Place, Reader, Record};
use crate::edge::shard::threads::Stop;
use crate::event::TimeMs;
use crate::signal::Topic;

const PLACE: Place = Place::new(Topic::Owners, 0);
/// Between two looks at what this instance has.
const INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait until the log has taken a claim, before it is written again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one instance says that it has: the value, as JSON, of its record; the key is its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub instance: String,
    /// Where others reach its HTTP, as `http://host:port`; null where it did not say.
    pub address: Option<String>,
    /// Partitions, live or being restored.
    pub customer: BTreeSet<u32>,
    pub market: BTreeSet<u32>,
    /// Wall time at which it was said.
    pub time_ms: TimeMs,
}

impl Claim {
    fn holds(&self, group: Group, partition: u32) -> bool {
        match group {
            Group::Customer => self.customer.contains(&partition),
            Group::Market => self.market.contains(&partition),
        }
    }
}

/// What every instance has said last. Share it in an `Arc`.
#[derive(Debug)]
pub struct Owners {
    instance: String,
    address: Option<String>,
    /// By instance, with the offset.
    claims: Mutex<BTreeMap<String, (u64, Claim)>>,
}

impl Owners {
    /// `address`: where other instances reach this one.
    pub fn new(instance: String, address: Option<String>) -> Owners {
        Owners { instance, address, claims: Mutex::default() }
    }

    /// The name of this one.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Who said last that it has the partition: of two, one has died or gives it up.
    pub fn owner(&self, group: Group, partition: u32) -> Option<Claim> {
        let claims = self.lock();
        let held = claims.values().filter(|(_, claim)| claim.holds(group, partition));
        held.max_by_key(|(offset, _)| *offset).map(|(_, claim)| claim.clone())
    }

    /// All that run, or have died and were not replaced, by name.
    pub fn all(&self) -> Vec<Claim> {
        self.lock().values().map(|(_, claim)| claim.clone()).collect()
    }

    /// Says what `health` has whenever that changes, and hears the others, until `stop`; then takes it back.
    ///
    /// # Errors
    /// What the log says other than "not yet".
    pub fn follow<L: Log>(&self, log: &L, health: &Health, stop: &Stop) -> Result<(), LogError> {
        let (mut reader, mut appender) = (log.reader()?, log.appender()?);
        let mut said: Option<Claim> = None;
        while !stop.is_set() && !begin(&mut reader)? {
            std::thread::sleep(INTERVAL);
        }
        while !stop.is_set() {
            match reader.poll(INTERVAL, &mut |record| self.hear(record)) {
                Ok(_) | Err(LogError::Retry(_)) => {}
                Err(LogError::OutOfRange { low, .. }) => reader.assign(&[(PLACE, low)])?,
                Err(error) => return Err(error),
            }
            let now = self.claim(health);
            let is_new = said.as_ref().is_none_or(|said| !now.is_same(said));
            if is_new && say(&mut appender, &self.instance, Some(&now))? {
                said = Some(now);
            }
        }
        say(&mut appender, &self.instance, None).map(drop)
    }

    fn claim(&self, health: &Health) -> Claim {
        let partitions = health.partitions();
        let of = |wanted| {
            let here = partitions.iter().filter(|(group, ..)| *group == wanted);
            here.map(|(_, partition, ..)| *partition).collect()
        };
        Claim {
            instance: self.instance.clone(),
            address: self.address.clone(),
            customer: of(Group::Customer),
            market: of(Group::Market),
            time_ms: wall_ms(),
        }
    }

    /// Takes a record of the topic.
    pub fn hear(&self, record: Record<'_>) {
        let Some(instance) = record.key.and_then(|key| std::str::from_utf8(key).ok()) else { return };
        let mut claims = self.lock();
        match record.value.map(serde_json::from_slice::<Claim>) {
            Some(Ok(claim)) => {
                claims.insert(instance.to_owned(), (record.offset, claim));
            }
            Some(Err(error)) => tracing::warn!(record.offset, %error, "a record of owners is ignored"),
            None => {
                claims.remove(instance);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Claim)>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// But for the time.
    fn is_same(&self, other: &Claim) -> bool {
        Claim { time_ms: other.time_ms, ..self.clone() } == *other
    }
}

/// From the start of what is kept. False where the log says "not yet".
fn begin<R: Reader>(reader: &mut R) -> Result<bool, LogError> {
    match reader.ends(PLACE) {
        Ok(ends) => reader.assign(&[(PLACE, ends.low)]).map(|()| true),
        Err(LogError::Retry(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// False where the log has not taken it yet.
fn say<A: Appender>(appender: &mut A, instance: &str, claim: Option<&Claim>) -> Result<bool, LogError> {
    let value = claim.map(|claim| serde_json::to_vec(claim).expect("plain data always serialises"));
    let key = instance.as_bytes().to_vec();
    let record = Outgoing { place: PLACE, key, value, timestamp_ms: wall_ms() };
    match appender.append(&record).and_then(|()| appender.flush(PATIENCE)) {
        Err(LogError::Retry(_)) => Ok(false),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::edge::log::sim::{SimConfig, SimLog};

    /// An instance that says and hears until it is ended.
    struct Running {
        owners: Arc<Owners>,
        health: Arc<Health>,
        stop: Stop,
        thread: std::thread::JoinHandle<Result<(), LogError>>,
    }

    fn start(log: &SimLog, name: &str, customer: &[u32]) -> Running {
        let owners = Arc::new(Owners::new(name.to_owned(), Some(format!("http://{name}:9464"))));
        let (health, stop, log) = (Arc::new(Health::new()), Stop::default(), log.clone());
        customer.iter().for_each(|partition| health.live(Group::Customer, *partition, 0, 0));
        let thread = std::thread::spawn({
            let (owners, health, stop) = (Arc::clone(&owners), Arc::clone(&health), stop.clone());
            move || owners.follow(&log, &health, &stop)
        });
        Running { owners, health, stop, thread }
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(Instant::now() < patience, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn everybody_knows_who_has_what_and_the_last_word_counts() {
        let log = SimLog::new(SimConfig::new(4, 1));
        let owner = |running: &Running, partition| {
            running.owners.owner(Group::Customer, partition).map(|claim| claim.instance)
        };
        let (a, b) = (start(&log, "a", &[0, 1]), start(&log, "b", &[2]));
        until("both hear both", || {
            [&a, &b].iter().all(|heard| owner(heard, 0).is_some() && owner(heard, 2).is_some())
        });
        assert_eq!(owner(&b, 1).as_deref(), Some("a"));
        assert_eq!(b.owners.owner(Group::Customer, 3), None);
        assert_eq!(b.owners.owner(Group::Market, 0), None);

        // One that has died takes nothing back.
        b.health.restoring(Group::Customer, 1, 0.2);
        until("the newer claim counts", || owner(&a, 1).as_deref() == Some("b"));
        assert_eq!(owner(&a, 0).as_deref(), Some("a"));

        a.stop.set();
        a.thread.join().expect("no panic").expect("no fault");
        until("it takes back what it said", || b.owners.all().len() == 1);
        assert_eq!(owner(&b, 0), None);
        b.stop.set();
        b.thread.join().expect("no panic").expect("no fault");
    }
}
