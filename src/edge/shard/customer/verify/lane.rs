//! Committed records of one output topic beside the signals made anew.

use std::time::Duration;

use super::Stop;
use crate::codec::encode_signal_json;
use crate::edge::log::{Ends, Log, LogError, OwnedRecord, Place, Reader};
use crate::edge::shard::cursor::Cursor;
use crate::edge::shard::wire::Wire;
use crate::event::TimeMs;
use crate::signal::{Signal, Topic};

/// Polls, each up to the caller's wait, that must find the topic at its end and no transaction open before a
/// record is taken for missing: its entry could be read already, but marks reach partitions one by one.
const MISSING_POLLS: u32 = 20;
/// As many polls at most, whatever they find.
const POLLS_MAX: u32 = 300;
/// A batch is not open for so long: records this much older than the first entry are of a journal before it,
/// from which the service has begun anew.
const EARLIER_MS: TimeMs = 60_000;
/// Bytes of a difference and of a signal that are shown.
const SHOWN_BYTES: usize = 8;
const SHOWN_SIGNAL_BYTES: usize = 400;

pub(super) struct Lane<L: Log> {
    cursor: Cursor<L>,
    alignment: Alignment,
    /// The first offset that the topic held when it was opened, and one past the last that was written: what
    /// lies behind belongs to entries behind C.
    low: u64,
    end: u64,
    begins_ms: Option<TimeMs>,
    /// Records passed over; signals that no longer have a record.
    passed: u64,
    gone: u64,
    reworded: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alignment {
    /// The next record is the next signal.
    InStep,
    /// Records of entries that are not verified come first.
    Records,
    /// The topic's oldest records were deleted: signals without one come first.
    Signals,
    /// Nothing can be compared any more.
    Lost,
}

impl<L: Log> Lane<L> {
    /// `begins_ms`: time of the first entry where the journal is verified from its start.
    pub fn open(log: &L, topic: Topic, number: u32, begins_ms: Option<TimeMs>) -> Result<Lane<L>, LogError> {
        let place = Place::new(topic, number);
        let Ends { low, high, .. } = log.reader()?.ends(place)?;
        let alignment = match begins_ms {
            Some(_) if low == 0 => Alignment::InStep,
            Some(_) => Alignment::Signals,
            None => Alignment::Records,
        };
        let cursor = Cursor::open(log, place, low)?;
        Ok(Lane { cursor, alignment, low, end: high, begins_ms, passed: 0, gone: 0, reworded: 0 })
    }

    pub fn topic(&self) -> Topic {
        self.cursor.place().topic
    }

    /// Takes the signal's record; false where it can no longer be there. `is_taken`: a dead letter whose words
    /// are not known any more.
    pub fn expect(
        &mut self,
        signal: &Signal,
        is_taken: bool,
        wire: &Wire,
        wait: Duration,
    ) -> Result<bool, Stop> {
        let value = wire.signal(signal);
        while self.alignment != Alignment::Lost {
            let topic = self.topic().name();
            let alignment = self.alignment;
            let Some(record) = self.front(wait, MISSING_POLLS)? else {
                if alignment == Alignment::InStep || (alignment == Alignment::Records && self.low == 0) {
                    return Err(Stop::Differs(format!("{topic} has no record of {}", shown(signal))));
                }
                self.alignment = Alignment::Lost;
                break;
            };
            let found = record.value.as_deref().unwrap_or_default();
            let has_key = record.key.as_deref().unwrap_or_default() == signal.key();
            let is_equal = has_key && found == value;
            if is_equal || (is_taken && has_key && is_reworded(found, signal, wire)) {
                self.reworded += u64::from(!is_equal);
                self.alignment = Alignment::InStep;
                self.cursor.pop();
                return Ok(true);
            }
            match alignment {
                Alignment::Records => {
                    self.passed += 1;
                    self.cursor.pop();
                }
                Alignment::Signals => break,
                Alignment::InStep | Alignment::Lost => {
                    let what = if has_key { difference(found, &value) } else { "has another key".into() };
                    return Err(Stop::Differs(format!(
                        "record {} of {topic} {what}; made anew it is {}",
                        record.offset,
                        shown(signal)
                    )));
                }
            }
        }
        self.gone += 1;
        Ok(false)
    }

    /// The offset of a record that no signal was made for.
    pub fn left(&mut self, wait: Duration) -> Result<Option<u64>, Stop> {
        if matches!(self.alignment, Alignment::Records | Alignment::Lost) {
            return Ok(None);
        }
        Ok(self.front(wait, 1)?.map(|record| record.offset))
    }

    /// What was not compared.
    pub fn note(&self) -> Option<String> {
        let (topic, low) = (self.topic().name(), self.low);
        let mut parts = Vec::new();
        if self.passed > 0 {
            parts.push(format!("{} records of {topic} were passed over as of earlier entries", self.passed));
        }
        if self.gone > 0 {
            parts.push(format!("{topic} begins at {low}: {} signals have no record any more", self.gone));
        }
        if self.reworded > 0 {
            parts.push(format!(
                "{} of {topic} were compared without their words, which schemas or limits of that time chose",
                self.reworded
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The next record of an entry before C; none where `missing_polls` polls in a row have found the topic closed
    /// and at its end.
    fn front(&mut self, wait: Duration, missing_polls: u32) -> Result<Option<&OwnedRecord>, Stop> {
        let (mut closed, mut polls) = (0, 0);
        while closed < missing_polls {
            let Some(record) = self.cursor.peek(wait)? else {
                polls += 1;
                if polls > POLLS_MAX {
                    return Err(LogError::Retry(format!("{:?} stays open", self.cursor.place())).into());
                }
                let is_closed = match self.cursor.ends() {
                    Ok(ends) => ends.stable == ends.high && self.cursor.is_at_end(),
                    Err(LogError::Retry(_)) => false,
                    Err(error) => return Err(error.into()),
                };
                closed = if is_closed { closed + 1 } else { 0 };
                continue;
            };
            if self.begins_ms.is_none_or(|begins_ms| record.timestamp_ms > begins_ms - EARLIER_MS) {
                break;
            }
            self.cursor.pop();
            self.passed += 1;
        }
        Ok(self.cursor.front().filter(|record| record.offset < self.end))
    }
}

/// Whether the record is the dead letter but for its words: beside one without any, all is equal in front of
/// them and behind them. One byte is their length.
fn is_reworded(found: &[u8], signal: &Signal, wire: &Wire) -> bool {
    let Signal::DeadLetter(letter) = signal else { return false };
    let wordless = wire
        .signal(&Signal::DeadLetter(crate::signal::DeadLetter { detail: String::new(), ..letter.clone() }));
    let front = found.iter().zip(&wordless).take_while(|(a, b)| a == b).count();
    let back = found[front..].iter().rev().zip(wordless[front..].iter().rev()).take_while(|(a, b)| a == b);
    front + back.count() + 1 >= wordless.len()
}

fn difference(found: &[u8], made: &[u8]) -> String {
    let at = found.iter().zip(made).take_while(|(a, b)| a == b).count();
    let part = |bytes: &[u8]| {
        let end = bytes.len().min(at + SHOWN_BYTES);
        format!("{:02x?} of {} bytes", &bytes[at..end], bytes.len())
    };
    format!("differs at byte {at}: it has {}, made anew {}", part(found), part(made))
}

fn shown(signal: &Signal) -> String {
    let mut json = Vec::new();
    encode_signal_json(signal, &mut json);
    let text = String::from_utf8_lossy(&json);
    let cut: String = text.chars().take(SHOWN_SIGNAL_BYTES).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
