//! Those who read: a member of a group, and a plain reader.

use std::time::Duration;

use super::broker::{Broker, Shared, lock};
use super::faults::Operation;
use super::fetcher::{Fetcher, Link};
use crate::edge::log::group::{GroupMetadata, Membership};
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
    dead: Option<LogError>,
}

impl SimConsumer {
    pub(super) fn new(broker: Shared, group: Group, name: &str) -> SimConsumer {
        SimConsumer {
            broker,
            membership: Membership::new(group, name),
            fetcher: Fetcher::default(),
            link: Link::default(),
            dead: None,
        }
    }

    fn alive(&self) -> Result<(), LogError> {
        self.dead.clone().map_or(Ok(()), Err)
    }
}

impl GroupConsumer for SimConsumer {
    type Metadata = GroupMetadata;

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
            self.dead = error.is_final().then(|| error.clone());
            return Err(error);
        }
        if !self.membership.has_joined() || !broker.dice.chance(late) {
            let (now_ms, group) = (broker.now_ms, self.membership.group);
            match self.membership.visit(broker.group(group), now_ms) {
                Ok(None) => {}
                Ok(Some(outcome)) => return Ok(outcome),
                Err(error) => {
                    self.dead = Some(error.clone());
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
        let mut broker = lock(&self.broker);
        let (now_ms, group) = (broker.now_ms, self.membership.group);
        self.membership.accept(partitions, broker.group(group), now_ms)
    }

    fn release(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        let (now_ms, group) = (broker.now_ms, self.membership.group);
        self.membership.release(partitions, broker.group(group), now_ms)?;
        self.fetcher.places.release(partitions);
        Ok(())
    }

    fn fetch(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.alive()?;
        let mut broker = lock(&self.broker);
        check_places(&broker, from)?;
        self.membership.check_owned(from)?;
        if let Some(strike) = broker.dice.strike(Operation::Fetch) {
            return Err(strike.error(Operation::Fetch));
        }
        self.fetcher.places.fetch(from);
        Ok(())
    }

    fn pause(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.fetcher.places.set_paused(places, true);
        self.alive()
    }

    fn resume(&mut self, places: &[Place]) -> Result<(), LogError> {
        self.fetcher.places.set_paused(places, false);
        self.alive()
    }

    fn at_end(&self, place: Place) -> bool {
        self.fetcher.places.at_end(place)
    }

    fn metadata(&self) -> Result<GroupMetadata, LogError> {
        self.alive()?;
        self.membership.metadata(lock(&self.broker).group_ref(self.membership.group))
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
    dead: Option<LogError>,
}

impl SimReader {
    pub(super) fn new(broker: Shared) -> SimReader {
        SimReader { broker, fetcher: Fetcher::default(), link: Link::default(), dead: None }
    }

    fn alive(&self) -> Result<(), LogError> {
        self.dead.clone().map_or(Ok(()), Err)
    }
}

impl Reader for SimReader {
    fn assign(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.alive()?;
        check_places(&lock(&self.broker), from)?;
        self.fetcher.places.clear();
        self.fetcher.places.fetch(from);
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
            self.dead = error.is_final().then(|| error.clone());
            return Err(error);
        }
        self.fetcher.read(&mut broker, each)
    }

    fn at_end(&self, place: Place) -> bool {
        self.fetcher.places.at_end(place)
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
