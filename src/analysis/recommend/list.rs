//! From rows and the customer's own record to a list.

use std::fmt::Write as _;

use super::{ITEMS, POPULAR, POPULAR_KEY, SOURCES, item_key};
use crate::analysis::shared::Tables;
use crate::customer::repurchase::{Bought, Repurchases};
use crate::event::TimeMs;
use crate::learn::item_to_item::{Candidates, Context, Item, Scored};
use crate::signal::Items;
use crate::signal::model::Row;

const DAY_MS: TimeMs = 86_400_000;

/// Nearly all items have a name: so many more than are shown will do mostly.
const SPARE: usize = 2;

/// A list, and what is remembered of it.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub shown: Items,
    /// Each item and, as a place in [`SOURCES`], what spoke for it most.
    pub items: Vec<(Item, usize)>,
}

/// Everything a list is made of.
pub(super) struct Evidence<'a> {
    pub tables: &'a Tables,
    pub context: &'a Context,
    pub bought: Option<&'a Repurchases>,
    /// Items that are not shown, for they are on the screen; where they were bought just now, only to be bought again.
    pub at_hand: &'a [Item],
    pub is_bought: bool,
    pub now_ms: TimeMs,
}

/// Room for the making of lists. Keep it.
#[derive(Debug, Default)]
pub(super) struct Room {
    candidates: Candidates<{ SOURCES.len() }>,
    again: Vec<(Bought, f64)>,
}

/// Places in [`SOURCES`].
const SESSION: usize = 0;
const REPURCHASE: usize = 1;
const POPULARITY: usize = 2;
const SEEN: usize = 3;

impl<'a> Evidence<'a> {
    /// The `n` best items that have a name.
    ///
    /// Each source gives shares of the next item: neighbours by distance, where what is popular takes the share that
    /// a row's prior leaves open, and what was seen as often as such is taken again, as far as its row knows no better;
    /// and the customer's own purchases by their expected number.
    pub fn list(&self, n: usize, room: &mut Room) -> Made {
        // Rows lie far apart. Asked for in a row they are fetched side by side.
        let mut context = [None; Context::LENGTH];
        context.iter_mut().zip(self.context.items()).for_each(|(row, item)| *row = self.row(*item));
        self.gather(n, &context, room);
        let Room { candidates, again } = room;
        let best = candidates.top(n + SPARE, |_| true);
        let rows: Vec<Option<&Row>> = best.iter().map(|scored| self.row(scored.item)).collect();
        let named = best.iter().zip(rows).filter_map(|(scored, row)| Some((*scored, row?)));
        let mut named: Vec<(Scored<_>, &Row)> = named.take(n).collect();
        if named.len() < n && best.len() == n + SPARE {
            let best = candidates.top(n, |item| self.row(item).is_some()).iter();
            named = best.filter_map(|scored| Some((*scored, self.row(scored.item)?))).collect();
        }
        let mut made = Made { shown: Items::with_capacity(n), items: Vec::with_capacity(n) };
        for (scored, row) in named {
            let weight = |source: &usize| scored.weights[*source];
            let source = (0..SOURCES.len()).max_by(|a, b| weight(a).total_cmp(&weight(b))).unwrap_or(0);
            made.items.push((scored.item, source));
            made.shown.push(&row.text, scored.score.into(), SOURCES[source], |text| {
                self.reason(source, scored.causes[source].into(), &context, again, text);
            });
        }
        made
    }

    /// What every source says of every item, on one scale.
    fn gather(&self, n: usize, context: &[Option<&Row>], room: &mut Room) {
        let Room { candidates, again } = room;
        candidates.clear();
        again.clear();
        again.extend(self.bought.iter().flat_map(|bought| bought.scored(self.now_ms)));
        let own = if again.is_empty() { 0.0 } else { self.bought.map_or(0.0, Repurchases::share) };
        let others = 1.0 - own as f32;
        let open = self.session(n, others, context, candidates);
        let orders: f64 = again.iter().map(|(_, score)| score).sum();
        for (number, (bought, score)) in (0_u8..).zip(&*again) {
            candidates.add(bought.item, REPURCHASE, (own * score / orders) as f32, number);
        }
        if let Some(popular) = self.tables.row(POPULAR, POPULAR_KEY) {
            for (item, share) in &popular.shares {
                candidates.add(*item, POPULARITY, others * open * share, 0);
            }
            self.context.items().iter().for_each(|item| candidates.take_back(*item, &[POPULARITY]));
            let priors =
                context.iter().map(|row| row.and_then(|row| row.shares.first()).map_or(1.0, |own| own.1));
            let seen = self.context.items().iter().copied().zip(priors);
            let shares = popular.numbers.iter().map(|share| *share as f32);
            candidates.add_repeats(SEEN, others / self.weight(), seen.zip(shares));
        }
        let shown = [SESSION, POPULARITY, SEEN, REPURCHASE];
        let hidden = if self.is_bought { &shown[..3] } else { &shown };
        self.at_hand.iter().for_each(|item| candidates.take_back(*item, hidden));
    }

    /// Adds the rows of the context. Returns the share that they leave open, which is anybody's guess: an item without
    /// a row leaves all of its own.
    fn session(
        &self,
        n: usize,
        others: f32,
        context: &[Option<&Row>],
        candidates: &mut Candidates<{ SOURCES.len() }>,
    ) -> f32 {
        let places = self.context.items().len();
        let all = self.weight();
        let rows = context[..places].iter();
        let rows = rows.map(|row| row.and_then(|row| row.shares.split_first()).unwrap_or((&(0, 1.0), &[])));
        let open =
            rows.clone().enumerate().map(|(place, (own, _))| Context::weight(place) / all * own.1).sum();
        // Twice as many as are shown: what little several rows say adds up to something in a short list.
        candidates.add_rows(2 * n, SESSION, others / all, rows.map(|(_, neighbours)| neighbours));
        if places == 0 { 1.0 } else { open }
    }

    /// Of all rows of the context.
    fn weight(&self) -> f32 {
        (0..self.context.items().len()).map(Context::weight).sum()
    }

    fn row(&self, item: Item) -> Option<&'a Row> {
        self.tables.row(ITEMS, item_key(item))
    }

    fn reason(
        &self,
        source: usize,
        cause: usize,
        context: &[Option<&Row>],
        again: &[(Bought, f64)],
        text: &mut String,
    ) {
        match source {
            SESSION => match context.get(cause) {
                Some(Some(row)) => {
                    text.push_str("often taken after ");
                    text.push_str(&row.text);
                }
                _ => text.push_str("often taken next"),
            },
            REPURCHASE => match again.get(cause) {
                Some((bought, _)) => bought_before(*bought, self.now_ms, text),
                None => text.push_str("bought before"),
            },
            POPULARITY => text.push_str("popular in the shop"),
            _ => text.push_str("looked at lately"),
        }
    }
}

fn bought_before(bought: Bought, now_ms: TimeMs, text: &mut String) {
    let ago_days = (now_ms.div_euclid(DAY_MS) - i64::from(bought.last_day)).max(0);
    // Writing to a text cannot fail.
    let _ = match bought.interval_days() {
        Some(days) => {
            // As an integer it is written in a fifth of the time.
            let days = days.round() as u32;
            write!(text, "bought {} times, about every {days} days, last {ago_days} days ago", bought.count)
        }
        None => write!(text, "bought {ago_days} days ago"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::item_hash;
    use crate::signal::RecommendedItem;

    fn row(table: &str, key: String, shares: Vec<(u32, f32)>, text: &str) -> Row {
        let (table, text) = (table.into(), text.into());
        Row { table, key, version: 1, time_ms: 0, numbers: Vec::new(), shares, text }
    }

    /// Items a, b, c, d with names; c and d follow a; d and c are popular.
    fn tables() -> Tables {
        let mut tables = Tables::new(100);
        for name in ["a", "b", "c", "d"] {
            let shares = match name {
                "a" => vec![(item_hash("a"), 0.2), (item_hash("c"), 0.5), (item_hash("d"), 0.3)],
                _ => vec![(item_hash(name), 1.0)],
            };
            assert!(tables.put(row(ITEMS, item_key(item_hash(name)).to_string(), shares, name)));
        }
        let popular = vec![(item_hash("d"), 0.6), (item_hash("c"), 0.2), (item_hash("unnamed"), 0.2)];
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
            is_bought: false,
            now_ms: day(85),
        };
        let list = evidence.list(10, &mut Room::default());
        let shown: Vec<RecommendedItem<'_>> = list.shown.iter().collect();
        let names: Vec<&str> = shown.iter().map(|item| item.item).collect();
        assert_eq!(names, ["b", "c", "d"], "the item at hand and what has no name are left out");
        // 2 of 3 purchases and 3 of 10 are repeats: 5/13 to b, 8/13 of (0.5 + 0.2 * 0.2) and of (0.3 + 0.2 * 0.6).
        for (item, expected) in shown.iter().zip([5.0 / 13.0, 8.0 / 13.0 * 0.54, 8.0 / 13.0 * 0.42]) {
            assert!((item.score - expected).abs() < 1e-6, "{item:?}");
        }
        assert_eq!(shown[1].reason, "often taken after a");
        assert_eq!(shown[0].reason, "bought 3 times, about every 30 days, last 25 days ago");
        assert_eq!(list.items.iter().map(|(_, source)| *source).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(evidence.list(1, &mut Room::default()).shown.len(), 1);
    }

    fn alone<'a>(tables: &'a Tables, context: &'a Context) -> Evidence<'a> {
        Evidence { tables, context, bought: None, at_hand: &[], is_bought: false, now_ms: 0 }
    }

    #[test]
    fn what_was_seen_is_shown_again_but_for_what_is_at_hand() {
        let mut tables = tables();
        let mut popular = row(POPULAR, POPULAR_KEY.into(), vec![(item_hash("d"), 1.0)], "");
        popular.numbers = vec![0.1, 0.2];
        assert!(tables.put(popular));
        let context = context(&["a", "b"]);
        let names = |evidence: &Evidence<'_>| {
            let list = evidence.list(10, &mut Room::default());
            let list = list.shown.iter().map(|i| (i.item.to_owned(), i.source.to_owned(), i.score));
            list.collect::<Vec<_>>()
        };
        // b is the nearest: 2/3 of the rows' weight, of which it has nothing to say; a has 1/3.
        let session = |name: &str, score: f32| (name.to_owned(), "session".to_owned(), f64::from(score));
        let all = names(&alone(&tables, &context));
        assert_eq!(all[0].0, "d");
        assert_eq!(all[2], session("c", 1.0 / 1.5 * 0.5 * 0.5));
        // 3 of 1.5: a has .2 of its prior, .2; b all of .1.
        assert_eq!((all[1].0.as_str(), all[1].1.as_str(), all[3].0.as_str()), ("b", "seen", "a"));
        assert!((all[1].2 - 0.2).abs() < 1e-6 && (all[3].2 - 0.08).abs() < 1e-6, "{all:?}");
        let at_hand = [item_hash("b")];
        let bought = Evidence { at_hand: &at_hand, is_bought: true, ..alone(&tables, &context) };
        assert!(names(&bought).iter().all(|(item, ..)| item != "b"));
    }

    #[test]
    fn who_is_new_gets_what_is_popular() {
        let tables = tables();
        let context = Context::default();
        let evidence = alone(&tables, &context);
        let list = evidence.list(10, &mut Room::default());
        assert_eq!(list.shown.iter().map(|item| item.item).collect::<Vec<_>>(), ["d", "c"]);
        assert!(list.items.iter().all(|(_, source)| *source == 2));
        assert!(list.shown.iter().all(|item| item.reason == "popular in the shop"));
    }
}
