//! `evaluate orders`: who of a shop's customers orders nothing within a horizon, told at a split and seen after it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use csv::ByteRecord;

use super::{EvaluateError, column};
use crate::config::{parse_moment, parse_time, show_day};
use crate::edge::csv_file::{self, Form};
use crate::measure::orders::{Cohort, Day, Fit, OrderLog, Rated, Row, Unit, Window, baselines, bg_nbd};

/// What is asked of a file.
#[derive(Debug, Clone)]
pub struct Question {
    /// Columns.
    pub customer: String,
    pub time: String,
    pub amount: Option<String>,
    pub order: Option<String>,
    /// Customers' cells that mean nobody; the empty one always does.
    pub guests: Vec<String>,
    pub window: Window,
    pub unit: Unit,
    /// Where each customer's score goes.
    pub scores: Option<PathBuf>,
}

/// Everything that is known at the end.
#[derive(Debug, Clone)]
pub struct Report {
    pub rows: u64,
    /// Rows of nobody, and rows without a time that can be read.
    pub rows_without_customer: u64,
    pub rows_without_time: u64,
    /// Rows whose amount cannot be read; it counts as 0.
    pub rows_without_amount: u64,
    pub window: Window,
    pub unit: Unit,
    /// Customers measured, and those whose first order came after the split.
    pub customers: usize,
    pub customers_later: usize,
    /// Of the customers measured: days with an order up to the split, and within the window.
    pub orders: u64,
    pub orders_in_window: u64,
    pub fit: Fit,
    pub fit_seconds: f64,
    pub bg_nbd: Rated,
    pub baselines: Vec<(&'static str, Rated)>,
}

/// Fits BG/NBD on the orders of a file up to the split, and measures it on those of the window.
///
/// # Errors
/// When the file cannot be read, or the question does not fit it: a column is not there, nobody has ordered by the
/// split, or the file ends before the window.
pub fn evaluate(file: &Path, form: &Form, question: &Question) -> Result<Report, EvaluateError> {
    let mut scores = question.scores.as_deref().map(|path| create(path, file)).transpose()?;
    let read = read(file, form, question)?;
    let cohort = cohort(read.log, question)?;
    let began = Instant::now();
    let fit = cohort.fit();
    let fit_seconds = began.elapsed().as_secs_f64();
    let (chances, rated) = bg_nbd(&cohort, &fit.parameters);
    if let (Some(out), Some(path)) = (&mut scores, &question.scores) {
        write(out, &cohort, &chances).map_err(|error| EvaluateError::file(path, error))?;
    }
    let sum = |counts: &[u32]| counts.iter().map(|n| u64::from(*n)).sum();
    Ok(Report {
        rows: read.rows,
        rows_without_customer: read.without_customer,
        rows_without_time: read.without_time,
        rows_without_amount: read.without_amount,
        window: question.window,
        unit: question.unit,
        customers: cohort.len(),
        customers_later: cohort.n_later,
        orders: sum(&cohort.n_before),
        orders_in_window: sum(&cohort.n_after),
        fit,
        fit_seconds,
        bg_nbd: rated,
        baselines: baselines(&cohort),
    })
}

#[derive(Default)]
struct Read {
    log: OrderLog,
    rows: u64,
    without_customer: u64,
    without_time: u64,
    without_amount: u64,
}

fn read(file: &Path, form: &Form, question: &Question) -> Result<Read, EvaluateError> {
    let progress = csv_file::progress(&[file.into()]);
    let failed = |error: std::io::Error| EvaluateError::file(file, error);
    let (mut reader, names) = csv_file::open(file, form, &progress).map_err(failed)?;
    let optional = |name: &Option<String>| name.as_ref().map(|name| column(&names, name)).transpose();
    let (customer, time) = (column(&names, &question.customer)?, column(&names, &question.time)?);
    let (amount, order) = (optional(&question.amount)?, optional(&question.order)?);
    let (mut read, mut record, mut strange) = (Read::default(), ByteRecord::new(), None);
    let mut form_of_time: Option<fn(&str) -> Option<Day>> = None;
    while reader.read_byte_record(&mut record).map_err(|error| failed(error.into()))? {
        read.rows += 1;
        let cell = |at: usize| record.get(at).unwrap_or_default().trim_ascii();
        let text = String::from_utf8_lossy(cell(time));
        // Eight digits are a date where the first time is one: among seconds they are a number like others.
        let form = form_of_time.unwrap_or(if compact_day(&text).is_some() { compact_day } else { day });
        let Some(day) = form(&text) else {
            read.without_time += 1;
            strange.get_or_insert_with(|| text.into_owned());
            continue;
        };
        form_of_time = Some(form);
        let customer = cell(customer);
        if customer.is_empty() || question.guests.iter().any(|guest| guest.as_bytes() == customer) {
            read.without_customer += 1;
            read.log.push_nobody(day);
            continue;
        }
        let is_asked = amount.is_some();
        let amount = amount.map_or(f64::NAN, |at| number(cell(at)));
        read.without_amount += u64::from(is_asked && amount.is_nan());
        read.log.push(&Row { customer, order: order.map(cell), day, amount });
    }
    progress.finish_and_clear();
    match strange {
        Some(text) if read.log.last_day().is_none() => Err(EvaluateError::Question(format!(
            "no row has a time that can be read; the first is {text:?}\n\
             a time is in seconds or milliseconds since 1970, or begins with a date such as 2010-12-09 or 20101209"
        ))),
        _ => Ok(read),
    }
}

fn cohort(log: OrderLog, question: &Question) -> Result<Cohort, EvaluateError> {
    let (window, last_day) = (question.window, log.last_day());
    let cohort = Cohort::new(log.customers(), window, question.unit);
    match last_day {
        Some(last_day) if last_day < window.end() => Err(EvaluateError::Question(format!(
            "the file ends on {}, and a window of {} days after {} on {}: not all of it was observed\n\
             the last split for this horizon is {}",
            show_day(last_day),
            window.horizon_days,
            show_day(window.split),
            show_day(window.end()),
            show_day(last_day.saturating_sub_unsigned(window.horizon_days)),
        ))),
        _ if cohort.is_empty() => Err(EvaluateError::Question(format!(
            "no customer has ordered by {}; {} ordered later",
            show_day(window.split),
            cohort.n_later
        ))),
        _ => Ok(cohort),
    }
}

/// The day of a time: a number of seconds or, from 1e11 on, of milliseconds since 1970; or a date, with or without
/// what follows it after a blank or a T.
fn day(text: &str) -> Option<Day> {
    const DAY_SECONDS: f64 = 86_400.0;
    // What stands after a date and is no time of day, such as a name of a zone, leaves the date as it is.
    let date = || text.split(['T', 't', ' ']).next().and_then(parse_moment);
    if let Some(time_ms) = parse_time(text).or_else(date) {
        return Day::try_from(time_ms.div_euclid(86_400_000)).ok();
    }
    let number = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let seconds = if number.abs() < 1e11 { number } else { number / 1e3 };
    let day = (seconds / DAY_SECONDS).floor();
    (day.abs() < 1e7).then_some(day as Day)
}

/// The day of eight digits such as 20101209, of this century or the last.
fn compact_day(text: &str) -> Option<Day> {
    let is_compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_near = text.starts_with("19") || text.starts_with("20");
    (is_compact && is_near).then(|| day(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..])))?
}

/// The day of a date in any form.
pub fn date(text: &str) -> Option<Day> {
    compact_day(text).or_else(|| day(text))
}

fn number(cell: &[u8]) -> f64 {
    let number = std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok());
    number.filter(|number: &f64| number.is_finite()).unwrap_or(f64::NAN)
}

/// Before anything is measured, so that a wrong path costs nothing.
fn create(path: &Path, orders: &Path) -> Result<csv::Writer<File>, EvaluateError> {
    if csv_file::is_same_file(path, orders) {
        return Err(EvaluateError::Question(format!("--scores would overwrite {}", orders.display())));
    }
    csv::Writer::from_path(path).map_err(|error| EvaluateError::file(path, error))
}

fn write(out: &mut csv::Writer<File>, cohort: &Cohort, chances: &[f64]) -> csv::Result<()> {
    for (at, chance) in chances.iter().enumerate() {
        let label: &[u8] = if cohort.churned(at) { b"1" } else { b"0" };
        out.write_record([&cohort.customers[at], chance.to_string().as_bytes(), label])?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_of_its_day() {
        for (text, expected) in [
            ("1259653500", 14_579),
            ("1259653500000", 14_579),
            ("1259653500.5", 14_579),
            ("2009-12-01", 14_579),
            ("2009-12-01 07:45", 14_579),
            ("2009-12-01T23:59:59.999+02:00", 14_579),
            ("0", 0),
            ("-1", -1),
        ] {
            assert_eq!(day(text), Some(expected), "{text}");
        }
        for text in ["", "soon", "1/12/2009 07:45", "20091301x", "NaN", "inf", "1e300"] {
            assert_eq!(day(text), None, "{text}");
        }
        assert_eq!(
            (day("20091201"), compact_day("20091201"), date("20091201")),
            (Some(232), Some(14_579), Some(14_579))
        );
        assert_eq!((compact_day("20091301"), compact_day("2009-1-1"), date("-1")), (None, None, Some(-1)));
    }
}
