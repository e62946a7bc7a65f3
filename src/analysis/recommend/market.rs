//! The market side: folds what was taken after what, and publishes an item's row when it has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Config, ITEMS, POPULAR, POPULAR_KEY, item_key};
use crate::analysis::{Frozen, MarketOutput, MarketSide, Quality};
use crate::event::{TimeMs, item_hash};
use crate::learn::item_to_item::{self, Context, ItemToItem, Pair, Repeats};
use crate::learn::{Learner, Popularity, popularity};
use crate::math::decay::HalfLife;
use crate::signal::fact::{Before, Fact};
use crate::signal::model::Row;

const PAGES: usize = 256;
/// Bytes of rows published at one tick at most.
const TICK_BYTES: usize = 64 << 10;
/// Neighbours published of an item; 50 lose 0.9 points of hit rate to 600 on click sessions.
const PUBLISHED: usize = 50;
/// Popular items told and published, at most this often.
const POPULAR_MAX: usize = 50;
const POPULAR_EVERY_MS: TimeMs = 1_000;
/// A row goes out again when its weight has grown by this part of itself.
const MOVED: f32 = 0.05;

/// An item that this partition publishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    name: String,
    version: u64,
    /// Weight of its pairs when it was last published, and added since; not decayed.
    published: f32,
    added: f32,
    /// Where it stands in the queue; 0 for not at all.
    urgency: u8,
}

impl Known {
    /// 0: has not moved. 1 to 7: has moved by 5 %, 10 %, 20 % and so on. 8: was never published.
    fn urgency(&self) -> u8 {
        if self.version == 0 {
            return 8;
        }
        let mut urgency = self.urgency;
        while urgency < 7
            && self.added >= MOVED * f32::from(1_u8 << urgency) * self.published.max(f32::MIN_POSITIVE)
        {
            urgency += 1;
        }
        urgency
    }
}

type Page = BTreeMap<u32, Known>;

/// What a partition has told: as in [`Fact::Popular`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Top {
    items: Vec<(u32, f64)>,
    repeats: Vec<f64>,
}

/// What a snapshot holds beside the items.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Rest {
    newest_ms: TimeMs,
    evicted: u64,
    /// Of the partition that publishes what is popular: what each has told.
    tops: BTreeMap<u32, Top>,
    /// How often an item of this partition had been taken before.
    repeats: Repeats,
    version: u64,
    told_ms: TimeMs,
    published_ms: TimeMs,
    /// Items were taken, or tops came, since.
    is_untold: bool,
    is_unpublished: bool,
}

pub(super) struct ItemTables {
    partition: u32,
    page_max: usize,
    half_life: HalfLife,
    pairs: ItemToItem,
    popularity: Popularity,
    pages: Vec<Arc<Page>>,
    /// By urgency, so that the last is the next to go out; follows from the pages.
    queue: BTreeSet<(u8, u32)>,
    rest: Rest,
}

impl ItemTables {
    pub fn new(config: &Config, partition: u32) -> ItemTables {
        let items_max = config.items_max as usize;
        let half_life = HalfLife::from_ms(config.half_life_ms);
        let pairs =
            item_to_item::Config { half_life, neighbours_max: config.neighbours_max as usize, items_max };
        let popular =
            popularity::Config { half_life: HalfLife::from_ms(config.popular_half_life_ms), items_max };
        ItemTables {
            partition,
            page_max: items_max.div_ceil(PAGES).max(1),
            half_life,
            pairs: ItemToItem::new(&pairs),
            popularity: Popularity::new(&popular),
            pages: vec![Arc::default(); PAGES],
            queue: BTreeSet::new(),
            rest: Rest::default(),
        }
    }

    fn item(&mut self, name: &str, time_ms: TimeMs, before: &Before) {
        let item = item_hash(name);
        self.rest.newest_ms = self.rest.newest_ms.max(time_ms);
        self.rest.is_untold |= self.popularity.add(item, 1.0, time_ms);
        self.know(item, name);
        let paired = before.items().iter().filter(|(_, place)| usize::from(*place) < Context::PAIRED);
        let pairs = paired.map(|(left, place)| {
            let place = usize::from(*place);
            Pair::backward(item, *left, place).unwrap_or_else(|| Pair::forward(item, item, place))
        });
        let added = self.pairs.add_row(item, pairs, time_ms);
        if !before.items().is_empty() {
            let place =
                before.items().iter().find(|(left, _)| *left == item).map(|(_, place)| (*place).into());
            self.rest.repeats.learn_one(self.half_life, place, time_ms);
        }
        self.moved(item, added);
    }

    fn pair(&mut self, pair: Pair, time_ms: TimeMs) {
        self.rest.newest_ms = self.rest.newest_ms.max(time_ms);
        if self.pairs.add(pair, time_ms) {
            self.moved(pair.left, pair.weight);
        }
    }

    fn know(&mut self, item: u32, name: &str) {
        let page = &mut self.pages[page_of(item)];
        if page.contains_key(&item) {
            return;
        }
        if page.len() >= self.page_max {
            // The one that is taken least goes; ties by hash.
            let weight = |known: &Known| known.published + known.added;
            let least = page.iter().min_by(|a, b| weight(a.1).total_cmp(&weight(b.1))).map(|(item, _)| *item);
            if let Some(least) = least
                && let Some(known) = Arc::make_mut(page).remove(&least)
            {
                self.queue.remove(&(known.urgency, least));
                self.rest.evicted += 1;
            }
        }
        let known = Known { name: name.to_owned(), version: 0, published: 0.0, added: 0.0, urgency: 0 };
        Arc::make_mut(page).insert(item, known);
        self.moved(item, 0.0);
    }

    /// Puts the item where it belongs in the queue.
    fn moved(&mut self, item: u32, weight: f32) {
        let Some(known) = Arc::make_mut(&mut self.pages[page_of(item)]).get_mut(&item) else { return };
        known.added += weight;
        let urgency = known.urgency();
        if urgency != known.urgency {
            self.queue.remove(&(known.urgency, item));
            known.urgency = urgency;
            self.queue.insert((urgency, item));
        }
    }

    /// The item's row; it has not moved any more.
    fn row(&mut self, item: u32, time_ms: TimeMs) -> Option<Row> {
        let neighbours = self.pairs.neighbours(item, PUBLISHED, self.rest.newest_ms).unwrap_or_default();
        let known = Arc::make_mut(&mut self.pages[page_of(item)]).get_mut(&item)?;
        known.version += 1;
        known.published += known.added;
        known.added = 0.0;
        known.urgency = 0;
        let prior = if neighbours.shares.is_empty() { 1.0 } else { neighbours.prior };
        Some(Row {
            table: ITEMS.into(),
            key: item_key(item).to_string(),
            version: known.version,
            time_ms,
            numbers: Vec::new(),
            shares: std::iter::once((item, prior)).chain(neighbours.shares).collect(),
            text: known.name.clone(),
        })
    }

    /// Tells the partition that publishes what is popular here.
    fn tell_popular(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        let rest = &mut self.rest;
        if rest.is_untold && time_ms - rest.told_ms >= POPULAR_EVERY_MS {
            (rest.is_untold, rest.told_ms) = (false, time_ms);
            let items = self.popularity.top(POPULAR_MAX, rest.newest_ms);
            let repeats = rest.repeats.weights(self.half_life, rest.newest_ms).to_vec();
            output.facts.push(Fact::Popular { partition: self.partition, items, repeats });
        }
    }

    /// Publishes what all have told, where this is the partition that does.
    fn publish_popular(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        let rest = &mut self.rest;
        if !rest.is_unpublished || time_ms - rest.published_ms < POPULAR_EVERY_MS {
            return;
        }
        (rest.is_unpublished, rest.published_ms) = (false, time_ms);
        rest.version += 1;
        let mut items: Vec<(u32, f64)> = rest.tops.values().flat_map(|top| &top.items).copied().collect();
        items.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        items.truncate(POPULAR_MAX);
        let mut repeats = [0.0; 1 + Context::LENGTH];
        for top in rest.tops.values() {
            repeats.iter_mut().zip(&top.repeats).for_each(|(sum, weight)| *sum += weight);
        }
        let all = items.iter().map(|(_, weight)| weight).sum::<f64>().max(f64::MIN_POSITIVE);
        output.rows.push(Row {
            table: POPULAR.into(),
            key: POPULAR_KEY.into(),
            version: rest.version,
            time_ms,
            numbers: Repeats::shares_of(&repeats).map(f64::from).to_vec(),
            shares: items.iter().map(|(item, weight)| (*item, (weight / all) as f32)).collect(),
            text: String::new(),
        });
    }
}

impl MarketSide for ItemTables {
    fn fold(&mut self, fact: &Fact, _output: &mut MarketOutput) {
        match fact {
            Fact::Item { item, time_ms, before } => self.item(item, *time_ms, before),
            Fact::Pairs { right, time_ms, lefts } => {
                let pairs = lefts.items().iter();
                pairs.for_each(|(left, place)| {
                    self.pair(Pair::forward(*left, *right, (*place).into()), *time_ms)
                });
            }
            Fact::Popular { partition, items, repeats } => {
                self.rest.tops.insert(*partition, Top { items: items.clone(), repeats: repeats.clone() });
                self.rest.is_unpublished = true;
            }
            _ => {}
        }
    }

    fn tick(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        let mut bytes = 0;
        while bytes < TICK_BYTES
            && let Some((_, item)) = self.queue.pop_last()
        {
            if let Some(row) = self.row(item, time_ms) {
                bytes += row.bytes();
                output.rows.push(row);
            }
        }
        self.tell_popular(time_ms, output);
        self.publish_popular(time_ms, output);
    }

    fn freeze(&self) -> Frozen {
        let (pairs, popularity) = (self.pairs.freeze(), self.popularity.clone());
        let (pages, rest) = (self.pages.clone(), self.rest.clone());
        Box::new(move || {
            let pages: Vec<&Page> = pages.iter().map(|page| &**page).collect();
            postcard::to_allocvec(&(pairs, popularity, pages, rest)).expect("plain data always serialises")
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (pairs, popularity, pages, rest): (ItemToItem, Popularity, Vec<Page>, Rest) =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        if pages.len() != PAGES {
            return Err(format!("{} pages", pages.len()));
        }
        let items = pages.iter().flatten().filter(|(_, known)| known.urgency > 0);
        self.queue = items.map(|(item, known)| (known.urgency, *item)).collect();
        self.pages = pages.into_iter().map(Arc::new).collect();
        (self.pairs, self.popularity, self.rest) = (pairs, popularity, rest);
        Ok(())
    }

    fn bytes(&self) -> usize {
        // A name of 24 bytes, a node's slack, a place in the queue.
        let items: usize = self.pages.iter().map(|page| page.len()).sum();
        let item = size_of::<(u32, Known)>() * 3 / 2 + 24 + 12;
        let top = |top: &Top| 88 + 16 * top.items.len() + 8 * top.repeats.len();
        let tops: usize = self.rest.tops.values().map(top).sum();
        self.pairs.bytes() + self.popularity.bytes() + items * item + tops
    }

    /// Hits are counted where lists are made.
    fn quality(&self) -> Quality {
        Quality::default()
    }
}

fn page_of(item: u32) -> usize {
    // The eight upper bits.
    (item >> 24) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(tables: &mut ItemTables, time_ms: TimeMs) -> MarketOutput {
        let mut output = MarketOutput::default();
        tables.tick(time_ms, &mut output);
        output
    }

    fn take(tables: &mut ItemTables, item: &str, before: &[&str]) {
        let before = before.iter().map(|name| item_hash(name)).zip(0..).collect();
        let fact = Fact::Item { item: item.into(), time_ms: 1_000, before };
        tables.fold(&fact, &mut MarketOutput::default());
    }

    #[test]
    fn a_row_goes_out_when_it_is_new_or_has_moved() {
        let mut tables = ItemTables::new(&Config::default(), 0);
        take(&mut tables, "a", &[]);
        take(&mut tables, "b", &["a"]);
        let lefts = [(item_hash("a"), 0)].into_iter().collect();
        let pair = Fact::Pairs { right: item_hash("b"), time_ms: 1_000, lefts };
        tables.fold(&pair, &mut MarketOutput::default());
        let rows = tick(&mut tables, 50).rows;
        let a = rows.iter().find(|row| row.text == "a").expect("a row for a");
        assert_eq!(a.shares.len(), 2);
        assert_eq!((a.shares[0].0, a.shares[1].0), (item_hash("a"), item_hash("b")));
        assert_eq!(rows.len(), 2);
        assert!(tick(&mut tables, 100).rows.is_empty(), "nothing has moved");
        for _ in 0..30 {
            tables.fold(&pair, &mut MarketOutput::default());
        }
        let row = &tick(&mut tables, 150).rows[0];
        assert!(row.version == 2 && row.shares[1].1 > a.shares[1].1, "{row:?}");
        tables.fold(&pair, &mut MarketOutput::default());
        assert!(tick(&mut tables, 200).rows.is_empty(), "one in 31 is less than 5 %");
    }

    #[test]
    fn what_is_popular_meets_in_one_partition() {
        let mut tables = ItemTables::new(&Config::default(), 3);
        take(&mut tables, "a", &[]);
        take(&mut tables, "a", &[]);
        take(&mut tables, "b", &[]);
        let told = tick(&mut tables, 2_000).facts;
        let Fact::Popular { partition: 3, items, .. } = &told[0] else { panic!("{told:?}") };
        assert_eq!(items[0].0, item_hash("a"));
        let other = Fact::Popular { partition: 1, items: vec![(77, 6.0)], repeats: vec![4.0, 1.0] };
        told.iter().chain([&other]).for_each(|fact| tables.fold(fact, &mut MarketOutput::default()));
        let rows = tick(&mut tables, 4_000).rows;
        let row = rows.iter().find(|row| row.table == POPULAR).expect("the row");
        assert_eq!(row.shares[0].0, 77);
        assert!((row.shares[0].1 - 2.0 / 3.0).abs() < 0.01, "{row:?}");
    }

    #[test]
    fn how_often_items_are_taken_again_is_added_up_over_partitions() {
        let mut tables = ItemTables::new(&Config::default(), 0);
        take(&mut tables, "a", &[]);
        // b after a, a again from the second place, and from beyond what makes pairs.
        take(&mut tables, "b", &["a"]);
        take(&mut tables, "a", &["b", "a"]);
        let before = [(item_hash("x"), 0), (item_hash("a"), 7)].into_iter().collect();
        let again = Fact::Item { item: "a".into(), time_ms: 1_000, before };
        tables.fold(&again, &mut MarketOutput::default());
        let mut told = tick(&mut tables, 2_000).facts;
        told.push(Fact::Popular { partition: 1, items: Vec::new(), repeats: vec![4.0, 1.0, 1.0] });
        told.iter().for_each(|fact| tables.fold(fact, &mut MarketOutput::default()));
        let rows = tick(&mut tables, 4_000).rows;
        let numbers = &rows.iter().find(|row| row.table == POPULAR).expect("the row").numbers;
        let expected = [1.0 / 8.0, 2.0 / 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0 / 8.0, 0.0, 0.0];
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        assert!(numbers.len() == 10 && numbers.iter().zip(&expected).all(near), "{numbers:?}");
    }

    #[test]
    fn a_restored_table_goes_on_identically() {
        let config = Config { items_max: 512, ..Config::default() };
        let mut tables = ItemTables::new(&config, 0);
        let step = |tables: &mut ItemTables, at: u32| {
            take(tables, &format!("i{}", at * 7 % 900), &[&format!("i{}", at * 5 % 900)]);
            let rows =
                if at.is_multiple_of(10) { tick(tables, i64::from(at) * 100).rows } else { Vec::new() };
            rows.into_iter().map(|row| format!("{row:?}")).collect::<Vec<_>>()
        };
        (0..2_000).for_each(|at| drop(step(&mut tables, at)));
        let mut restored = ItemTables::new(&config, 0);
        restored.restore(&tables.freeze()()).expect("its own section");
        (2_000..3_000).for_each(|at| assert_eq!(step(&mut tables, at), step(&mut restored, at)));
        assert!(tables.freeze()() == restored.freeze()());
        assert!(tables.rest.evicted > 0);
    }
}
