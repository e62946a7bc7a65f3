//! Published lists against what their customers took next, and simple baselines on the same events.
//!
//! An event with items is rated by the last list that its customer had been given before it.

use std::collections::BTreeMap;

use crate::event::{TimeMs, event_hash, item_hash};
use crate::learn::popularity::{Config, Popularity};
use crate::math::recent::Recent;

/// Items of a baseline's list, as many as a published one has.
const LIST: usize = 10;

/// Names of the baselines.
pub const BASELINES: [&str; 2] = ["popularity", "own_recent"];

/// Published lists so far, and how they did. One entry for each customer with a list.
pub struct Lists {
    last: BTreeMap<u64, Last>,
    popularity: Popularity,
    /// All together, then by the source of an item.
    published: BTreeMap<String, Tally>,
    baselines: [Tally; BASELINES.len()],
}

#[derive(Default)]
struct Last {
    /// Item and source, best first; empty before the first list.
    list: Vec<(u32, String)>,
    recent: Recent,
}

/// How often a list held what was taken next.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Events rated.
    pub n: u64,
    pub hits: u64,
    /// Sum of one over the place of the first item that was taken.
    reciprocals: f64,
}

impl Tally {
    fn rate(&mut self, taken: &[u32], list: impl Iterator<Item = u32>) {
        self.n += 1;
        if let Some((_, place)) = list.zip(1_u32..).find(|(item, _)| taken.contains(item)) {
            self.hits += 1;
            self.reciprocals += 1.0 / f64::from(place);
        }
    }

    /// Share of events whose list held one of their items.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.n > 0).then(|| self.hits as f64 / self.n as f64)
    }

    /// Mean reciprocal rank.
    pub fn mrr(&self) -> Option<f64> {
        (self.n > 0).then(|| self.reciprocals / self.n as f64)
    }
}

impl Default for Lists {
    fn default() -> Lists {
        Lists {
            last: BTreeMap::new(),
            popularity: Popularity::new(&Config::default()),
            published: BTreeMap::new(),
            baselines: Default::default(),
        }
    }
}

impl Lists {
    /// A customer took items; None for a guest, who is not rated.
    pub fn taken(&mut self, customer: Option<&str>, items: &[&str], time_ms: TimeMs) {
        if let Some(customer) = customer {
            self.rate(customer, items, time_ms);
        }
        self.learn(customer, items, time_ms);
    }

    /// The list that the customer was given last, and the baselines, against items that are taken. Nothing where there
    /// is no list or no item.
    pub fn rate(&mut self, customer: &str, items: &[&str], time_ms: TimeMs) {
        let items: Vec<u32> = items.iter().map(|item| item_hash(item)).collect();
        let Lists { last, popularity, published, baselines } = self;
        let Some(last) = last.get(&event_hash(customer)).filter(|last| !last.list.is_empty()) else { return };
        if items.is_empty() {
            return;
        }
        let all = last.list.iter().map(|(item, _)| *item);
        published.entry("default".into()).or_default().rate(&items, all);
        let mut sources: Vec<&String> = last.list.iter().map(|(_, source)| source).collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            let of_source = last.list.iter().filter(|(_, of)| of == source).map(|(item, _)| *item);
            published.entry(source.clone()).or_default().rate(&items, of_source);
        }
        let top = popularity.top(LIST, time_ms);
        baselines[0].rate(&items, top.into_iter().map(|(item, _)| item));
        baselines[1].rate(&items, last.recent.items().iter().copied());
    }

    /// What the baselines learn of items that a customer took; None for a guest.
    pub fn learn(&mut self, customer: Option<&str>, items: &[&str], time_ms: TimeMs) {
        if items.is_empty() {
            return;
        }
        let mut recent =
            customer.map(|customer| &mut self.last.entry(event_hash(customer)).or_default().recent);
        for item in items.iter().map(|item| item_hash(item)) {
            recent.iter_mut().for_each(|recent| recent.push(item));
            self.popularity.add(item, 1.0, time_ms);
        }
    }

    /// A list was published: items with their sources, best first.
    pub fn list(&mut self, customer: &str, items: Vec<(u32, String)>) {
        self.last.entry(event_hash(customer)).or_default().list = items;
    }

    /// By name: `default` is the whole list, the others its items of one source.
    pub fn published(&self) -> impl Iterator<Item = (&str, &Tally)> {
        self.published.iter().map(|(name, tally)| (name.as_str(), tally))
    }

    /// By name, on the events that `default` is rated on.
    pub fn baselines(&self) -> impl Iterator<Item = (&str, &Tally)> {
        BASELINES.into_iter().zip(&self.baselines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_rated_by_the_list_before_it() {
        let mut lists = Lists::default();
        let list = |items: &[(&str, &str)]| {
            items.iter().map(|(item, source)| (item_hash(item), (*source).to_owned())).collect::<Vec<_>>()
        };
        lists.taken(Some("c"), &["x"], 0);
        assert_eq!(lists.published().count(), 0, "there was no list");
        lists.list("c", list(&[("a", "session"), ("b", "popular")]));
        lists.taken(Some("c"), &["b", "z"], 1);
        lists.taken(Some("c"), &["z"], 2);
        lists.taken(None, &["z"], 3);
        let told: BTreeMap<&str, (u64, u64)> = lists.published().map(|(n, t)| (n, (t.n, t.hits))).collect();
        assert_eq!(told, BTreeMap::from([("default", (2, 1)), ("session", (2, 0)), ("popular", (2, 1))]));
        let default = lists.published().find(|(name, _)| *name == "default").map(|(_, tally)| tally.mrr());
        assert_eq!(default, Some(Some(0.25)));
        // x was popular and z was not; then z stood among the customer's own.
        let hits: Vec<u64> = lists.baselines().map(|(_, tally)| tally.hits).collect();
        assert_eq!(hits, [1, 1]);
    }
}
