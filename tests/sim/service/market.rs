//! The oracle of the market stage: its facts folded from above, and what it publishes made again.

use habitue::analysis::MarketOutput;
use habitue::codec;
use habitue::edge::log::{Group, Place};
use habitue::edge::shard::contents::Contents;
use habitue::engine::MarketPartition;
use habitue::signal::Topic;
use habitue::signal::fact::{Fact, FactRecord};
use habitue::signal::model::{Content, ModelRecord, Whole};

use super::world::{MODELS, World};

/// What was found on the way.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Versions of whole models, and of them those that lie in the store.
    pub wholes: usize,
    pub stored: usize,
    /// Results of jobs that were waited for, and others.
    pub answers: usize,
    pub ignored: usize,
    /// Labels that churn was learned from.
    pub labels: u64,
}

/// Every fact that the customer partitions said, or the test wrote, is in the facts topic exactly once, and every
/// record of `models` is what a replay of the facts publishes, to the byte. A job's result is what the job comes to.
pub fn market_is(world: &World, partitions: u32, said: &[Fact]) -> Found {
    let mut said: Vec<String> = said.iter().flat_map(told).collect();
    let (mut written, mut made, mut found) = (Vec::new(), Vec::new(), Found::default());
    for number in 0..partitions {
        let place = Place::new(Topic::Facts, number);
        let committed = world.log.offsets(Group::Market).get(&place).copied().unwrap_or(0);
        let mut partition = MarketPartition::new(number, &world.engine);
        let mut output = MarketOutput::default();
        for record in world.log.all_committed(place).unwrap() {
            let fact = codec::decode_fact(&record.value.unwrap()).unwrap();
            if let FactRecord::Packed(facts) = &fact {
                for fact in facts {
                    fact.clone().split(partitions, |to, _| assert_eq!(to, number, "a fact is misplaced"));
                }
                written.extend(facts.iter().flat_map(told));
            }
            // Ticks go on for ever; what is not committed yet is nobody's yet.
            if record.offset >= committed {
                continue;
            }
            if let FactRecord::Job { job, result, .. } = &fact {
                let mut awaited = partition.jobs().filter(|(_, of)| of.number == *job);
                if let Some((descriptor, job)) = awaited.next() {
                    assert_eq!(
                        result,
                        &descriptor.job.unwrap()(&(job.input)()),
                        "a job came to something else"
                    );
                }
            }
            partition.apply(&fact, &mut output);
        }
        found.answers += output.answers.iter().filter(|(_, is_awaited)| *is_awaited).count();
        found.ignored += output.answers.iter().filter(|(_, is_awaited)| !is_awaited).count();
        let learners = partition.learners().into_iter().flat_map(|(_, learners)| learners);
        found.labels += learners.filter(|(name, _)| *name == "no_skill").map(|(_, q)| q.labels).sum::<u64>();
        said.extend(output.facts.iter().flat_map(told));
        made.extend(output.rows.into_iter().map(ModelRecord::Row));
        made.extend(output.models.into_iter().map(ModelRecord::Whole));
    }
    said.sort();
    written.sort();
    assert_eq!(said.len(), written.len(), "facts said and facts written");
    assert_eq!(said, written);
    let published = published(world, &mut found);
    let mut made: Vec<Vec<u8>> = made.iter().map(|record| world.wire.model(record)).collect();
    made.sort();
    assert_eq!(published.len(), made.len(), "models published and models of a replay");
    assert!(published == made, "a model was published otherwise than in a replay");
    found
}

/// What a fact tells: pairs one by one, for they are said together and written to the partitions of their lefts.
fn told(fact: &Fact) -> Vec<String> {
    match fact {
        Fact::Pairs { right, time_ms, lefts } => {
            lefts.items().iter().map(|left| format!("{right} after {left:?} at {time_ms}")).collect()
        }
        _ => vec![format!("{fact:?}")],
    }
}

/// All records of models, contents inline, sorted. Versions of a key rise one by one.
fn published(world: &World, found: &mut Found) -> Vec<Vec<u8>> {
    let mut published = Vec::new();
    let all = (0..MODELS).flat_map(|p| world.log.all_committed(Place::new(Topic::Models, p)).unwrap());
    for record in all {
        let mut model = codec::decode_model(&record.value.unwrap()).unwrap();
        assert_eq!(record.key.as_deref(), Some(model.record_key().as_bytes()));
        if let ModelRecord::Whole(Whole { version, content, .. }) = &mut model {
            found.wholes += 1;
            assert_eq!(*version, found.wholes as u64, "there is one whole model, and no version twice");
            if let Content::Stored(stored) = content {
                found.stored += 1;
                let bytes = world.contents.get(&stored.path).unwrap().expect("it was put first");
                assert_eq!(bytes.len() as u64, stored.length);
                *content = Content::Inline(bytes);
            }
        }
        published.push(world.wire.model(&model));
    }
    published.sort();
    published
}
