//! Those who read: a member of a group, and a plain reader.

use std::collections::BTreeSet;
use std::time::Duration;

use super::broker::{Broker, Shared, lock};
use super::faults::{Failure, Operation};
use super::fetcher::{Fetcher, Link};
use super::group::{SimMetadata, Standing};
use crate::edge::log::{Ends, Group, GroupConsumer, LogError, Place, Reader, Rebalance, Record};

/// A member of a group. Dropping it is a crash: it stays in the group until its session is over or its
/// name joins again, as a static member of Kafka does.
#[derive(Debug)]
pub struct SimConsumer {
    broker: Shared,
    membership: Membership,
    fetcher: Fetcher,
    link: Link,
    /// Why it cannot go on.
    dead: Option<String>,
}

/// What a member knows of its place in the group.
#[derive(Debug)]
struct Membership {
    group: Group,
    name: String,
    /// None until it has joined, and again after it was lost.
    instance: Option<u64>,
    /// Accepted and not released.
    owned: BTreeSet<u32>,
    unanswered: Option<Rebalance>,
    /// As of its last poll: the old proof of one that is out of the group and has not heard of it.
    proof: Option<SimMetadata>,
}

impl Membership {
    /// Serves the group. `Some`: the poll is over with this outcome; None: there is time to read.
    fn visit(&mut self, broker: &mut Broker) -> Result<Option<Option<Rebalance>>, LogError> {
        let now_ms = broker.now_ms;
        let group = broker.group(self.group);
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
            Standing::Fenced => Err(LogError::Fatal(format!(
                "member {} is fenced by a newer instance of its name",
                self.name
            ))),
        }
    }

    /// It has been told so, and not answered yet.
    fn is_lost(&self) -> bool {
        matches!(self.unanswered, Some(Rebalance::Lost(_)))
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
    fn tell(&self, broker: &mut Broker, given_up: &[u32]) {
        let now_ms = broker.now_ms;
        if let Some(instance) = self.instance {
            broker.group(self.group).answer(&self.name, instance, now_ms, given_up);
        }
    }
}

impl SimConsumer {
    pub(super) fn new(broker: Shared, group: Group, name: &str) -> SimConsumer {
        SimConsumer {
            broker,
            membership: Membership {
                group,
                name: name.to_owned(),
                instance: None,
                owned: BTreeSet::new(),
                unanswered: None,
                proof: None,
            },
            fetcher: Fetcher::default(),
            link: Link::default(),
            dead: None,
        }
    }

    fn alive(&self) -> Result<(), LogError> {
        self.dead.as_ref().map_or(Ok(()), |why| Err(LogError::Fatal(why.clone())))
    }
}

/// In rising order.
fn asked_partitions(asked: &Rebalance) -> &[u32] {
    let (Rebalance::Assigned(partitions) | Rebalance::Revoked(partitions) | Rebalance::Lost(partitions)) =
        asked;
    partitions
}

impl GroupConsumer for SimConsumer {
    type Metadata = SimMetadata;

    fn poll(
        &mut self,
        _wait: Duration,
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<Option<Rebalance>, LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            return Ok(None);
        }
        let (uneven, late) = (broker.dice.faults().uneven_poll, broker.dice.faults().late_news);
        // A real client finds records, news and errors in one queue: what comes first is handed over.
        if broker.dice.chance(uneven) && !self.membership.is_lost() {
            self.fetcher.read(&mut broker, each)?;
        }
        if let Some(strike) = broker.dice.strike(Operation::Poll) {
            let error = strike.error(Operation::Poll);
            self.dead = (strike.failure == Failure::Fatal).then(|| error.to_string());
            return Err(error);
        }
        if self.membership.instance.is_none() || !broker.dice.chance(late) {
            match self.membership.visit(&mut broker) {
                Ok(None) => {}
                Ok(Some(outcome)) => return Ok(outcome),
                Err(error) => {
                    self.dead = Some(error.to_string());
                    return Err(error);
                }
            }
        }
        if !self.membership.is_lost() {
            self.fetcher.read(&mut broker, each)?;
        }
        Ok(None)
    }

    fn accept(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.alive()?;
        let asked = self.membership.answered(partitions)?;
        if !matches!(asked, Rebalance::Assigned(_)) {
            return Err(LogError::Fatal(format!("{asked:?} is answered by release")));
        }
        self.membership.owned.extend(partitions);
        self.membership.tell(&mut lock(&self.broker), &[]);
        Ok(())
    }

    fn release(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.alive()?;
        let asked = self.membership.answered(partitions)?;
        if matches!(asked, Rebalance::Assigned(_)) {
            return Err(LogError::Fatal(format!("{asked:?} is answered by accept")));
        }
        self.fetcher.release(partitions);
        self.membership.owned.retain(|partition| !partitions.contains(partition));
        // For what is lost there is nobody to tell: the next poll joins anew.
        self.membership.tell(&mut lock(&self.broker), partitions);
        Ok(())
    }

    fn fetch(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        check_places(&broker, from)?;
        if let Some((place, _)) =
            from.iter().find(|(place, _)| !self.membership.owned.contains(&place.partition))
        {
            return Err(LogError::Fatal(format!("{place:?} is in a partition that is not owned")));
        }
        if let Some(strike) = broker.dice.strike(Operation::Fetch) {
            return Err(strike.error(Operation::Fetch));
        }
        self.fetcher.fetch(from);
        Ok(())
    }

    fn pause(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.fetcher.set_paused(places, true);
        self.alive()
    }

    fn resume(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.fetcher.set_paused(places, false);
        self.alive()
    }

    fn at_end(&self, place: Place) -> bool {
        self.fetcher.at_end(place)
    }

    fn metadata(&self) -> Result<SimMetadata, LogError> {
        self.alive()?;
        let broker = lock(&self.broker);
        let Membership { group, name, instance, proof, owned, .. } = &self.membership;
        if owned.is_empty() || self.membership.is_lost() {
            return Err(LogError::Retry(format!("member {name} owns nothing")));
        }
        let current = instance.and_then(|instance| broker.group_ref(*group).metadata(name, instance));
        let known = current.or_else(|| proof.clone());
        known.ok_or_else(|| LogError::Retry(format!("member {name} is in no generation")))
    }

    fn committed(&self, places: &[Place], _wait: Duration) -> Result<Vec<Option<u64>>, LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if let Some(strike) = broker.dice.strike(Operation::Committed) {
            return Err(strike.error(Operation::Committed));
        }
        broker.group(self.membership.group).offsets.read(places)
    }
}

/// Reads committed records, in no group.
#[derive(Debug)]
pub struct SimReader {
    broker: Shared,
    fetcher: Fetcher,
    link: Link,
    dead: Option<String>,
}

impl SimReader {
    pub(super) fn new(broker: Shared) -> SimReader {
        SimReader { broker, fetcher: Fetcher::default(), link: Link::default(), dead: None }
    }

    fn alive(&self) -> Result<(), LogError> {
        self.dead.as_ref().map_or(Ok(()), |why| Err(LogError::Fatal(why.clone())))
    }
}

impl Reader for SimReader {
    fn assign(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.alive()?;
        check_places(&lock(&self.broker), from)?;
        self.fetcher.clear();
        self.fetcher.fetch(from);
        Ok(())
    }

    fn poll(&mut self, _wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            return Ok(0);
        }
        if let Some(strike) = broker.dice.strike(Operation::Read) {
            let error = strike.error(Operation::Read);
            self.dead = (strike.failure == Failure::Fatal).then(|| error.to_string());
            return Err(error);
        }
        self.fetcher.read(&mut broker, each)
    }

    fn at_end(&self, place: Place) -> bool {
        self.fetcher.at_end(place)
    }

    fn ends(&mut self, place: Place) -> Result<Ends, LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        broker.stir();
        if self.link.is_lost(&mut broker) {
            return Err(LogError::Retry("connection lost".to_owned()));
        }
        if let Some(strike) = broker.dice.strike(Operation::Ends) {
            return Err(strike.error(Operation::Ends));
        }
        Ok(broker.partition(place)?.ends())
    }
}

fn check_places(broker: &Broker, from: &[(Place, u64)]) -> Result<(), LogError> {
    from.iter().try_for_each(|&(place, _)| broker.partition(place).map(|_| ()))
}
