//! Lists against the next order.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::TimeMs;
use crate::measure::lists::{Lists, Tally};

/// A visit is over when nothing happened for so long.
const PAUSE_MS: TimeMs = 30 * 60_000;

/// How often a list held something of what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hits {
    /// Events rated.
    pub n: u64,
    pub hits: u64,
    pub hit_rate_10: Option<f64>,
    pub mrr_10: Option<f64>,
}

impl From<&Tally> for Hits {
    fn from(tally: &Tally) -> Hits {
        Hits { n: tally.n, hits: tally.hits, hit_rate_10: tally.hit_rate(), mrr_10: tally.mrr() }
    }
}

/// Lists by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rated {
    /// `default` is the whole list, the others its items of one source, where it had any.
    pub learners: BTreeMap<String, Hits>,
    /// `popularity` and `own_recent`, on the events of `default`.
    pub baselines: BTreeMap<String, Hits>,
}

impl From<&Lists> for Rated {
    fn from(lists: &Lists) -> Rated {
        let named = |(name, tally): (&str, &Tally)| (name.to_owned(), tally.into());
        Rated {
            learners: lists.published().map(named).collect(),
            baselines: lists.baselines().map(named).collect(),
        }
    }
}

/// Rates an order by the list that the customer had before the visit. What a visit adds, to lists and baselines alike,
/// is held back until it is over.
#[derive(Default)]
pub(super) struct NextOrder {
    lists: Lists,
    /// Visits that are going on, by customer.
    open: BTreeMap<String, Visit>,
}

#[derive(Default)]
struct Visit {
    last_ms: TimeMs,
    taken: Vec<(Vec<String>, TimeMs)>,
    list: Option<Vec<(u32, String)>>,
}

impl NextOrder {
    /// Somebody did something, and took items, or none.
    pub fn taken(&mut self, customer: Option<&str>, items: &[&str], time_ms: TimeMs, is_order: bool) {
        let Some(customer) = customer else { return self.lists.learn(None, items, time_ms) };
        if self.open.get(customer).is_some_and(|visit| time_ms - visit.last_ms >= PAUSE_MS) {
            self.close(customer);
        }
        if is_order {
            self.lists.rate(customer, items, time_ms);
        }
        let visit = self.open.entry(customer.to_owned()).or_default();
        visit.last_ms = time_ms;
        if !items.is_empty() {
            visit.taken.push((items.iter().map(|item| (*item).to_owned()).collect(), time_ms));
        }
    }

    /// A list was published, on something that the customer just did.
    pub fn list(&mut self, customer: &str, items: Vec<(u32, String)>) {
        self.open.entry(customer.to_owned()).or_default().list = Some(items);
    }

    /// Ends the visits that are over by now.
    pub fn pass(&mut self, now_ms: TimeMs) {
        let over = self.open.iter().filter(|(_, visit)| now_ms - visit.last_ms >= PAUSE_MS);
        let over: Vec<String> = over.map(|(customer, _)| customer.clone()).collect();
        over.iter().for_each(|customer| self.close(customer));
    }

    pub fn finish(mut self) -> Lists {
        self.pass(TimeMs::MAX);
        self.lists
    }

    fn close(&mut self, customer: &str) {
        let Some(visit) = self.open.remove(customer) else { return };
        for (items, time_ms) in visit.taken {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            self.lists.learn(Some(customer), &items, time_ms);
        }
        if let Some(list) = visit.list {
            self.lists.list(customer, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::item_hash;

    #[test]
    fn an_order_is_rated_by_the_list_before_its_visit() {
        let list = |items: &[&str]| items.iter().map(|i| (item_hash(i), "session".to_owned())).collect();
        let mut next = NextOrder::default();
        let (c, hour) = (Some("c"), 3_600_000);
        next.taken(c, &["a"], 0, false);
        next.list("c", list(&["b"]));
        next.taken(c, &["b"], 1, true);
        assert_eq!(next.lists.published().count(), 0, "there was no list before the visit");
        // The next visit: the list of the last one holds b, the one made in this visit holds d.
        next.taken(c, &["d"], hour, false);
        next.list("c", list(&["d"]));
        next.taken(c, &["b", "x"], hour + 1, true);
        next.taken(c, &["d"], hour + 2, true);
        next.pass(2 * hour);
        assert!(next.open.is_empty());
        let Rated { learners, baselines } = (&next.finish()).into();
        assert_eq!((learners["default"].n, learners["default"].hits), (2, 1));
        assert_eq!((baselines["own_recent"].n, baselines["own_recent"].hits), (2, 1));
    }
}
