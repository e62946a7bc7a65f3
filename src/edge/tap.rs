//! Records of a topic as JSON, for people who look.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::codec::hexadecimal;
use crate::edge::log::{Log, LogError, Place, Reader, Record};
use crate::edge::shard::threads::Stop;
use crate::edge::shard::wire::Wire;
use crate::signal::Topic;

/// Records read ahead of a slow listener.
const AHEAD_MAX: usize = 256;
/// Taps open at once: each has a thread and a client of the log.
pub const TAPS_MAX: usize = 16;

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub topic: Topic,
    /// Only those with this key.
    pub key: Option<Vec<u8>>,
    pub from: Begin,
    /// Goes on after what is there at the beginning.
    pub follow: bool,
    /// Key and value as they lie there, in hexadecimal, instead of decoded.
    pub raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Start,
    End,
}

/// Opens taps of one log, at most [`TAPS_MAX`] at once.
pub struct Taps<L: Log> {
    log: L,
    wire: Arc<Wire>,
    stop: Stop,
    free: Arc<Semaphore>,
}

impl<L: Log> Taps<L> {
    pub fn new(log: L, wire: Arc<Wire>, stop: Stop) -> Taps<L> {
        Taps { log, wire, stop, free: Arc::new(Semaphore::new(TAPS_MAX)) }
    }

    /// Reads on a thread of its own, which ends with the receiver, with `stop`, or at the end where nothing is
    /// followed. What goes wrong is the last thing received. None where as many are open as may be.
    pub fn open(&self, wanted: Wanted) -> Option<mpsc::Receiver<Result<Value, String>>> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let (log, wire, stop) = (self.log.clone(), Arc::clone(&self.wire), self.stop.clone());
        let (records, received) = mpsc::channel(AHEAD_MAX);
        std::thread::spawn(move || {
            if let Err(error) = read(&log, &wire, &wanted, &stop, &records) {
                // The receiver may have gone.
                let _ = records.blocking_send(Err(error.to_string()));
            }
            drop(place);
        });
        Some(received)
    }
}

fn read<L: Log>(
    log: &L,
    wire: &Wire,
    wanted: &Wanted,
    stop: &Stop,
    records: &mpsc::Sender<Result<Value, String>>,
) -> Result<(), LogError> {
    let mut reader = log.reader()?;
    let mut from = Vec::new();
    for partition in 0..log.partitions(wanted.topic)?.unwrap_or(0) {
        let place = Place::new(wanted.topic, partition);
        let ends = reader.ends(place)?;
        from.push((place, if wanted.from == Begin::Start { ends.low } else { ends.stable }));
    }
    reader.assign(&from)?;
    while !stop.is_set() && !records.is_closed() {
        let mut sent = Ok(());
        let polled = reader.poll(Duration::from_millis(100), &mut |record| {
            if wanted.key.as_deref().is_none_or(|key| record.key == Some(key)) && sent.is_ok() {
                sent = records.blocking_send(Ok(if wanted.raw { raw(&record) } else { show(wire, &record) }));
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
