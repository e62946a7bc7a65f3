//! Whether the process lives and is ready, as the shards say it.
//!
//! A shard reports each partition at least every few seconds, also when nothing comes: silence of a
//! shard is itself a sign that it is stuck. Process-wide liveness would miss one stalled partition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::edge::log::Group;
use crate::edge::metrics::stage_name;

/// How long a partition may have lag and make no progress, or say nothing at all.
pub const STALL: Duration = Duration::from_secs(30);

/// For so long the log may be silent without a word about it: a broker that is started again takes a few seconds.
const AWAY: Duration = Duration::from_secs(5);

/// Share it in an `Arc`; every method takes a short lock.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Since when the log has not answered, and what it said last.
    away: Option<(Instant, String)>,
    partitions: BTreeMap<(Group, u32), Partition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Draining,
    Failed(String),
}

#[derive(Debug)]
struct Partition {
    /// Some while it is being restored, 0 to 1.
    restored: Option<f64>,
    /// Anything that rises with progress.
    position: u64,
    lag: u64,
    progress_at: Instant,
    heard_at: Instant,
}

impl Health {
    /// Alive, and not ready: starting.
    pub fn new() -> Health {
        Health {
            state: Mutex::new(State { phase: Phase::Starting, away: None, partitions: BTreeMap::new() }),
        }
    }

    /// Every start-up guard has passed and the group is joined.
    pub fn started(&self) {
        self.state().phase = Phase::Running;
    }

    /// Shutting down: not ready any more, and never again.
    pub fn draining(&self) {
        self.state().phase = Phase::Draining;
    }

    /// The service cannot go on: neither live nor ready. `reason` is one line.
    pub fn failed(&self, reason: &str) {
        self.state().phase = Phase::Failed(one_line(reason));
    }

    /// The log was asked something small, and has answered or not.
    pub fn log_answers(&self, answer: Result<(), String>) {
        let mut state = self.state();
        state.away = answer.err().map(|reason| {
            let since = state.away.as_ref().map_or_else(Instant::now, |(since, _)| *since);
            (since, one_line(&reason))
        });
    }

    /// Why nothing here can be asked now, in words: the process ends, or its log is away.
    pub fn why_closed(&self) -> Option<String> {
        let state = self.state();
        match &state.phase {
            Phase::Draining => Some("draining".to_owned()),
            Phase::Failed(reason) => Some(format!("failed: {reason}")),
            Phase::Starting | Phase::Running => state.away_too_long(Instant::now()),
        }
    }

    /// Every partition that is here, with the part of it that is restored, its lag in records, and a position that
    /// rises with what is committed. A live one is restored to 1.
    pub fn partitions(&self) -> Vec<(Group, u32, f64, u64, u64)> {
        let state = self.state();
        let one = |(&(group, number), partition): (&(Group, u32), &Partition)| {
            (group, number, partition.restored.unwrap_or(1.0), partition.lag, partition.position)
        };
        state.partitions.iter().map(one).collect()
    }

    /// The partitions of a stage that are here.
    pub fn numbers(&self, stage: Group) -> BTreeSet<u32> {
        let state = self.state();
        state.partitions.keys().filter(|(group, _)| *group == stage).map(|(_, number)| *number).collect()
    }

    /// A restore goes on; `ratio` is 0 to 1. Each call counts as progress.
    pub fn restoring(&self, stage: Group, partition: u32, ratio: f64) {
        let now = Instant::now();
        let restoring =
            Partition { restored: Some(ratio), position: 0, lag: 0, progress_at: now, heard_at: now };
        self.state().partitions.insert((stage, partition), restoring);
    }

    /// The partition is live. `position` is any number that rises with what is committed (the sum of its
    /// input positions), `lag` how many records wait. To be called every few seconds, idle or not.
    pub fn live(&self, stage: Group, partition: u32, position: u64, lag: u64) {
        self.live_at(stage, partition, position, lag, Instant::now());
    }

    fn live_at(&self, stage: Group, partition: u32, position: u64, lag: u64, now: Instant) {
        let mut state = self.state();
        let entry = state.partitions.entry((stage, partition)).or_insert(Partition {
            restored: None,
            position,
            lag,
            progress_at: now,
            heard_at: now,
        });
        // The clock of a stall starts when there is something to do.
        if entry.restored.is_some() || entry.position != position || entry.lag == 0 {
            entry.progress_at = now;
        }
        *entry = Partition { restored: None, position, lag, progress_at: entry.progress_at, heard_at: now };
    }

    /// Whether any partition is live or being restored.
    pub fn has_partitions(&self) -> bool {
        !self.state().partitions.is_empty()
    }

    /// The partition is given up.
    pub fn remove(&self, stage: Group, partition: u32) {
        self.state().partitions.remove(&(stage, partition));
    }

    /// `Err` says in one line why the process should be restarted.
    pub fn check_live(&self) -> Result<(), String> {
        self.check_live_at(Instant::now())
    }

    fn check_live_at(&self, now: Instant) -> Result<(), String> {
        let state = self.state();
        match &state.phase {
            Phase::Failed(reason) => return Err(format!("failed: {reason}")),
            // Its partitions fall silent as they are given up.
            Phase::Draining => return Ok(()),
            Phase::Starting | Phase::Running => {}
        }
        for ((stage, number), partition) in &state.partitions {
            let name = format!("{} partition {number}", stage_name(*stage));
            let silent = now.saturating_duration_since(partition.heard_at);
            let stalled = now.saturating_duration_since(partition.progress_at);
            if silent > STALL {
                return Err(format!("{name} has said nothing for {} s", silent.as_secs()));
            }
            if partition.lag > 0 && stalled > STALL {
                let (lag, seconds) = (partition.lag, stalled.as_secs());
                return Err(format!(
                    "{name} has made no progress for {seconds} s with {lag} records waiting"
                ));
            }
        }
        Ok(())
    }

    /// `Err` says in one line why no traffic should come, or why the roll-out should wait.
    pub fn check_ready(&self) -> Result<(), String> {
        let state = self.state();
        match &state.phase {
            Phase::Starting => return Err("starting".to_string()),
            Phase::Draining => return Err("draining".to_string()),
            Phase::Failed(reason) => return Err(format!("failed: {reason}")),
            Phase::Running => {}
        }
        if let Some(away) = state.away_too_long(Instant::now()) {
            return Err(away);
        }
        let ratios: Vec<f64> = state.partitions.values().filter_map(|p| p.restored).collect();
        if ratios.is_empty() {
            return Ok(());
        }
        let mut reason = String::from("restoring ");
        // The least far is what there is to wait for. Cut, not rounded: 100 % is ready.
        let least = ratios.iter().copied().fold(1.0, f64::min).clamp(0.0, 0.99);
        let _ = write!(reason, "{:.0} % ({} of ", (least * 100.0).floor(), ratios.len());
        let _ = write!(reason, "{} partitions)", state.partitions.len());
        Err(reason)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the probes down with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn away_too_long(&self, now: Instant) -> Option<String> {
        let (since, reason) = self.away.as_ref()?;
        let away = now.saturating_duration_since(*since);
        (away > AWAY).then(|| format!("the log has not answered for {} s: {reason}", away.as_secs()))
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> (Health, Instant) {
        let health = Health::new();
        health.started();
        (health, Instant::now())
    }

    #[test]
    fn one_stalled_partition_among_others_is_noticed() {
        let (health, start) = running();
        for second in 0..=40_u64 {
            let now = start + Duration::from_secs(second);
            health.live_at(Group::Customer, 0, second, 5, now);
            health.live_at(Group::Customer, 1, 7, 5, now);
            assert_eq!(health.check_live_at(now).is_ok(), second <= 30, "second {second}");
        }
        let reason = health.check_live_at(start + Duration::from_secs(40)).expect_err("it stalls");
        assert_eq!(reason, "customer partition 1 has made no progress for 40 s with 5 records waiting");
        health.remove(Group::Customer, 1);
        assert!(health.check_live_at(start + Duration::from_secs(40)).is_ok());
    }

    #[test]
    fn an_idle_partition_is_live_and_its_stall_begins_with_the_first_record() {
        let (health, start) = running();
        for second in 0..=100_u64 {
            health.live_at(Group::Market, 3, 7, 0, start + Duration::from_secs(second));
        }
        let then = start + Duration::from_secs(100);
        assert!(health.check_live_at(then).is_ok());
        health.live_at(Group::Market, 3, 7, 2, then + Duration::from_secs(1));
        health.live_at(Group::Market, 3, 7, 2, then + Duration::from_secs(30));
        assert!(health.check_live_at(then + Duration::from_secs(30)).is_ok());
        health.live_at(Group::Market, 3, 7, 2, then + Duration::from_secs(33));
        assert!(health.check_live_at(then + Duration::from_secs(33)).is_err());
    }

    #[test]
    fn a_shard_that_falls_silent_is_noticed_even_without_lag() {
        let (health, start) = running();
        health.live_at(Group::Customer, 0, 7, 0, start);
        assert!(health.check_live_at(start + STALL).is_ok());
        assert!(health.check_live_at(start + STALL + Duration::from_millis(1)).is_err());
        health.draining();
        assert!(health.check_live_at(start + 2 * STALL).is_ok());
    }

    #[test]
    fn a_log_that_is_away_is_said_after_a_while() {
        let (health, start) = running();
        health.log_answers(Err("refused\nconnection".to_owned()));
        health.log_answers(Err("refused".to_owned()));
        assert_eq!(health.check_ready(), Ok(()));
        let state = health.state();
        assert_eq!(state.away_too_long(start), None);
        let words = state.away_too_long(start + 2 * AWAY);
        assert!(
            words.as_ref().is_some_and(|words| words.starts_with("the log has not answered for ")),
            "{words:?}"
        );
        assert!(words.is_some_and(|words| words.ends_with(" s: refused")));
        drop(state);
        health.log_answers(Ok(()));
        assert_eq!(health.state().away_too_long(start + 2 * AWAY), None);
        assert_eq!(health.why_closed(), None);
        health.draining();
        assert_eq!(health.why_closed().as_deref(), Some("draining"));
    }

    #[test]
    fn readiness_says_what_it_waits_for() {
        let health = Health::new();
        assert_eq!(health.check_ready(), Err("starting".to_string()));
        health.started();
        assert_eq!(health.check_ready(), Ok(()));
        health.restoring(Group::Customer, 0, 0.735);
        health.live(Group::Customer, 1, 0, 0);
        assert_eq!(health.check_ready(), Err("restoring 73 % (1 of 2 partitions)".to_string()));
        health.restoring(Group::Customer, 0, 1.0);
        assert_eq!(health.check_ready(), Err("restoring 99 % (1 of 2 partitions)".to_string()));
        health.live(Group::Customer, 0, 10, 0);
        assert_eq!(health.check_ready(), Ok(()));
        health.draining();
        assert_eq!(health.check_ready(), Err("draining".to_string()));
        health.failed("hash mismatch\n in partition 3");
        assert_eq!(health.check_ready(), Err("failed: hash mismatch in partition 3".to_string()));
        assert!(health.check_live().is_err());
    }
}
