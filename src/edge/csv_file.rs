//! CSV files, plain or compressed by gzip or zstd, whatever their names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

/// How the files are written down.
#[derive(Debug, Clone)]
pub struct Form {
    pub separator: Separator,
    /// Names of the columns, where the files have no header.
    pub columns: Option<Vec<String>>,
}

/// What stands between two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    Byte(u8),
    /// Blanks, as many as there are: columns of fixed width.
    Blanks,
}

pub type Reader = csv::Reader<Box<dyn Read>>;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file's bytes, decompressed where its first bytes say that it is gzip or zstd; `progress` counts bytes as they lie on
/// the disk.
///
/// # Errors
/// When the file cannot be opened.
pub fn plain(file: &Path, progress: &ProgressBar) -> io::Result<Box<dyn Read>> {
    let mut opened = BufReader::with_capacity(1 << 16, progress.wrap_read(File::open(file)?));
    let start = opened.fill_buf()?;
    Ok(if start.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(opened))
    } else if start.starts_with(&ZSTD) {
        Box::new(zstd::stream::read::Decoder::with_buffer(opened)?)
    } else {
        Box::new(opened)
    })
}

/// A reader of the rows, and the names of the columns.
///
/// # Errors
/// When the file cannot be opened, or has no readable header where it should.
pub fn open(file: &Path, form: &Form, progress: &ProgressBar) -> io::Result<(Reader, Vec<String>)> {
    let plain = plain(file, progress)?;
    let (plain, delimiter): (Box<dyn Read>, u8) = match form.separator {
        Separator::Byte(byte) => (plain, byte),
        Separator::Blanks => (Box::new(Squeezed::new(plain)), b' '),
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(form.columns.is_none())
        .flexible(true)
        .from_reader(plain);
    let names = match &form.columns {
        Some(names) => names.clone(),
        None => {
            let header = reader.byte_headers()?.iter().map(String::from_utf8_lossy);
            header.map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect()
        }
    };
    Ok((reader, names))
}

/// Lines whose words stand one blank apart, and nothing before the first or after the last.
struct Squeezed<R> {
    inner: BufReader<R>,
    raw: Vec<u8>,
    line: Vec<u8>,
    /// What of `line` has been read.
    at: usize,
}

impl<R: Read> Squeezed<R> {
    fn new(inner: R) -> Self {
        Squeezed { inner: BufReader::new(inner), raw: Vec::new(), line: Vec::new(), at: 0 }
    }

    fn next_line(&mut self) -> io::Result<()> {
        self.at = 0;
        self.raw.clear();
        self.line.clear();
        if self.inner.read_until(b'\n', &mut self.raw)? > 0 {
            let words = self.raw.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.for_each(|word| {
                self.line.extend_from_slice(word);
                self.line.push(b' ');
            });
            self.line.pop();
            self.line.push(b'\n');
        }
        Ok(())
    }
}

impl<R: Read> Read for Squeezed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            self.next_line()?;
        }
        let n = (&self.line[self.at..]).read(out)?;
        self.at += n;
        Ok(n)
    }
}

/// Whether both are there, and are one file: then writing to one would destroy the other.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|path| Some(path) == real(other))
}

/// By bytes of the files, on standard error where that is a terminal.
pub fn progress(files: &[PathBuf]) -> ProgressBar {
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    bar(files.iter().map(size).sum())
}

/// A bar up to `length`, on standard error where that is a terminal.
pub fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed} gone, {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
