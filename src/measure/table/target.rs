//! The column that is to be predicted, and what its values mean.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use super::{is_missing, number};
use crate::math::hash::IdMap;

/// Words that say yes.
const YES: [&str; 8] = ["true", "t", "yes", "y", "positive", "fraud", "anomaly", "churn"];
/// Values named in an error at most.
const NAMED_MAX: usize = 5;

/// The target's cells, row by row.
#[derive(Debug, Default)]
pub struct Target {
    /// Place among `values`; None without a label.
    rows: Vec<Option<u32>>,
    /// Distinct values as they stand, by first appearance.
    values: Vec<String>,
    places: IdMap<u64, u32>,
}

/// Why a target cannot be used as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("no row has a value")]
    Empty,
    #[error("the only value is {value:?}; two classes are needed")]
    OneValue { value: String },
    #[error("{count} values ({}): say with --positive which one is the positive class", named(values))]
    TooMany { count: usize, values: Vec<String> },
    #[error("no row has the value {positive:?}; the values are {}", named(values))]
    NoPositive { positive: String, values: Vec<String> },
    #[error("{value:?} is no number, which --task regression needs")]
    NoNumber { value: String },
}

impl Target {
    /// Takes in the cell of the next row; too short a row has none.
    pub fn push(&mut self, cell: Option<&[u8]>) {
        let cell = cell.unwrap_or_default().trim_ascii();
        if is_missing(cell) {
            return self.rows.push(None);
        }
        let next = self.values.len() as u32;
        let place = *self.places.get_or_insert_with(xxh3_64(cell), || next);
        if place == next {
            self.values.push(String::from_utf8_lossy(cell).into_owned());
        }
        self.rows.push(Some(place));
    }

    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Rows with a label, in the order of the file.
    pub fn labelled(&self) -> Vec<u32> {
        let labelled = self.rows.iter().enumerate().filter(|(_, place)| place.is_some());
        labelled.map(|(row, _)| row as u32).collect()
    }

    /// 1 for the positive class and 0 for every other value, NaN without a label; and the positive class. Where it
    /// is not told, it is the greater of two values, unless one of them is a word for yes.
    ///
    /// # Errors
    /// When there are not two classes, or it is not clear which one is meant.
    pub fn classes(&self, positive: Option<&str>) -> Result<(Vec<f64>, String), TargetError> {
        let positive = match positive {
            Some(positive) => positive.trim(),
            None => self.likely_positive()?,
        };
        let is_positive: Vec<bool> =
            self.values.iter().map(|value| order(value, positive) == Ordering::Equal).collect();
        if !is_positive.contains(&true) {
            return Err(TargetError::NoPositive {
                positive: positive.to_owned(),
                values: self.first_values(),
            });
        }
        let label = |place: &Option<u32>| place.map_or(f64::NAN, |at| f64::from(is_positive[at as usize]));
        Ok((self.rows.iter().map(label).collect(), positive.to_owned()))
    }

    fn likely_positive(&self) -> Result<&str, TargetError> {
        let says_yes = |value: &&String| YES.iter().any(|yes| value.eq_ignore_ascii_case(yes));
        match self.values.as_slice() {
            [] => Err(TargetError::Empty),
            [value] => Err(TargetError::OneValue { value: value.clone() }),
            [a, b] => {
                let greater = if order(a, b) == Ordering::Greater { a } else { b };
                Ok([a, b].into_iter().find(says_yes).unwrap_or(greater))
            }
            values => Err(TargetError::TooMany { count: values.len(), values: self.first_values() }),
        }
    }

    fn first_values(&self) -> Vec<String> {
        self.values.iter().take(NAMED_MAX).cloned().collect()
    }

    /// The values as numbers, NaN without a label.
    ///
    /// # Errors
    /// When one is no number.
    pub fn numbers(&self) -> Result<Vec<f64>, TargetError> {
        if self.values.is_empty() {
            return Err(TargetError::Empty);
        }
        let value = |value: &String| {
            number(value.as_bytes())
                .filter(|y| y.is_finite())
                .ok_or_else(|| TargetError::NoNumber { value: value.clone() })
        };
        let numbers: Vec<f64> = self.values.iter().map(value).collect::<Result<_, _>>()?;
        Ok(self.rows.iter().map(|place| place.map_or(f64::NAN, |at| numbers[at as usize])).collect())
    }
}

/// As numbers where both are, else as texts.
fn order(a: &str, b: &str) -> Ordering {
    let numbers = number(a.as_bytes()).zip(number(b.as_bytes()));
    numbers.and_then(|(a, b)| a.partial_cmp(&b)).unwrap_or_else(|| a.cmp(b))
}

fn named(values: &[String]) -> String {
    let shown: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("{}{}", shown.join(", "), if values.len() < NAMED_MAX { "" } else { ", ..." })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(cells: &[&str]) -> Target {
        let mut target = Target::default();
        cells.iter().for_each(|cell| target.push(Some(cell.as_bytes())));
        target
    }

    #[test]
    fn the_positive_class_is_the_greater_or_says_yes() {
        for (cells, expected) in [
            (["0", "1"], "1"),
            (["1.0", "0.0"], "1.0"),
            (["2", "10"], "10"),
            (["-1", "1"], "1"),
            (["No", "Yes"], "Yes"),
            (["True", "False"], "True"),
            (["fraud", "legit"], "fraud"),
            (["red", "blue"], "red"),
        ] {
            assert_eq!(target(&cells).classes(None).unwrap().1, expected, "{cells:?}");
        }
    }

    #[test]
    fn every_other_value_is_negative_and_none_is_no_label() {
        let target = target(&[" 1", "", "0.0", "NA", "1.0", "2"]);
        let (labels, positive) = target.classes(Some("1")).unwrap();
        assert_eq!((positive.as_str(), &labels[2..3], &labels[4..]), ("1", &[0.0][..], &[1.0, 0.0][..]));
        assert!(labels[0] == 1.0 && labels[1].is_nan() && labels[3].is_nan());
        assert_eq!(target.labelled(), [0, 2, 4, 5]);
        assert_eq!(target.numbers().unwrap()[4..], [1.0, 2.0]);
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let says = |cells: &[&str], positive| target(cells).classes(positive).unwrap_err().to_string();
        assert_eq!(says(&["", "NA"], None), "no row has a value");
        assert_eq!(says(&["0", "0"], None), "the only value is \"0\"; two classes are needed");
        assert!(says(&["a", "b", "c"], None).starts_with("3 values (\"a\", \"b\", \"c\"): say with"));
        assert_eq!(says(&["a", "b"], Some("c")), "no row has the value \"c\"; the values are \"a\", \"b\"");
        let error = target(&["1", "b"]).numbers().unwrap_err();
        assert_eq!(error.to_string(), "\"b\" is no number, which --task regression needs");
    }
}
