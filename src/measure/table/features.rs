//! Cells of a file to rows of features: which columns are numbers, and a column for each common category.

use xxhash_rust::xxh3::xxh3_64;

use super::{is_missing, number};
use crate::math::hash::IdMap;

/// A column is numeric when at least this share of its non-empty cells are numbers.
const NUMERIC_SHARE: f64 = 0.99;
/// A category has a column of its own when at least this many rows have it; the rest share one.
const CATEGORY_ROWS_MIN: u32 = 10;
/// Own columns of one column's categories at most, and features that categories bring in all.
const CATEGORIES_MAX: usize = 64;
const CATEGORY_FEATURES_MAX: usize = 2_048;

/// Rows of features, in the order of the file.
///
/// A numeric column is one feature; a missing value is NaN. The categories of another column are ordered by how
/// many rows have them. The most common one is the absence of all others; each other one that 10 rows have is a
/// feature, 0 or 1, at most 64 for a column and about 2 048 in all; what is rarer shares one feature. So an identifier,
/// whose values are all rare, is no feature at all. An empty cell is a category. No label takes part in it.
#[derive(Debug)]
pub struct Table {
    /// Row by row, one for each column: a number, or the place of the category's feature, 0 for none.
    values: Vec<f64>,
    columns: Vec<Column>,
    has_categories: bool,
    n_features: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Number,
    /// With this many features.
    Category(usize),
}

impl Table {
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Writes the features of a row over `x`.
    pub fn row(&self, row: usize, x: &mut Vec<f64>) {
        x.clear();
        let values = &self.values[row * self.columns.len()..][..self.columns.len()];
        if !self.has_categories {
            return x.extend_from_slice(values);
        }
        for (value, column) in values.iter().zip(&self.columns) {
            match column {
                Column::Number => x.push(*value),
                Column::Category(n) => {
                    let first = x.len();
                    x.resize(first + n, 0.0);
                    if *value > 0.0 {
                        x[first + *value as usize - 1] = 1.0;
                    }
                }
            }
        }
    }
}

/// Collects cells, row by row, until all are known.
#[derive(Debug)]
pub struct Cells {
    n_columns: usize,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Missing,
    Number(f64),
    /// The hash of something else.
    Text(u64),
}

impl Cells {
    pub fn new(n_columns: usize) -> Cells {
        Cells { n_columns, cells: Vec::new() }
    }

    /// Takes in a row, a cell for each column; what it has too few is missing, what it has too much is ignored.
    pub fn push<'a>(&mut self, row: impl Iterator<Item = &'a [u8]>) {
        let end = self.cells.len() + self.n_columns;
        self.cells.extend(row.take(self.n_columns).map(cell));
        self.cells.resize(end, Cell::Missing);
    }

    /// The features of all rows.
    pub fn table(self) -> Table {
        let categories: Vec<Option<Categories>> = (0..self.n_columns).map(|at| self.categories(at)).collect();
        let features = |own_max: usize| -> usize {
            categories.iter().flatten().map(|categories| categories.n_features(own_max)).sum()
        };
        let mut own_max = CATEGORIES_MAX;
        while own_max > 1 && features(own_max) > CATEGORY_FEATURES_MAX {
            own_max /= 2;
        }
        let columns: Vec<Column> = categories
            .iter()
            .map(|categories| match categories {
                Some(categories) => Column::Category(categories.n_features(own_max)),
                None => Column::Number,
            })
            .collect();
        let place = |at: usize, cell: &Cell| match (&categories[at % self.n_columns], cell) {
            (Some(categories), cell) => categories.place(*cell, own_max) as f64,
            (None, Cell::Number(x)) => *x,
            (None, _) => f64::NAN,
        };
        Table {
            n_features: features(own_max)
                + columns.iter().filter(|column| **column == Column::Number).count(),
            values: self.cells.iter().enumerate().map(|(at, cell)| place(at, cell)).collect(),
            has_categories: columns.iter().any(|column| *column != Column::Number),
            columns,
        }
    }

    fn column(&self, at: usize) -> impl Iterator<Item = Cell> {
        self.cells.iter().skip(at).step_by(self.n_columns).copied()
    }

    /// None of a numeric column.
    fn categories(&self, at: usize) -> Option<Categories> {
        let (mut n_numbers, mut n_texts) = (0_u64, 0_u64);
        for cell in self.column(at) {
            n_numbers += u64::from(matches!(cell, Cell::Number(_)));
            n_texts += u64::from(matches!(cell, Cell::Text(_)));
        }
        let is_numeric = n_numbers as f64 >= NUMERIC_SHARE * (n_numbers + n_texts) as f64 && n_numbers > 0;
        (!is_numeric).then(|| Categories::count(self.column(at)))
    }
}

/// The categories of a column.
struct Categories {
    /// Places in order of the number of rows, by identity; rare ones are not in it.
    places: IdMap<u64, usize>,
    n_common: usize,
    has_rare: bool,
}

impl Categories {
    fn count(cells: impl Iterator<Item = Cell>) -> Categories {
        let mut seen: IdMap<u64, usize> = IdMap::new();
        let mut counts: Vec<(u64, u32)> = Vec::new();
        for cell in cells {
            let identity = identity(cell);
            let at = *seen.get_or_insert_with(identity, || counts.len());
            if at == counts.len() {
                counts.push((identity, 0));
            }
            counts[at].1 += 1;
        }
        // Stable: of equally many rows the one that came first is first.
        counts.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        let n_common = counts.partition_point(|(_, rows)| *rows >= CATEGORY_ROWS_MIN);
        let mut places = IdMap::new();
        for (place, (identity, _)) in counts[..n_common].iter().enumerate() {
            places.insert(*identity, place);
        }
        Categories { places, n_common, has_rare: counts.len() > n_common }
    }

    /// One for each group but the first.
    fn n_features(&self, own_max: usize) -> usize {
        let has_rest = self.has_rare || self.n_common > own_max;
        (self.n_common.min(own_max) + usize::from(has_rest)).saturating_sub(1)
    }

    fn place(&self, cell: Cell, own_max: usize) -> usize {
        let own = self.places.get(&identity(cell)).filter(|place| **place < own_max);
        own.copied().unwrap_or(self.n_features(own_max))
    }
}

fn identity(cell: Cell) -> u64 {
    match cell {
        Cell::Missing => 0,
        Cell::Number(x) => xxh3_64(&x.to_bits().to_le_bytes()),
        Cell::Text(hash) => hash,
    }
}

fn cell(bytes: &[u8]) -> Cell {
    let bytes = bytes.trim_ascii();
    match number(bytes) {
        Some(x) if x.is_finite() => Cell::Number(x),
        // Infinite, or not a number.
        Some(_) => Cell::Missing,
        None if is_missing(bytes) => Cell::Missing,
        None => Cell::Text(xxh3_64(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[Vec<&str>]) -> Table {
        let mut cells = Cells::new(columns.len());
        for row in 0..columns[0].len() {
            cells.push(columns.iter().map(|column| column[row].as_bytes()));
        }
        cells.table()
    }

    fn row(table: &Table, at: usize) -> Vec<f64> {
        let mut x = vec![9.0];
        table.row(at, &mut x);
        assert_eq!(x.len(), table.n_features());
        x
    }

    #[test]
    fn a_column_is_numeric_from_99_percent_on() {
        let with = |n_words: usize| {
            let mut column = vec!["word"; n_words];
            column.resize(100, " 1.5 ");
            column.extend(["", "NA", "-inf", "?"]);
            table(&[column])
        };
        let numeric = with(1);
        assert_eq!(numeric.n_features(), 1);
        assert_eq!(row(&numeric, 1), [1.5]);
        assert!(row(&numeric, 0)[0].is_nan() && row(&numeric, 100)[0].is_nan());
        // Two words, four empty cells and 98 numbers: only the number is common, and the rest shares a feature.
        let words = with(2);
        assert_eq!((row(&words, 0), row(&words, 2), row(&words, 103)), (vec![1.0], vec![0.0], vec![1.0]));
    }

    #[test]
    fn common_categories_have_a_feature_and_rare_ones_share_one() {
        let mut column = vec!["a"; 30];
        column.extend(["b"; 20]);
        column.extend([""; 10]);
        column.extend(["c", "d", "e"]);
        let table = table(&[column, vec!["7"; 63]]);
        assert_eq!(table.n_features(), 4);
        assert_eq!(row(&table, 0), [0.0, 0.0, 0.0, 7.0]);
        assert_eq!(row(&table, 30), [1.0, 0.0, 0.0, 7.0]);
        assert_eq!(row(&table, 50), [0.0, 1.0, 0.0, 7.0]);
        assert_eq!(row(&table, 60), [0.0, 0.0, 1.0, 7.0]);
        assert_eq!(row(&table, 61), row(&table, 60));
    }

    #[test]
    fn identifiers_and_constants_are_no_features_and_categories_have_a_cap() {
        let names: Vec<String> = (0..3_000).map(|i| format!("name {i}")).collect();
        let hundred: Vec<String> = (0..3_000).map(|i| format!("name {}", i % 100)).collect();
        let column = |cells: &'static [String]| cells.iter().map(String::as_str).collect::<Vec<_>>();
        let (names, hundred) = (column(names.leak()), column(hundred.leak()));
        let few = table(&[names, hundred.clone(), vec!["same"; 3_000], vec![""; 3_000]]);
        assert_eq!((few.n_features(), row(&few, 0)), (64, vec![0.0; 64]));
        assert_eq!((row(&few, 63)[62], row(&few, 64)[63], row(&few, 99)[63]), (1.0, 1.0, 1.0));
        // Forty such columns would bring 2 560 features.
        assert_eq!(table(&vec![hundred; 40]).n_features(), 40 * 32);
    }

    #[test]
    fn rows_of_other_lengths_are_taken() {
        let mut cells = Cells::new(2);
        cells.push([&b"1"[..]].into_iter());
        cells.push([&b"2"[..], b"3", b"4"].into_iter());
        let table = cells.table();
        assert_eq!(row(&table, 1), [2.0, 3.0]);
        assert!(row(&table, 0)[1].is_nan());
    }
}
