//! Event files by a mapping: several merged in time, with verdicts when they would have come.

mod columns;
mod sessions;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::config::{Legitimate, Mapping};
use crate::edge::csv_file::Form;
use crate::event::{Event, Feedback, TimeMs};
use crate::measure::labels::Labels;
use crate::measure::rows::{LeftOut, Mapped, verdict};
use sessions::Sessions;
use source::{RowFile, Source};

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{}: {reason}", file.display())]
    Read { file: PathBuf, reason: String },
    #[error("{}: {reason}", file.display())]
    Columns { file: PathBuf, reason: String },
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Event(Mapped),
    /// Of an earlier payment, when its label would have come.
    Verdict(Feedback<'static>),
}

impl Next {
    pub fn event(self) -> Event<'static> {
        match self {
            Next::Event(mapped) => mapped.event,
            Next::Verdict(feedback) => Event::Feedback(feedback),
        }
    }
}

/// The events of files in order of time; those of sessions one file after the other.
pub struct EventFiles {
    sources: Vec<Box<dyn Source>>,
    left_out: BTreeMap<LeftOut, u64>,
    labels: Labels,
    delay_ms: TimeMs,
    legitimate: bool,
}

impl EventFiles {
    /// `progress` counts bytes as they lie on the disk.
    ///
    /// # Errors
    /// When a file cannot be opened, or does not have the mapping's columns.
    pub fn open(
        files: &[PathBuf],
        mapping: &Mapping,
        form: &Form,
        progress: &ProgressBar,
    ) -> Result<EventFiles, ReadError> {
        let sources: Vec<Box<dyn Source>> = match &mapping.sessions {
            Some(clock) => vec![Box::new(Sessions::open(files, clock, progress)?)],
            None => {
                let open = |file: &PathBuf| RowFile::open(file, mapping, form, progress);
                let opened = files.iter().map(open).collect::<Result<Vec<_>, ReadError>>()?;
                refuse_absent(files, &opened)?;
                opened.into_iter().map(|file| Box::new(file) as Box<dyn Source>).collect()
            }
        };
        Ok(EventFiles {
            sources,
            left_out: BTreeMap::new(),
            labels: Labels::default(),
            delay_ms: mapping.label.as_ref().map_or(0, |label| milliseconds(label.delay)),
            legitimate: mapping.label.as_ref().is_none_or(|label| label.legitimate == Legitimate::Arrive),
        })
    }

    /// The next event or verdict; None at the end.
    ///
    /// # Errors
    /// When a file breaks off or is not what it should be.
    pub fn next_event(&mut self) -> Result<Option<Next>, ReadError> {
        loop {
            let earliest = self.earliest()?;
            let until_ms = earliest.map_or(TimeMs::MAX, |(_, time_ms)| time_ms);
            if let Some(feedback) = self.labels.due(until_ms) {
                return Ok(Some(Next::Verdict(feedback)));
            }
            let Some((source, _)) = earliest else { return Ok(None) };
            let Some(mapped) = self.sources[source].pop() else { continue };
            if let Event::Purchase(purchase) = &mapped.event
                && let Some(fraud) =
                    mapped.fraud.filter(|fraud| !purchase.refund && (*fraud || self.legitimate))
            {
                self.labels.put(verdict(purchase, fraud, self.delay_ms));
            }
            return Ok(Some(Next::Event(mapped)));
        }
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.sources.iter().map(|source| source.rows()).sum()
    }

    /// Rows that are no event, by reason.
    pub fn left_out(&self) -> &BTreeMap<LeftOut, u64> {
        &self.left_out
    }

    /// The file whose next event is the earliest; of equal ones the first.
    fn earliest(&mut self) -> Result<Option<(usize, TimeMs)>, ReadError> {
        let mut earliest: Option<(usize, TimeMs)> = None;
        let left_out = &mut self.left_out;
        let mut count = |reason: LeftOut| *left_out.entry(reason).or_default() += 1;
        for (number, source) in self.sources.iter_mut().enumerate() {
            if let Some(time_ms) = source.next_time(&mut count)?
                && earliest.is_none_or(|(_, first_ms)| time_ms < first_ms)
            {
                earliest = Some((number, time_ms));
            }
        }
        Ok(earliest)
    }
}

fn milliseconds(duration: Duration) -> TimeMs {
    TimeMs::try_from(duration.as_millis()).unwrap_or(TimeMs::MAX)
}

/// A file may be without a kind of event that others have; a kind that none has is a slip in the mapping.
fn refuse_absent(files: &[PathBuf], opened: &[RowFile]) -> Result<(), ReadError> {
    let Some((first, others)) = opened.split_first() else { return Ok(()) };
    let is_absent = |kind: &str, file: &RowFile| file.absent.iter().any(|(absent, _)| *absent == kind);
    match first.absent.iter().find(|(kind, _)| others.iter().all(|file| is_absent(kind, file))) {
        None => Ok(()),
        Some((kind, why)) => {
            let reason = format!(
                "no file has the events of [{kind}]: {why}. Give all files at once, or take [{kind}] out of the mapping"
            );
            Err(ReadError::Columns { file: files[0].clone(), reason })
        }
    }
}
