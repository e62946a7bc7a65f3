//! Kafka does what every log must do: the suite that the simulated log passes too.

use std::time::Duration;

use habitue::edge::kafka::{KafkaConfig, KafkaLog};
use habitue::edge::log::Place;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Case;
use super::broker::Broker;
use crate::log::Bench;

struct Kafka<'a>(&'a Broker);

impl Bench for Kafka<'_> {
    type L = KafkaLog;

    fn fresh(&self, partitions: u32) -> KafkaLog {
        // The shortest that a broker allows: a member that does not poll is soon out.
        self.0.log_of(KafkaConfig { poll_interval_ms_max: 6_000, ..self.0.config() }, partitions)
    }

    fn let_time_pass(&self, _log: &KafkaLog, time: Duration) {
        std::thread::sleep(time);
    }

    fn delete_before(&self, log: &KafkaLog, place: Place, offset: u64) -> bool {
        let client: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.0.address).create().unwrap();
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(offset as i64);
        list.add_partition_offset(log.topic_name(place.topic), place.partition as i32, offset).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(client.delete_records(&list, &AdminOptions::new())).unwrap();
        true
    }

    /// The interval of polls, then the session: a member with a fixed name does not say farewell.
    fn silence(&self) -> Option<Duration> {
        Some(Duration::from_secs(13))
    }
}

macro_rules! conformance_table {
    ($bench:expr, $family:ident: [$($case:ident),* $(,)?]) => {
        fn $family() -> Vec<Case> {
            vec![$((concat!(stringify!($family), "::", stringify!($case)), |broker| {
                crate::log::$family::$case(&Kafka(broker));
            })),*]
        }
    };
}

crate::every_case!(conformance_table, ());

pub fn cases() -> Vec<Case> {
    [records(), transactions(), offsets(), groups()].concat()
}
