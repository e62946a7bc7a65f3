//! Totals per customer, read from the newest snapshots; needs no Kafka.

use std::sync::Arc;

use super::{ServiceError, settings, snapshots};
use crate::config::Config;
use crate::customer::Profile;
use crate::edge::shard::store::SnapshotStore;
use crate::engine::Partition;
use crate::engine::snapshot::Opened;

/// The columns of [`csv`], in order.
pub const COLUMNS: [&str; 8] =
    ["customer", "purchases", "refunds", "amount_minor", "engagements", "feedbacks", "first_ms", "last_ms"];

/// One line of CSV a customer, sorted by customer, under a head of [`COLUMNS`]. Money in minor units.
/// A customer of whom only verdicts are known is left out. Partitions without a snapshot are told of on standard error.
///
/// # Errors
/// `Guard` where there is no folder of snapshots, or the newest snapshot of a partition is damaged or of other settings.
pub fn csv(config: &Config) -> Result<Vec<u8>, ServiceError> {
    let broken = |reason: String| ServiceError::Failed(format!("the totals cannot be written: {reason}"));
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).map_err(|error| broken(error.to_string()))?;
    for (customer, profile) in read(config)? {
        csv.write_record([
            customer.as_ref(),
            &profile.purchases.to_string(),
            &profile.refunds.to_string(),
            &profile.amount_minor.to_string(),
            &profile.engagements.to_string(),
            &profile.feedbacks.to_string(),
            &profile.first_ms.to_string(),
            &profile.last_ms.to_string(),
        ])
        .map_err(|error| broken(error.to_string()))?;
    }
    csv.into_inner().map_err(|error| broken(error.to_string()))
}

fn read(config: &Config) -> Result<Vec<(Arc<str>, Profile)>, ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime =
        runtime.map_err(|error| ServiceError::Failed(format!("the runtime cannot start: {error}")))?;
    if !config.snapshots.folder.exists() {
        let folder = config.snapshots.folder.display();
        let way_out = "name the service's file with --config";
        return Err(ServiceError::Guard(format!("snapshots.folder: {folder} is not there: {way_out}")));
    }
    let store = snapshots(config, runtime.handle().clone())?;
    let engine = Arc::new(settings::engine(config));
    let mut totals = Vec::new();
    for number in 0..config.topics.partitions {
        let refuse = |reason: String| {
            ServiceError::Guard(format!("the newest snapshot of customer partition {number}: {reason}"))
        };
        let positions = store.list("customer", number).map_err(refuse)?;
        let Some(newest) = positions.first() else {
            eprintln!("note: customer partition {number} has no snapshot");
            continue;
        };
        let bytes = store.get("customer", number, *newest).map_err(refuse)?;
        let opened = Opened::read(&bytes).map_err(|error| refuse(error.to_string()))?;
        let partition = Partition::restore(&opened, number, Arc::clone(&engine));
        let partition = partition.map_err(|error| refuse(error.to_string()))?;
        let customers = partition.customers().iter().filter(|(_, of)| !of.profile.is_only_judged());
        totals.extend(customers.map(|(_, customer)| (Arc::clone(&customer.id), customer.profile.clone())));
    }
    totals.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(totals)
}
