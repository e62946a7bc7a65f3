//! Session files: each line is a visitor who views its items in turn, by a clock that is made up.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::source::Source;
use super::{ReadError, milliseconds};
use crate::config;
use crate::edge::session_file::SessionFile;
use crate::event::{Engagement, EngagementKind, Event, TimeMs};
use crate::measure::rows::{LeftOut, Mapped};

/// The views of all files, one file after the other.
pub struct Sessions {
    /// The one that is read stands first.
    files: Vec<(PathBuf, SessionFile)>,
    view_gap_ms: TimeMs,
    session_gap_ms: TimeMs,
    /// When the next session begins.
    begin_ms: TimeMs,
    /// Lines so far.
    lines: u64,
    /// Views of sessions that have begun, by time, line and place.
    ready: BTreeMap<(TimeMs, u64, usize), Mapped>,
}

impl Sessions {
    /// `progress` counts bytes as they lie on the disk.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn open(
        files: &[PathBuf],
        clock: &config::Sessions,
        progress: &ProgressBar,
    ) -> Result<Sessions, ReadError> {
        let open = |file: &PathBuf| {
            let opened = SessionFile::open(file, progress).map_err(|error| unreadable(file, &error))?;
            Ok((file.clone(), opened))
        };
        Ok(Sessions {
            files: files.iter().map(open).collect::<Result<_, ReadError>>()?,
            view_gap_ms: milliseconds(clock.view_gap),
            session_gap_ms: milliseconds(clock.session_gap),
            begin_ms: clock.begin,
            lines: 0,
            ready: BTreeMap::new(),
        })
    }

    /// Makes the views of one line ready, or leaves a file that has no more.
    fn line(&mut self, left_out: &mut dyn FnMut(LeftOut)) -> Result<(), ReadError> {
        let Some((file, opened)) = self.files.first_mut() else { return Ok(()) };
        let Some(items) = opened.next_line().map_err(|error| unreadable(file, &error))? else {
            self.files.remove(0);
            return Ok(());
        };
        self.lines += 1;
        if items.is_empty() {
            left_out(LeftOut::Empty);
            return Ok(());
        }
        let mut time_ms = self.begin_ms;
        for (place, item) in items.into_iter().enumerate() {
            let event = Event::Engagement(view(self.lines, place, item, time_ms));
            self.ready.insert((time_ms, self.lines, place), Mapped { event, fraud: None });
            time_ms = time_ms.saturating_add(self.view_gap_ms);
        }
        self.begin_ms = self.begin_ms.saturating_add(self.session_gap_ms);
        Ok(())
    }
}

impl Source for Sessions {
    fn next_time(&mut self, left_out: &mut dyn FnMut(LeftOut)) -> Result<Option<TimeMs>, ReadError> {
        loop {
            let first = self.ready.first_key_value().map(|((time_ms, ..), _)| *time_ms);
            if self.files.is_empty() || first.is_some_and(|time_ms| time_ms <= self.begin_ms) {
                return Ok(first);
            }
            self.line(left_out)?;
        }
    }

    fn pop(&mut self) -> Option<Mapped> {
        self.ready.pop_first().map(|(_, mapped)| mapped)
    }

    fn rows(&self) -> u64 {
        self.lines
    }
}

fn view(line: u64, place: usize, item: &str, time_ms: TimeMs) -> Engagement<'static> {
    let (id, visitor) = (format!("{line}-{place}"), line.to_string());
    Engagement {
        session: Some(visitor.clone().into()),
        item: Some(item.to_owned().into()),
        ..Engagement::new(id, visitor, time_ms, EngagementKind::View)
    }
}

fn unreadable(file: &Path, error: &io::Error) -> ReadError {
    ReadError::Read { file: file.into(), reason: error.to_string() }
}
