//! Named positions of things outside, kept as committed offsets of groups of their own.

use std::sync::Arc;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{PlainContext, Shared, error};
use crate::edge::log::LogError;
use crate::signal::Topic;

/// The group whose offset of purchases 0 is the position.
fn client(shared: &Arc<Shared>, name: &str) -> Result<BaseConsumer<PlainContext>, LogError> {
    let mut config = shared.config.plain();
    config.set("group.id", format!("{}-load-{name}", shared.config.group));
    config.set("enable.auto.commit", "false");
    BaseConsumer::from_config_and_context(&config, PlainContext).map_err(error::creation)
}

fn list(shared: &Shared) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(shared.names.of(Topic::Purchases), 0);
    list
}

pub(super) fn read(shared: &Arc<Shared>, name: &str) -> Result<Option<u64>, LogError> {
    let found = client(shared, name)?
        .committed_offsets(list(shared), shared.config.request_timeout())
        .map_err(|found| error::question("a cursor", found))?;
    Ok(found.elements().first().and_then(|element| match element.offset() {
        Offset::Offset(position) => u64::try_from(position).ok(),
        _ => None,
    }))
}

pub(super) fn write(shared: &Arc<Shared>, name: &str, position: u64) -> Result<(), LogError> {
    let refuse = |found| error::question("a cursor", found);
    let mut list = list(shared);
    let offset = Offset::Offset(i64::try_from(position).unwrap_or(i64::MAX));
    list.set_partition_offset(shared.names.of(Topic::Purchases), 0, offset).map_err(refuse)?;
    client(shared, name)?.commit(&list, CommitMode::Sync).map_err(refuse)
}
