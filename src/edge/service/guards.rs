//! What must hold before anything is applied: topics as planned, keys spread as we spread them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ServiceError;
use crate::config::Config;
use crate::edge::kafka::{KafkaLog, TopicFacts};
use crate::edge::log::{Log, LogError, Place, Reader};
use crate::edge::shard::wire::partition_of_bytes;
use crate::edge::topics::{Harm, PlannedTopic, plan};
use crate::event::Input;
use crate::signal::Topic;

/// Refuses topics that are missing, or differ so that records could be lost or mixed.
///
/// # Errors
/// `Guard` names every topic and the way out; `Broker` where nobody answers.
pub fn topics(log: &KafkaLog, config: &Config) -> Result<(), ServiceError> {
    let facts = log.describe_topics(&Topic::ALL)?;
    let faults = faults(&plan(config), &facts, config.engine.dead_letter_raw_bytes);
    if faults.is_empty() { Ok(()) } else { Err(ServiceError::Guard(faults.join("\n"))) }
}

fn faults(plan: &[PlannedTopic], facts: &[TopicFacts], dead_letter_raw_bytes: u64) -> Vec<String> {
    let facts: BTreeMap<Topic, &TopicFacts> = facts.iter().map(|facts| (facts.topic, facts)).collect();
    let mut faults = Vec::new();
    for planned in plan {
        let name = &planned.name;
        let found = facts.get(&planned.topic).and_then(|facts| Some((facts.partitions?, &facts.configs)));
        let Some((partitions, configs)) = found else {
            let wanted = planned.partitions;
            faults.push(format!(
                "error: topic {name} does not exist; it should have {wanted} partitions: `habitue topics create` makes it"
            ));
            continue;
        };
        let refused = planned.compare(partitions, configs).into_iter().filter(|d| d.harm == Harm::Refused);
        faults.extend(refused.map(|difference| {
            format!(
                "error: topic {name}: {} is {}, the configuration plans {}; {}",
                difference.setting,
                difference.found,
                difference.planned,
                planned.way_out(&difference)
            )
        }));
        let found_bytes = facts.get(&planned.topic).and_then(|facts| facts.record_bytes_max);
        let needed_bytes = record_bytes(planned.topic, dead_letter_raw_bytes);
        if let Some(bytes) = found_bytes.filter(|bytes| *bytes < needed_bytes) {
            faults.push(format!(
                "error: topic {name}: max.message.bytes is {bytes}, a record takes up to {needed_bytes}; raise it{}",
                if planned.topic == Topic::DeadLetters { ", or lower engine.dead_letter_raw_bytes" } else { "" }
            ));
        }
    }
    faults
}

/// The largest record that a topic is sent, in bytes: one that a broker refuses would abort its transaction for
/// ever. Of the internal topics the plan says it.
fn record_bytes(topic: Topic, dead_letter_raw_bytes: u64) -> usize {
    // A signal holds some ids of at most 256 bytes and three reasons.
    const SIGNAL: usize = 64 << 10;
    // Beside its raw bytes a dead letter holds 1 KiB of the key and where it came from.
    const LETTER: usize = 64 << 10;
    match topic {
        Topic::Alerts | Topic::AlertsFast | Topic::Scores | Topic::Recommendations => SIGNAL,
        Topic::DeadLetters => {
            usize::try_from(dead_letter_raw_bytes).unwrap_or(usize::MAX).saturating_add(LETTER)
        }
        _ => 0,
    }
}

/// Keys read of each input.
const KEYS: usize = 1_000;
/// Partitions that they are read from, at most.
const PARTITIONS: u32 = 8;
/// Longest time for one input; fewer keys are judged when it is over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads up to a thousand keys of each input and refuses when more than 1 % lie in another partition than
/// murmur2 gives: the shop's producer spreads them otherwise. Single strays are counted later on.
///
/// # Errors
/// `Guard` with counts; `Broker` where nobody answers.
pub fn keys<L: Log>(log: &L, partitions: u32) -> Result<(), ServiceError> {
    for input in Input::ALL {
        let (read, misplaced) = sample(log, input, partitions)?;
        tracing::debug!(input = input.name(), read, misplaced, "keys sampled");
        if misplaced > 1 && misplaced * 100 > read {
            return Err(ServiceError::Guard(format!(
                "{misplaced} of {read} keys of {} lie in another of its {partitions} partitions than murmur2 gives, so one customer's events are spread over several; the producer's partitioner must be murmur2, as Java clients have it (librdkafka: `partitioner=murmur2_random`); write the topic anew with it",
                input.name()
            )));
        }
    }
    Ok(())
}

fn sample<L: Log>(log: &L, input: Input, partitions: u32) -> Result<(usize, usize), ServiceError> {
    let mut reader = log.reader()?;
    let mut from = Vec::new();
    let step = partitions.div_ceil(PARTITIONS).max(1);
    for partition in (0..partitions).step_by(step as usize) {
        let place = Place::new(input.into(), partition);
        let ends = reader.ends(place)?;
        if ends.low < ends.stable {
            from.push((place, ends.low));
        }
    }
    if from.is_empty() {
        return Ok((0, 0));
    }
    reader.assign(&from)?;
    let each = KEYS.div_ceil(from.len());
    let mut read = vec![0; partitions as usize];
    let mut misplaced = 0;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let polled = reader.poll(Duration::from_millis(100), &mut |record| {
            let partition = record.place.partition;
            let of_partition = &mut read[partition as usize];
            let Some(key) = record.key.filter(|key| !key.is_empty() && *of_partition < each) else { return };
            *of_partition += 1;
            misplaced += usize::from(partition_of_bytes(key, partitions) != partition);
        });
        match polled {
            Ok(_) | Err(LogError::Retry(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let done = |place: Place| reader.at_end(place) || read[place.partition as usize] >= each;
        if from.iter().all(|(place, _)| done(*place)) {
            break;
        }
    }
    Ok((read.iter().sum(), misplaced))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::log::sim::{SimConfig, SimLog};

    fn log_with(spread: impl Fn(&[u8]) -> u32) -> SimLog {
        let log = SimLog::new(SimConfig::new(1, 4));
        for number in 0..600 {
            let key = format!("C{number}").into_bytes();
            let place = Place::new(Topic::Purchases, spread(&key));
            log.append_record(place, Some(&key), Some(b"x"), 0).expect("it is appended");
        }
        log
    }

    #[test]
    fn keys_spread_with_murmur2_pass_and_others_are_refused() {
        keys(&log_with(|key| partition_of_bytes(key, 4)), 4).expect("they lie right");
        let stray = |key: &[u8]| (partition_of_bytes(key, 4) + u32::from(key == b"C7")) % 4;
        keys(&log_with(stray), 4).expect("one stray is no rule");
        let refused = keys(&log_with(|key| u32::from(key[key.len() - 1]) % 4), 4);
        let Err(ServiceError::Guard(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("murmur2_random") && text.contains("of 600 keys of purchases"), "{text}");
    }

    #[test]
    fn missing_topics_and_wrong_counts_are_named_with_the_way_out() {
        let config = Config::default();
        let plan = plan(&config);
        let facts = |planned: &PlannedTopic| TopicFacts {
            topic: planned.topic,
            partitions: Some(planned.partitions),
            replication: Some(1),
            record_bytes_max: usize::try_from(planned.max_message_bytes).ok(),
            configs: planned.settings(),
        };
        let mut all: Vec<TopicFacts> = plan.iter().map(facts).collect();
        assert_eq!(faults(&plan, &all, 256 << 10), Vec::<String>::new());
        assert_eq!(faults(&plan, &all, 16 << 20).len(), 1);
        for facts in all.iter_mut().filter(|facts| facts.topic == Topic::Scores) {
            facts.record_bytes_max = Some(4096);
        }
        let said = faults(&plan, &all, 0);
        assert!(said.len() == 1 && said[0].contains("max.message.bytes is 4096"), "{said:?}");
        let mut all: Vec<TopicFacts> = plan.iter().map(facts).collect();
        all[0].partitions = Some(3);
        all[1].partitions = None;
        let said = faults(&plan, &all, 0);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("partitions is 3, the configuration plans 8"), "{said:?}");
        assert!(said[1].contains("`habitue topics create`"), "{said:?}");
    }
}
