//! Settings that all instances share: the first writes its file's to control, the others must agree.

use std::time::{Duration, Instant};

use super::ServiceError;
use crate::analysis::Published;
use crate::config::PUBLISHED;
use crate::edge::log::{Appender, Log, LogError, Outgoing, Place};
use crate::edge::shard::shared::{Epoch, Shared, SharedReader};
use crate::edge::shard::threads::Stop;
use crate::edge::shard::wire::Wire;
use crate::event::{Control, TimeMs};
use crate::signal::Topic;

/// Longest wait for what was just written, by us or by another instance that starts with us.
const PATIENCE: Duration = Duration::from_secs(10);
/// Another instance may be in the middle of writing.
const GRACE: Duration = Duration::from_secs(2);

/// Reads models and control to their ends as of now, so that nothing is judged with half of them.
///
/// # Errors
/// What the log says other than "not yet".
pub fn read_to_end<L: Log>(
    reader: &mut SharedReader<L>,
    shared: &Shared,
    stop: &Stop,
) -> Result<(), ServiceError> {
    let rounds = shared.epoch().rounds;
    while shared.epoch().rounds == rounds && !stop.is_set() {
        reader.turn(Duration::from_millis(100))?;
    }
    Ok(())
}

/// Brings control and the file into agreement: writes the file's settings where control has none, or where
/// `apply_settings` says so.
///
/// # Errors
/// `Guard` names each difference; `Broker` where what was written does not come back.
pub fn agree<L: Log>(
    log: &L,
    wire: &Wire,
    (reader, shared): (&mut SharedReader<L>, &Shared),
    wanted: &Published,
    apply_settings: bool,
    now_ms: TimeMs,
) -> Result<(), ServiceError> {
    let begun = Instant::now();
    let epoch = shared.epoch();
    let mut missing = if epoch.settings == 0 { wanted.entries() } else { differing(&epoch, wanted) };
    if epoch.settings == 0 || (apply_settings && !missing.is_empty()) {
        tracing::info!(settings = missing.len(), "writing the file's settings to control");
        write(log, wire, &missing, now_ms)?;
    }
    let patience = if epoch.settings == 0 || apply_settings { PATIENCE } else { GRACE };
    while !missing.is_empty() || shared.epoch().settings == 0 {
        if begun.elapsed() > patience {
            return Err(refusal(&shared.epoch(), wanted));
        }
        reader.turn(Duration::from_millis(50))?;
        missing = differing(&shared.epoch(), wanted);
    }
    Ok(())
}

fn write<L: Log>(
    log: &L,
    wire: &Wire,
    settings: &[(String, String)],
    now_ms: TimeMs,
) -> Result<(), ServiceError> {
    let mut appender = log.appender()?;
    for (name, value) in settings {
        let setting = Control::Setting { name: name.clone(), value: value.clone() };
        appender.append(&Outgoing {
            place: Place::new(Topic::Control, 0),
            key: name.clone().into_bytes(),
            value: Some(wire.control(&setting)),
            timestamp_ms: now_ms,
        })?;
    }
    if appender.flush(PATIENCE)? {
        return Ok(());
    }
    Err(LogError::Retry("the settings were not taken by control in time".into()).into())
}

/// The settings of the file that control has otherwise.
fn differing(epoch: &Epoch, wanted: &Published) -> Vec<(String, String)> {
    let found = epoch.published.entries();
    wanted.entries().into_iter().filter(|setting| !found.contains(setting)).collect()
}

fn refusal(epoch: &Epoch, wanted: &Published) -> ServiceError {
    let found = epoch.published.entries();
    let lines = differing(epoch, wanted).into_iter().map(|(name, value)| {
        let option = PUBLISHED.iter().find(|(of, _)| *of == name).map_or(name.as_str(), |(_, path)| path);
        let found = found.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value);
        format!("error: {option}: control says {name} = {found}, the file says {value}")
    });
    let mut lines: Vec<String> = lines.collect();
    lines.push(
        "help: all instances publish by control; change the file to what control says, or write the file's \
         settings to control with `habitue run --apply-settings`"
            .into(),
    );
    ServiceError::Guard(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codec::{SchemaSet, WireForm};
    use crate::edge::log::sim::{SimConfig, SimLog};
    use crate::edge::shard::contents::MemoryContents;

    /// One start of an instance that wants these settings.
    fn start(log: &SimLog, wanted: &Published, apply: bool) -> Result<Published, ServiceError> {
        let none: [(u32, String); 0] = [];
        let schemas = SchemaSet::new(none).expect("the built-in ones are right");
        let form = WireForm::ConfluentAvro;
        let wire = Arc::new(Wire::new(schemas, [form; 3], form).expect("they fit"));
        let shared = Arc::new(Shared::new(Epoch::new(Published::default(), 8, 10)));
        let contents = Arc::<MemoryContents>::default();
        let reader = SharedReader::new(log, Arc::clone(&wire), contents, Arc::clone(&shared));
        let mut reader = reader.expect("a reader");
        read_to_end(&mut reader, &shared, &Stop::default())?;
        agree(log, &wire, (&mut reader, &shared), wanted, apply, 0)?;
        Ok(shared.epoch().published.clone())
    }

    #[test]
    fn the_first_instance_writes_and_the_next_must_agree_or_apply() {
        let log = SimLog::new(SimConfig::new(1, 2));
        let mut wanted = Published::default();
        wanted.anomaly.risk_min = 650;
        assert_eq!(start(&log, &wanted, false), Ok(wanted.clone()));
        let written = log.all_committed(Place::new(Topic::Control, 0)).map(|records| records.len());
        assert_eq!(written, Ok(wanted.entries().len()));
        assert_eq!(start(&log, &wanted, false), Ok(wanted.clone()));
        let mut other = wanted.clone();
        other.anomaly.cooldown_ms = 1;
        let Err(ServiceError::Guard(text)) = start(&log, &other, false) else { panic!("it must refuse") };
        assert!(
            text.contains(
                "analysis.anomaly.alert_cooldown: control says anomaly.cooldown_ms = 600000, the file says 1"
            ),
            "{text}"
        );
        assert!(text.contains("--apply-settings") && !text.contains("alert_risk_min"), "{text}");
        assert_eq!(start(&log, &other, true), Ok(other.clone()));
        assert_eq!(start(&log, &other, false), Ok(other));
        let written = log.all_committed(Place::new(Topic::Control, 0)).map(|records| records.len());
        assert_eq!(written, Ok(wanted.entries().len() + 1));
    }
}
