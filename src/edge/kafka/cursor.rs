//! Named positions of things outside, kept as committed offsets of groups of their own.

use std::sync::Arc;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{PlainContext, Shared, error};
use crate::edge::log::LogError;
use crate::signal::Topic;

/// One of them, with a client of its own, which takes a tenth of a second to connect.
pub(super) struct Cursor {
    name: String,
    client: BaseConsumer<PlainContext>,
    shared: Arc<Shared>,
}

impl Cursor {
    /// The position is the group's offset of purchases 0.
    pub fn open(shared: &Arc<Shared>, name: &str) -> Result<Cursor, LogError> {
        let mut config = shared.config.plain();
        config.set("group.id", format!("{}-load-{name}", shared.config.group));
        config.set("enable.auto.commit", "false");
        let client = BaseConsumer::from_config_and_context(&config, PlainContext).map_err(error::creation)?;
        Ok(Cursor { name: name.to_owned(), client, shared: Arc::clone(shared) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// None where nothing was written.
    pub fn read(&self) -> Result<Option<u64>, LogError> {
        let found = self
            .client
            .committed_offsets(self.list(), self.shared.config.request_timeout())
            .map_err(|found| error::question("a cursor", found))?;
        Ok(found.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(position) => u64::try_from(position).ok(),
            _ => None,
        }))
    }

    pub fn write(&self, position: u64) -> Result<(), LogError> {
        let refuse = |found| error::question("a cursor", found);
        let mut list = self.list();
        let offset = Offset::Offset(i64::try_from(position).unwrap_or(i64::MAX));
        list.set_partition_offset(self.shared.names.of(Topic::Purchases), 0, offset).map_err(refuse)?;
        self.client.commit(&list, CommitMode::Sync).map_err(refuse)
    }

    fn list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(self.shared.names.of(Topic::Purchases), 0);
        list
    }
}
