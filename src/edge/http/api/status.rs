//! How the instance is.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::{Api, Late, Refusal, started};
use crate::edge::http::STALL;
use crate::edge::log::Group;
use crate::edge::metrics::{Outcome, stage_name};
use crate::edge::owners::Claim;
use crate::edge::version::Version;
use crate::event::TimeMs;

/// One instance. Times are wall time in ms since 1970, UTC.
#[derive(Debug, Serialize)]
pub struct StatusAnswer {
    instance: String,
    version: Version,
    /// "kafka" or "embedded".
    log: &'static str,
    /// "ready", or in words why not.
    ready: String,
    /// Those that this instance owns.
    partitions: Vec<PartitionStatus>,
    /// What each instance says that it has, this one too.
    instances: Vec<Claim>,
    /// Since this process began, by stage.
    transactions: Vec<TransactionStatus>,
    models: Vec<ModelStatus>,
    /// Rows of shared tables, by table.
    rows: std::collections::BTreeMap<String, u64>,
    /// Seconds without progress after which a partition counts as stalled.
    stalled_after_s: u64,
}

#[derive(Debug, Serialize)]
struct PartitionStatus {
    stage: &'static str,
    partition: u32,
    /// "live" or "restoring".
    state: &'static str,
    /// 0 to 1.
    restored: f64,
    /// Records that wait.
    lag: u64,
    /// Rises with what is committed.
    position: u64,
    /// When the newest snapshot was cut; null where there is none.
    snapshot_ms: Option<TimeMs>,
}

/// Attempts at a transaction by how they ended.
#[derive(Debug, Serialize)]
struct TransactionStatus {
    stage: &'static str,
    committed: u64,
    /// Aborted, and the same batch sent again.
    retried: u64,
    /// Aborted, and restored.
    aborted: u64,
    /// Nobody knew at first.
    indefinite: u64,
    /// Mean time from a transaction's last record to its commit, in ms.
    commit_ms: f64,
}

impl TransactionStatus {
    fn of(api: &Api, stage: Group) -> TransactionStatus {
        let (outcomes, mean) = api.metrics.transactions(stage);
        let count = |outcome: Outcome| outcomes[outcome as usize];
        TransactionStatus {
            stage: stage_name(stage),
            committed: count(Outcome::Committed),
            retried: count(Outcome::Retried),
            aborted: count(Outcome::Aborted),
            indefinite: count(Outcome::Indefinite),
            commit_ms: mean.as_secs_f64() * 1_000.0,
        }
    }
}

#[derive(Debug, Serialize)]
struct ModelStatus {
    name: String,
    version: u64,
    /// Of the tick at which it was published.
    published_ms: TimeMs,
    bytes: usize,
}

pub async fn status(state: State<Late>) -> Result<Json<StatusAnswer>, Refusal> {
    let api = started(&state)?;
    let partitions = api.health.partitions().into_iter();
    let epoch = api.shared.epoch();
    Ok(Json(StatusAnswer {
        instance: api.instance.clone(),
        version: Version::of_this_build(),
        log: api.log,
        ready: api.health.check_ready().map_or_else(|reason| reason, |()| "ready".to_owned()),
        partitions: partitions
            .map(|(group, partition, restored, lag, position)| PartitionStatus {
                stage: stage_name(group),
                partition,
                state: if restored < 1.0 { "restoring" } else { "live" },
                restored,
                lag,
                position,
                snapshot_ms: api.snapshots.newest_ms(stage_name(group), partition),
            })
            .collect(),
        instances: api.owners.all(),
        transactions: [Group::Customer, Group::Market].map(|stage| TransactionStatus::of(api, stage)).into(),
        models: epoch
            .whole
            .iter()
            .map(|(name, about)| ModelStatus {
                name: name.to_owned(),
                version: about.version,
                published_ms: about.time_ms,
                bytes: about.bytes,
            })
            .collect(),
        rows: epoch.tables.rows_by_table().clone(),
        stalled_after_s: STALL.as_secs(),
    }))
}
