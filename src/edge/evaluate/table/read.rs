//! The file's rows: cells of features, target and time.

use std::path::Path;

use csv::ByteRecord;

use super::super::{EvaluateError, column, no_column};
use super::Question;
use crate::config::{parse_moment, parse_time};
use crate::edge::csv_file::{self, Form};
use crate::measure::table::{Cells, Target};

pub struct Read {
    pub cells: Cells,
    pub target: Target,
    pub times: Option<Vec<f64>>,
    /// Rows with too few or too many cells.
    pub ragged: u64,
}

/// Reads all rows.
///
/// # Errors
/// When the file cannot be read, or does not have the question's columns.
pub fn read(file: &Path, form: &Form, question: &Question) -> Result<Read, EvaluateError> {
    let progress = csv_file::progress(&[file.into()]);
    let failed = |error: std::io::Error| EvaluateError::file(file, error);
    let (mut reader, names) = csv_file::open(file, form, &progress).map_err(failed)?;
    let columns = Columns::find(&names, question)?;
    let mut read = Read {
        cells: Cells::new(columns.features.len()),
        target: Target::default(),
        times: columns.time.map(|_| Vec::new()),
        ragged: 0,
    };
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| failed(error.into()))? {
        read.ragged += u64::from(record.len() != names.len());
        let cell = |at: &usize| record.get(*at).unwrap_or_default();
        read.cells.push(columns.features.iter().map(cell));
        read.target.push(record.get(columns.target));
        if let (Some(at), Some(times)) = (columns.time, &mut read.times) {
            let text = String::from_utf8_lossy(cell(&at));
            let time = time(text.trim(), times.last().copied()).ok_or_else(|| {
                let row = times.len();
                EvaluateError::file(
                    file,
                    format!("the time of row {row} is {text:?}: neither number nor date"),
                )
            })?;
            times.push(time);
        }
    }
    progress.finish_and_clear();
    Ok(read)
}

/// A number, or a date with or without a time; what follows a time and is no zone is left away. A row without a time has
/// that of the row before.
fn time(text: &str, before: Option<f64>) -> Option<f64> {
    if text.is_empty() {
        return Some(before.unwrap_or(f64::NEG_INFINITY));
    }
    let number = text.parse().ok().filter(|time: &f64| time.is_finite());
    number.or_else(|| {
        let moment = || text.char_indices().nth(19).and_then(|(end, _)| parse_moment(&text[..end]));
        parse_time(text).or_else(moment).map(|time_ms| time_ms as f64)
    })
}

/// Where the question's columns stand.
struct Columns {
    target: usize,
    time: Option<usize>,
    features: Vec<usize>,
}

impl Columns {
    fn find(names: &[String], question: &Question) -> Result<Columns, EvaluateError> {
        let target = column(names, &question.target)?;
        let time = question.time.as_ref().map(|name| column(names, name)).transpose()?;
        let mut features: Vec<usize> = (0..names.len()).collect();
        for name in &question.drop {
            if !names.contains(name) {
                return Err(no_column(names, name));
            }
            features.retain(|at| names[*at] != *name);
        }
        features.retain(|at| *at != target && Some(*at) != time);
        Ok(Columns { target, time, features })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_dates() {
        let ms = 1_522_584_000_000.0;
        for text in [
            "2018-04-01 12:00:00",
            "2018-04-01T12:00Z",
            "2018-04-01 14:00:00+02:00",
            "2018-04-01 12:00:00 CET",
        ] {
            assert_eq!(time(text, None), Some(ms), "{text}");
        }
        assert_eq!(time("2018-04-01T12:00:00.250Z", None), Some(ms + 250.0));
        assert_eq!(time("2018-04-01", None), Some(ms - 43_200_000.0));
        assert_eq!((time("-3.5", None), time("", Some(2.0))), (Some(-3.5), Some(2.0)));
        assert_eq!((time("soon", Some(1.0)), time("inf", None)), (None, None));
    }
}
