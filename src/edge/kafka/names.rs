//! Names of topics in Kafka: the prefix before our own name, or one given for the topic.

use std::collections::BTreeMap;

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::edge::log::{LogError, Place};
use crate::signal::Topic;

/// Both ways between a topic and its name in Kafka.
#[derive(Debug)]
pub(crate) struct Names {
    /// In the order of [`Topic::ALL`].
    names: Vec<String>,
}

impl Names {
    pub fn new(prefix: &str, given: &BTreeMap<String, String>) -> Result<Names, LogError> {
        if let Some(unknown) = given.keys().find(|name| Topic::ALL.iter().all(|t| t.name() != name.as_str()))
        {
            let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
            return Err(LogError::Fatal(format!("no topic `{unknown}`: there are {}", known.join(", "))));
        }
        let name = |topic: &Topic| match given.get(topic.name()) {
            Some(name) => name.clone(),
            None => format!("{prefix}{}", topic.name()),
        };
        let names: Vec<String> = Topic::ALL.iter().map(name).collect();
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(LogError::Fatal(format!("two topics are named `{name}`")));
            }
        }
        Ok(Names { names })
    }

    pub fn of(&self, topic: Topic) -> &str {
        // Declared in the order of ALL, which a test below holds fast.
        &self.names[topic as usize]
    }

    pub fn topic(&self, name: &str) -> Option<Topic> {
        self.names.iter().position(|known| known == name).map(|at| Topic::ALL[at])
    }

    pub fn list(&self, places: impl IntoIterator<Item = Place>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for place in places {
            list.add_partition(self.of(place.topic), place.partition as i32);
        }
        list
    }

    pub fn list_at(
        &self,
        from: impl IntoIterator<Item = (Place, u64)>,
    ) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for (place, offset) in from {
            list.add_partition_offset(
                self.of(place.topic),
                place.partition as i32,
                Offset::Offset(offset as i64),
            )
            .map_err(|error| LogError::Fatal(format!("{place:?} at {offset}: {error}")))?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_its_name_and_back() {
        let given = BTreeMap::from([("purchases".to_string(), "shop.orders".to_string())]);
        let names = Names::new("x.", &given).expect("known names");
        assert_eq!(names.of(Topic::Purchases), "shop.orders");
        assert_eq!(names.of(Topic::AlertsFast), "x.alerts-fast");
        for topic in Topic::ALL {
            assert_eq!(names.topic(names.of(topic)), Some(topic));
        }
        assert_eq!(names.topic("other"), None);
    }

    #[test]
    fn unknown_and_doubled_names_are_refused() {
        let unknown = BTreeMap::from([("orders".to_string(), "o".to_string())]);
        assert!(matches!(Names::new("", &unknown), Err(LogError::Fatal(text)) if text.contains("orders")));
        let doubled = BTreeMap::from([("purchases".to_string(), "facts".to_string())]);
        assert!(matches!(Names::new("", &doubled), Err(LogError::Fatal(text)) if text.contains("facts")));
    }
}
