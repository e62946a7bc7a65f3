//! Session files: one session a line, its items in order, separated by blanks; plain, gzip or zstd.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use indicatif::ProgressBar;

use super::csv_file;

pub struct SessionFile {
    plain: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    lines: u64,
}

impl SessionFile {
    /// `progress` counts bytes as they lie on the disk.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(file: &Path, progress: &ProgressBar) -> io::Result<SessionFile> {
        let plain = BufReader::with_capacity(1 << 16, csv_file::plain(file, progress)?);
        Ok(SessionFile { plain, line: Vec::new(), lines: 0 })
    }

    /// The items of the next line, which may be none; None at the end.
    ///
    /// # Errors
    /// With the number of the line, from 1, when the file breaks off there or the line is no text.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<&str>>> {
        let number = self.lines + 1;
        let at_line = |kind, reason: String| io::Error::new(kind, format!("line {number}: {reason}"));
        self.line.clear();
        let read = self.plain.read_until(b'\n', &mut self.line);
        if read.map_err(|error| at_line(error.kind(), error.to_string()))? == 0 {
            return Ok(None);
        }
        self.lines = number;
        let malformed = |reason: String| at_line(io::ErrorKind::InvalidData, reason);
        // A mark of the order of bytes is no part of the first item.
        let line = self.line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&self.line);
        let line = str::from_utf8(line)
            .map_err(|error| malformed(format!("byte {} is not UTF-8", error.valid_up_to() + 1)))?;
        let items: Vec<&str> = line.split_ascii_whitespace().collect();
        match items.iter().find(|item| item.contains(char::is_control)) {
            Some(item) => Err(malformed(format!("the item {item:?} has a control character"))),
            None => Ok(Some(items)),
        }
    }
}
