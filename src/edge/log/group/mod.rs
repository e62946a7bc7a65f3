//! A consumer group: who owns which partition of the lead topic, and the offsets it has committed.
//!
//! Cooperative and sticky, with static members. A round begins when a member comes, goes or gives
//! partitions up; it ends when every member has joined it (on a poll, with nothing left to answer),
//! and its end is a new generation. A partition that must move is asked back in one round and given
//! away in the next, so it never has two owners who are both in the group. The logs that are their own
//! broker, the simulated and the embedded one, share it.

mod membership;
mod offsets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher;

pub(super) use self::membership::Membership;
use self::offsets::Offsets;
use super::{Group, LogError, Rebalance};
use crate::event::TimeMs;

#[derive(Debug)]
pub(super) struct GroupState {
    group: Group,
    /// Of the lead topic.
    partitions: u32,
    pub generation: u32,
    /// Instances ever joined; gives each its number.
    instances: u64,
    members: BTreeMap<String, Member>,
    rebalancing: bool,
    /// The next round deals anew from this member on, instead of keeping what it can.
    scatter_from: Option<u64>,
    emptied_ms: TimeMs,
    pub offsets: Offsets,
}

/// Proof that a client was a member in one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    group: Group,
    member: String,
    instance: u64,
    generation: u32,
}

/// What a member finds when it calls.
#[derive(Debug)]
enum Standing {
    /// In the group, with what it must answer next.
    Member(Option<Rebalance>),
    /// Removed: nobody has the name.
    Removed,
    /// A newer instance has the name.
    Fenced,
}

#[derive(Debug)]
struct Member {
    instance: u64,
    seen_ms: TimeMs,
    /// Given to it and not given up: nobody else may have them.
    holds: BTreeSet<u32>,
    /// Asked back and not given up yet; part of `holds`.
    revoking: BTreeSet<u32>,
    waiting: VecDeque<Rebalance>,
    /// Has joined the round that is going on.
    joined: bool,
    /// Has been part of a generation.
    settled: bool,
}

impl GroupState {
    pub fn new(group: Group, partitions: u32, now_ms: TimeMs) -> GroupState {
        GroupState {
            group,
            partitions,
            generation: 0,
            instances: 0,
            members: BTreeMap::new(),
            rebalancing: false,
            scatter_from: None,
            emptied_ms: now_ms,
            offsets: Offsets::default(),
        }
    }

    /// A new instance under `name`; returns its number. Where the name is in the group already, the new
    /// instance takes over what the old one holds, in the same generation, and the old one is fenced.
    pub fn join(&mut self, name: &str, now_ms: TimeMs) -> u64 {
        self.instances += 1;
        let instance = self.instances;
        let Some(member) = self.members.get_mut(name) else {
            self.members.insert(
                name.to_owned(),
                Member {
                    instance,
                    seen_ms: now_ms,
                    holds: BTreeSet::new(),
                    revoking: BTreeSet::new(),
                    waiting: VecDeque::new(),
                    joined: false,
                    settled: false,
                },
            );
            self.begin_round();
            return instance;
        };
        (member.instance, member.seen_ms, member.joined) = (instance, now_ms, false);
        // What was asked back from the old instance is given up by its end.
        let given_up = std::mem::take(&mut member.revoking);
        member.holds.retain(|partition| !given_up.contains(partition));
        member.waiting.clear();
        if !member.holds.is_empty() {
            member.waiting.push_back(Rebalance::Assigned(member.holds.iter().copied().collect()));
        }
        if !given_up.is_empty() {
            self.begin_round();
        }
        instance
    }

    /// A member calls. `ready`: it has nothing left to answer, so it may join a round and be told more.
    fn visit(&mut self, name: &str, instance: u64, now_ms: TimeMs, ready: bool) -> Standing {
        let Some(member) = self.members.get_mut(name) else { return Standing::Removed };
        if member.instance != instance {
            return Standing::Fenced;
        }
        member.seen_ms = now_ms;
        if !ready {
            return Standing::Member(None);
        }
        if self.rebalancing && member.waiting.is_empty() {
            member.joined = true;
        }
        self.end_round_when_joined();
        Standing::Member(self.members.get_mut(name).and_then(|member| member.waiting.pop_front()))
    }

    /// A member has answered; `given_up` is empty unless it released. Nothing where it is no member.
    pub fn answer(&mut self, name: &str, instance: u64, now_ms: TimeMs, given_up: &[u32]) {
        let Some(member) = self.members.get_mut(name).filter(|member| member.instance == instance) else {
            return;
        };
        member.seen_ms = now_ms;
        for partition in given_up {
            member.holds.remove(partition);
            member.revoking.remove(partition);
        }
        if !given_up.is_empty() {
            self.begin_round();
        }
    }

    /// Takes a member out; false where there is none of the name.
    pub fn remove(&mut self, name: &str, now_ms: TimeMs) -> bool {
        let was_member = self.members.remove(name).is_some();
        if was_member {
            self.begin_round();
        }
        if was_member && self.members.is_empty() {
            self.rebalancing = false;
            self.generation += 1;
            self.emptied_ms = now_ms;
        }
        was_member
    }

    /// Removes the members that have not called within the session.
    pub fn expire_members(&mut self, now_ms: TimeMs, session_timeout_ms: i64) {
        let silent = |member: &&String| self.members[*member].seen_ms + session_timeout_ms <= now_ms;
        for name in self.members.keys().filter(silent).cloned().collect::<Vec<_>>() {
            self.remove(&name, now_ms);
        }
    }

    /// Drops offsets committed longer ago than `retention_ms`: those of the lead topic only while the
    /// group is empty, those of other topics always, because the group does not subscribe to them.
    pub fn expire_offsets(&mut self, now_ms: TimeMs, retention_ms: i64) {
        let lead = self.group.lead();
        let empty = self.members.is_empty() && self.emptied_ms + retention_ms <= now_ms;
        self.offsets.expire(now_ms - retention_ms, |place| empty || place.topic != lead);
    }

    /// Starts a round for no reason. `scatter` deals the partitions anew instead of keeping them.
    pub fn rebalance(&mut self, scatter: Option<u64>) {
        if !self.members.is_empty() {
            self.scatter_from = scatter;
            self.begin_round();
        }
    }

    /// None until the member has been part of a generation.
    pub fn metadata(&self, name: &str, instance: u64) -> Option<GroupMetadata> {
        let member = self.members.get(name)?;
        (member.instance == instance && member.settled).then(|| GroupMetadata {
            group: self.group,
            member: name.to_owned(),
            instance,
            generation: self.generation,
        })
    }

    /// The fence: the member must still be in the group, in the generation of its proof. Which partitions
    /// it owns is not asked.
    pub fn check(&self, metadata: &GroupMetadata) -> Result<(), LogError> {
        let refused = |why: &str| Err(LogError::Abort(format!("{why}: {metadata:?}")));
        match self.members.get(&metadata.member) {
            _ if metadata.group != self.group => refused("metadata of another group"),
            None => refused("unknown member"),
            Some(member) if member.instance != metadata.instance => refused("fenced member instance"),
            Some(_) if metadata.generation != self.generation => {
                refused(&format!("illegal generation, it is {} now", self.generation))
            }
            Some(_) => Ok(()),
        }
    }

    pub fn member_names(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    /// Partitions that a member holds; those that are being moved are still with their old owner.
    pub fn owners(&self) -> BTreeMap<u32, String> {
        let held = |(name, member): (&String, &Member)| {
            member.holds.iter().map(|&partition| (partition, name.clone())).collect::<Vec<_>>()
        };
        self.members.iter().flat_map(held).collect()
    }

    pub fn digest(&self, hash: &mut impl Hasher) {
        hash.write_u32(self.generation);
        hash.write_u8(u8::from(self.rebalancing));
        for (name, member) in &self.members {
            hash.write(name.as_bytes());
            hash.write_u64(member.instance);
            hash.write_i64(member.seen_ms);
            member.holds.iter().for_each(|&partition| hash.write_u32(partition));
            hash.write_usize(member.waiting.len());
        }
        self.offsets.digest(hash);
    }

    fn begin_round(&mut self) {
        if !std::mem::replace(&mut self.rebalancing, true) {
            self.members.values_mut().for_each(|member| member.joined = false);
        }
    }

    fn end_round_when_joined(&mut self) {
        if !self.rebalancing || self.members.values().any(|member| !member.joined) {
            return;
        }
        self.rebalancing = false;
        self.generation += 1;
        let targets = self.targets();
        let held: BTreeSet<u32> = self.members.values().flat_map(|member| &member.holds).copied().collect();
        for (member, target) in self.members.values_mut().zip(targets) {
            member.settled = true;
            let lost: Vec<u32> = member.holds.difference(&target).copied().collect();
            let gained: Vec<u32> = target.difference(&held).copied().collect();
            if !lost.is_empty() {
                member.revoking.extend(&lost);
                member.waiting.push_back(Rebalance::Revoked(lost));
            }
            if !gained.is_empty() {
                member.holds.extend(&gained);
                member.waiting.push_back(Rebalance::Assigned(gained));
            }
        }
    }

    /// What each member should own, in the order of names: shares that differ by one at most.
    fn targets(&mut self) -> Vec<BTreeSet<u32>> {
        let count = self.members.len();
        let scatter = self.scatter_from.take();
        let holds: Vec<&BTreeSet<u32>> = self.members.values().map(|member| &member.holds).collect();
        if let Some(from) = scatter {
            let first = (from % count as u64) as usize;
            let mut targets = vec![BTreeSet::new(); count];
            for partition in 0..self.partitions {
                targets[(first + partition as usize) % count].insert(partition);
            }
            return targets;
        }
        // Who holds most has the first claim to one more than the others.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(holds[index].len()));
        let mut quotas = vec![self.partitions as usize / count; count];
        order.iter().take(self.partitions as usize % count).for_each(|&index| quotas[index] += 1);
        let mut targets: Vec<BTreeSet<u32>> = holds
            .iter()
            .zip(&quotas)
            .map(|(held, &quota)| held.iter().copied().take(quota).collect())
            .collect();
        let kept: BTreeSet<u32> = targets.iter().flatten().copied().collect();
        let mut free = (0..self.partitions).filter(|partition| !kept.contains(partition));
        for index in order {
            let missing = quotas[index] - targets[index].len();
            targets[index].extend(free.by_ref().take(missing));
        }
        targets
    }
}
