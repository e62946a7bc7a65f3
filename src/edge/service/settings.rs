//! From the configuration to the settings of engine, shards and wire.

use std::path::Path;
use std::time::Duration;

use super::ServiceError;
use crate::codec::{self, SchemaSet};
use crate::config::{self, Config, WireForm};
use crate::edge::shard::ShardConfig;
use crate::edge::shard::shared::Epoch;
use crate::edge::shard::wire::Wire;
use crate::event::{Input, TimeMs};
use crate::{analysis, engine};

/// The settings that shape state, as the engine takes them.
pub fn engine(config: &Config) -> engine::Config {
    let (engine, anomaly, recommend) = (&config.engine, &config.analysis.anomaly, &config.analysis.recommend);
    let mut fold = engine::Config {
        lateness_ms: millis(engine.lateness),
        time_min_ms: engine.event_time_min_ms,
        customers_max: engine.customers_per_partition_max,
        customer_retention_ms: millis(engine.customer_retention),
        session_gap_ms: millis(engine.session_gap),
        dead_letter_bytes_max: u32::try_from(engine.dead_letter_raw_bytes).unwrap_or(u32::MAX),
        ..engine::Config::default()
    };
    fold.analysis.anomaly.entity_half_life_ms = millis(anomaly.entity_risk_half_life);
    fold.analysis.anomaly.waiting_max = anomaly.waiting_payments_max;
    fold.analysis.recommend.half_life_ms = millis(recommend.half_life);
    fold.analysis.recommend.items_max = recommend.items_max;
    fold.analysis.churn = churn(config);
    fold
}

fn churn(config: &Config) -> analysis::churn::Config {
    let churn = &config.analysis.churn;
    analysis::churn::Config {
        horizon_days: churn.horizon_days,
        lateness_ms: millis(config.engine.lateness),
        customers_max: churn.customers_max,
        moments_max: churn.moments_max,
        refit_interval_ms: millis(churn.refit_interval),
    }
}

/// The settings that change what is published: what the first instance writes to control.
pub fn published(config: &Config) -> analysis::Published {
    let (anomaly, recommend) = (&config.analysis.anomaly, &config.analysis.recommend);
    let churn = &config.analysis.churn;
    analysis::Published {
        anomaly: analysis::anomaly::Published {
            enabled: anomaly.enabled,
            risk_min: anomaly.alert_risk_min,
            cooldown_ms: millis(anomaly.alert_cooldown),
            scores: anomaly.publish_scores,
        },
        recommend: analysis::recommend::Published {
            enabled: recommend.enabled,
            items: recommend.list_items,
            interval_ms: millis(recommend.list_interval),
        },
        churn: analysis::churn::Published {
            enabled: churn.enabled,
            medium_permille: churn.medium_permille,
            high_permille: churn.high_permille,
        },
    }
}

/// What is shared before anything was read, with room for the rows of `models`.
pub fn epoch(config: &Config, models_partitions: u32) -> Epoch {
    let rows_max = engine(config).analysis.rows_max() * config.topics.market_partitions() as usize;
    // What control does not say has the same value in every instance, whatever its file says.
    Epoch::new(Default::default(), models_partitions, rows_max)
}

/// Settings of one shard; `number` is its place in the process.
pub fn shard(config: &Config, number: usize) -> ShardConfig {
    let (engine, snapshots) = (&config.engine, &config.snapshots);
    ShardConfig {
        instance: format!("{}-{number}", config.service.instance),
        transaction_interval_ms: millis(engine.transaction_interval),
        batch_bytes_max: bytes(engine.transaction_output_bytes),
        snapshot_interval_ms: millis(snapshots.interval),
        snapshot_records: snapshots.records,
        snapshots_kept: snapshots.keep as usize,
        idle_after_ms: millis(engine.idle_after),
        tick_interval_ms: millis(engine.tick_interval),
        record_bytes_max: bytes(engine.record_bytes_max),
        partitions: config.topics.partitions,
        market_partitions: config.topics.market_partitions(),
        ..ShardConfig::default()
    }
}

/// Schemas and wire forms. Files named `ID.avsc` add writers' schemas to the built-in ones.
///
/// # Errors
/// `Configuration` where a file cannot be read, or a schema cannot be read as what it is for.
pub fn wire(config: &Config) -> Result<Wire, ServiceError> {
    let forms = &config.topics.wire;
    let inputs = Input::ALL.map(|input| form(forms.input(input)));
    let all_json = inputs.iter().chain([&form(forms.outputs)]).all(|form| *form == codec::WireForm::Json);
    let folder = &config.topics.schemas;
    // The binary carries the built-in schemas: a default folder that is not there adds none.
    let spare = all_json || *folder == config::Topics::default().schemas;
    let given = if spare && !folder.is_dir() { Vec::new() } else { schemas(folder)? };
    let refuse = |error: codec::SchemaError| {
        ServiceError::Configuration(format!("topics.schemas ({}): {error}", folder.display()))
    };
    let set = SchemaSet::new(given).map_err(refuse)?;
    Wire::new(set, inputs, form(forms.outputs)).map_err(refuse)
}

fn schemas(folder: &Path) -> Result<Vec<(u32, String)>, ServiceError> {
    let unreadable = |path: &Path, error: std::io::Error| {
        ServiceError::Configuration(format!("topics.schemas: {} cannot be read: {error}", path.display()))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        let is_schema = path.extension().is_some_and(|extension| extension == "avsc");
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
        // Other names are those of the built-in schemas, which the binary carries.
        if let (true, Some(id)) = (is_schema, id) {
            found.push((id, std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn form(form: WireForm) -> codec::WireForm {
    match form {
        WireForm::AvroConfluent => codec::WireForm::ConfluentAvro,
        WireForm::AvroBare => codec::WireForm::BareAvro,
        WireForm::Json => codec::WireForm::Json,
    }
}

pub(super) fn millis(duration: Duration) -> TimeMs {
    TimeMs::try_from(duration.as_millis()).unwrap_or(TimeMs::MAX)
}

fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PUBLISHED;

    #[test]
    fn defaults_are_those_of_engine_and_shards() {
        let config = Config::default();
        assert_eq!(engine(&config), engine::Config::default());
        assert_eq!(published(&config), analysis::Published::default());
        let (ours, theirs) = (shard(&config, 0), ShardConfig::default());
        assert_eq!(
            (ours.transaction_interval_ms, ours.batch_bytes_max, ours.record_bytes_max, ours.partitions),
            (
                theirs.transaction_interval_ms,
                theirs.batch_bytes_max,
                theirs.record_bytes_max,
                theirs.partitions
            )
        );
        assert_eq!(
            (ours.snapshot_interval_ms, ours.snapshot_records, ours.idle_after_ms, ours.tick_interval_ms),
            (
                theirs.snapshot_interval_ms,
                theirs.snapshot_records,
                theirs.idle_after_ms,
                theirs.tick_interval_ms
            )
        );
    }

    #[test]
    fn every_published_setting_has_an_option() {
        let names: Vec<String> =
            analysis::Published::default().entries().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, PUBLISHED.map(|(name, _)| name));
    }

    #[test]
    fn a_schema_file_is_known_by_its_number() {
        let text = std::fs::read_to_string("schemas/purchase.avsc").expect("it is there");
        let folder = std::env::temp_dir().join(format!("habitue-schemas-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("70.avsc"), text).expect("a file");
        std::fs::write(folder.join("notes.avsc"), "not a schema").expect("a file");
        let found = schemas(&folder).expect("readable");
        std::fs::remove_dir_all(&folder).expect("removable");
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [70]);
        assert!(matches!(schemas(&folder), Err(ServiceError::Configuration(_))));
    }
}
