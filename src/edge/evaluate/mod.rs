//! Learners measured on files: one module for each kind of data.

pub mod orders;
pub mod sessions;
pub mod table;

use std::path::{Path, PathBuf};

use crate::config::nearest;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file is not what it should be, or cannot be read or written.
    #[error("{}: {reason}", file.display())]
    File { file: PathBuf, reason: String },
    /// The question does not fit the file.
    #[error("{0}")]
    Question(String),
}

impl EvaluateError {
    fn file(file: &Path, reason: impl ToString) -> EvaluateError {
        EvaluateError::File { file: file.into(), reason: reason.to_string() }
    }
}

/// Names shown in an error at most.
const NAMES_MAX: usize = 40;

/// That `name` is none of `known`: what was probably meant, and what there is.
fn unknown(what: &str, name: &str, known: &[&str]) -> EvaluateError {
    let hint = nearest(name, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    let shown = known.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = if known.len() > NAMES_MAX { ", ..." } else { "" };
    EvaluateError::Question(format!("there is no {what} {name:?}{hint}\nthere is: {shown}{more}"))
}

/// Where the one column of that name stands.
fn column(names: &[String], name: &str) -> Result<usize, EvaluateError> {
    let mut found = names.iter().enumerate().filter(|(_, known)| *known == name).map(|(at, _)| at);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(EvaluateError::Question(format!(
            "several columns are named {name:?}; --columns gives them names"
        ))),
        (None, _) => Err(no_column(names, name)),
    }
}

fn no_column(names: &[String], name: &str) -> EvaluateError {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    match known.as_slice() {
        [one] if one.contains([';', '\t', '|', ',']) => EvaluateError::Question(format!(
            "there is no column {name:?}, for all of the header is one cell: {one:?}\n--separator says what stands between two cells"
        )),
        _ => unknown("column", name, &known),
    }
}
