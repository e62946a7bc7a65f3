//! Event files, read as they stand: rows of CSV by a mapping's columns.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use indicatif::ProgressBar;
use xxhash_rust::xxh3::Xxh3Default;

use super::ReadError;
use super::columns::{Resolved, resolve};
use crate::config::Mapping;
use crate::edge::csv_file::{self, Form, Reader};
use crate::event::TimeMs;
use crate::measure::rows::{Cells, LeftOut, Mapped, Rows};

/// Events in order of the files.
pub trait Source {
    /// Time of the next event; None at the end. Counts what it leaves out.
    ///
    /// # Errors
    /// When a file breaks off or is not what it should be.
    fn next_time(&mut self, left_out: &mut dyn FnMut(LeftOut)) -> Result<Option<TimeMs>, ReadError>;

    fn pop(&mut self) -> Option<Mapped>;

    /// Rows read so far.
    fn rows(&self) -> u64;
}

/// The events of one CSV file.
pub struct RowFile {
    file: PathBuf,
    reader: Reader,
    record: StringRecord,
    columns: usize,
    /// See [`Resolved::absent`].
    pub absent: Vec<(&'static str, String)>,
    row: u64,
    rows: Rows,
    ready: Vec<Mapped>,
    queue: VecDeque<Mapped>,
    ended: bool,
}

impl Cells for StringRecord {
    fn cell(&self, column: usize) -> &str {
        self.get(column).unwrap_or_default()
    }

    fn hash(&self) -> u64 {
        let mut hash = Xxh3Default::new();
        for cell in self {
            hash.update(cell.as_bytes());
            // No byte of UTF-8, so that no two rows run together.
            hash.update(&[0xff]);
        }
        hash.digest()
    }
}

impl RowFile {
    /// `progress` counts bytes as they lie on the disk.
    ///
    /// # Errors
    /// When the file cannot be opened, or no kind of event finds its columns in it.
    pub fn open(
        file: &Path,
        mapping: &Mapping,
        form: &Form,
        progress: &ProgressBar,
    ) -> Result<RowFile, ReadError> {
        let (reader, names) = csv_file::open(file, form, progress)
            .map_err(|error| ReadError::Read { file: file.into(), reason: error.to_string() })?;
        let resolved = resolve(mapping, &names);
        let Resolved { layout, absent } =
            resolved.map_err(|reason| ReadError::Columns { file: file.into(), reason })?;
        Ok(RowFile {
            file: file.into(),
            reader,
            record: StringRecord::new(),
            columns: names.len(),
            row: 0,
            absent,
            rows: Rows::new(layout),
            ready: Vec::new(),
            queue: VecDeque::new(),
            ended: false,
        })
    }
}

impl Source for RowFile {
    fn next_time(&mut self, left_out: &mut dyn FnMut(LeftOut)) -> Result<Option<TimeMs>, ReadError> {
        while self.queue.is_empty() && !self.ended {
            match self.reader.read_record(&mut self.record) {
                Ok(true) => {
                    // A separator at the end of a line makes an empty cell.
                    let pushed = match self.record.iter().skip(self.columns).all(str::is_empty) {
                        true => self.rows.push(&self.record, &mut self.ready),
                        false => Err(LeftOut::Ragged),
                    };
                    if let Err(reason) = pushed {
                        left_out(reason);
                    }
                    self.row += 1;
                }
                Ok(false) => {
                    self.rows.finish(&mut self.ready);
                    self.ended = true;
                }
                Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                    left_out(LeftOut::Text);
                    self.row += 1;
                }
                Err(error) => return Err(unreadable(&self.file, &error)),
            }
            self.queue.extend(self.ready.drain(..));
        }
        Ok(self.queue.front().map(|mapped| mapped.event.time_ms()))
    }

    fn pop(&mut self) -> Option<Mapped> {
        self.queue.pop_front()
    }

    fn rows(&self) -> u64 {
        self.row
    }
}

fn unreadable(file: &Path, error: &csv::Error) -> ReadError {
    ReadError::Read { file: file.into(), reason: error.to_string() }
}
