//! The methods of `evaluate sessions` by their definitions: everything is counted anew in plain maps, without caps.

use std::collections::{BTreeMap, BTreeSet};

const MINUTES_A_DAY: f64 = 1440.0;

/// Both files, with items numbered as they come.
pub struct Slow {
    train: Vec<Vec<u32>>,
    test: Vec<Vec<u32>>,
}

/// What sessions have taught; the i-th came in minute i. Weights are as seen in minute 0.
#[derive(Default)]
struct Counts {
    pairs: BTreeMap<u32, BTreeMap<u32, f64>>,
    /// Steps, and those back to the item that was 1st, 2nd, ... last.
    steps: f64,
    back: [f64; 10],
    popular: BTreeMap<u32, f64>,
    minutes: f64,
}

impl Slow {
    pub fn read(train: &str, test: &str) -> Slow {
        let mut numbers = BTreeMap::new();
        let mut read = |file: &str| -> Vec<Vec<u32>> {
            let text = std::fs::read_to_string(file).unwrap();
            let mut number = |item: &str| {
                let next = numbers.len() as u32;
                *numbers.entry(item.to_owned()).or_insert(next)
            };
            text.lines().map(|line| line.split(' ').map(&mut number).collect()).collect()
        };
        Slow { train: read(train), test: read(test) }
    }

    /// Steps, hits, mean reciprocal rank.
    pub fn quality(&self, method: &str, shop: bool, online: bool) -> (u64, u64, f64) {
        let mut counts = Counts::default();
        self.train.iter().for_each(|session| counts.learn(session));
        let (mut n, mut hits, mut sum) = (0, 0, 0.0);
        for session in &self.test {
            for at in 1..session.len() {
                let (before, next) = (&session[..at], session[at]);
                if shop && before.contains(&next) {
                    continue;
                }
                n += 1;
                let mut list = counts.list(method, before);
                list.retain(|item| !shop || !before.contains(item));
                list.truncate(20);
                if let Some(place) = list.iter().position(|item| *item == next) {
                    hits += 1;
                    sum += 1.0 / (place + 1) as f64;
                }
            }
            if online {
                counts.learn(session);
            }
        }
        (n, hits, sum / n as f64)
    }
}

/// The last 10 different items, nearest first.
fn nearest(before: &[u32]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    before.iter().rev().copied().filter(|item| seen.insert(*item)).take(10).collect()
}

fn ordered(scores: BTreeMap<u32, f64>) -> Vec<(u32, f64)> {
    let mut list: Vec<(u32, f64)> = scores.into_iter().filter(|(_, score)| *score > 0.0).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list
}

impl Counts {
    fn learn(&mut self, session: &[u32]) {
        let slow = (self.minutes / (60.0 * MINUTES_A_DAY)).exp2();
        let fast = (self.minutes / (7.0 * MINUTES_A_DAY)).exp2();
        for (at, item) in session.iter().enumerate() {
            *self.popular.entry(*item).or_default() += fast;
            let context = nearest(&session[..at]);
            if at > 0 {
                self.steps += slow;
            }
            for (place, left) in context.iter().enumerate() {
                if left == item {
                    self.back[place] += slow;
                }
                // The nearest five make pairs.
                if place >= 5 {
                    continue;
                }
                let weight = slow / (place + 1) as f64;
                *self.pairs.entry(*left).or_default().entry(*item).or_default() += weight;
                if left != item {
                    *self.pairs.entry(*item).or_default().entry(*left).or_default() += 0.3 * weight;
                }
            }
        }
        self.minutes += 1.0;
    }

    fn list(&self, method: &str, before: &[u32]) -> Vec<u32> {
        let popular = || ordered(self.popular.clone()).into_iter().map(|(item, _)| item);
        let rows = |last: usize| ordered(self.scores(before, last)).into_iter().map(|(item, _)| item);
        match method {
            "popularity" => popular().collect(),
            "last_item" => rows(1).collect(),
            "item_to_item" => rows(10).collect(),
            "default" => {
                let list: Vec<u32> = rows(10).collect();
                let more = popular().filter(|item| !list.contains(item)).collect::<Vec<_>>();
                [list, more].concat()
            }
            other => panic!("{other}"),
        }
    }

    /// Rows of the nearest `last` items, in the form that is published: the 50 heaviest of each.
    fn scores(&self, before: &[u32], last: usize) -> BTreeMap<u32, f64> {
        // As seen when the last session was learned.
        let seen = (-(self.minutes - 1.0) / (60.0 * MINUTES_A_DAY)).exp2();
        let nearest: Vec<u32> = nearest(before).into_iter().take(last).collect();
        let evidence =
            |left: &u32| self.pairs.get(left).map_or(0.0, |row| row.values().sum::<f64>()) * seen + 10.0;
        let weighed = |(place, left): (usize, &u32)| -> Vec<(u32, f64)> {
            let row = ordered(self.pairs.get(left).cloned().unwrap_or_default());
            let weight = |weight: f64| weight * seen / evidence(left) / (place + 1) as f64;
            row.into_iter().take(50).map(|(right, count)| (right, weight(count))).collect()
        };
        let rows: Vec<Vec<(u32, f64)>> = nearest.iter().enumerate().map(weighed).collect();
        // What has less than a fifth of what the last of a list of 20 has by one row alone does not count.
        let last_of_list = rows.iter().filter_map(|row| Some(row.get(19)?.1)).fold(0.0, f64::max);
        let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
        for (place, (left, row)) in nearest.iter().zip(rows).enumerate() {
            for (right, weight) in row.into_iter().filter(|(_, weight)| *weight >= last_of_list / 5.0) {
                *scores.entry(right).or_default() += weight;
            }
            if last > 1 {
                let again = self.back[place] * seen / (self.steps * seen + 1.0);
                *scores.entry(*left).or_default() += 3.0 * again * 10.0 / evidence(left);
            }
        }
        scores
    }
}
