//! From rows and the customer's own record to a list.

use super::{ITEMS, POPULAR, POPULAR_KEY, SOURCES, item_key};
use crate::analysis::shared::Tables;
use crate::customer::repurchase::{Bought, Repurchases};
use crate::event::TimeMs;
use crate::learn::item_to_item::{Candidates, Context, Item, Neighbours};
use crate::signal::RecommendedItem;

const DAY_MS: TimeMs = 86_400_000;

/// An item of a list, with what is remembered of it.
pub(super) struct Proposed {
    pub item: Item,
    /// Place in [`SOURCES`] of what spoke for it most.
    pub source: usize,
    pub shown: RecommendedItem,
}

/// Everything a list is made of.
pub(super) struct Evidence<'a> {
    pub tables: &'a Tables,
    pub context: &'a Context,
    pub bought: Option<&'a Repurchases>,
    /// Items that are not shown: what is on the screen.
    pub at_hand: &'a [Item],
    pub now_ms: TimeMs,
}

/// An item's score, and what each of the [`SOURCES`] adds to it.
type Scored = (Item, f64, [f64; SOURCES.len()]);

impl Evidence<'_> {
    /// The `n` best items that have a name. An item of the context is shown only to be bought again.
    ///
    /// Each source gives shares that sum to 1 at most: neighbours by distance, where popularity takes the share that
    /// a row's prior leaves open; and the customer's own purchases by their expected number.
    pub fn list(&self, n: usize) -> Vec<Proposed> {
        let rows: Vec<Neighbours> = self.context.items().iter().map(|item| self.neighbours(*item)).collect();
        let again = self.again();
        let mut list = Vec::with_capacity(n);
        for (item, score, of_sources) in self.scores(&rows, &again) {
            if list.len() == n {
                break;
            }
            let Some(name) = self.name(item) else { continue };
            let best = (0..SOURCES.len()).max_by(|a, b| of_sources[*a].total_cmp(&of_sources[*b]));
            let source = best.unwrap_or(0);
            let reason = self.reason(item, source, &rows, &again);
            let shown =
                RecommendedItem { item: name.to_owned(), score, source: SOURCES[source].into(), reason };
            list.push(Proposed { item, source, shown });
        }
        list
    }

    /// Best first, equal ones by hash.
    fn scores(&self, rows: &[Neighbours], again: &[(Bought, f64)]) -> Vec<Scored> {
        let own = if again.is_empty() { 0.0 } else { self.bought.map_or(0.0, Repurchases::share) };
        let others = 1.0 - own;
        let mut all: Vec<(Item, usize, f64)> = Vec::new();
        all.extend(self.session(rows).into_iter().map(|(item, share)| (item, 0, others * share)));
        all.extend(again.iter().map(|(bought, share)| (bought.item, 1, own * share)));
        all.extend(self.popular(rows).into_iter().map(|(item, share)| (item, 2, others * share)));
        all.retain(|(item, ..)| !self.at_hand.contains(item));
        // Stable, so that the sum of an item is the same everywhere.
        all.sort_by_key(|(item, ..)| *item);
        let sums = all.chunk_by(|a, b| a.0 == b.0).map(|same| {
            let mut of_sources = [0.0; SOURCES.len()];
            same.iter().for_each(|(_, source, share)| of_sources[*source] += share);
            (same[0].0, of_sources.iter().sum(), of_sources)
        });
        let mut scores: Vec<Scored> = sums.collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scores
    }

    fn session(&self, rows: &[Neighbours]) -> Vec<(Item, f64)> {
        let mut candidates = Candidates::default();
        let place = |item: Item| self.context.items().iter().position(|known| *known == item);
        let row = |item: Item| place(item).and_then(|place| rows.get(place));
        candidates.add_context(self.context, Context::LENGTH, row, None);
        let all = distances(rows.len());
        let fresh = candidates.ranked().filter(|scored| !self.context.items().contains(&scored.item));
        fresh.map(|scored| (scored.item, scored.score / all)).collect()
    }

    /// What rows leave open is anybody's guess.
    fn popular(&self, rows: &[Neighbours]) -> Vec<(Item, f64)> {
        let weights = (0..rows.len()).map(|place| f64::from(Context::weight(place)));
        let open: f64 = weights.zip(rows).map(|(weight, row)| weight * f64::from(row.prior)).sum();
        let open = if rows.is_empty() { 1.0 } else { open / distances(rows.len()) };
        let row = self.tables.row(POPULAR, POPULAR_KEY);
        let pairs = row.map_or(&[][..], |row| &row.numbers).chunks_exact(2);
        let shares = pairs.map(|pair| (pair[0] as Item, open * pair[1]));
        shares.filter(|(item, _)| !self.context.items().contains(item)).collect()
    }

    fn again(&self) -> Vec<(Bought, f64)> {
        let ranked = self.bought.map(|bought| bought.ranked(self.now_ms)).unwrap_or_default();
        let all: f64 = ranked.iter().map(|(_, score)| score).sum();
        ranked.into_iter().map(|(bought, score)| (bought, score / all)).collect()
    }

    /// An item without a row leaves everything open.
    fn neighbours(&self, item: Item) -> Neighbours {
        let Some(row) = self.tables.row(ITEMS, &item_key(item)) else {
            return Neighbours { shares: Vec::new(), prior: 1.0 };
        };
        let (prior, shares) = row.numbers.split_first().unwrap_or((&1.0, &[]));
        let shares = shares.chunks_exact(2).map(|pair| (pair[0] as Item, pair[1] as f32)).collect();
        Neighbours { shares, prior: *prior as f32 }
    }

    fn name(&self, item: Item) -> Option<&str> {
        self.tables.row(ITEMS, &item_key(item)).map(|row| &*row.text)
    }

    fn reason(&self, item: Item, source: usize, rows: &[Neighbours], again: &[(Bought, f64)]) -> String {
        match SOURCES[source] {
            "session" => {
                let share = |place: &usize| {
                    let of_item = rows[*place].shares.iter().find(|(right, _)| *right == item);
                    f64::from(Context::weight(*place)) * of_item.map_or(0.0, |(_, share)| f64::from(*share))
                };
                let cause = (0..rows.len()).max_by(|a, b| share(a).total_cmp(&share(b)).then(b.cmp(a)));
                let name = cause.and_then(|place| self.name(self.context.items()[place]));
                name.map_or("often taken next".into(), |name| format!("often taken after {name}"))
            }
            "repurchase" => {
                let bought = again.iter().find(|(bought, _)| bought.item == item);
                bought.map_or("bought before".into(), |(bought, _)| bought_before(*bought, self.now_ms))
            }
            _ => "popular in the shop".into(),
        }
    }
}

fn bought_before(bought: Bought, now_ms: TimeMs) -> String {
    let ago_days = (now_ms.div_euclid(DAY_MS) - i64::from(bought.last_day)).max(0);
    match bought.interval_days() {
        Some(days) => {
            format!("bought {} times, about every {days:.0} days, last {ago_days} days ago", bought.count)
        }
        None => format!("bought {ago_days} days ago"),
    }
}

/// Sum of the weights of so many places of a context.
fn distances(places: usize) -> f64 {
    (0..places).map(|place| f64::from(Context::weight(place))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::item_hash;
    use crate::signal::model::Row;

    fn row(table: &str, key: String, numbers: Vec<f64>, text: &str) -> Row {
        Row { table: table.into(), key, version: 1, time_ms: 0, numbers, text: text.into() }
    }

    /// Items a, b, c, d with names; c and d follow a; d and c are popular.
    fn tables() -> Tables {
        let mut tables = Tables::new(100);
        let hash = |name| f64::from(item_hash(name));
        for name in ["a", "b", "c", "d"] {
            let numbers = match name {
                "a" => vec![0.2, hash("c"), 0.5, hash("d"), 0.3],
                _ => vec![1.0],
            };
            assert!(tables.put(row(ITEMS, item_key(item_hash(name)), numbers, name)));
        }
        let popular = vec![hash("d"), 0.6, hash("c"), 0.2, hash("unnamed"), 0.2];
        assert!(tables.put(row(POPULAR, POPULAR_KEY.into(), popular, "")));
        tables
    }

    fn context(items: &[&str]) -> Context {
        let mut context = Context::default();
        items.iter().for_each(|item| context.push(item_hash(item)));
        context
    }

    #[test]
    fn sources_add_up_to_shares_and_each_item_says_why() {
        let tables = tables();
        let context = context(&["a"]);
        let mut bought = Repurchases::default();
        let day = |days: i64| days * DAY_MS;
        [0, 30, 60].iter().for_each(|days| bought.purchase(item_hash("b"), day(*days)));
        let evidence = Evidence {
            tables: &tables,
            context: &context,
            bought: Some(&bought),
            at_hand: &[item_hash("a")],
            now_ms: day(85),
        };
        let list = evidence.list(10);
        let names: Vec<&str> = list.iter().map(|item| &*item.shown.item).collect();
        assert_eq!(names, ["b", "c", "d"], "the item at hand and what has no name are left out");
        // 2 of 3 purchases and 3 of 10 are repeats: 5/13 to b, 8/13 of (0.5 + 0.2 * 0.2) and of (0.3 + 0.2 * 0.6).
        for (item, expected) in list.iter().zip([5.0 / 13.0, 8.0 / 13.0 * 0.54, 8.0 / 13.0 * 0.42]) {
            assert!((item.shown.score - expected).abs() < 1e-6, "{:?}", item.shown);
        }
        assert_eq!(list[1].shown.reason, "often taken after a");
        assert_eq!(list[0].shown.reason, "bought 3 times, about every 30 days, last 25 days ago");
        assert_eq!(list.iter().map(|item| item.source).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(evidence.list(1).len(), 1);
    }

    #[test]
    fn who_is_new_gets_what_is_popular() {
        let tables = tables();
        let context = Context::default();
        let evidence = Evidence { tables: &tables, context: &context, bought: None, at_hand: &[], now_ms: 0 };
        let list = evidence.list(10);
        assert_eq!(list.iter().map(|item| &*item.shown.item).collect::<Vec<_>>(), ["d", "c"]);
        assert!(list.iter().all(|item| item.source == 2 && item.shown.reason == "popular in the shop"));
    }
}
