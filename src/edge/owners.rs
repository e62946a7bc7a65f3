//! Which instance has which partition: each says so on a compacted topic, and hears what the others say.
//!
//! Where several may run each says it again and again, so that one that has died is soon forgotten. What is heard may be
//! a moment old: an instance that is asked for what it has no more says so itself. Nothing of the commit protocol rests
//! on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::edge::clock::wall_ms;
use crate::edge::http::Health;
use crate::edge::inbox::Inbox;
use crate::edge::log::{Appender, Group, Log, LogError, Outgoing, Place, Reader, Record};
use crate::edge::shard::threads::Stop;
use crate::event::TimeMs;
use crate::signal::Topic;

const PLACE: Place = Place::new(Topic::Owners, 0);
/// Between two looks at what this instance has.
const INTERVAL: Duration = Duration::from_millis(100);
/// Between two claims that say the same, where other instances may run.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Who has said nothing for so long has died.
const SILENCE: Duration = Duration::from_secs(10);
/// Claims that are read back at the start: more than a hundred instances say within [`SILENCE`].
const READ_BACK: u64 = 1_000;
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
    /// Records of inputs that wait.
    pub lag: u64,
    /// The largest event time below which one of its customer partitions takes nothing any more.
    pub watermark_ms: Option<TimeMs>,
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
    /// Whether no other can run.
    is_alone: bool,
    claims: Mutex<BTreeMap<String, Heard>>,
}

#[derive(Debug)]
struct Heard {
    claim: Claim,
    offset: u64,
    at: Instant,
}

impl Owners {
    /// `address`: where other instances reach this one. `is_alone`: on a log that no other can use.
    pub fn new(instance: String, address: Option<String>, is_alone: bool) -> Owners {
        Owners { instance, address, is_alone, claims: Mutex::default() }
    }

    /// The name of this one.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Who said last that it has the partition: of two, one has died or gives it up.
    pub fn owner(&self, group: Group, partition: u32) -> Option<Claim> {
        newest(&self.lock(), group, partition).map(|heard| heard.claim.clone())
    }

    /// All that run, by name. A partition is with the one that said so last.
    pub fn all(&self) -> Vec<Claim> {
        let claims = self.lock();
        let only_newest = |heard: &Heard| {
            let is_newest = |group, partition: &u32| {
                newest(&claims, group, *partition).is_some_and(|newest| newest.offset == heard.offset)
            };
            let mut claim = heard.claim.clone();
            claim.customer.retain(|partition| is_newest(Group::Customer, partition));
            claim.market.retain(|partition| is_newest(Group::Market, partition));
            claim
        };
        claims.values().map(only_newest).collect()
    }

    /// Says what `health` has whenever that changes, and hears the others, until `stop`; then takes it back.
    ///
    /// # Errors
    /// What the log says other than "not yet".
    pub fn follow<L: Log>(
        &self,
        log: &L,
        health: &Health,
        inbox: &Inbox,
        stop: &Stop,
    ) -> Result<(), LogError> {
        let (mut reader, mut appender) = (log.reader()?, log.appender()?);
        let mut said: Option<(Claim, Instant)> = None;
        while !stop.is_set() && !begin(&mut reader)? {
            std::thread::sleep(INTERVAL);
        }
        while !stop.is_set() {
            match reader.poll(INTERVAL, &mut |record| self.hear(record)) {
                Ok(_) | Err(LogError::Retry(_)) => {}
                Err(LogError::OutOfRange { low, .. }) => reader.assign(&[(PLACE, low)])?,
                Err(error) => return Err(error),
            }
            self.forget_the_dead();
            let now = self.claim(health, inbox);
            let is_due = said
                .as_ref()
                .is_none_or(|(said, at)| !now.is_same(said) || (!self.is_alone && at.elapsed() >= HEARTBEAT));
            if is_due && say(&mut appender, &self.instance, Some(&now))? {
                said = Some((now, Instant::now()));
            }
        }
        // Under the same name another process may have begun, whose word this would take back.
        let is_ours = |last: &Claim| said.as_ref().is_some_and(|(said, _)| said.time_ms == last.time_ms);
        if !self.lock().get(&self.instance).is_some_and(|heard| is_ours(&heard.claim)) {
            return Ok(());
        }
        say(&mut appender, &self.instance, None).map(drop)
    }

    fn forget_the_dead(&self) {
        if !self.is_alone {
            self.lock().retain(|_, heard| heard.at.elapsed() < SILENCE);
        }
    }

    fn claim(&self, health: &Health, inbox: &Inbox) -> Claim {
        Claim {
            instance: self.instance.clone(),
            address: self.address.clone(),
            customer: health.numbers(Group::Customer),
            market: health.numbers(Group::Market),
            lag: health.partitions().iter().map(|(_, _, _, lag, _)| lag).sum(),
            watermark_ms: inbox.watermark_ms(),
            time_ms: wall_ms(),
        }
    }

    /// Takes a record of the topic.
    pub fn hear(&self, record: Record<'_>) {
        let Some(instance) = record.key.and_then(|key| std::str::from_utf8(key).ok()) else { return };
        let mut claims = self.lock();
        match record.value.map(serde_json::from_slice::<Claim>) {
            Some(Ok(claim)) => {
                let heard = Heard { claim, offset: record.offset, at: Instant::now() };
                claims.insert(instance.to_owned(), heard);
            }
            Some(Err(error)) => tracing::warn!(record.offset, %error, "a record of owners is ignored"),
            None => {
                claims.remove(instance);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Whether it says that it has the same.
    fn is_same(&self, other: &Claim) -> bool {
        self.customer == other.customer && self.market == other.market
    }
}

fn newest(claims: &BTreeMap<String, Heard>, group: Group, partition: u32) -> Option<&Heard> {
    let held = claims.values().filter(|heard| heard.claim.holds(group, partition));
    held.max_by_key(|heard| heard.offset)
}

/// A little before the end. False where the log says "not yet".
fn begin<R: Reader>(reader: &mut R) -> Result<bool, LogError> {
    match reader.ends(PLACE) {
        Ok(ends) => {
            let from = ends.low.max(ends.stable.saturating_sub(READ_BACK));
            reader.assign(&[(PLACE, from)]).map(|()| true)
        }
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
        let owners = Arc::new(Owners::new(name.to_owned(), Some(format!("http://{name}:9464")), false));
        let (health, stop, log) = (Arc::new(Health::new()), Stop::default(), log.clone());
        customer.iter().for_each(|partition| health.live(Group::Customer, *partition, 0, 0));
        let thread = std::thread::spawn({
            let (owners, health, stop) = (Arc::clone(&owners), Arc::clone(&health), stop.clone());
            move || owners.follow(&log, &health, &Inbox::default(), &stop)
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

        // One that dies takes nothing back, and another has its partition.
        b.health.restoring(Group::Customer, 1, 0.2);
        until("the newer claim counts", || owner(&a, 1).as_deref() == Some("b"));
        assert_eq!(owner(&a, 0).as_deref(), Some("a"));
        let said = a.owners.all();
        let of = |name: &str| said.iter().find(|claim| claim.instance == name).map(|claim| &claim.customer);
        assert_eq!((of("a"), of("b")), (Some(&BTreeSet::from([0])), Some(&BTreeSet::from([1, 2]))));

        a.stop.set();
        a.thread.join().expect("no panic").expect("no fault");
        until("it takes back what it said", || b.owners.all().len() == 1);
        assert_eq!(owner(&b, 0), None);
        b.stop.set();
        b.thread.join().expect("no panic").expect("no fault");
    }

    #[test]
    fn a_process_that_was_replaced_under_its_name_takes_nothing_back() {
        let log = SimLog::new(SimConfig::new(4, 1));
        let old = start(&log, "a", &[0]);
        until("it is heard", || old.owners.owner(Group::Customer, 0).is_some());
        let new = start(&log, "a", &[1]);
        until("the new one is heard", || old.owners.owner(Group::Customer, 1).is_some());
        old.stop.set();
        old.thread.join().expect("no panic").expect("no fault");
        let records = log.all_committed(PLACE).expect("the topic is there");
        assert!(records.iter().all(|record| record.value.is_some()), "it took back what its successor said");
        let heard = new.owners.owner(Group::Customer, 1);
        until("what it says goes on", || {
            new.owners
                .owner(Group::Customer, 1)
                .is_some_and(|now| Some(now.time_ms) > heard.as_ref().map(|heard| heard.time_ms))
        });
        // Taken back by another all the same, it is said again.
        let mut appender = log.appender().expect("an appender");
        say(&mut appender, "a", None).expect("said");
        until("the word of another is heard", || new.owners.all().is_empty());
        until("it is said again", || new.owners.owner(Group::Customer, 1).is_some());
        new.stop.set();
        new.thread.join().expect("no panic").expect("no fault");
    }

    #[test]
    fn who_is_silent_is_forgotten() {
        let owners = Owners::new("a".into(), None, false);
        let claim = Claim {
            instance: "b".into(),
            address: None,
            customer: BTreeSet::from([0]),
            market: BTreeSet::new(),
            lag: 0,
            watermark_ms: None,
            time_ms: 0,
        };
        let hear = |at| owners.lock().insert("b".into(), Heard { claim: claim.clone(), offset: 0, at });
        hear(Instant::now());
        owners.forget_the_dead();
        assert!(owners.owner(Group::Customer, 0).is_some());
        hear(Instant::now().checked_sub(SILENCE).expect("a clock that began long ago"));
        owners.forget_the_dead();
        assert_eq!(owners.owner(Group::Customer, 0), None);
    }
}
