//! `evaluate sessions`: reads two files of sessions, and measures methods on them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use super::{EvaluateError, unknown};
use crate::edge::csv_file;
use crate::edge::session_file::SessionFile;
use crate::measure::sessions::{METHODS, Measured, Plan, Sessions, method, run};

/// Everything that is known at the end.
#[derive(Debug, Clone)]
pub struct Report {
    pub train: Counts,
    pub test: Counts,
    /// Different items of both files.
    pub items: usize,
    pub methods: Vec<(&'static str, Measured)>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub sessions: usize,
    pub events: usize,
    /// Lines without an item, which are left out.
    pub empty: usize,
}

/// The name of all methods.
const ALL: &str = "all";

/// Measures the methods of these names, or "all", each on its own from the first session on.
///
/// # Errors
/// When a file cannot be read or holds no session, a name is unknown, or nothing is to be measured.
pub fn evaluate(train: &Path, test: &Path, plan: Plan, methods: &[String]) -> Result<Report, EvaluateError> {
    let chosen = choose(methods)?;
    let mut reader = Reader::default();
    let (train_sessions, train_counts) = reader.read(train)?;
    let (test_sessions, test_counts) = reader.read(test)?;
    if test_sessions.iter().all(|session| session.len() < 2) {
        return Err(EvaluateError::file(test, "no session has two items, so there is no step to measure"));
    }
    let sessions = Sessions { train: train_sessions, test: test_sessions };
    let bar = csv_file::bar((chosen.len() * (train_counts.sessions + test_counts.sessions)) as u64);
    let began = Instant::now();
    let mut clock = || began.elapsed().as_secs_f64();
    let mut measured = Vec::new();
    for name in chosen {
        let mut method = method(name).expect("a chosen name is one of METHODS");
        measured.push((name, run(&sessions, plan, &mut *method, &mut clock, &mut |gone| bar.inc(gone))));
    }
    bar.finish_and_clear();
    Ok(Report { train: train_counts, test: test_counts, items: reader.items.len(), methods: measured })
}

fn choose(names: &[String]) -> Result<Vec<&'static str>, EvaluateError> {
    if names.iter().any(|name| name == ALL) {
        return Ok(METHODS.to_vec());
    }
    let of_name = |name: &String| {
        METHODS.iter().find(|known| *known == name).copied().ok_or_else(|| unknown("method", name, &METHODS))
    };
    let mut chosen = names.iter().map(of_name).collect::<Result<Vec<_>, _>>()?;
    chosen.dedup();
    Ok(chosen)
}

/// Numbers items in the order in which they are first seen.
#[derive(Default)]
struct Reader {
    items: HashMap<Box<str>, u32>,
}

impl Reader {
    /// The sessions of a file.
    fn read(&mut self, file: &Path) -> Result<(Vec<Vec<u32>>, Counts), EvaluateError> {
        let failed = |error: std::io::Error| EvaluateError::file(file, error);
        let bar = csv_file::progress(&[file.into()]);
        let mut opened = SessionFile::open(file, &bar).map_err(failed)?;
        let (mut sessions, mut counts) = (Vec::new(), Counts::default());
        while let Some(items) = opened.next_line().map_err(failed)? {
            let session: Vec<u32> = items.into_iter().map(|item| self.number(item)).collect();
            if session.is_empty() {
                counts.empty += 1;
                continue;
            }
            counts.events += session.len();
            sessions.push(session);
        }
        bar.finish_and_clear();
        if sessions.is_empty() {
            return Err(EvaluateError::file(file, "holds no session"));
        }
        counts.sessions = sessions.len();
        Ok((sessions, counts))
    }

    fn number(&mut self, item: &str) -> u32 {
        match self.items.get(item) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.items.len()).expect("fewer than 2^32 items fit in memory");
                self.items.insert(item.into(), number);
                number
            }
        }
    }
}
