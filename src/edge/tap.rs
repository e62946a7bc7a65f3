//! Records of a topic as JSON, for people who look.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::edge::log::{Log, LogError, Place, Reader, Record};
use crate::edge::shard::threads::Stop;
use crate::edge::shard::wire::Wire;
use crate::signal::Topic;

/// Records read ahead of a slow listener.
const AHEAD_MAX: usize = 256;

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub topic: Topic,
    /// Only those with this key.
    pub key: Option<Vec<u8>>,
    pub from: From,
    /// Goes on after what is there at the beginning.
    pub follow: bool,
    /// Key and value as they lie there, in hexadecimal, instead of decoded.
    pub raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Start,
    End,
}

/// Reads on a thread of its own, which ends with the receiver, with `stop`, or at the end where nothing is
/// followed. What goes wrong is the last thing received.
pub fn open<L: Log>(log: L, wire: Arc<Wire>, wanted: Wanted, stop: Stop) -> mpsc::Receiver<Value> {
    let (records, received) = mpsc::channel(AHEAD_MAX);
    std::thread::spawn(move || {
        if let Err(error) = read(&log, &wire, &wanted, &stop, &records) {
            // The receiver may have gone.
            let _ = records.blocking_send(json!({ "error": error.to_string() }));
        }
    });
    received
}

fn read<L: Log>(
    log: &L,
    wire: &Wire,
    wanted: &Wanted,
    stop: &Stop,
    records: &mpsc::Sender<Value>,
) -> Result<(), LogError> {
    let mut reader = log.reader()?;
    let mut from = Vec::new();
    for partition in 0..log.partitions(wanted.topic)?.unwrap_or(0) {
        let place = Place::new(wanted.topic, partition);
        let ends = reader.ends(place)?;
        from.push((place, if wanted.from == From::Start { ends.low } else { ends.stable }));
    }
    reader.assign(&from)?;
    while !stop.is_set() && !records.is_closed() {
        let mut sent = Ok(());
        let polled = reader.poll(Duration::from_millis(100), &mut |record| {
            if wanted.key.as_deref().is_none_or(|key| record.key == Some(key)) && sent.is_ok() {
                sent = records.blocking_send(if wanted.raw { raw(&record) } else { show(wire, &record) });
            }
        });
        match polled {
            Ok(_) | Err(LogError::Retry(_)) => {}
            Err(error) => return Err(error),
        }
        if sent.is_err() || !wanted.follow && from.iter().all(|(place, _)| reader.at_end(*place)) {
            break;
        }
    }
    Ok(())
}

fn raw(record: &Record<'_>) -> Value {
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "topic": record.place.topic.name(),
        "partition": record.place.partition,
        "offset": record.offset,
        "written_ms": record.timestamp_ms,
        "raw_key": record.key.map(hexadecimal),
        "raw": record.value.map(hexadecimal),
    })
}

fn show(wire: &Wire, record: &Record<'_>) -> Value {
    let value = match record.value {
        None => Value::Null,
        Some(bytes) => wire
            .show(record.place.topic, bytes)
            .unwrap_or_else(|error| json!({ "unreadable": error, "bytes": bytes.len() })),
    };
    json!({
        "topic": record.place.topic.name(),
        "partition": record.place.partition,
        "offset": record.offset,
        "written_ms": record.timestamp_ms,
        "key": record.key.map(String::from_utf8_lossy),
        "value": value,
    })
}
