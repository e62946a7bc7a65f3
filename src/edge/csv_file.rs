//! CSV files, plain or compressed by gzip or zstd, whatever their names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

/// How the files are written down.
#[derive(Debug, Clone)]
pub struct Form {
    pub separator: u8,
    /// Names of the columns, where the files have no header.
    pub columns: Option<Vec<String>>,
}

pub type Reader = csv::Reader<Box<dyn Read>>;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A reader of the rows, and the names of the columns; `progress` counts bytes as they lie on the disk.
///
/// # Errors
/// When the file cannot be opened, or has no readable header where it should.
pub fn open(file: &Path, form: &Form, progress: &ProgressBar) -> io::Result<(Reader, Vec<String>)> {
    let mut opened = BufReader::with_capacity(1 << 16, progress.wrap_read(File::open(file)?));
    let start = opened.fill_buf()?;
    let plain: Box<dyn Read> = if start.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(opened))
    } else if start.starts_with(&ZSTD) {
        Box::new(zstd::stream::read::Decoder::with_buffer(opened)?)
    } else {
        Box::new(opened)
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(form.separator)
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
