//! Deletion by age and size, by whole segments, and compaction by key.

use super::shared::Shared;
use crate::edge::log::{LogError, Place};
use crate::event::TimeMs;
use crate::signal::Topic;

/// How long the newest tombstone of a key stays (Kafka's `delete.retention.ms` default).
const TOMBSTONE_MS: i64 = 24 * 3600 * 1000;
/// A place is compacted once so many records came, and as many as it kept the last time.
const COMPACT_AFTER: u64 = 1_000;

/// Looks at every place.
pub(super) fn retain(shared: &Shared, now_ms: TimeMs) -> Result<(), LogError> {
    for topic in Topic::ALL {
        let Ok(config) = shared.broker().topic(topic).cloned() else { continue };
        for partition in 0..config.partitions {
            let place = Place::new(topic, partition);
            if config.compacted {
                compact(shared, place, now_ms.saturating_sub(config.compaction_lag_ms), now_ms)?;
            } else {
                let low = shared.broker().partition(place)?.low_by_retention(&config, now_ms);
                cut(shared, place, low)?;
            }
        }
    }
    Ok(())
}

/// Deletes what lies below `low`, at most up to the last stable offset.
pub(super) fn cut(shared: &Shared, place: Place, low: u64) -> Result<(), LogError> {
    let from = shared.broker().partition(place)?.ends().low;
    if low <= from {
        return Ok(());
    }
    let mut to = None;
    shared.write(|broker, batch| {
        if let Some(gone) = broker.cut(place, low)? {
            gone.into_iter().for_each(|first| shared.store.drop_segment(batch, place, first));
            to = Some(broker.partition(place)?.ends().low);
        }
        broker.write_states(&shared.store, batch)?;
        Ok(None)
    })?;
    // The low end is written first: what is left over by a crash is removed at the next start.
    to.map_or(Ok(()), |to| shared.store.remove(place, from, to))
}

fn compact(shared: &Shared, place: Place, until_ms: TimeMs, now_ms: TimeMs) -> Result<(), LogError> {
    let (since, stable) = {
        let broker = shared.broker();
        let partition = broker.partition(place)?;
        (partition.since_compaction, partition.ends().stable)
    };
    if since < COMPACT_AFTER.max(shared.broker().partition(place)?.kept_by_compaction) {
        return Ok(());
    }
    let kept = shared.store.compact(place, stable, until_ms, now_ms.saturating_sub(TOMBSTONE_MS))?;
    let mut broker = shared.broker();
    let partition = broker.partition_mut(place)?;
    (partition.since_compaction, partition.kept_by_compaction) = (0, kept);
    Ok(())
}
