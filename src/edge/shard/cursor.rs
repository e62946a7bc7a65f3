//! One place read in order, outside any group, with what was read ahead kept.

use std::collections::VecDeque;
use std::time::Duration;

use crate::edge::log::{Ends, Log, LogError, OwnedRecord, Place, Reader};

/// Polls after which a log that gives neither a record nor an end is taken for silent.
const SILENT_POLLS_MAX: u32 = 300;

/// Reads one place. It polls only when asked for more, so it holds one poll's worth at most.
pub struct Cursor<L: Log> {
    reader: L::Reader,
    place: Place,
    ahead: VecDeque<OwnedRecord>,
}

impl<L: Log> Cursor<L> {
    /// # Errors
    /// When the log gives no reader or refuses the place.
    pub fn open(log: &L, place: Place, offset: u64) -> Result<Cursor<L>, LogError> {
        let mut reader = log.reader()?;
        reader.assign(&[(place, offset)])?;
        Ok(Cursor { reader, place, ahead: VecDeque::new() })
    }

    /// The next record, if it has come within `wait`.
    ///
    /// # Errors
    /// When the log has an answer other than "not yet".
    pub fn peek(&mut self, wait: Duration) -> Result<Option<&OwnedRecord>, LogError> {
        if self.ahead.is_empty() {
            let ahead = &mut self.ahead;
            match self.reader.poll(wait, &mut |record| ahead.push_back(OwnedRecord::from(record))) {
                Ok(_) | Err(LogError::Retry(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.ahead.front())
    }

    /// The next record, or none where everything committed when the place was opened has been popped. Waits as
    /// often as it takes, up to `wait` each time.
    ///
    /// # Errors
    /// `Retry` when the log stays silent; any other answer of the log.
    pub fn peek_or_end(&mut self, wait: Duration) -> Result<Option<&OwnedRecord>, LogError> {
        for _ in 0..SILENT_POLLS_MAX {
            if !self.ahead.is_empty() || self.is_at_end() {
                return Ok(self.ahead.front());
            }
            self.peek(wait)?;
        }
        Err(LogError::Retry(format!("{:?} gives neither a record nor an end", self.place)))
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// The next record if it has come already.
    pub fn front(&self) -> Option<&OwnedRecord> {
        self.ahead.front()
    }

    pub fn pop(&mut self) -> Option<OwnedRecord> {
        self.ahead.pop_front()
    }

    /// The place's ends by now.
    ///
    /// # Errors
    /// When the log does not say.
    pub fn ends(&mut self) -> Result<Ends, LogError> {
        self.reader.ends(self.place)
    }

    /// True when everything committed so far has been popped.
    pub fn is_at_end(&self) -> bool {
        self.ahead.is_empty() && self.reader.at_end(self.place)
    }
}
