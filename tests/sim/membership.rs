//! Members that come, go, hang and return at random: never two that could commit one partition.

use habitue::edge::log::sim::{SimConfig, SimConsumer, SimLog};
use habitue::edge::log::{Group, GroupConsumer, Log, LogError, Place, Producer, Rebalance};
use habitue::signal::Topic;

use crate::log::WAIT;
use crate::seeds::{self, Rng};

const PARTITIONS: u32 = 5;
const NAMES: usize = 4;

#[test]
fn one_committer_a_partition() {
    seeds::each("membership::one_committer_a_partition", 1000, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            run.step();
            run.check();
        }
        run.settle();
    });
}

/// One process: it may be a zombie whose name has begun anew.
struct Client {
    consumer: SimConsumer,
    name: usize,
    owned: Vec<u32>,
    asked: Option<Rebalance>,
}

struct Run {
    log: SimLog,
    rng: Rng,
    clients: Vec<Client>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let log = SimLog::new(SimConfig::new(seed, PARTITIONS));
        Run { log, rng: Rng::new(seed), clients: Vec::new() }
    }

    fn step(&mut self) {
        match self.rng.below(24) {
            0 => self.start(),
            1 => {
                let time_ms = 500 + self.rng.below(3_000) as u64;
                self.log.advance(time_ms);
            }
            2 if !self.clients.is_empty() => {
                let index = self.rng.below(self.clients.len());
                self.clients.swap_remove(index);
            }
            3 => {
                let name = format!("member {}", self.rng.below(NAMES));
                self.log.remove_member(Group::Customer, &name);
            }
            4 => {
                let scatter = self.rng.once_in(2).then(|| self.rng.below(100) as u64);
                self.log.rebalance(Group::Customer, scatter);
            }
            _ if self.clients.is_empty() => self.start(),
            _ => {
                let index = self.rng.below(self.clients.len());
                if !self.clients[index].step(&mut self.rng) {
                    self.clients.swap_remove(index);
                }
            }
        }
    }

    fn start(&mut self) {
        let name = self.rng.below(NAMES);
        let consumer = self.log.consumer(Group::Customer, &format!("member {name}")).unwrap();
        self.clients.push(Client { consumer, name, owned: Vec::new(), asked: None });
    }

    /// Of all that believe to own a partition, one at most gets past the fence.
    fn check(&self) {
        for partition in 0..PARTITIONS {
            let passes = |client: &&Client| {
                let Ok(proof) = client.consumer.metadata() else { return false };
                let mut producer = self.log.producer("probe").unwrap();
                producer.init().unwrap();
                producer.begin().unwrap();
                let place = Place::new(Topic::Journal, partition);
                producer.send_offsets(Group::Customer, &[(place, 1)], &proof).is_ok()
            };
            let owners = self.clients.iter().filter(|client| client.owned.contains(&partition));
            let names: Vec<usize> = owners.filter(passes).map(|client| client.name).collect();
            assert!(names.len() <= 1, "{names:?} could all commit partition {partition}");
        }
    }

    /// When all is calm, every partition has an owner, and shares differ by one at most.
    fn settle(&mut self) {
        self.start();
        for _ in 0..400 {
            self.log.advance(100);
            let rng = &mut self.rng;
            self.clients.retain_mut(|client| client.step(rng));
        }
        let mut owned: Vec<u32> = self.clients.iter().flat_map(|client| client.owned.clone()).collect();
        owned.sort_unstable();
        assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>());
        let shares = || self.clients.iter().map(|client| client.owned.len());
        assert!(shares().max().unwrap() - shares().min().unwrap() <= 1, "{:?}", shares().collect::<Vec<_>>());
        assert_eq!(self.log.owners(Group::Customer).len(), PARTITIONS as usize);
    }
}

impl Client {
    /// Answers what was asked, now or later, or polls. False: it was fenced and ends.
    fn step(&mut self, rng: &mut Rng) -> bool {
        if let Some(asked) = self.asked.take_if(|_| rng.once_in(2)) {
            match asked {
                Rebalance::Assigned(partitions) => {
                    self.consumer.accept(&partitions).unwrap();
                    self.owned.extend(partitions);
                }
                Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => {
                    self.consumer.release(&partitions).unwrap();
                    self.owned.retain(|partition| !partitions.contains(partition));
                }
            }
        }
        match self.consumer.poll(WAIT, &mut |_| panic!("nothing was fetched")) {
            Ok(told) => {
                assert!(told.is_none() || self.asked.is_none(), "a second question before the first answer");
                self.asked = self.asked.take().or(told);
                true
            }
            Err(LogError::Replaced) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The old instance was asked for a partition and ended without an answer: its end is one.
#[test]
fn an_end_answers_what_was_asked_back() {
    let log = SimLog::new(SimConfig::new(1, 2));
    let start = |name: usize| {
        let consumer = log.consumer(Group::Customer, &format!("member {name}")).unwrap();
        Client { consumer, name, owned: Vec::new(), asked: None }
    };
    let mut rng = Rng::new(1);
    let (mut one, mut two) = (start(1), start(2));
    while one.owned.len() < 2 {
        one.step(&mut rng);
    }
    while one.asked.is_none() {
        two.consumer.poll(WAIT, &mut |_| {}).unwrap();
        one.asked = one.consumer.poll(WAIT, &mut |_| {}).unwrap();
    }
    assert_eq!(one.asked, Some(Rebalance::Revoked(vec![1])));
    let mut again = start(1);
    let told = again.consumer.poll(WAIT, &mut |_| {}).unwrap();
    assert_eq!(told, Some(Rebalance::Assigned(vec![0])));
    again.consumer.accept(&[0]).unwrap();
    while two.owned.is_empty() {
        again.consumer.poll(WAIT, &mut |_| {}).unwrap();
        two.step(&mut rng);
    }
    assert_eq!(two.owned, [1]);
}
