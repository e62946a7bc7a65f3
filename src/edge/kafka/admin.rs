//! Topics: what is there, and making what is not. Used by the `topics` command and at start-up.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::{KafkaLog, PlainContext, Shared, error};
use crate::edge::log::LogError;
use crate::signal::Topic;

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    pub topic: Topic,
    pub partitions: u32,
    /// None: the broker's default.
    pub replication: Option<u32>,
    /// Kafka's topic settings by name, such as `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    pub topic: Topic,
    /// None where the topic does not exist; then the rest is empty.
    pub partitions: Option<u32>,
    /// Of partition 0.
    pub replication: Option<u32>,
    /// `max.message.bytes`.
    pub record_bytes_max: Option<usize>,
    /// All settings by name, `retention.ms` and `cleanup.policy` among them; without secret ones.
    pub configs: BTreeMap<String, String>,
}

/// What became of one planned topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    New,
    /// It was there and is left as it was.
    Existed,
}

fn connect(shared: &Shared) -> Result<AdminClient<PlainContext>, LogError> {
    AdminClient::from_config_and_context(&shared.config.plain(), PlainContext).map_err(error::creation)
}

/// Partition and replica counts by name in Kafka. Asks for all topics: a question after one that does not
/// exist could create it. A consumer asks, because an admin client never hears why it is not answered.
fn counts(shared: &Shared) -> Result<BTreeMap<String, (u32, u32)>, LogError> {
    let client: BaseConsumer<PlainContext> =
        BaseConsumer::from_config_and_context(&shared.config.plain(), PlainContext)
            .map_err(error::creation)?;
    let metadata = client.fetch_metadata(None, shared.config.request_timeout()).map_err(|e| {
        // What was complained of meanwhile waits to be heard.
        for _ in 0..5 {
            let _ = client.poll(Duration::from_millis(10));
        }
        error::question("metadata", e)
    })?;
    let count = |topic: &rdkafka::metadata::MetadataTopic| {
        let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
        (topic.name().to_string(), (topic.partitions().len() as u32, replicas as u32))
    };
    Ok(metadata.topics().iter().map(count).collect())
}

pub(super) fn partitions(shared: &Shared, topic: Topic) -> Result<Option<u32>, LogError> {
    let counts = counts(shared)?;
    Ok(counts.get(shared.names.of(topic)).map(|(partitions, _)| *partitions))
}

impl KafkaLog {
    /// How the topics are, in the order asked.
    pub fn describe_topics(&self, topics: &[Topic]) -> Result<Vec<TopicFacts>, LogError> {
        let counts = counts(&self.shared)?;
        let present: Vec<Topic> =
            topics.iter().copied().filter(|topic| counts.contains_key(self.topic_name(*topic))).collect();
        let mut configs = self.describe_configs(&present)?;
        Ok(topics
            .iter()
            .map(|topic| {
                let configs = configs.remove(topic).unwrap_or_default();
                let count = counts.get(self.topic_name(*topic));
                TopicFacts {
                    topic: *topic,
                    partitions: count.map(|(partitions, _)| *partitions),
                    replication: count.map(|(_, replication)| *replication),
                    record_bytes_max: configs.get("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
                    configs,
                }
            })
            .collect())
    }

    fn describe_configs(
        &self,
        topics: &[Topic],
    ) -> Result<BTreeMap<Topic, BTreeMap<String, String>>, LogError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let client = connect(&self.shared)?;
        let wanted: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(self.topic_name(*topic))).collect();
        let answers = block_on(client.describe_configs(&wanted, &self.admin_options()))
            .map_err(|e| error::question("describe topics", e))?;
        let mut configs = BTreeMap::new();
        // The broker answers in the order asked.
        for (topic, answer) in topics.iter().zip(answers) {
            let answer = answer
                .map_err(|code| LogError::Retry(format!("describe {}: {code}", self.topic_name(*topic))))?;
            configs.insert(*topic, settings(answer));
        }
        Ok(configs)
    }

    /// Creates the topics that do not exist. One that does is left alone, whatever its settings.
    pub fn create_topics(&self, plans: &[TopicPlan]) -> Result<Vec<(Topic, Created)>, LogError> {
        if plans.is_empty() {
            return Ok(Vec::new());
        }
        let client = connect(&self.shared)?;
        let wanted: Vec<NewTopic<'_>> = plans.iter().map(|plan| self.new_topic(plan)).collect();
        let answers = block_on(client.create_topics(&wanted, &self.admin_options()))
            .map_err(|e| error::question("create topics", e))?;
        let mut created = Vec::with_capacity(plans.len());
        for (plan, answer) in plans.iter().zip(answers) {
            match answer {
                Ok(_) => created.push((plan.topic, Created::New)),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {
                    created.push((plan.topic, Created::Existed))
                }
                Err((name, code)) => return Err(LogError::Fatal(format!("create topic {name}: {code}"))),
            }
        }
        Ok(created)
    }

    fn new_topic<'a>(&'a self, plan: &'a TopicPlan) -> NewTopic<'a> {
        // -1 is the broker's default.
        let replication = TopicReplication::Fixed(plan.replication.map_or(-1, |count| count as i32));
        let mut topic = NewTopic::new(self.topic_name(plan.topic), plan.partitions as i32, replication);
        for (name, value) in &plan.configs {
            topic = topic.set(name, value);
        }
        topic
    }

    fn admin_options(&self) -> AdminOptions {
        let timeout = Some(self.shared.config.request_timeout());
        AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
    }
}

fn settings(resource: ConfigResource) -> BTreeMap<String, String> {
    resource
        .entries
        .into_iter()
        .filter(|entry| !entry.is_sensitive)
        .filter_map(|entry| entry.value.map(|value| (entry.name, value)))
        .collect()
}

/// Waits for the answer of an admin call, which a thread of the client brings.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
