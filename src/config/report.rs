//! What an operator reads when a file is refused.

use std::fmt::{self, Write};
use std::ops::Range;

use serde::Serialize;

use super::document::Fault;

/// A file that is refused, with everything that is wrong with it, in the order of its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    pub file: String,
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Keys from the root, joined by dots: "engine.lateness". Empty for a fault of syntax.
    pub path: String,
    /// From 1; none for what is not in the text.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    pub message: String,
    pub help: Option<String>,
    /// The line, and under it the place.
    #[serde(skip)]
    excerpt: Option<String>,
}

impl Refusal {
    pub(super) fn new(file: &str, text: &str, mut faults: Vec<Fault>) -> Refusal {
        faults.sort_by_key(|fault| (fault.span.is_none(), fault.span.as_ref().map(|span| span.start)));
        let problems = faults.into_iter().map(|fault| Problem::new(text, fault)).collect();
        Refusal { file: file.to_string(), problems }
    }

    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Refusal {
        let fault = Fault::new(format!("cannot be read: {error}"));
        Refusal { file: file.to_string(), problems: vec![Problem::new("", fault)] }
    }
}

impl Problem {
    fn new(text: &str, fault: Fault) -> Problem {
        let place = fault.span.map(|span| Place::new(text, &span, fault.hidden));
        Problem {
            path: fault.path.join("."),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            message: fault.message,
            help: fault.help,
            excerpt: place.map(|place| place.excerpt),
        }
    }
}

struct Place {
    line: usize,
    column: usize,
    excerpt: String,
}

impl Place {
    fn new(text: &str, span: &Range<usize>, hidden: bool) -> Place {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, span.end).clamp(start, line_end);
        let (before, marked) = (&text[line_start..start], &text[start..end]);
        let (marked, after) = if hidden { ("***", "") } else { (marked, text[end..line_end].trim_end()) };
        let line = text[..line_start].matches('\n').count() + 1;
        // A tab stays a tab, so that the caret stands where the terminal puts the text.
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(marked.chars().count().max(1));
        let gutter = " ".repeat(line.to_string().len());
        let excerpt = format!(
            "{gutter} |\n{line} | {before}{marked}{after}\n{gutter} | {indent}{carets}",
            after = after.trim_end_matches('\r')
        );
        Place { line, column: before.chars().count() + 1, excerpt }
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            let mut place = self.file.clone();
            if let (Some(line), Some(column)) = (problem.line, problem.column) {
                write!(place, ":{line}:{column}")?;
            }
            let path = if problem.path.is_empty() { String::new() } else { format!(" ({})", problem.path) };
            writeln!(f, "error: {}\n --> {place}{path}", problem.message)?;
            if let Some(excerpt) = &problem.excerpt {
                writeln!(f, "{excerpt}")?;
            }
            if let Some(help) = &problem.help {
                writeln!(f, " = {help}")?;
            }
            writeln!(f)?;
        }
        let count = self.problems.len();
        write!(f, "{}: {count} error{}", self.file, if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Refusal {}
