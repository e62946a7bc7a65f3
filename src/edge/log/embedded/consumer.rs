//! Those who read: a member of a group, and a plain reader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::fetcher::Fetcher;
use super::shared::Shared;
use crate::edge::log::group::{GroupMetadata, Membership};
use crate::edge::log::{Ends, Group, GroupConsumer, LogError, Place, Reader, Rebalance, Record};

/// A member of a group. Dropping it is a crash: it stays in the group until its session is over or its
/// name joins again, as a static member of Kafka does.
pub struct EmbeddedConsumer {
    shared: Arc<Shared>,
    membership: Membership,
    fetcher: Fetcher,
    /// Why it cannot go on.
    dead: Option<LogError>,
}

impl EmbeddedConsumer {
    pub(super) fn new(shared: Arc<Shared>, group: Group, name: &str) -> EmbeddedConsumer {
        let membership = Membership::new(group, name);
        EmbeddedConsumer { shared, membership, fetcher: Fetcher::default(), dead: None }
    }

    fn alive(&self) -> Result<(), LogError> {
        self.dead.clone().map_or(Ok(()), Err)
    }
}

impl GroupConsumer for EmbeddedConsumer {
    type Metadata = GroupMetadata;

    fn poll(
        &mut self,
        wait: Duration,
        each: &mut dyn FnMut(Record<'_>),
    ) -> Result<Option<Rebalance>, LogError> {
        self.alive()?;
        let shared = Arc::clone(&self.shared);
        let deadline = Instant::now() + wait;
        let mut broker = shared.broker();
        loop {
            let now_ms = shared.now_ms();
            broker.expire(now_ms);
            let generation = broker.group_ref(self.membership.group).generation;
            let visited = self.membership.visit(broker.group(self.membership.group), now_ms);
            if broker.group_ref(self.membership.group).generation != generation {
                shared.tell();
            }
            match visited {
                Ok(None) => {}
                Ok(Some(None)) => return Ok(None),
                Ok(Some(event)) => return Ok(event),
                Err(error) => {
                    self.dead = Some(error.clone());
                    return Err(error);
                }
            }
            if !self.membership.is_lost() {
                let ranges = self.fetcher.plan(&broker)?;
                if !ranges.is_empty() {
                    drop(broker);
                    self.fetcher.read(&shared, &ranges, each)?;
                    return Ok(None);
                }
            }
            match shared.wait(broker, deadline) {
                Some(again) => broker = again,
                None => return Ok(None),
            }
        }
    }

    fn accept(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.alive()?;
        let (now_ms, mut broker) = (self.shared.now_ms(), self.shared.broker());
        self.membership.accept(partitions, broker.group(self.membership.group), now_ms)
    }

    fn release(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        self.alive()?;
        let (now_ms, mut broker) = (self.shared.now_ms(), self.shared.broker());
        self.membership.release(partitions, broker.group(self.membership.group), now_ms)?;
        self.fetcher.places.release(partitions);
        self.shared.tell();
        Ok(())
    }

    fn fetch(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        self.alive()?;
        check_places(&self.shared.broker(), from)?;
        self.membership.check_owned(from)?;
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
        self.membership.metadata(self.shared.broker().group_ref(self.membership.group))
    }

    fn committed(&self, places: &[Place], _wait: Duration) -> Result<Vec<Option<u64>>, LogError> {
        self.alive()?;
        self.shared.broker().group_ref(self.membership.group).offsets.read(places)
    }
}

/// Reads committed records, in no group.
pub struct EmbeddedReader {
    shared: Arc<Shared>,
    fetcher: Fetcher,
}

impl EmbeddedReader {
    pub(super) fn new(shared: Arc<Shared>) -> EmbeddedReader {
        EmbeddedReader { shared, fetcher: Fetcher::default() }
    }
}

impl Reader for EmbeddedReader {
    fn assign(&mut self, from: &[(Place, u64)]) -> Result<(), LogError> {
        check_places(&self.shared.broker(), from)?;
        self.fetcher.places.clear();
        self.fetcher.places.fetch(from);
        Ok(())
    }

    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Result<usize, LogError> {
        let shared = Arc::clone(&self.shared);
        let deadline = Instant::now() + wait;
        let mut broker = shared.broker();
        loop {
            broker.expire(shared.now_ms());
            let ranges = self.fetcher.plan(&broker)?;
            if !ranges.is_empty() {
                drop(broker);
                return self.fetcher.read(&shared, &ranges, each);
            }
            match shared.wait(broker, deadline) {
                Some(again) => broker = again,
                None => return Ok(0),
            }
        }
    }

    fn ends(&mut self, place: Place) -> Result<Ends, LogError> {
        Ok(self.shared.broker().partition(place)?.ends())
    }

    fn at_end(&self, place: Place) -> bool {
        self.fetcher.places.at_end(place)
    }
}

fn check_places(broker: &Broker, from: &[(Place, u64)]) -> Result<(), LogError> {
    from.iter().try_for_each(|&(place, _)| broker.partition(place).map(|_| ()))
}
