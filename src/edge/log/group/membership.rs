//! A client's side of the group: what a member knows of its place in it.

use std::collections::BTreeSet;

use super::{GroupMetadata, GroupState, Standing};
use crate::edge::log::{Group, LogError, Place, Rebalance};
use crate::event::TimeMs;

#[derive(Debug)]
pub(in crate::edge::log) struct Membership {
    pub group: Group,
    name: String,
    /// None until it has joined, and again after it was lost.
    instance: Option<u64>,
    /// Accepted and not released.
    owned: BTreeSet<u32>,
    unanswered: Option<Rebalance>,
    /// As of its last poll: the old proof of one that is out of the group and has not heard of it.
    proof: Option<GroupMetadata>,
}

impl Membership {
    pub fn new(group: Group, name: &str) -> Membership {
        Membership {
            group,
            name: name.to_owned(),
            instance: None,
            owned: BTreeSet::new(),
            unanswered: None,
            proof: None,
        }
    }

    /// Serves the group. `Some`: the poll is over with this outcome; None: there is time to read.
    pub fn visit(
        &mut self,
        group: &mut GroupState,
        now_ms: TimeMs,
    ) -> Result<Option<Option<Rebalance>>, LogError> {
        let instance = *self.instance.get_or_insert_with(|| group.join(&self.name, now_ms));
        match group.visit(&self.name, instance, now_ms, self.unanswered.is_none()) {
            Standing::Member(event) => {
                self.proof = group.metadata(&self.name, instance);
                self.unanswered = self.unanswered.take().or_else(|| event.clone());
                Ok(event.map(Some))
            }
            // The question that waits for its answer comes first.
            Standing::Removed if self.unanswered.is_some() => Ok(Some(None)),
            Standing::Removed if self.owned.is_empty() => {
                (self.instance, self.proof) = (None, None);
                Ok(Some(None))
            }
            Standing::Removed => {
                self.unanswered = Some(Rebalance::Lost(self.owned.iter().copied().collect()));
                Ok(Some(self.unanswered.clone()))
            }
            Standing::Fenced => Err(LogError::Replaced),
        }
    }

    pub fn has_joined(&self) -> bool {
        self.instance.is_some()
    }

    /// It has been told so, and not answered yet.
    pub fn is_lost(&self) -> bool {
        matches!(self.unanswered, Some(Rebalance::Lost(_)))
    }

    /// Answers `Assigned`. `Fatal` where that was not asked.
    pub fn accept(
        &mut self,
        partitions: &[u32],
        group: &mut GroupState,
        now_ms: TimeMs,
    ) -> Result<(), LogError> {
        let asked = self.answered(partitions)?;
        if !matches!(asked, Rebalance::Assigned(_)) {
            return Err(LogError::Fatal(format!("{asked:?} is answered by release")));
        }
        self.owned.extend(partitions);
        self.tell(group, now_ms, &[]);
        Ok(())
    }

    /// Answers `Revoked` and `Lost`. `Fatal` where neither was asked.
    pub fn release(
        &mut self,
        partitions: &[u32],
        group: &mut GroupState,
        now_ms: TimeMs,
    ) -> Result<(), LogError> {
        let asked = self.answered(partitions)?;
        if matches!(asked, Rebalance::Assigned(_)) {
            return Err(LogError::Fatal(format!("{asked:?} is answered by accept")));
        }
        self.owned.retain(|partition| !partitions.contains(partition));
        // For what is lost there is nobody to tell: the next poll joins anew.
        self.tell(group, now_ms, partitions);
        Ok(())
    }

    /// `Fatal` where one of the places is in a partition that is not owned.
    pub fn check_owned(&self, from: &[(Place, u64)]) -> Result<(), LogError> {
        match from.iter().find(|(place, _)| !self.owned.contains(&place.partition)) {
            None => Ok(()),
            Some((place, _)) => {
                Err(LogError::Fatal(format!("{place:?} is in a partition that is not owned")))
            }
        }
    }

    /// Proof of membership as of now, or of the last poll where it is out and has not heard of it.
    pub fn metadata(&self, group: &GroupState) -> Result<GroupMetadata, LogError> {
        let name = &self.name;
        if self.owned.is_empty() || self.is_lost() {
            return Err(LogError::Retry(format!("member {name} owns nothing")));
        }
        let current = self.instance.and_then(|instance| group.metadata(name, instance));
        let known = current.or_else(|| self.proof.clone());
        known.ok_or_else(|| LogError::Retry(format!("member {name} is in no generation")))
    }

    /// Takes the answer to `partitions` if it is what was asked.
    fn answered(&mut self, partitions: &[u32]) -> Result<Rebalance, LogError> {
        let given: BTreeSet<u32> = partitions.iter().copied().collect();
        let fits = |asked: &mut Rebalance| asked_partitions(asked).iter().eq(given.iter());
        self.unanswered.take_if(fits).ok_or_else(|| {
            let asked = &self.unanswered;
            LogError::Fatal(format!("answer for {partitions:?} does not fit the question {asked:?}"))
        })
    }

    /// Tells the group that a question is answered, and what is given up.
    fn tell(&self, group: &mut GroupState, now_ms: TimeMs, given_up: &[u32]) {
        if let Some(instance) = self.instance {
            group.answer(&self.name, instance, now_ms, given_up);
        }
    }
}

/// In rising order.
fn asked_partitions(asked: &Rebalance) -> &[u32] {
    let (Rebalance::Assigned(partitions) | Rebalance::Revoked(partitions) | Rebalance::Lost(partitions)) =
        asked;
    partitions
}
